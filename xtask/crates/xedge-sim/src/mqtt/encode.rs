//! Packets to bytes. Pure; callers keep topics and ids within the limits of the standard.

use bytes::{BufMut, BytesMut};

use super::packet::{Connect, Packet, Publish};

/// Appends a packet to `out`.
///
/// # Panics
/// Where a string is over 65,535 bytes or the packet over 256 MiB: plans are checked for that.
pub fn encode(packet: &Packet, out: &mut BytesMut) {
    match packet {
        Packet::Connect(connect) => encode_connect(connect, out),
        Packet::ConnAck { session_present, code } => {
            out.put_slice(&[0x20, 2, u8::from(*session_present), *code]);
        }
        Packet::Publish(publish) => encode_publish(publish, out),
        Packet::PubAck(id) => {
            out.put_slice(&[0x40, 2]);
            out.put_u16(*id);
        }
        Packet::Subscribe { id, filters } => {
            let length = 2 + filters.iter().map(|(filter, _)| 3 + filter.len()).sum::<usize>();
            header(0x82, length, out);
            out.put_u16(*id);
            for (filter, qos) in filters {
                string(filter.as_bytes(), out);
                out.put_u8(*qos);
            }
        }
        Packet::SubAck { id, codes } => {
            header(0x90, 2 + codes.len(), out);
            out.put_u16(*id);
            out.put_slice(codes);
        }
        Packet::PingReq => out.put_slice(&[0xC0, 0]),
        Packet::PingResp => out.put_slice(&[0xD0, 0]),
        Packet::Disconnect => out.put_slice(&[0xE0, 0]),
    }
}

fn encode_connect(connect: &Connect, out: &mut BytesMut) {
    let credentials = [connect.user.as_deref().map(str::as_bytes), connect.password.as_deref()];
    let strings = credentials.iter().flatten().map(|s| 2 + s.len()).sum::<usize>();
    header(0x10, 10 + 2 + connect.client_id.len() + strings, out);
    string(b"MQTT", out);
    out.put_u8(4);
    let flag = |set: bool, bit: u8| u8::from(set) << bit;
    out.put_u8(
        flag(connect.clean_session, 1)
            | flag(connect.password.is_some(), 6)
            | flag(connect.user.is_some(), 7),
    );
    out.put_u16(connect.keep_alive_s);
    string(connect.client_id.as_bytes(), out);
    credentials.into_iter().flatten().for_each(|s| string(s, out));
}

fn encode_publish(publish: &Publish, out: &mut BytesMut) {
    let qos = u8::from(publish.id.is_some());
    let first = 0x30 | u8::from(publish.dup) << 3 | qos << 1 | u8::from(publish.retain);
    header(first, 2 + publish.topic.len() + 2 * usize::from(qos) + publish.payload.len(), out);
    string(publish.topic.as_bytes(), out);
    publish.id.into_iter().for_each(|id| out.put_u16(id));
    out.put_slice(&publish.payload);
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
