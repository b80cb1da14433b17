//! The decoder against bytes that are right, cut short, too long, forbidden, or flipped.

use bytes::{Bytes, BytesMut};
use xedge_model::scenario::Protocol;

use super::super::encode;
use super::{Malformed, decode};
use crate::mqtt::packet::{ConnAck, Connect, Packet, Publish, Qos, Step, StepKind, Will};
use crate::seed::Draws;

fn message(dup: bool, retain: bool, qos: Qos, payload: &'static [u8]) -> Packet {
    Packet::Publish(Publish { dup, retain, topic: "a/b".into(), qos, payload: Bytes::from_static(payload) })
}

fn login() -> Connect {
    Connect {
        protocol: Protocol::V3,
        client_id: "c".into(),
        clean_session: true,
        session_expiry_s: 0,
        keep_alive_s: 60,
        will: None,
        user: Some("u".into()),
        password: Some(b"pw".to_vec()),
    }
}

fn testament(qos: u8, retain: bool) -> Will {
    Will { topic: "w".into(), payload: Bytes::from_static(b"x"), qos, retain }
}

/// Packets of MQTT 3.1.1 and their bytes.
fn vectors() -> Vec<(Packet, Vec<u8>)> {
    let bare = Connect { clean_session: false, user: None, password: None, ..login() };
    let with_will = Connect { will: Some(testament(2, true)), ..bare.clone() };
    vec![
        (Packet::Connect(login()), b"\x10\x14\0\x04MQTT\x04\xC2\0\x3C\0\x01c\0\x01u\0\x02pw".to_vec()),
        (Packet::Connect(bare), b"\x10\x0D\0\x04MQTT\x04\0\0\x3C\0\x01c".to_vec()),
        (Packet::Connect(with_will), b"\x10\x13\0\x04MQTT\x04\x34\0\x3C\0\x01c\0\x01w\0\x01x".to_vec()),
        (Packet::ConnAck(ConnAck::new(true, 0)), vec![0x20, 2, 1, 0]),
        (Packet::ConnAck(ConnAck::new(false, 5)), vec![0x20, 2, 0, 5]),
        (message(false, false, Qos::Zero, b"hi"), b"\x30\x07\0\x03a/bhi".to_vec()),
        (message(false, true, Qos::Zero, b""), b"\x31\x05\0\x03a/b".to_vec()),
        (message(true, false, Qos::One(10), b"x"), b"\x3A\x08\0\x03a/b\0\x0Ax".to_vec()),
        (message(false, true, Qos::Two(258), b"x"), b"\x35\x08\0\x03a/b\x01\x02x".to_vec()),
        (StepKind::Ack.of(258), vec![0x40, 2, 1, 2]),
        (StepKind::Rec.of(258), vec![0x50, 2, 1, 2]),
        (StepKind::Rel.of(258), vec![0x62, 2, 1, 2]),
        (StepKind::Comp.of(258), vec![0x70, 2, 1, 2]),
        (
            Packet::Subscribe { id: 1, filters: vec![("a/+".into(), 1)] },
            b"\x82\x08\0\x01\0\x03a/+\x01".to_vec(),
        ),
        (Packet::SubAck { id: 1, codes: vec![1, 0x80] }, vec![0x90, 4, 0, 1, 1, 0x80]),
        (Packet::PingReq, vec![0xC0, 0]),
        (Packet::PingResp, vec![0xD0, 0]),
        (Packet::Disconnect(0), vec![0xE0, 0]),
    ]
}

