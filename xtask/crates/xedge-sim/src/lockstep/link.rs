//! The network in virtual time: what a link does to a message. Each link and direction draws from streams of its own, so
//! that what happens on one changes nothing on another. Loss here is the loss of a whole message.

use serde::Serialize;

use crate::seed::Draws;

/// What one direction of a link does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// Time that every message takes.
    pub latency_us: u64,
    /// A random part on top, up to this, drawn evenly.
    pub jitter_us: u64,
    /// How often a message is held up, and for how long.
    pub stall: Option<(f64, u64)>,
    /// Bits in a second; messages wait for each other.
    pub rate_bps: Option<u64>,
    /// How often a message is lost.
    pub loss: f64,
}

/// One direction of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkPlan {
    /// Its name in reports, with its direction; also the name of its random streams.
    pub name: String,
    /// Nodes at its ends, by the scenario's ids; `None` for one that nodes name themselves.
    pub ends: Option<(String, String)>,
    /// What it does.
    pub shape: Shape,
}

/// What a link did in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkCount {
    /// Messages that went in.
    pub messages: u64,
    /// Bytes that went in.
    pub bytes: u64,
    /// Messages that it lost.
    pub lost: u64,
    /// Messages that it held up.
    pub stalled: u64,
    /// Sum of the time that it added.
    pub delay_us: u64,
}

/// Links that a message passes, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    links: [u32; 3],
    length: u8,
}

impl Path {
    pub(super) fn push(&mut self, link: usize) {
        self.links[usize::from(self.length)] = u32::try_from(link).unwrap_or(u32::MAX);
        self.length += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// What became of a message on its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It arrives at this time.
    At(u64),
    /// This link lost it.
    Lost(u32),
}

/// All links of a run.
#[derive(Debug)]
pub(super) struct Links(Vec<Link>);

#[derive(Debug)]
struct Link {
    name: String,
    shape: Shape,
    loss: Chance,
    stall: Chance,
    jitter: Draws,
    busy_until: u64,
    count: LinkCount,
}

impl Links {
    pub(super) fn new(plans: &[LinkPlan], seed: u64) -> Self {
        let link = |plan: &LinkPlan| {
            let stream = |what| Draws::new(&format!("link {} {what}", plan.name), seed);
            Link {
                name: plan.name.clone(),
                shape: plan.shape.clone(),
                loss: Chance::new(plan.shape.loss, stream("loss")),
                stall: Chance::new(plan.shape.stall.map_or(0.0, |(p, _)| p), stream("stall")),
                jitter: stream("jitter"),
                busy_until: 0,
                count: LinkCount::default(),
            }
        };
        Self(plans.iter().map(link).collect())
    }

    /// Takes a message of this size that was sent at `at` along a path.
    pub(super) fn pass(&mut self, path: &Path, at: u64, size: u64) -> Passed {
        let mut time = at;
        for index in &path.links[..usize::from(path.length)] {
            let link = &mut self.0[*index as usize];
            match link.pass(time, size) {
                Some(arrival) => time = arrival,
                None => return Passed::Lost(*index),
            }
        }
        Passed::At(time)
    }

    /// What each link did, by name.
    pub(super) fn counts(&self) -> std::collections::BTreeMap<String, LinkCount> {
        self.0.iter().map(|link| (link.name.clone(), link.count.clone())).collect()
    }
}

impl Link {
    fn pass(&mut self, at: u64, size: u64) -> Option<u64> {
        self.count.messages += 1;
        self.count.bytes += size;
        // Everything is drawn for every message, so that the loss of one moves no other.
        let jitter = self.shape.jitter_us;
        let drawn = if jitter > 0 { self.jitter.below(jitter + 1) } else { 0 };
        let stalls = self.stall.strikes();
        if self.loss.strikes() {
            self.count.lost += 1;
            return None;
        }
        let mut time = at;
        if let Some(rate) = self.shape.rate_bps {
            let took = u128::from(size) * 8_000_000 / u128::from(rate.max(1));
            time = time.max(self.busy_until) + u64::try_from(took).unwrap_or(u64::MAX / 4);
            self.busy_until = time;
        }
        time += self.shape.latency_us + drawn;
        if let Some((_, held)) = self.shape.stall.filter(|_| stalls) {
            self.count.stalled += 1;
            time += held;
        }
        self.count.delay_us += time - at;
        Some(time)
    }
}

/// Something that happens now and then.
#[derive(Debug)]
struct Chance {
    /// Of 2^53: the probability as a whole number, so that no float is compared.
    threshold: u64,
    draws: Draws,
}

impl Chance {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^53")]
    fn new(probability: f64, draws: Draws) -> Self {
        let threshold = (probability.clamp(0.0, 1.0) * 9_007_199_254_740_992.0).round() as u64;
        Self { threshold, draws }
    }

