//! The digest over everything that happened in virtual time. It takes whole numbers and bytes, never a float, a clock or
//! a machine's word length, so that the same run has the same digest everywhere.

use xedge_model::{Digest, Hasher};

/// What happened, as a number in the digest; never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Mark {
    /// A node sent a message.
    Sent = 1,
    /// A message arrived.
    Arrived = 2,
    /// A link lost a message.
    Lost = 3,
    /// A message had nowhere to go.
    Unrouted = 4,
    /// A message was still under way at the end.
    InFlight = 5,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) time: u64,
    pub(super) node: u32,
    pub(super) order: u64,
    pub(super) mark: Mark,
    /// The other node, or the link.
    pub(super) other: u32,
    /// Sequence number at the sender.
    pub(super) seq: u64,
    /// Value of a reading, or count of a window.
    pub(super) number: u64,
    /// Content of a script's message.
    pub(super) bytes: Option<Box<[u8]>>,
}

/// Bytes that are hashed at once.
const CHUNK: usize = 1 << 16;

/// Bytes of a record without the content of a message.
const FIXED: usize = 37;

/// Hashes records as they come, or in the order of each step where steps mix nodes and scripts.
pub(super) struct Trace {
    hasher: Hasher,
    buffer: Vec<u8>,
    step: Option<Vec<Record>>,
    events: u64,
}

impl Trace {
    /// `sorted`: records come in steps and are put in order at the end of each.
    pub(super) fn new(sorted: bool) -> Self {
        Self {
            hasher: Hasher::new(),
            buffer: Vec::with_capacity(CHUNK + 64),
            step: sorted.then(Vec::new),
            events: 0,
        }
    }

    pub(super) fn record(&mut self, record: Record) {
        self.events += 1;
        match &mut self.step {
            Some(step) => step.push(record),
            None => self.write(&record),
        }
    }

    /// A step is over: nothing before its end will come any more.
    pub(super) fn end_step(&mut self) {
        let Some(mut step) = self.step.take() else { return };
        step.sort_unstable();
        for record in step.drain(..) {
            self.write(&record);
        }
        self.step = Some(step);
    }

    /// The digest, and how many records went into it.
    pub(super) fn finish(mut self) -> (Digest, u64) {
        self.end_step();
        self.hasher.update(&self.buffer);
        (self.hasher.finish(), self.events)
    }

    fn write(&mut self, record: &Record) {
        let Record { time, node, order: _, mark, other, seq, number, bytes } = record;
        let bytes = bytes.as_deref().unwrap_or_default();
        // All of the fixed part at once: this is done for every event of every node.
        let mut fixed = [0; FIXED];
        fixed[0] = *mark as u8;
        fixed[1..9].copy_from_slice(&time.to_le_bytes());
        fixed[9..17].copy_from_slice(&seq.to_le_bytes());
        fixed[17..25].copy_from_slice(&number.to_le_bytes());
        fixed[25..29].copy_from_slice(&node.to_le_bytes());
        fixed[29..33].copy_from_slice(&other.to_le_bytes());
        fixed[33..].copy_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.buffer.extend_from_slice(&fixed);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Record, Trace};

    fn record(time: u64, node: u32) -> Record {
        Record { time, node, order: 0, mark: Mark::Sent, other: 1, seq: 2, number: 3, bytes: None }
    }

    fn digest(sorted: bool, records: &[Record]) -> String {
        let mut trace = Trace::new(sorted);
        for record in records {
            trace.record(record.clone());
        }
        let (digest, events) = trace.finish();
        assert_eq!(events, records.len() as u64);
        digest.to_string()
    }

    #[test]
    fn every_field_counts_and_a_step_is_put_in_order() {
        let one = digest(false, &[record(1, 1), record(1, 2)]);
        assert_eq!(one, digest(true, &[record(1, 2), record(1, 1)]));
        assert_ne!(one, digest(false, &[record(1, 2), record(1, 1)]));
        let base = record(1, 1);
        let others = [
            Record { time: 2, ..base.clone() },
            Record { node: 2, ..base.clone() },
            Record { mark: Mark::Arrived, ..base.clone() },
            Record { other: 2, ..base.clone() },
            Record { seq: 3, ..base.clone() },
            Record { number: 4, ..base.clone() },
            Record { bytes: Some(Box::from(&b"x"[..])), ..base.clone() },
        ];
        for other in others {
            assert_ne!(digest(false, std::slice::from_ref(&base)), digest(false, &[other]));
        }
    }
}
