//! Bytes to packets, strict: what the standard forbids is an error and never guessed at. Pure.

use bytes::{Buf, Bytes, BytesMut};

use super::packet::{Connect, Packet, Publish};
use super::topic;

/// The largest packet that is taken. Models send and get small messages.
pub const MAX_PACKET: usize = 1 << 20;

/// Bytes that are not MQTT 3.1.1, or use a part of it that is not supported here.
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

/// Takes the first whole packet out of `buffer`; `None` while bytes are missing. After an error the buffer's content
/// has no meaning any more.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Packet>, Malformed> {
    let Some((length, header)) = remaining_length(buffer)? else { return Ok(None) };
    if length > MAX_PACKET {
        return Err(Malformed::TooLarge(length));
    }
    if buffer.len() < header + length {
        return Ok(None);
    }
    let first = buffer[0];
    buffer.advance(header);
    packet(first, buffer.split_to(length).freeze()).map(Some)
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

fn packet(first: u8, body: Bytes) -> Result<Packet, Malformed> {
    match first {
        0x10 => connect(Fields::of("CONNECT", body)).map(Packet::Connect),
        0x20 => connack(Fields::of("CONNACK", body)),
        0x30..=0x3F => publish(first, Fields::of("PUBLISH", body)).map(Packet::Publish),
        0x40 => {
            let mut fields = Fields::of("PUBACK", body);
            let id = fields.id()?;
            fields.end(Packet::PubAck(id))
        }
        0x82 => subscribe(Fields::of("SUBSCRIBE", body)),
        0x90 => suback(Fields::of("SUBACK", body)),
        0xC0 => Fields::of("PINGREQ", body).end(Packet::PingReq),
        0xD0 => Fields::of("PINGRESP", body).end(Packet::PingResp),
        0xE0 => Fields::of("DISCONNECT", body).end(Packet::Disconnect),
        other => Err(Malformed::Header(other)),
    }
}

fn connack(mut fields: Fields) -> Result<Packet, Malformed> {
    let (flags, code) = (fields.byte()?, fields.byte()?);
    if flags > 1 || code > 5 || (flags == 1 && code != 0) {
        return Err(Malformed::Field("CONNACK with reserved flags or code"));
    }
    fields.end(Packet::ConnAck { session_present: flags == 1, code })
}

fn publish(first: u8, mut fields: Fields) -> Result<Publish, Malformed> {
    let (dup, qos, retain) = (first & 8 != 0, first >> 1 & 3, first & 1 != 0);
    match qos {
        0 if dup => return Err(Malformed::Field("PUBLISH of QoS 0 marked as sent before")),
        2 => return Err(Malformed::Field("PUBLISH of QoS 2, which nobody asked for")),
        3 => return Err(Malformed::Field("PUBLISH of QoS 3, which does not exist")),
        _ => {}
    }
    let topic = fields.string()?;
    if !topic::is_name(&topic) {
        return Err(Malformed::Field("PUBLISH to something that is no topic"));
    }
    let id = if qos == 1 { Some(fields.id()?) } else { None };
    Ok(Publish { dup, retain, topic, id, payload: fields.rest })
}

fn suback(mut fields: Fields) -> Result<Packet, Malformed> {
    let id = fields.id()?;
    let codes = fields.rest.to_vec();
    if codes.is_empty() || codes.iter().any(|code| !matches!(code, 0..=2 | 0x80)) {
        return Err(Malformed::Field("SUBACK without codes or with reserved ones"));
    }
    Ok(Packet::SubAck { id, codes })
}

fn subscribe(mut fields: Fields) -> Result<Packet, Malformed> {
    let id = fields.id()?;
    let mut filters = Vec::new();
    while filters.is_empty() || fields.rest.has_remaining() {
        let (filter, qos) = (fields.string()?, fields.byte()?);
        if !topic::is_filter(&filter) || qos > 2 {
            return Err(Malformed::Field("SUBSCRIBE to something that is no topic filter"));
        }
        filters.push((filter, qos));
    }
    Ok(Packet::Subscribe { id, filters })
}

fn connect(mut fields: Fields) -> Result<Connect, Malformed> {
    if fields.string()? != "MQTT" || fields.byte()? != 4 {
        return Err(Malformed::Field("CONNECT of another protocol than MQTT 3.1.1"));
    }
    let flags = fields.byte()?;
    if flags & 0b0011_1101 != 0 || (flags & 0x40 != 0 && flags & 0x80 == 0) {
        return Err(Malformed::Field("CONNECT with a will, reserved flags, or a password without user"));
    }
    let connect = Connect {
        clean_session: flags & 2 != 0,
        keep_alive_s: fields.short()?,
        client_id: fields.string()?,
        user: if flags & 0x80 == 0 { None } else { Some(fields.string()?) },
        password: if flags & 0x40 == 0 { None } else { Some(fields.bytes()?.to_vec()) },
    };
    fields.end(connect)
}

