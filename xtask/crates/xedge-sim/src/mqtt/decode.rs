//! Bytes to packets, strict: what the standard forbids is an error and never guessed at. Pure.

use bytes::{Buf, Bytes, BytesMut};
use xedge_model::scenario::Protocol;

use super::fields::Fields;
use super::packet::{ConnAck, Connect, Packet, Publish, Qos, Step, StepKind, Will};
use super::properties::{self, Properties};
use super::topic;

/// The largest packet that is taken. Models send and get small messages.
pub const MAX_PACKET: usize = 1 << 20;

/// Bytes that are not MQTT, or use a part of it that is not supported here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The remaining length has more than four bytes (2.2.3).
    #[error("remaining length of more than four bytes")]
    Length,
    /// The packet is larger than [`MAX_PACKET`].
    #[error("packet of {0} bytes")]
    TooLarge(usize),
    /// Type or flags that do not exist (2.2.1, 2.2.2).
    #[error("no packet starts with byte {0:#04x}")]
    Header(u8),
    /// A packet that ends before its fields do.
    #[error("{0} packet ends too early")]
    Short(&'static str),
    /// A packet with bytes behind its last field.
    #[error("{0} packet with bytes behind its end")]
    Long(&'static str),
    /// A field with a value that the standard forbids.
    #[error("{0}")]
    Field(&'static str),
}

/// Takes the first whole packet of this version of MQTT out of `buffer`; `None` while bytes are missing. A CONNECT says
/// itself which version it is of. After an error the buffer's content has no meaning any more.
pub fn decode(buffer: &mut BytesMut, protocol: Protocol) -> Result<Option<Packet>, Malformed> {
    let Some((length, header)) = remaining_length(buffer)? else { return Ok(None) };
    if length > MAX_PACKET {
        return Err(Malformed::TooLarge(length));
    }
    if buffer.len() < header + length {
        return Ok(None);
    }
    let first = buffer[0];
    buffer.advance(header);
    packet(first, buffer.split_to(length).freeze(), protocol == Protocol::V5).map(Some)
}

/// The remaining length and the size of the fixed header.
fn remaining_length(buffer: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for (index, byte) in buffer.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 2)));
        }
    }
    if buffer.len() >= 5 { Err(Malformed::Length) } else { Ok(None) }
}

fn packet(first: u8, body: Bytes, is_five: bool) -> Result<Packet, Malformed> {
    match first {
        0x10 => connect(Fields::of("CONNECT", body)).map(Packet::Connect),
        0x20 => connack(Fields::of("CONNACK", body), is_five).map(Packet::ConnAck),
        0x30..=0x3F => publish(first, Fields::of("PUBLISH", body), is_five).map(Packet::Publish),
        0x40 => step(StepKind::Ack, Fields::of("PUBACK", body), is_five),
        0x50 => step(StepKind::Rec, Fields::of("PUBREC", body), is_five),
        0x62 => step(StepKind::Rel, Fields::of("PUBREL", body), is_five),
        0x70 => step(StepKind::Comp, Fields::of("PUBCOMP", body), is_five),
        0x82 => subscribe(Fields::of("SUBSCRIBE", body), is_five),
        0x90 => suback(Fields::of("SUBACK", body), is_five),
        0xC0 => Fields::of("PINGREQ", body).end(Packet::PingReq),
        0xD0 => Fields::of("PINGRESP", body).end(Packet::PingResp),
        0xE0 => disconnect(Fields::of("DISCONNECT", body), is_five),
        other => Err(Malformed::Header(other)),
    }
}

/// What stands where MQTT 5 has properties.
fn properties(fields: &mut Fields, is_five: bool) -> Result<Properties, Malformed> {
    if is_five { properties::read(fields) } else { Ok(Properties::default()) }
}

fn connack(mut fields: Fields, is_five: bool) -> Result<ConnAck, Malformed> {
    let (flags, code) = (fields.byte()?, fields.byte()?);
    let exists = if is_five { code == 0 || code >= 0x80 } else { code <= 5 };
    if flags > 1 || !exists || (flags == 1 && code != 0) {
        return Err(Malformed::Field("CONNACK with reserved flags or code"));
    }
    let found = properties(&mut fields, is_five)?;
    fields.end(ConnAck {
        receive_maximum: found.receive_maximum.unwrap_or(u16::MAX),
        keep_alive_s: found.keep_alive_s,
        ..ConnAck::new(flags == 1, code)
    })
}

