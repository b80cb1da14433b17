//! Links of a run: who is joined by them and what they do to bytes, with every default filled in. Plain data.

use std::time::Duration;

use xedge_model::scenario::{Direction, LinkShape, Network, NetworkModel, Scenario};

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPlan {
    /// Its name in the scenario; `FROM->TO` for one of `network.links`, `default` for the rest of that network.
    pub name: String,
    /// Whose connections take it.
    pub ends: Ends,
    /// What it does to bytes away from the node, or from `from` to `to`.
    pub up: Shape,
    /// What it does to bytes the other way.
    pub down: Shape,
}

/// Whose connections take a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// All connections of these nodes: it is how they are attached to the others.
    Of(Vec<String>),
    /// Connections between these two, whoever opens them, beside how each is attached.
    Between {
        /// Where `up` begins.
        from: String,
        /// Where `up` ends.
        to: String,
    },
    /// Connections that no other link takes; `up` is away from whoever opened them.
    Rest,
}

/// What a link does to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Every piece arrives this much later.
    pub latency: Duration,
    /// Up to this much is added to or taken from the latency of a piece.
    pub jitter: Duration,
    /// How likely a piece, and all behind it on its connection, is held up, and for how long.
    pub stall: Option<(Chance, Duration)>,
    /// Bits per second, shared by all connections of the link.
    pub rate: Option<u64>,
    /// How likely a piece is lost and sent again. Above TCP no byte is missing: the piece is late by a retransmission.
    pub loss: Chance,
}

/// A probability in billionths, so that plans can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

impl Chance {
    /// Certainty, in billionths.
    const ALL: u32 = 1_000_000_000;

    /// Of a probability from 0 to 1; what lies outside is taken for the nearer end.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and a billion by then"
    )]
    pub fn of(probability: f64) -> Self {
        Self((probability.clamp(0.0, 1.0) * f64::from(Self::ALL)).round() as u32)
    }

    /// Whether it can happen at all.
    pub fn is_possible(self) -> bool {
        self.0 > 0
    }

    /// How often in a row it happens, at most `most` times, when this was drawn evenly from all numbers.
    pub fn runs(self, drawn: u64, most: u32) -> u32 {
        // The top bits, as a number of billionths: an even draw from 0 to a billion.
        let (all, own) = (u128::from(Self::ALL), u128::from(self.0));
        let place = (u128::from(drawn) * all * all) >> 64;
        let (mut below, mut times) = (own * all, 0);
        while times < most && place < below {
            times += 1;
            below = below * own / all;
        }
        times
    }
}

impl Shape {
    fn of(shape: &LinkShape) -> Self {
        Self {
            latency: shape.latency.map_or(Duration::ZERO, |span| span.0),
            jitter: shape.jitter.map_or(Duration::ZERO, |span| span.0),
            stall: shape.stall.map(|stall| (Chance::of(stall.p), stall.for_.0)),
            rate: shape.rate.map(|rate| rate.0),
            loss: shape.loss.map_or_else(Chance::default, Chance::of),
        }
    }

    /// Whether it changes anything.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Latency of links that are not listed, in upstream's `model: latency`.
const UPSTREAM: Duration = Duration::from_millis(10);

/// The links of a scenario: those with names, those of `network`, and the one for all other connections.
pub fn links(scenario: &Scenario) -> Vec<LinkPlan> {
    let named = scenario.links.iter().map(|(name, link)| {
        let link = &link.value;
        let ends = match (&link.from, &link.to) {
            (Some(from), Some(to)) => Ends::Between { from: from.value.clone(), to: to.value.clone() },
            _ => Ends::Of(attached(scenario, name)),
        };
        let shape = |direction| Shape::of(&link.direction(direction));
        LinkPlan { name: name.clone(), ends, up: shape(Direction::Up), down: shape(Direction::Down) }
    });
    named.chain(scenario.network.iter().flat_map(of_network)).collect()
}

fn attached(scenario: &Scenario, link: &str) -> Vec<String> {
    let takes =
        scenario.nodes.value.iter().filter(|node| node.via.as_ref().is_some_and(|via| via.value == link));
    takes.map(|node| node.id.value.clone()).collect()
}

/// Upstream lists directions: two of one pair are one link here.
fn of_network(network: &Network) -> Vec<LinkPlan> {
    let is_latency = network.model.as_ref().is_some_and(|model| model.value == NetworkModel::Latency);
    let unlisted = if is_latency { UPSTREAM } else { Duration::ZERO };
    let default = Shape {
        latency: network.default_latency_us.as_ref().map_or(unlisted, |us| Duration::from_micros(us.value)),
        loss: network.default_loss_rate.as_ref().map_or_else(Chance::default, |loss| Chance::of(loss.value)),
        ..Shape::default()
    };
    let mut plans: Vec<LinkPlan> = Vec::new();
    for link in &network.links {
        let (from, to) = (&link.src.value, &link.dst.value);
        let shape = Shape {
            latency: link.latency_us.map_or(default.latency, Duration::from_micros),
            loss: link.loss_rate.map_or(default.loss, Chance::of),
            ..Shape::default()
        };
        match plans.iter_mut().find(|plan| plan.joins(from, to)) {
            Some(plan) if plan.leads_from(from) => plan.up = shape,
            Some(plan) => plan.down = shape,
            None => plans.push(LinkPlan {
                name: format!("{from}->{to}"),
                ends: Ends::Between { from: from.clone(), to: to.clone() },
                up: shape,
                down: default,
            }),
        }
    }
    if !default.is_plain() {
        plans.push(LinkPlan { name: "default".to_owned(), ends: Ends::Rest, up: default, down: default });
    }
    plans
}

impl LinkPlan {
    /// Whether `up` begins at this node.
    pub fn leads_from(&self, node: &str) -> bool {
        matches!(&self.ends, Ends::Between { from, .. } if from == node)
    }

