//! An event as a line of JSON. Events of messages, which are nearly all, are written by hand: the general way takes ten
//! times as long, and a gate would wait for it. Both ways give the same bytes.

use std::io::{self, Write};

use super::{Event, Kind};

/// Writes an event, without the end of the line.
pub(super) fn write(out: &mut impl Write, event: &Event) -> io::Result<()> {
    match &event.kind {
        Kind::Sent { topic, seq, planned_us, packet_id, dup } => {
            begin(out, event, "sent")?;
            name(out, "topic", topic)?;
            write!(out, r#","seq":{seq},"planned_us":{planned_us},"packet_id":"#)?;
            match packet_id {
                Some(id) => write!(out, "{id}")?,
                None => out.write_all(b"null")?,
            }
            write!(out, r#","dup":{dup}}}"#)
        }
        Kind::Acked { seq, planned_us, packet_id } => {
            begin(out, event, "acked")?;
            write!(out, r#","seq":{seq},"planned_us":{planned_us},"packet_id":{packet_id}}}"#)
        }
        Kind::Received { topic, from, seq, planned_us, dup } => {
            begin(out, event, "received")?;
            name(out, "topic", topic)?;
            name(out, "from", from)?;
            write!(out, r#","seq":{seq},"planned_us":{planned_us},"dup":{dup}}}"#)
        }
        _ => Ok(serde_json::to_writer(out, event)?),
    }
}

fn begin(out: &mut impl Write, event: &Event, kind: &str) -> io::Result<()> {
    write!(out, r#"{{"t_us":{}"#, event.t_us)?;
    name(out, "node", &event.node)?;
    write!(out, r#","kind":"{kind}""#)
}

/// A field with a string, which can have anything in it.
fn name(out: &mut impl Write, field: &str, text: &str) -> io::Result<()> {
    write!(out, r#","{field}":"#)?;
    Ok(serde_json::to_writer(out, text)?)
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Kind};

    #[test]
    fn both_ways_give_the_same() {
        let topic = || "a\"b\n/ü".into();
        for kind in [
            Kind::Sent { topic: topic(), seq: 3, planned_us: 5, packet_id: Some(4), dup: false },
            Kind::Sent { topic: topic(), seq: 3, planned_us: 5, packet_id: None, dup: true },
            Kind::Acked { seq: u64::MAX, planned_us: 0, packet_id: 65_535 },
            Kind::Received { topic: topic(), from: topic(), seq: 1, planned_us: 9, dup: true },
            Kind::Ready,
        ] {
            let event = Event { t_us: 7, node: "s\\1".into(), kind };
            let mut line = Vec::new();
            super::write(&mut line, &event).unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), serde_json::to_string(&event).unwrap());
        }
    }
}