fn publish(first: u8, mut fields: Fields, is_five: bool) -> Result<Publish, Malformed> {
    let (dup, level, retain) = (first & 8 != 0, first >> 1 & 3, first & 1 != 0);
    let topic = fields.string()?;
    if !topic::is_name(&topic) {
        return Err(Malformed::Field("PUBLISH to something that is no topic"));
    }
    let qos = match level {
        0 if dup => return Err(Malformed::Field("PUBLISH of QoS 0 marked as sent before")),
        0 => Qos::Zero,
        1 => Qos::One(fields.id()?),
        2 => Qos::Two(fields.id()?),
        _ => return Err(Malformed::Field("PUBLISH of QoS 3, which does not exist")),
    };
    properties(&mut fields, is_five)?;
    Ok(Publish { dup, retain, qos, topic, payload: fields.rest })
}

/// In MQTT 5 the reason is left out where it is 0, and properties where there are none.
fn step(kind: StepKind, mut fields: Fields, is_five: bool) -> Result<Packet, Malformed> {
    let id = fields.id()?;
    let reason = if is_five && !fields.is_empty() { fields.byte()? } else { 0 };
    if is_five && !fields.is_empty() {
        properties::read(&mut fields)?;
    }
    fields.end(Packet::Step(Step { kind, id, reason }))
}

fn disconnect(mut fields: Fields, is_five: bool) -> Result<Packet, Malformed> {
    let reason = if is_five && !fields.is_empty() { fields.byte()? } else { 0 };
    if is_five && !fields.is_empty() {
        properties::read(&mut fields)?;
    }
    fields.end(Packet::Disconnect(reason))
}

fn suback(mut fields: Fields, is_five: bool) -> Result<Packet, Malformed> {
    let id = fields.id()?;
    properties(&mut fields, is_five)?;
    let codes = fields.rest.to_vec();
    let exists = |code: u8| code <= 2 || code == 0x80 || (is_five && code > 0x80);
    if codes.is_empty() || !codes.iter().all(|code| exists(*code)) {
        return Err(Malformed::Field("SUBACK without codes or with reserved ones"));
    }
    Ok(Packet::SubAck { id, codes })
}

fn subscribe(mut fields: Fields, is_five: bool) -> Result<Packet, Malformed> {
    let id = fields.id()?;
    properties(&mut fields, is_five)?;
    let mut filters = Vec::new();
    while filters.is_empty() || !fields.is_empty() {
        let (filter, qos) = (fields.string()?, fields.byte()?);
        if !topic::is_filter(&filter) || qos > 2 {
            return Err(Malformed::Field("SUBSCRIBE to something that is no topic filter"));
        }
        filters.push((filter, qos));
    }
    Ok(Packet::Subscribe { id, filters })
}

fn connect(mut fields: Fields) -> Result<Connect, Malformed> {
    let protocol = match (fields.string()?.as_str(), fields.byte()?) {
        ("MQTT", 4) => Protocol::V3,
        ("MQTT", 5) => Protocol::V5,
        _ => return Err(Malformed::Field("CONNECT of another protocol than MQTT 3.1.1 and 5")),
    };
    let is_five = protocol == Protocol::V5;
    let flags = fields.byte()?;
    let no_will = flags & 4 == 0 && flags & 0x38 != 0;
    let lone_password = !is_five && flags & 0x40 != 0 && flags & 0x80 == 0;
    if flags & 1 != 0 || flags & 0x18 == 0x18 || no_will || lone_password {
        return Err(Malformed::Field("CONNECT with flags that are reserved or need others"));
    }
    let keep_alive_s = fields.short()?;
    let session_expiry_s = properties(&mut fields, is_five)?.session_expiry_s.unwrap_or(0);
    let connect = Connect {
        protocol,
        clean_session: flags & 2 != 0,
        session_expiry_s,
        keep_alive_s,
        client_id: fields.string()?,
        will: if flags & 4 == 0 { None } else { Some(will(&mut fields, flags, is_five)?) },
        user: if flags & 0x80 == 0 { None } else { Some(fields.string()?) },
        password: if flags & 0x40 == 0 { None } else { Some(fields.bytes()?.to_vec()) },
    };
    fields.end(connect)
}

fn will(fields: &mut Fields, flags: u8, is_five: bool) -> Result<Will, Malformed> {
    properties(fields, is_five)?;
    let topic = fields.string()?;
    if !topic::is_name(&topic) {
        return Err(Malformed::Field("CONNECT with a will for something that is no topic"));
    }
    Ok(Will { topic, payload: fields.bytes()?, qos: flags >> 3 & 3, retain: flags & 0x20 != 0 })
}

#[cfg(test)]
mod tests;
