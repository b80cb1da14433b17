//! Packets to bytes. Pure; callers keep topics and ids within the limits of the standard.

use bytes::{BufMut, BytesMut};
use xedge_model::scenario::Protocol;

use super::packet::{ConnAck, Connect, Packet, Publish, Step, StepKind};
use super::properties::{KEEP_ALIVE, RECEIVE_MAXIMUM, SESSION_EXPIRY};

/// Appends a packet of this version of MQTT to `out`.
///
/// # Panics
/// Where a string is over 65,535 bytes or the packet over 256 MiB: plans are checked for that.
pub fn encode(packet: &Packet, protocol: Protocol, out: &mut BytesMut) {
    let is_five = protocol == Protocol::V5;
    match packet {
        Packet::Connect(connect) => encode_connect(connect, out),
        Packet::ConnAck(answer) => encode_connack(answer, is_five, out),
        Packet::Publish(publish) => encode_publish(publish, is_five, out),
        Packet::Step(step) => encode_step(*step, is_five, out),
        Packet::Subscribe { id, filters } => {
            let length = filters.iter().map(|(filter, _)| 3 + filter.len()).sum::<usize>();
            header(0x82, 2 + usize::from(is_five) + length, out);
            out.put_u16(*id);
            no_properties(is_five, out);
            for (filter, qos) in filters {
                string(filter.as_bytes(), out);
                out.put_u8(*qos);
            }
        }
        Packet::SubAck { id, codes } => {
            header(0x90, 2 + usize::from(is_five) + codes.len(), out);
            out.put_u16(*id);
            no_properties(is_five, out);
            out.put_slice(codes);
        }
        Packet::PingReq => out.put_slice(&[0xC0, 0]),
        Packet::PingResp => out.put_slice(&[0xD0, 0]),
        Packet::Disconnect(reason) if is_five && *reason != 0 => out.put_slice(&[0xE0, 1, *reason]),
        Packet::Disconnect(_) => out.put_slice(&[0xE0, 0]),
    }
}

fn encode_connect(connect: &Connect, out: &mut BytesMut) {
    let is_five = connect.protocol == Protocol::V5;
    let will = connect.will.as_ref();
    let mut rest = BytesMut::new();
    string(connect.client_id.as_bytes(), &mut rest);
    if let Some(will) = will {
        no_properties(is_five, &mut rest);
        string(will.topic.as_bytes(), &mut rest);
        string(&will.payload, &mut rest);
    }
    let credentials = [connect.user.as_deref().map(str::as_bytes), connect.password.as_deref()];
    credentials.into_iter().flatten().for_each(|s| string(s, &mut rest));
    let mut properties = BytesMut::new();
    if connect.session_expiry_s > 0 {
        properties.put_u8(SESSION_EXPIRY);
        properties.put_u32(connect.session_expiry_s);
    }
    let own = if is_five { 1 + properties.len() } else { 0 };
    header(0x10, 10 + own + rest.len(), out);
    string(b"MQTT", out);
    out.put_u8(if is_five { 5 } else { 4 });
    out.put_u8(connect_flags(connect));
    out.put_u16(connect.keep_alive_s);
    if is_five {
        out.put_u8(u8::try_from(properties.len()).expect("one property fits a byte"));
        out.put_slice(&properties);
    }
    out.put_slice(&rest);
}

fn connect_flags(connect: &Connect) -> u8 {
    let flag = |set: bool, bit: u8| u8::from(set) << bit;
    let will = connect.will.as_ref().map_or(0, |will| 4 | will.qos << 3 | flag(will.retain, 5));
    let user = flag(connect.password.is_some(), 6) | flag(connect.user.is_some(), 7);
    flag(connect.clean_session, 1) | will | user
}

fn encode_connack(answer: &ConnAck, is_five: bool, out: &mut BytesMut) {
    let mut properties = BytesMut::new();
    if answer.receive_maximum < u16::MAX {
        properties.put_u8(RECEIVE_MAXIMUM);
        properties.put_u16(answer.receive_maximum);
    }
    if let Some(seconds) = answer.keep_alive_s {
        properties.put_u8(KEEP_ALIVE);
        properties.put_u16(seconds);
    }
    let own = if is_five { 1 + properties.len() } else { 0 };
    header(0x20, 2 + own, out);
    out.put_slice(&[u8::from(answer.session_present), answer.code]);
    if is_five {
        out.put_u8(u8::try_from(properties.len()).expect("two properties fit a byte"));
        out.put_slice(&properties);
    }
}

fn encode_publish(publish: &Publish, is_five: bool, out: &mut BytesMut) {
    let id = publish.qos.id();
    let first = 0x30 | u8::from(publish.dup) << 3 | publish.qos.level() << 1 | u8::from(publish.retain);
    let own = 2 * usize::from(id.is_some()) + usize::from(is_five);
    header(first, 2 + publish.topic.len() + own + publish.payload.len(), out);
    string(publish.topic.as_bytes(), out);
    if let Some(id) = id {
        out.put_u16(id);
    }
    no_properties(is_five, out);
    out.put_slice(&publish.payload);
}

fn encode_step(step: Step, is_five: bool, out: &mut BytesMut) {
    let first = match step.kind {
        StepKind::Ack => 0x40,
        StepKind::Rec => 0x50,
        StepKind::Rel => 0x62,
        StepKind::Comp => 0x70,
    };
    let with_reason = is_five && step.reason != 0;
    out.put_slice(&[first, 2 + u8::from(with_reason)]);
    out.put_u16(step.id);
    if with_reason {
        out.put_u8(step.reason);
    }
}

/// Where MQTT 5 has properties: none.
fn no_properties(is_five: bool, out: &mut BytesMut) {
    if is_five {
        out.put_u8(0);
    }
}

/// First byte and remaining length (2.2.3).
fn header(first: u8, mut length: usize, out: &mut BytesMut) {
    assert!(length < 1 << 28, "a packet is under 256 MiB");
    out.put_u8(first);
    loop {
        let byte = u8::try_from(length % 128).expect("a remainder of 128 fits a byte");
        length /= 128;
        out.put_u8(byte | u8::from(length > 0) << 7);
        if length == 0 {
            return;
        }
    }
}

fn string(bytes: &[u8], out: &mut BytesMut) {
    out.put_u16(u16::try_from(bytes.len()).expect("strings of a packet are at most 65,535 bytes"));
    out.put_slice(bytes);
}
