//! Links of a run: who is joined by them and what they do to bytes, with every default filled in. Plain data.

use std::time::Duration;

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPlan {
    /// Its name in the scenario; `FROM->TO` for one of `network.links`, `network` for the rest of that network.
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
    /// Connections between these two, whoever opens them. It stands in place of how either is attached.
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
    /// Whether it changes anything.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl LinkPlan {
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
    use super::Chance;
    use crate::seed::Draws;

    #[test]
    fn a_chance_comes_true_as_often_as_it_says() {
        let (half, rare) = (Chance::of(0.5), Chance::of(0.01));
        let mut draws = Draws::new("chance", 7);
        let drawn: Vec<u64> = (0..100_000).map(|_| draws.draw()).collect();
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