    /// Whether two nodes are the two ends of it.
    pub fn joins(&self, one: &str, other: &str) -> bool {
        matches!(&self.ends, Ends::Between { from, to }
            if (from == one && to == other) || (from == other && to == one))
    }

    /// Whether it is how a node is attached.
    pub fn attaches(&self, node: &str) -> bool {
        matches!(&self.ends, Ends::Of(nodes) if nodes.iter().any(|other| other == node))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xedge_model::scenario::Scenario;
    use xedge_model::yaml::Source;

    use super::{Chance, Ends, LinkPlan, Shape, links};
    use crate::seed::Draws;

    fn of(text: &str) -> Vec<LinkPlan> {
        let nodes = "
simulation: { duration_s: 10, seed: 42 }
nodes:
  - { id: b, type: broker, implementation: docker, docker: { image: xedgesim/mosquitto } }
  - { id: s, type: sensor, count: 2, via: lan }
  - { id: g, type: gateway }
";
        links(&Scenario::parse(&Source::new("s.yaml", format!("{nodes}{text}"))).unwrap())
    }

    fn between(from: &str, to: &str) -> Ends {
        Ends::Between { from: from.into(), to: to.into() }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn named_links_have_a_shape_for_each_direction() {
        let text = "
links:
  lan: { latency: 20ms, jitter: 5ms, stall: { p: 0.01, for: 200ms }, rate: 2mbit, loss: 0.001 }
  wan: { from: g, to: b, latency: 50ms, up: { rate: 1mbit }, down: { latency: 80ms } }
";
        let lan = Shape {
            latency: 20 * MS,
            jitter: 5 * MS,
            stall: Some((Chance::of(0.01), 200 * MS)),
            rate: Some(2_000_000),
            loss: Chance::of(0.001),
        };
        let up = Shape { latency: 50 * MS, rate: Some(1_000_000), ..Shape::default() };
        let down = Shape { latency: 80 * MS, ..Shape::default() };
        let want = [
            LinkPlan { name: "lan".into(), ends: Ends::Of(vec!["s".into()]), up: lan, down: lan },
            LinkPlan { name: "wan".into(), ends: between("g", "b"), up, down },
        ];
        assert_eq!(of(text), want);
    }

    #[test]
    fn upstreams_network_is_a_link_a_pair_and_one_for_the_rest() {
        let lan = "links: { lan: {} }";
        let late = |us: u64| Shape { latency: Duration::from_micros(us), ..Shape::default() };
        let text = "
network:
  model: latency
  default_loss_rate: 0.5
  links:
    - { src: s, dst: b, latency_us: 5000, loss_rate: 0.1 }
    - { src: b, dst: s, latency_us: 7 }
    - { src: g, dst: b, loss_rate: 0.0 }
";
        let plans = of(&format!("{lan}{text}"));
        let loss = |shape: Shape, loss: f64| Shape { loss: Chance::of(loss), ..shape };
        let want = [
            ("s->b", between("s", "b"), loss(late(5_000), 0.1), loss(late(7), 0.5)),
            ("g->b", between("g", "b"), late(10_000), loss(late(10_000), 0.5)),
            ("default", Ends::Rest, loss(late(10_000), 0.5), loss(late(10_000), 0.5)),
        ];
        let want = want.map(|(name, ends, up, down)| LinkPlan { name: name.into(), ends, up, down });
        assert_eq!(plans[1..], want);
        assert_eq!(of(&format!("{lan}\nnetwork: {{ model: direct }}\n")).len(), 1);
    }

    #[test]
    fn a_chance_comes_true_as_often_as_it_says() {
        let (half, rare) = (Chance::of(0.5), Chance::of(0.01));
        let mut stream = Draws::new("chance", 7);
        let drawn: Vec<u64> = (0..100_000).map(|_| stream.draw()).collect();
        let count = |chance: Chance, times| drawn.iter().filter(|d| chance.runs(**d, 3) >= times).count();
        // The stream is always the same, so these are facts and no bets.
        for (chance, times, about) in
            [(half, 1, 50_000), (half, 2, 25_000), (half, 3, 12_500), (rare, 1, 1_000)]
        {
            assert!(count(chance, times).abs_diff(about) < about / 20 + 100, "{chance:?} {times}");
        }
        assert!(drawn.iter().all(|d| half.runs(*d, 3) <= 3));
        assert_eq!(Chance::of(0.0).runs(0, 9), 0);
        assert_eq!(Chance::of(1.0).runs(u64::MAX, 9), 9);
        assert_eq!((Chance::of(-3.0), Chance::of(7.0)), (Chance::of(0.0), Chance::of(1.0)));
    }
}