/// The body of a packet, read field by field.
struct Fields {
    name: &'static str,
    rest: Bytes,
}

impl Fields {
    fn of(name: &'static str, rest: Bytes) -> Self {
        Self { name, rest }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.rest.try_get_u8().map_err(|_| Malformed::Short(self.name))
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        self.rest.try_get_u16().map_err(|_| Malformed::Short(self.name))
    }

    /// A packet id, which is never 0 (2.3.1).
    fn id(&mut self) -> Result<u16, Malformed> {
        match self.short()? {
            0 => Err(Malformed::Field("packet id 0")),
            id => Ok(id),
        }
    }

    fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::from(self.short()?);
        if self.rest.len() < length {
            return Err(Malformed::Short(self.name));
        }
        Ok(self.rest.split_to(length))
    }

    /// A string: UTF-8 without U+0000 (1.5.3).
    fn string(&mut self) -> Result<String, Malformed> {
        let text = String::from_utf8(self.bytes()?.to_vec());
        let text = text.map_err(|_| Malformed::Field("string that is not UTF-8"))?;
        if text.contains('\0') { Err(Malformed::Field("string with U+0000")) } else { Ok(text) }
    }

    fn end<T>(self, value: T) -> Result<T, Malformed> {
        if self.rest.has_remaining() { Err(Malformed::Long(self.name)) } else { Ok(value) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::super::encode;
    use super::{Malformed, decode};
    use crate::mqtt::packet::{Connect, Packet, Publish};

    fn vectors() -> Vec<(Packet, Vec<u8>)> {
        let publish = |dup, retain, id, payload: &'static [u8]| {
            Packet::Publish(Publish {
                dup,
                retain,
                topic: "a/b".into(),
                id,
                payload: Bytes::from_static(payload),
            })
        };
        let connect = Connect {
            client_id: "c".into(),
            clean_session: true,
            keep_alive_s: 60,
            user: Some("u".into()),
            password: Some(b"pw".to_vec()),
        };
        let bare = Connect { clean_session: false, user: None, password: None, ..connect.clone() };
        vec![
            (Packet::Connect(connect), b"\x10\x14\0\x04MQTT\x04\xC2\0\x3C\0\x01c\0\x01u\0\x02pw".to_vec()),
            (Packet::Connect(bare), b"\x10\x0D\0\x04MQTT\x04\0\0\x3C\0\x01c".to_vec()),
            (Packet::ConnAck { session_present: true, code: 0 }, vec![0x20, 2, 1, 0]),
            (Packet::ConnAck { session_present: false, code: 5 }, vec![0x20, 2, 0, 5]),
            (publish(false, false, None, b"hi"), b"\x30\x07\0\x03a/bhi".to_vec()),
            (publish(false, true, None, b""), b"\x31\x05\0\x03a/b".to_vec()),
            (publish(true, false, Some(10), b"x"), b"\x3A\x08\0\x03a/b\0\x0Ax".to_vec()),
            (Packet::PubAck(258), vec![0x40, 2, 1, 2]),
            (
                Packet::Subscribe { id: 1, filters: vec![("a/+".into(), 1)] },
                b"\x82\x08\0\x01\0\x03a/+\x01".to_vec(),
            ),
            (Packet::SubAck { id: 1, codes: vec![1, 0x80] }, vec![0x90, 4, 0, 1, 1, 0x80]),
            (Packet::PingReq, vec![0xC0, 0]),
            (Packet::PingResp, vec![0xD0, 0]),
            (Packet::Disconnect, vec![0xE0, 0]),
        ]
    }

    #[test]
    fn bytes_and_packets_agree_and_every_truncation_waits() {
        for (packet, bytes) in vectors() {
            let mut out = BytesMut::new();
            encode(&packet, &mut out);
            assert_eq!(out, bytes, "{packet:?}");
            for end in 0..bytes.len() {
                assert_eq!(decode(&mut BytesMut::from(&bytes[..end])), Ok(None), "{packet:?} cut at {end}");
            }
            let mut two = BytesMut::from([bytes.as_slice(), &[0xC0, 0]].concat().as_slice());
            assert_eq!(decode(&mut two), Ok(Some(packet)));
            assert_eq!(decode(&mut two), Ok(Some(Packet::PingReq)));
            assert!(two.is_empty());
        }
    }

    /// The length is right for what is there, and a field says that more follows, or less.
    #[test]
    fn bodies_that_are_too_short_or_too_long_are_refused() {
        for (packet, bytes) in vectors() {
            let body = &bytes[2..];
            for end in 0..body.len() {
                let cut = [&[bytes[0], u8::try_from(end).unwrap()], &body[..end]].concat();
                let result = decode(&mut BytesMut::from(cut.as_slice()));
                let publish = matches!(packet, Packet::Publish(_)) && end >= 5;
                let codes = matches!(packet, Packet::SubAck { .. }) && end >= 3;
                assert!(publish || codes || result.is_err(), "{packet:?} with {end} bytes: {result:?}");
            }
            let longer = [&[bytes[0], u8::try_from(body.len() + 1).unwrap()], body, &[0]].concat();
            let open_ended = matches!(packet, Packet::Publish(_) | Packet::SubAck { .. });
            let result = decode(&mut BytesMut::from(longer.as_slice()));
            assert!(open_ended || result.is_err(), "{packet:?} with a byte more: {result:?}");
        }
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for (bytes, why) in [
            (&b"\x30\xFF\xFF\xFF\xFF\x7F"[..], "length of five bytes"),
            (b"\x30\xFF\xFF\xFF\x7F", "256 MiB"),
            (b"\x00\x00", "type 0"),
            (b"\xF0\x00", "type 15"),
            (b"\x50\x02\0\x01", "PUBREC"),
            (b"\x21\x02\0\0", "CONNACK with flags"),
            (b"\x20\x02\x02\0", "CONNACK with reserved flag"),
            (b"\x20\x02\0\x06", "CONNACK with code 6"),
            (b"\x20\x02\x01\x05", "session present although refused"),
            (b"\x41\x02\0\x01", "PUBACK with flags"),
            (b"\x40\x02\0\0", "PUBACK with id 0"),
            (b"\x38\x05\0\x03a/b", "QoS 0 with DUP"),
            (b"\x34\x07\0\x03a/b\0\x01", "QoS 2"),
            (b"\x36\x07\0\x03a/b\0\x01", "QoS 3"),
            (b"\x32\x07\0\x03a/b\0\0", "PUBLISH with id 0"),
            (b"\x30\x05\0\x03a/+", "PUBLISH with wildcard"),
            (b"\x30\x02\0\0", "PUBLISH without topic"),
            (b"\x30\x05\0\x03a\xFFb", "not UTF-8"),
            (b"\x30\x05\0\x03a\xC0\x80", "overlong NUL"),
            (b"\x30\x05\0\x03a\0b", "NUL"),
            (b"\x30\x04\0\x09ab", "string longer than the packet"),
            (b"\x90\x02\0\x01", "SUBACK without codes"),
            (b"\x90\x03\0\x01\x03", "SUBACK with code 3"),
            (b"\x80\x08\0\x01\0\x03a/+\x01", "SUBSCRIBE without its flags"),
            (b"\x82\x08\0\x01\0\x03a/+\x03", "SUBSCRIBE with QoS 3"),
            (b"\x82\x02\0\x01", "SUBSCRIBE to nothing"),
            (b"\x10\x0D\0\x04MQTT\x05\0\0\x3C\0\x01c", "MQTT 5"),
            (b"\x10\x0D\0\x04MQTT\x04\x01\0\x3C\0\x01c", "reserved connect flag"),
            (b"\x10\x10\0\x04MQTT\x04\x40\0\x3C\0\x01c\0\x01p", "password without user"),
            (b"\xD0\x01\0", "PINGRESP with a body"),
        ] {
            let result = decode(&mut BytesMut::from(bytes));
            assert!(result.is_err(), "{why}: {result:?}");
        }
        let huge = decode(&mut BytesMut::from(&b"\x30\xFF\xFF\xFF\x7F"[..]));
        assert_eq!(huge, Err(Malformed::TooLarge((1 << 28) - 1)));
    }

    #[test]
    fn lengths_at_the_edges_of_their_encoding_survive() {
        for size in [0, 122, 123, 16_378, 16_379, 1_000_000] {
            let payload = Bytes::from(vec![7; size]);
            let packet = Packet::Publish(Publish {
                dup: false,
                retain: false,
                topic: "a/b".into(),
                id: None,
                payload,
            });
            let mut buffer = BytesMut::new();
            encode(&packet, &mut buffer);
            assert_eq!(decode(&mut buffer), Ok(Some(packet)));
        }
    }
}
