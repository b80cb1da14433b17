//! What will happen, in the total order of virtual time: by microsecond, then node, then the order of its making. It
//! keeps what is under way and nothing of what was.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// Width of a slot in microseconds; about a dozen events of 10,000 sensors fall into one.
const WIDTH_US: u64 = 1 << 10;
/// Slots of the ring, four seconds ahead; what is later waits in a map.
const SLOTS: u64 = 1 << 12;

/// Something that will happen at a node.
#[derive(Debug)]
pub(super) struct Event<T> {
    /// When, in microseconds of virtual time.
    pub(super) time: u64,
    /// At which node.
    pub(super) node: u32,
    /// Which of those at the same time and node; unique.
    pub(super) order: u64,
    /// What.
    pub(super) what: T,
}

impl<T> Event<T> {
    fn key(&self) -> (u64, u32, u64) {
        (self.time, self.node, self.order)
    }
}

impl<T> PartialEq for Event<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Event<T> {}

impl<T> PartialOrd for Event<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Event<T> {
    /// The earliest is the greatest, which is what a heap gives first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// A calendar queue: a heap for the slot that is going on, a ring of slots ahead, a map for what is far.
#[derive(Debug)]
pub(super) struct Queue<T> {
    slot: u64,
    now: BinaryHeap<Event<T>>,
    ring: Vec<Vec<Event<T>>>,
    in_ring: usize,
    far: BTreeMap<u64, Vec<Event<T>>>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let ring = (0..SLOTS).map(|_| Vec::new()).collect();
        Self { slot: 0, now: BinaryHeap::new(), ring, in_ring: 0, far: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, event: Event<T>) {
        let slot = event.time / WIDTH_US;
        if slot <= self.slot {
            self.now.push(event);
        } else if slot < self.slot + SLOTS {
            self.ring[index(slot)].push(event);
            self.in_ring += 1;
        } else {
            self.far.entry(slot).or_default().push(event);
        }
    }

    /// The first event before `limit`, if there is one.
    pub(super) fn pop_before(&mut self, limit: u64) -> Option<Event<T>> {
        while self.now.is_empty() {
            let next = self.next_slot()?;
            if next * WIDTH_US >= limit {
                return None;
            }
            self.turn_to(next);
        }
        if self.now.peek()?.time < limit { self.now.pop() } else { None }
    }

    /// Everything that is left, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Event<T>> {
        self.in_ring = 0;
        let ring: Vec<Event<T>> = self.ring.iter_mut().flat_map(std::mem::take).collect();
        let far = std::mem::take(&mut self.far).into_values().flatten();
        self.now.drain().chain(ring).chain(far)
    }

    fn next_slot(&self) -> Option<u64> {
        let far = self.far.keys().next().copied();
        if self.in_ring == 0 {
            return far;
        }
        let near = (self.slot + 1..self.slot + SLOTS).find(|slot| !self.ring[index(*slot)].is_empty());
        near.into_iter().chain(far).min()
    }

    fn turn_to(&mut self, slot: u64) {
        self.slot = slot;
        let near = &mut self.ring[index(slot)];
        self.in_ring -= near.len();
        self.now.extend(near.drain(..));
        self.now.extend(self.far.remove(&slot).into_iter().flatten());
    }
}

fn index(slot: u64) -> usize {
    (slot % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::{Event, Queue};
    use crate::seed::Draws;

    #[test]
    fn events_come_in_their_total_order_however_far_they_are() {
        let mut draws = Draws::new("queue", 1);
        let mut queue = Queue::new();
        let mut want = Vec::new();
        for order in 0..5_000 {
            // Some at once, some within the ring, some an hour away, many at the same microsecond.
            let span = [10, 4_000_000, 5_000_000, 3_600_000_000][usize::try_from(draws.below(4)).unwrap()];
            let node = u32::try_from(draws.below(3)).unwrap();
            let time = draws.below(span);
            want.push((time, node, order));
            queue.push(Event { time, node, order, what: () });
        }
        want.sort_unstable();
        let mut got = Vec::new();
        while let Some(event) = queue.pop_before(u64::MAX) {
            got.push((event.time, event.node, event.order));
        }
        assert_eq!(got, want);
    }

    #[test]
    fn what_is_pushed_while_it_runs_is_kept_in_order_and_limits_hold() {
        let mut queue = Queue::new();
        let event = |time, order| Event { time, node: 0, order, what: () };
        queue.push(event(5_000_000, 1));
        assert!(queue.pop_before(5_000_000).is_none());
        queue.push(event(10, 2));
        assert_eq!(queue.pop_before(11).map(|e| e.time), Some(10));
        // The past, as far as slots go, is still served first.
        queue.push(event(9, 3));
        assert_eq!(queue.pop_before(11).map(|e| e.time), Some(9));
        queue.push(event(9_000_000, 4));
        assert_eq!(queue.pop_before(5_000_001).map(|e| e.order), Some(1));
        assert_eq!(queue.drain().map(|e| e.order).collect::<Vec<_>>(), [4]);
        assert!(queue.pop_before(u64::MAX).is_none());
    }
}
