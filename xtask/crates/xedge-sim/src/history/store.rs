//! Events in few bytes: about a dozen for what happens to a message, so that a million of them fit in a small process.
//! Everything that was put in comes out again, in order; nothing is summed up here.

use std::sync::Arc;

use super::names::Names;
use super::{Event, Kind};

/// Bytes of one block. Blocks, because one growing list is copied, and for that moment there twice.
const BLOCK: usize = 1 << 16;
/// The most bytes that one event takes: seven numbers of ten bytes, and the tag.
const MOST: usize = 80;

/// What an event is, in the lower bits of its tag; the upper ones are flags.
const RARE: u8 = 0;
const SENT: u8 = 1;
const ACKED: u8 = 2;
const RECEIVED: u8 = 3;
const CONNECTED: u8 = 4;
const DUP: u8 = 1 << 7;

/// The events of a run, in the order of their times.
#[derive(Clone, Debug, Default)]
pub struct History {
    names: Names,
    blocks: Vec<Vec<u8>>,
    /// What happens seldom, or says much, is kept as it is, in the order of the events with the tag [`RARE`].
    rare: Vec<Kind>,
    count: usize,
    last_us: u64,
}

impl History {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All events, in order. Each pass decodes them anew.
    pub fn iter(&self) -> Events<'_> {
        Events { history: self, rest: &[], next: 0, rare: self.rare.iter(), t_us: 0 }
    }

    /// Adds an event that is not earlier than the last one.
    pub(super) fn push(&mut self, t_us: u64, node: &Arc<str>, kind: Kind) {
        let since = t_us.saturating_sub(self.last_us);
        self.last_us += since;
        self.count += 1;
        let node = self.names.number(node);
        let (tag, fields) = self.fields(kind);
        if self.blocks.last().is_none_or(|block| block.len() + MOST > BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let Some(block) = self.blocks.last_mut() else { return };
        block.push(tag);
        put(block, since);
        put(block, node);
        fields.into_iter().take(count_of(tag)).for_each(|field| put(block, field));
    }

    /// Tag and numbers of an event. A planned time is kept as its distance from now, which is small.
    fn fields(&mut self, kind: Kind) -> (u8, [u64; 4]) {
        let now = self.last_us;
        match kind {
            Kind::Sent { topic, seq, planned_us, packet_id, dup } => {
                let id = packet_id.map_or(0, u64::from);
                (flagged(SENT, dup), [distance(now, planned_us), seq, self.names.number(&topic), id])
            }
            Kind::Acked { seq, planned_us, packet_id } => {
                (ACKED, [distance(now, planned_us), seq, u64::from(packet_id), 0])
            }
            Kind::Received { topic, from, seq, planned_us, dup } => {
                let (topic, from) = (self.names.number(&topic), self.names.number(&from));
                (flagged(RECEIVED, dup), [distance(now, planned_us), seq, topic, from])
            }
            Kind::Connected { session_present } => (flagged(CONNECTED, session_present), [0; 4]),
            other => {
                self.rare.push(other);
                (RARE, [0; 4])
            }
        }
    }
}

fn flagged(tag: u8, flag: bool) -> u8 {
    if flag { tag | DUP } else { tag }
}

/// How many numbers follow time and node.
fn count_of(tag: u8) -> usize {
    match tag & !DUP {
        SENT | RECEIVED => 4,
        ACKED => 3,
        _ => 0,
    }
}

/// The distance of two times in either direction, small where they are near.
fn distance(now: u64, then: u64) -> u64 {
    let by = now.wrapping_sub(then).cast_signed();
    ((by << 1) ^ (by >> 63)).cast_unsigned()
}

/// The other way round.
fn back(now: u64, distance: u64) -> u64 {
    let by = (distance >> 1) ^ (distance & 1).wrapping_neg();
    now.wrapping_sub(by)
}

/// Seven bits a byte, the lowest first.
fn put(block: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        block.push(u8::try_from(number & 0x7F).expect("seven bits fit a byte") | 0x80);
        number >>= 7;
    }
    block.push(u8::try_from(number).expect("what is under 128 fits a byte"));
}

impl<'a> IntoIterator for &'a History {
    type Item = Event;
    type IntoIter = Events<'a>;

    fn into_iter(self) -> Events<'a> {
        self.iter()
    }
}

