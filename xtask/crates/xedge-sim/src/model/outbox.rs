//! Messages of one model on their way to the broker, in order. It makes packets and sends none.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Outgoing;
use crate::history::{Kind, Recorder};
use crate::mqtt::{Packet, Publish, Qos, Step, StepKind};
use crate::plan::ModelSettings;

/// Packet id of a SUBSCRIBE; messages take the ones below.
const LAST_ID: u16 = u16::MAX - 1;
/// From here on a reason of MQTT 5 is a failure.
const FAILURE: u8 = 0x80;

/// Messages that the broker has not taken over yet.
pub(super) struct Outbox {
    topic: Arc<str>,
    qos: u8,
    retain: bool,
    last_id: u16,
    /// How many of the first entries were sent on this connection.
    sent: usize,
    entries: VecDeque<Entry>,
}

struct Entry {
    /// 0 until it is sent.
    id: u16,
    stage: Stage,
    outgoing: Outgoing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Was never sent.
    New,
    /// Was sent, and has to be sent again on another connection.
    Sent,
    /// The broker has it (`QoS` 2), and not yet heard that it will not come again.
    Released,
}

/// What a step of the broker led to.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What to record.
    pub(super) kind: Option<Kind>,
    /// Whether the broker has taken a message over, for good.
    pub(super) acked: bool,
    /// What to answer.
    pub(super) answer: Option<Packet>,
}

impl Outbox {
    pub(super) fn new(settings: &ModelSettings) -> Self {
        let ModelSettings { topic, qos, retain, .. } = settings;
        Self {
            topic: Arc::from(topic.as_str()),
            qos: *qos,
            retain: *retain,
            last_id: 0,
            sent: 0,
            entries: VecDeque::new(),
        }
    }

    /// Takes a message in.
    pub(super) fn put(&mut self, outgoing: Outgoing) {
        self.entries.push_back(Entry { id: 0, stage: Stage::New, outgoing });
    }

    /// The next packet to send on this connection, on which `window` messages may be under way, and what to record of it.
    pub(super) fn next(&mut self, window: u16, recorder: &Recorder) -> Option<(Packet, Option<Kind>)> {
        let entry = self.entries.get(self.sent)?;
        if self.qos == 0 {
            let entry = self.entries.pop_front()?;
            self.rest();
            return Some(self.publish(&entry, Qos::Zero, false, recorder));
        }
        if self.sent >= usize::from(window) {
            return None;
        }
        if entry.stage == Stage::Released {
            self.sent += 1;
            return Some((StepKind::Rel.of(entry.id), None));
        }
        let dup = entry.stage == Stage::Sent;
        let id = if entry.id == 0 { self.free_id()? } else { entry.id };
        let entry = self.entries.get_mut(self.sent)?;
        (entry.id, entry.stage) = (id, Stage::Sent);
        let entry = self.entries.get(self.sent)?;
        self.sent += 1;
        let qos = if self.qos == 1 { Qos::One(id) } else { Qos::Two(id) };
        Some(self.publish(entry, qos, dup, recorder))
    }

    fn publish(&self, entry: &Entry, qos: Qos, dup: bool, recorder: &Recorder) -> (Packet, Option<Kind>) {
        let Outgoing { seq, planned, payload } = &entry.outgoing;
        let (topic, payload) = (self.topic.to_string(), payload.clone());
        let publish = Publish { dup, retain: self.retain, qos, topic, payload };
        let (planned_us, packet_id) = (recorder.micros(*planned), qos.id());
        let kind = Kind::Sent { topic: self.topic.clone(), seq: *seq, planned_us, packet_id, dup };
        (Packet::Publish(publish), Some(kind))
    }

    /// The next id that is not in use; `None` in the practically impossible case that all are.
    fn free_id(&mut self) -> Option<u16> {
        for _ in 0..LAST_ID {
            self.last_id = self.last_id % LAST_ID + 1;
            if !self.entries.iter().any(|entry| entry.id == self.last_id) {
                return Some(self.last_id);
            }
        }
        None
    }

    /// A new connection: what is not finished is sent again. A broker that has lost the session has lost what it had
    /// taken too, so that goes again from its first step.
    pub(super) fn reconnected(&mut self, session_present: bool) {
        self.sent = 0;
        if !session_present {
            let released = self.entries.iter_mut().filter(|entry| entry.stage == Stage::Released);
            released.for_each(|entry| entry.stage = Stage::Sent);
        }
    }

    /// The broker's PUBACK, PUBREC or PUBCOMP. One that nothing was waiting for counts for nothing.
    pub(super) fn step(&mut self, step: Step, recorder: &Recorder) -> Progress {
        let place = self.entries.iter().take(self.sent).position(|entry| entry.id == step.id);
        let Some(place) = place else {
            // A release that is asked for twice is given twice (4.3.3).
            let answer = (step.kind == StepKind::Rec).then(|| StepKind::Rel.of(step.id));
            return Progress { answer, ..Progress::default() };
        };
        match (step.kind, self.qos) {
            (StepKind::Ack, 1) | (StepKind::Comp | StepKind::Rec, 2) if step.reason >= FAILURE => {
                self.declined(place, step.reason)
            }
            (StepKind::Ack, 1) | (StepKind::Comp, 2) => self.acknowledged(place, recorder),
            (StepKind::Rec, 2) => {
                if let Some(entry) = self.entries.get_mut(place) {
                    entry.stage = Stage::Released;
                }
                Progress { answer: Some(StepKind::Rel.of(step.id)), ..Progress::default() }
            }
            _ => Progress::default(),
        }
    }

