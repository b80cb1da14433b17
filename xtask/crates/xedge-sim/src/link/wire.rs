//! A link and its two wires, shared by all connections that take it: rate, cuts, resets and counters. It holds no bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::counters::{LinkStats, OneWay, Passed, RoundTrip};
use crate::plan::{Ends, LinkPlan, Shape};
use crate::seed::Draws;

/// The shortest time after which TCP sends again what was not acknowledged: Linux's own number.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// Losses of one piece in a row; each waits twice as long as the one before.
const LOSSES: u32 = 6;

/// A way through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Away from the node, or from `from` to `to`.
    Up,
    /// The other way.
    Down,
}

impl Way {
    pub(super) fn reverse(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// One link of a run.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) plan: LinkPlan,
    seed: u64,
    up: Mutex<Wire>,
    down: Mutex<Wire>,
    /// Connections of an older age are torn.
    age: AtomicU64,
    crowd: Mutex<Crowd>,
    pub(super) round_trip: Mutex<Option<RoundTrip>>,
}

/// One direction.
#[derive(Debug, Default)]
struct Wire {
    /// When it has sent everything that it was given.
    free_at: Option<Instant>,
    cut: bool,
    healed_at: Option<Instant>,
    passed: Passed,
}

/// Connections that take a link now.
#[derive(Debug, Default)]
struct Crowd {
    next: u64,
    waiting: BTreeMap<u64, Option<Waker>>,
    connections: u64,
    reset: u64,
    partitions: u64,
    /// Connections opened so far, by who opened them.
    opened: BTreeMap<Arc<str>, u64>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(super) fn new(plan: LinkPlan, seed: u64) -> Self {
        Self {
            plan,
            seed,
            up: Mutex::default(),
            down: Mutex::default(),
            age: AtomicU64::new(0),
            crowd: Mutex::default(),
            round_trip: Mutex::default(),
        }
    }

    pub(super) fn shape(&self, way: Way) -> &Shape {
        match way {
            Way::Up => &self.plan.up,
            Way::Down => &self.plan.down,
        }
    }

    fn wire(&self, way: Way) -> MutexGuard<'_, Wire> {
        locked(match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        })
    }

    /// The draws of one direction of a connection: what happens to its n-th piece depends on nothing else.
    pub(super) fn draws(&self, way: Way, opener: &str, number: u64, place: usize) -> Draws {
        let way = if way == Way::Up { "up" } else { "down" };
        Draws::new(&format!("link {} {way} {opener} {number} {place}", self.plan.name), self.seed)
    }

    /// When a piece that comes in at `at` is out at the other end.
    pub(super) fn admit(&self, way: Way, at: Instant, bytes: usize, draws: &mut Draws) -> Instant {
        let shape = self.shape(way);
        // Always as many draws, so that the next piece meets its own.
        let (jitter, stall, loss) = (draws.draw(), draws.draw(), draws.draw());
        let mut wire = self.wire(way);
        let mut out = wire.sent(shape.rate, at, bytes) + jittered(shape, jitter);
        if let Some((chance, time)) = shape.stall
            && chance.runs(stall, 1) > 0
        {
            wire.passed.stalls += 1;
            out += time;
        }
        let times = shape.loss.runs(loss, LOSSES);
        if times > 0 {
            wire.passed.loss_stalls += 1;
            // 1 + 2 + 4 … times the first wait.
            out += (RETRANSMIT + self.round_trip()) * ((1 << times) - 1);
        }
        out
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.plan.up.latency + self.plan.down.latency
    }

    /// Whether nothing gets through in this direction.
    pub(super) fn is_cut(&self, way: Way) -> bool {
        self.wire(way).cut
    }

    /// When the direction was whole again after its last cut.
    pub(super) fn healed_at(&self, way: Way) -> Option<Instant> {
        self.wire(way).healed_at
    }

    pub(super) fn count(&self, way: Way, bytes: usize, delay: Duration) {
        self.wire(way).passed.count(bytes, delay);
    }

    pub(super) fn count_held(&self, way: Way) {
        self.wire(way).passed.held += 1;
    }

    /// Cuts or mends directions; returns whether that changed anything.
    pub(super) fn set_cut(&self, ways: &[Way], cut: bool) -> bool {
        let now = Instant::now();
        let mut changed = false;
        for way in ways {
            let mut wire = self.wire(*way);
            changed |= wire.cut != cut;
            if wire.cut && !cut {
                wire.healed_at = Some(now);
            }
            wire.cut = cut;
        }
        locked(&self.crowd).partitions += u64::from(cut && changed);
        self.wake();
        changed
    }

    /// Tears every connection down; returns how many there were.
    pub(super) fn reset(&self) -> usize {
        self.age.fetch_add(1, Ordering::SeqCst);
        let mut crowd = locked(&self.crowd);
        let torn = crowd.waiting.len();
        crowd.reset += torn as u64;
        drop(crowd);
        self.wake();
        torn
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = locked(&self.crowd).waiting.values_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Connections of a link now.
    pub(super) fn open_connections(&self) -> usize {
        locked(&self.crowd).waiting.len()
    }

    pub(super) fn stats(&self) -> LinkStats {
        let crowd = locked(&self.crowd);
        let direction = |way| OneWay::new(self.shape(way), self.wire(way).passed);
        LinkStats {
            name: self.plan.name.clone(),
            connections: crowd.connections,
            reset: crowd.reset,
            partitions: crowd.partitions,
            up: direction(Way::Up),
            down: direction(Way::Down),
            round_trip: *locked(&self.round_trip),
            loss_means: LinkStats::loss_means(&self.plan),
            must_be_used: self.plan.ends != Ends::Rest,
        }
    }
}