/// Packets of MQTT 5 and their bytes.
fn vectors_of_five() -> Vec<(Packet, Vec<u8>)> {
    let five = Connect { protocol: Protocol::V5, user: None, password: None, ..login() };
    let kept = Connect {
        clean_session: false,
        session_expiry_s: 7,
        will: Some(testament(1, false)),
        ..five.clone()
    };
    let limits = ConnAck { receive_maximum: 20, keep_alive_s: Some(9), ..ConnAck::new(false, 0) };
    let step = |kind, reason| Packet::Step(Step { kind, id: 258, reason });
    vec![
        (Packet::Connect(five), b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01c".to_vec()),
        (
            Packet::Connect(kept),
            b"\x10\x1A\0\x04MQTT\x05\x0C\0\x3C\x05\x11\0\0\0\x07\0\x01c\0\0\x01w\0\x01x".to_vec(),
        ),
        (Packet::ConnAck(ConnAck::new(true, 0)), vec![0x20, 3, 1, 0, 0]),
        (Packet::ConnAck(ConnAck::new(false, 0x87)), vec![0x20, 3, 0, 0x87, 0]),
        (Packet::ConnAck(limits), vec![0x20, 9, 0, 0, 6, 0x21, 0, 20, 0x13, 0, 9]),
        (message(false, false, Qos::Zero, b"hi"), b"\x30\x08\0\x03a/b\0hi".to_vec()),
        (message(true, false, Qos::Two(10), b"x"), b"\x3C\x09\0\x03a/b\0\x0A\0x".to_vec()),
        (step(StepKind::Ack, 0x10), vec![0x40, 3, 1, 2, 0x10]),
        (step(StepKind::Rec, 0x97), vec![0x50, 3, 1, 2, 0x97]),
        (step(StepKind::Rel, 0), vec![0x62, 2, 1, 2]),
        (step(StepKind::Comp, 0x92), vec![0x70, 3, 1, 2, 0x92]),
        (
            Packet::Subscribe { id: 1, filters: vec![("a/+".into(), 2)] },
            b"\x82\x09\0\x01\0\0\x03a/+\x02".to_vec(),
        ),
        (Packet::SubAck { id: 1, codes: vec![2, 0x87] }, vec![0x90, 5, 0, 1, 0, 2, 0x87]),
        (Packet::Disconnect(0), vec![0xE0, 0]),
        (Packet::Disconnect(0x8E), vec![0xE0, 1, 0x8E]),
    ]
}

fn all() -> Vec<(Protocol, Packet, Vec<u8>)> {
    let of = |protocol, vectors: Vec<(Packet, Vec<u8>)>| {
        vectors.into_iter().map(move |(packet, bytes)| (protocol, packet, bytes))
    };
    of(Protocol::V3, vectors()).chain(of(Protocol::V5, vectors_of_five())).collect()
}

fn read(bytes: &[u8], protocol: Protocol) -> Result<Option<Packet>, Malformed> {
    decode(&mut BytesMut::from(bytes), protocol)
}

#[test]
fn bytes_and_packets_agree_and_every_truncation_waits() {
    for (protocol, packet, bytes) in all() {
        let mut out = BytesMut::new();
        encode(&packet, protocol, &mut out);
        assert_eq!(out, bytes, "{packet:?}");
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end], protocol), Ok(None), "{packet:?} cut at {end}");
        }
        let mut two = BytesMut::from([bytes.as_slice(), &[0xC0, 0]].concat().as_slice());
        assert_eq!(decode(&mut two, protocol), Ok(Some(packet)));
        assert_eq!(decode(&mut two, protocol), Ok(Some(Packet::PingReq)));
        assert!(two.is_empty());
    }
}

/// The length is right for what is there, and a field says that more follows, or less. Where that happens to be a packet
/// again, it is another one, and its own bytes are those that were read.
#[test]
fn bodies_that_are_too_short_or_too_long_are_refused_or_say_what_they_are() {
    for (protocol, _, bytes) in all() {
        let body = &bytes[2..];
        let cuts = (0..body.len()).map(|end| body[..end].to_vec());
        for wrong in cuts.chain([[body, &[0]].concat()]) {
            let whole = [&[bytes[0], u8::try_from(wrong.len()).unwrap()], wrong.as_slice()].concat();
            let Ok(found) = read(&whole, protocol) else { continue };
            let found = found.expect("a packet with its whole length is no reason to wait");
            says_what_was_read(&found, protocol, &whole);
        }
    }
}

/// What was read, written again, is what there was; but for a 0 that MQTT 5 lets one leave out, and properties that are
/// skipped.
fn says_what_was_read(found: &Packet, protocol: Protocol, bytes: &[u8]) {
    let mut again = BytesMut::new();
    encode(found, protocol, &mut again);
    assert!(
        again == bytes || (protocol == Protocol::V5 && again.len() < bytes.len()),
        "{found:?} of {bytes:02x?}"
    );
}

/// Nothing that a broken peer sends may panic, and nothing may be read into it that is not there.
#[test]
fn flipped_bits_and_random_bytes_never_pass_for_something_else() {
    for (protocol, packet, bytes) in all() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(Some(found)) = read(&flipped, protocol) {
                assert_ne!(found, packet, "bit {bit}");
            }
        }
    }
    let mut draws = Draws::new("decode", 1);
    for _ in 0..50_000 {
        let length = usize::try_from(draws.below(24)).unwrap();
        let mut bytes: Vec<u8> = (0..length + 2).map(|_| u8::try_from(draws.below(256)).unwrap()).collect();
        bytes[1] = u8::try_from(length).unwrap();
        for protocol in [Protocol::V3, Protocol::V5] {
            assert_ne!(read(&bytes, protocol), Ok(None), "a whole packet is waited for: {bytes:02x?}");
        }
    }
}