impl FromIterator<Event> for History {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut history = Self::default();
        events.into_iter().for_each(|event| history.push(event.t_us, &event.node, event.kind));
        history
    }
}

/// Goes through a history.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    history: &'a History,
    rest: &'a [u8],
    next: usize,
    rare: std::slice::Iter<'a, Kind>,
    t_us: u64,
}

impl Events<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn name(&mut self) -> Option<Arc<str>> {
        let number = self.number()?;
        self.history.names.name(number)
    }

    fn time(&mut self) -> Option<u64> {
        let distance = self.number()?;
        Some(back(self.t_us, distance))
    }

    fn kind(&mut self, tag: u8) -> Option<Kind> {
        let dup = tag & DUP != 0;
        match tag & !DUP {
            RARE => return self.rare.next().cloned(),
            CONNECTED => return Some(Kind::Connected { session_present: dup }),
            _ => {}
        }
        let (planned_us, seq) = (self.time()?, self.number()?);
        Some(match tag & !DUP {
            SENT => {
                let (topic, id) = (self.name()?, self.number()?);
                let packet_id = u16::try_from(id).ok().filter(|id| *id != 0);
                Kind::Sent { topic, seq, planned_us, packet_id, dup }
            }
            ACKED => Kind::Acked { seq, planned_us, packet_id: u16::try_from(self.number()?).ok()? },
            _ => Kind::Received { topic: self.name()?, from: self.name()?, seq, planned_us, dup },
        })
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.rest.is_empty() {
            self.rest = self.history.blocks.get(self.next)?;
            self.next += 1;
        }
        let tag = self.byte()?;
        self.t_us += self.number()?;
        let node = self.name()?;
        Some(Event { t_us: self.t_us, node, kind: self.kind(tag)? })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Event, History, Kind, back, distance};

    fn sent(t_us: u64, seq: u64, planned_us: u64) -> Event {
        let kind = Kind::Sent {
            topic: "sensors/s".into(),
            seq,
            planned_us,
            packet_id: (seq % 2 == 1).then_some(9),
            dup: seq.is_multiple_of(3),
        };
        Event { t_us, node: Arc::from("s"), kind }
    }

    #[test]
    fn what_goes_in_comes_out_again() {
        let node = |name: &str| Arc::from(name);
        let received = Kind::Received {
            topic: "sensors/s".into(),
            from: "s".into(),
            seq: u64::MAX,
            planned_us: u64::MAX,
            dup: true,
        };
        let mut events = vec![
            Event { t_us: 0, node: node("run"), kind: Kind::Phase { name: "publish" } },
            sent(5, 1, 4),
            sent(5, 2, 900),
            Event { t_us: 6, node: node("gw"), kind: received },
            Event {
                t_us: 7,
                node: node("s"),
                kind: Kind::Acked { seq: 1, planned_us: 0, packet_id: 65_535 },
            },
            Event { t_us: 8, node: node("b"), kind: Kind::Stopped { code: -1 } },
            Event { t_us: 8, node: node("s"), kind: Kind::Connected { session_present: true } },
            Event { t_us: 8, node: node("s"), kind: Kind::Connected { session_present: false } },
            sent(u64::MAX / 2, 3, 0),
        ];
        // Enough for more than one block.
        events.extend((0..20_000).map(|n| sent(u64::MAX / 2 + n, n, u64::MAX / 2)));
        let history: History = events.iter().cloned().collect();
        assert!(history.blocks.len() > 1 && history.blocks.iter().all(|b| b.len() <= super::BLOCK));
        assert_eq!(history.len(), events.len());
        assert!(history.iter().eq(events));
    }

    #[test]
    fn a_message_takes_few_bytes() {
        let events = (0..60_000).map(|n| sent(n * 1_000 + 300, 1 + n / 10_000, n * 1_000));
        let history: History = events.collect();
        let bytes: usize = history.blocks.iter().map(Vec::len).sum();
        assert!(bytes < 60_000 * 12, "{bytes}");
    }

    #[test]
    fn distances_go_both_ways() {
        for (now, then) in [(0, 0), (5, 3), (3, 5), (0, u64::MAX), (u64::MAX, 0), (1 << 62, 1 << 63)] {
            assert_eq!(back(now, distance(now, then)), then, "{now} {then}");
        }
        assert_eq!((distance(9, 9), distance(9, 8), distance(8, 9)), (0, 2, 1));
    }
}