    fn acknowledged(&mut self, place: usize, recorder: &Recorder) -> Progress {
        let Some(entry) = self.remove(place) else { return Progress::default() };
        let Outgoing { seq, planned, .. } = entry.outgoing;
        let kind = Kind::Acked { seq, planned_us: recorder.micros(planned), packet_id: entry.id };
        Progress { kind: Some(kind), acked: true, answer: None }
    }

    fn declined(&mut self, place: usize, reason: u8) -> Progress {
        let Some(entry) = self.remove(place) else { return Progress::default() };
        let kind = Kind::Declined { seq: entry.outgoing.seq, reason };
        Progress { kind: Some(kind), ..Progress::default() }
    }

    fn remove(&mut self, place: usize) -> Option<Entry> {
        let entry = self.entries.remove(place)?;
        self.sent -= 1;
        self.rest();
        Some(entry)
    }

    /// With nothing under way it holds no memory: there are thousands of these.
    fn rest(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::time::Instant;
    use xedge_model::scenario::{ModelConfig, Role};

    use super::{LAST_ID, Outbox, Outgoing};
    use crate::history::{Kind, Recorder};
    use crate::mqtt::{Packet, Step, StepKind};
    use crate::plan::ModelSettings;

    fn filled(qos: u8, count: u64) -> (Outbox, Recorder) {
        let settings = ModelSettings::new(&ModelConfig::default(), Role::Sensor, "t");
        let mut outbox = Outbox::new(&ModelSettings { qos, ..settings });
        for seq in 1..=count {
            outbox.put(Outgoing { seq, planned: Instant::now(), payload: Bytes::new() });
        }
        (outbox, Recorder::new(Instant::now()))
    }

    /// What goes out now: packet id and whether it is marked as sent before; a release has no mark.
    fn sends(outbox: &mut Outbox, window: u16, recorder: &Recorder) -> Vec<(u16, Option<bool>)> {
        std::iter::from_fn(|| outbox.next(window, recorder))
            .map(|(packet, _)| match packet {
                Packet::Publish(publish) => (publish.qos.id().unwrap_or(0), Some(publish.dup)),
                Packet::Step(Step { kind: StepKind::Rel, id, .. }) => (id, None),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn step(kind: StepKind, id: u16) -> Step {
        Step { kind, id, reason: 0 }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let (mut outbox, recorder) = filled(1, 3);
        outbox.last_id = LAST_ID - 1;
        assert_eq!(
            sends(&mut outbox, 9, &recorder),
            [(LAST_ID, Some(false)), (1, Some(false)), (2, Some(false))]
        );
        assert!(outbox.step(step(StepKind::Ack, 1), &recorder).acked);
        assert!(!outbox.step(step(StepKind::Ack, 1), &recorder).acked, "a second PUBACK counts for nothing");
        assert!(!outbox.step(step(StepKind::Comp, 2), &recorder).acked, "PUBCOMP is for another QoS");
        outbox.reconnected(true);
        assert_eq!(sends(&mut outbox, 9, &recorder), [(LAST_ID, Some(true)), (2, Some(true))]);
    }

    #[test]
    fn exactly_once_takes_three_steps_and_goes_on_where_it_was() {
        let (mut outbox, recorder) = filled(2, 2);
        assert_eq!(sends(&mut outbox, 9, &recorder), [(1, Some(false)), (2, Some(false))]);
        let rec = outbox.step(step(StepKind::Rec, 1), &recorder);
        assert_eq!((rec.acked, rec.answer), (false, Some(StepKind::Rel.of(1))));
        outbox.reconnected(true);
        assert_eq!(
            sends(&mut outbox, 9, &recorder),
            [(1, None), (2, Some(true))],
            "a release again, no message"
        );
        let comp = outbox.step(step(StepKind::Comp, 1), &recorder);
        assert!(comp.acked && matches!(comp.kind, Some(Kind::Acked { seq: 1, .. })), "{comp:?}");
        outbox.step(step(StepKind::Rec, 2), &recorder);
        outbox.reconnected(false);
        assert_eq!(sends(&mut outbox, 9, &recorder), [(2, Some(true))], "a broker that forgot gets it again");
        let strange = outbox.step(step(StepKind::Rec, 77), &recorder);
        assert_eq!(strange.answer, Some(StepKind::Rel.of(77)));
    }

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let (mut outbox, recorder) = filled(1, 5);
        assert_eq!(sends(&mut outbox, 2, &recorder).len(), 2);
        outbox.step(step(StepKind::Ack, 2), &recorder);
        assert_eq!(sends(&mut outbox, 2, &recorder), [(3, Some(false))]);
        let (mut outbox, recorder) = filled(0, 5);
        assert_eq!(sends(&mut outbox, 2, &recorder).len(), 5, "QoS 0 is not counted");
        assert!(outbox.entries.is_empty() && outbox.entries.capacity() == 0);
    }

    #[test]
    fn a_message_that_the_broker_declines_is_not_acknowledged() {
        for kind in [StepKind::Ack, StepKind::Rec] {
            let (mut outbox, recorder) = filled(if kind == StepKind::Ack { 1 } else { 2 }, 1);
            sends(&mut outbox, 9, &recorder);
            let progress = outbox.step(Step { kind, id: 1, reason: 0x97 }, &recorder);
            assert!(!progress.acked && progress.answer.is_none());
            assert_eq!(progress.kind, Some(Kind::Declined { seq: 1, reason: 0x97 }));
            assert!(outbox.entries.is_empty());
        }
    }
}