    fn strikes(&mut self) -> bool {
        self.threshold > 0 && self.draws.draw() >> 11 < self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::{LinkPlan, Links, Passed, Path, Shape};

    fn links(shapes: &[Shape]) -> Links {
        let plan = |(index, shape): (usize, &Shape)| LinkPlan {
            name: format!("l{index}"),
            ends: None,
            shape: shape.clone(),
        };
        Links::new(&shapes.iter().enumerate().map(plan).collect::<Vec<_>>(), 7)
    }

    fn over(count: usize) -> Path {
        let mut path = Path::default();
        (0..count).for_each(|link| path.push(link));
        path
    }

    #[test]
    fn latencies_add_up_and_a_direct_way_takes_no_time() {
        let shape = |latency_us| Shape { latency_us, ..Shape::default() };
        let mut both = links(&[shape(5_000), shape(700)]);
        assert_eq!(both.pass(&over(2), 100, 64), Passed::At(5_800));
        assert_eq!(both.pass(&Path::default(), 100, 64), Passed::At(100));
        assert_eq!(both.counts()["l1"].delay_us, 700);
    }

    #[test]
    fn loss_is_as_frequent_as_it_says_and_counted() {
        for (loss, least, most) in [(0.0, 0, 0), (0.1, 900, 1_100), (1.0, 10_000, 10_000)] {
            let mut lossy = links(&[Shape { loss, ..Shape::default() }]);
            let lost = (0..10_000).filter(|n| lossy.pass(&over(1), *n, 1) == Passed::Lost(0)).count() as u64;
            assert!((least..=most).contains(&lost), "{lost} of 10000 at {loss}");
            let count = &lossy.counts()["l0"];
            assert_eq!((count.messages, count.lost), (10_000, lost));
        }
    }

    #[test]
    fn jitter_comes_on_top_and_stays_within_its_bounds() {
        let mut link = links(&[Shape { latency_us: 100, jitter_us: 300, ..Shape::default() }]);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let Passed::At(time) = link.pass(&over(1), 1_000, 1) else { panic!("lost") };
            assert!((1_100..=1_400).contains(&time), "{time}");
            seen.insert(time);
        }
        assert!(seen.len() > 100);
    }

    #[test]
    fn messages_wait_for_each_other_at_a_rate_and_stalls_hold_them_up() {
        let mut slow = links(&[Shape { rate_bps: Some(8_000), ..Shape::default() }]);
        assert_eq!(slow.pass(&over(1), 0, 10), Passed::At(10_000));
        assert_eq!(slow.pass(&over(1), 0, 10), Passed::At(20_000));
        assert_eq!(slow.pass(&over(1), 50_000, 10), Passed::At(60_000));
        let mut stalls = links(&[Shape { stall: Some((1.0, 200_000)), ..Shape::default() }]);
        assert_eq!(stalls.pass(&over(1), 0, 10), Passed::At(200_000));
        assert_eq!(stalls.counts()["l0"].stalled, 1);
    }

    #[test]
    fn one_stream_for_each_link_and_each_thing_that_is_drawn() {
        let base = Shape { jitter_us: 1_000, ..Shape::default() };
        let times = |shapes: &[Shape], link: usize| -> Vec<Passed> {
            let mut links = links(shapes);
            let mut path = Path::default();
            path.push(link);
            (0..50).map(|n| links.pass(&path, n * 10_000, 1)).collect()
        };
        let alone = times(&[base.clone(), base.clone()], 1);
        assert_ne!(alone, times(&[base.clone(), base.clone()], 0));
        // The other link changes, this one does not.
        assert_eq!(alone, times(&[Shape { loss: 0.5, ..base.clone() }, base.clone()], 1));
        // Rare loss removes messages and moves no other.
        let lossy = times(&[base.clone(), Shape { loss: 0.2, ..base.clone() }], 1);
        let moved = |(lossy, alone): (&Passed, &Passed)| *lossy != Passed::Lost(1) && lossy != alone;
        assert!(!lossy.iter().zip(&alone).any(moved));
        assert!(lossy.contains(&Passed::Lost(1)));
    }
}