impl Wire {
    /// When the last bit of a piece has gone in.
    fn sent(&mut self, rate: Option<u64>, at: Instant, bytes: usize) -> Instant {
        let Some(rate) = rate else { return at };
        let bits = bytes as u64 * 8;
        let free_at = self.free_at.map_or(at, |free_at| free_at.max(at));
        let sent = free_at + Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate.max(1));
        self.free_at = Some(sent);
        sent
    }
}

fn jittered(shape: &Shape, drawn: u64) -> Duration {
    let jitter = super::counters::micros(shape.jitter);
    let off = drawn % (2 * jitter + 1);
    (shape.latency + Duration::from_micros(off)).saturating_sub(shape.jitter)
}

/// A connection's place on a link; leaving it is dropping this.
#[derive(Debug)]
pub(super) struct Tie {
    pub(super) link: Arc<Link>,
    id: u64,
    age: u64,
}

impl Tie {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        let mut crowd = locked(&link.crowd);
        let id = crowd.next;
        crowd.next += 1;
        crowd.waiting.insert(id, None);
        drop(crowd);
        Self { link: link.clone(), id, age: link.age.load(Ordering::SeqCst) }
    }

    /// Counts as a connection of `opener`; returns how many it had before.
    pub(super) fn count(&self, opener: &Arc<str>) -> u64 {
        let mut crowd = locked(&self.link.crowd);
        crowd.connections += 1;
        let number = crowd.opened.entry(opener.clone()).or_default();
        *number += 1;
        *number - 1
    }

    pub(super) fn is_torn(&self) -> bool {
        self.age != self.link.age.load(Ordering::SeqCst)
    }

    /// Has this task woken when the link is cut, mended or reset.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut crowd = locked(&self.link.crowd);
        let Some(place) = crowd.waiting.get_mut(&self.id) else { return };
        match place {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => *place = Some(cx.waker().clone()),
        }
    }

    /// Ready while both directions are whole, or once it is torn.
    pub(super) fn poll_whole(&self, cx: &Context<'_>) -> Poll<()> {
        // Before the look, so that nothing changes unheard in between.
        self.watch(cx);
        let cut = self.link.is_cut(Way::Up) || self.link.is_cut(Way::Down);
        if cut && !self.is_torn() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        locked(&self.link.crowd).waiting.remove(&self.id);
    }
}