#[test]
fn what_the_standard_forbids_is_refused() {
    for (bytes, why) in [
        (&b"\x30\xFF\xFF\xFF\xFF\x7F"[..], "length of five bytes"),
        (b"\x30\xFF\xFF\xFF\x7F", "256 MiB"),
        (b"\x00\x00", "type 0"),
        (b"\xF0\x00", "type 15"),
        (b"\x51\x02\0\x01", "PUBREC with flags"),
        (b"\x60\x02\0\x01", "PUBREL without its flag"),
        (b"\x70\x02\0\0", "PUBCOMP with id 0"),
        (b"\x21\x02\0\0", "CONNACK with flags"),
        (b"\x20\x02\x02\0", "CONNACK with reserved flag"),
        (b"\x20\x02\0\x06", "CONNACK with code 6"),
        (b"\x20\x02\x01\x05", "session present although refused"),
        (b"\x41\x02\0\x01", "PUBACK with flags"),
        (b"\x40\x02\0\0", "PUBACK with id 0"),
        (b"\x38\x05\0\x03a/b", "QoS 0 with DUP"),
        (b"\x34\x07\0\x03a/b\0\0", "QoS 2 with id 0"),
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
        (b"\x10\x0D\0\x04MQTT\x06\0\0\x3C\0\x01c", "MQTT 6"),
        (b"\x10\x0D\0\x04MQTT\x04\x01\0\x3C\0\x01c", "reserved connect flag"),
        (b"\x10\x0D\0\x04MQTT\x04\x20\0\x3C\0\x01c", "will flags without a will"),
        (b"\x10\x13\0\x04MQTT\x04\x1C\0\x3C\0\x01c\0\x01w\0\x01x", "will of QoS 3"),
        (b"\x10\x13\0\x04MQTT\x04\x04\0\x3C\0\x01c\0\x01+\0\x01x", "will with a wildcard"),
        (b"\xE0\x01\0", "DISCONNECT of 3.1.1 with a reason"),
        (b"\x40\x03\0\x01\0", "PUBACK of 3.1.1 with a reason"),
        (b"\x10\x10\0\x04MQTT\x04\x40\0\x3C\0\x01c\0\x01p", "password without user"),
        (b"\xD0\x01\0", "PINGRESP with a body"),
    ] {
        let result = read(bytes, Protocol::V3);
        assert!(result.is_err(), "{why}: {result:?}");
    }
    let huge = read(b"\x30\xFF\xFF\xFF\x7F", Protocol::V3);
    assert_eq!(huge, Err(Malformed::TooLarge((1 << 28) - 1)));
}

#[test]
fn what_mqtt_5_forbids_is_refused() {
    for (bytes, why) in [
        (&b"\x20\x02\0\0"[..], "CONNACK without properties"),
        (b"\x20\x03\0\x05\0", "CONNACK with a code of 3.1.1"),
        (b"\x20\x06\0\0\x03\x21\0\0", "receive maximum 0"),
        (b"\x20\x09\0\0\x06\x21\0\x01\x21\0\x01", "a property twice"),
        (b"\x20\x05\0\0\x02\x04\0", "a property that does not exist"),
        (b"\x20\x05\0\0\x03\x21\0", "properties longer than the packet"),
        (b"\x20\x05\0\0\x02\x21\0", "a property longer than the properties"),
        (b"\x30\x07\0\0\x03\x23\0\x01x", "PUBLISH by a topic alias that nobody offered"),
        (b"\x90\x04\0\x01\0\x03", "SUBACK with code 3"),
        (b"\x30\x0A\0\x03a/b\xFF\xFF\xFF\xFF\x7F", "properties of a length of five bytes"),
    ] {
        let result = read(bytes, Protocol::V5);
        assert!(result.is_err(), "{why}: {result:?}");
    }
}

/// Every type of property, and what brokers really send.
#[test]
fn properties_are_read_over() {
    let bytes = b"\x20\x14\0\0\x11\x22\0\x0A\x12\0\x01x\x21\0\x14\x26\0\x01a\0\x01b";
    let Ok(Some(Packet::ConnAck(answer))) = read(bytes, Protocol::V5) else { panic!("{bytes:02x?}") };
    assert_eq!((answer.receive_maximum, answer.keep_alive_s), (20, None));
    let every =
        b"\x01\x01\x02\0\0\0\x01\x03\0\x01t\x08\0\x01r\x09\0\x01c\x0B\x80\x01\x0B\x02\x23\0\x01\x26\0\0\0\0";
    let length = u8::try_from(every.len()).unwrap();
    let body = [b"\0\x03a/b".as_slice(), &[length], every, b"hi"].concat();
    let whole = [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
    let Ok(Some(Packet::Publish(publish))) = read(&whole, Protocol::V5) else { panic!("{whole:02x?}") };
    assert_eq!((publish.topic.as_str(), &publish.payload[..]), ("a/b", &b"hi"[..]));
}

#[test]
fn lengths_at_the_edges_of_their_encoding_survive() {
    for size in [0, 122, 123, 16_378, 16_379, 1_000_000] {
        let payload = Bytes::from(vec![7; size]);
        let packet = Packet::Publish(Publish {
            dup: false,
            retain: false,
            topic: "a/b".into(),
            qos: Qos::Zero,
            payload,
        });
        for protocol in [Protocol::V3, Protocol::V5] {
            let mut buffer = BytesMut::new();
            encode(&packet, protocol, &mut buffer);
            assert_eq!(decode(&mut buffer, protocol), Ok(Some(packet.clone())));
        }
    }
}
