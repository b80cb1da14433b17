//! Links between nodes: shapes of ours under `links`, and the seed's and upstream's words under `network`.

use serde::Deserialize;

use super::units::Rate;
use crate::duration::Span;
use crate::yaml::Spanned;

/// What a link does to what goes through it, in one direction.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkShape {
    /// Time that everything takes longer.
    pub latency: Option<Span>,
    /// Random part on top of `latency`, up to this.
    pub jitter: Option<Span>,
    /// Now and then nothing moves for a while.
    pub stall: Option<Stall>,
    /// Most bits per second.
    pub rate: Option<Rate>,
    /// Share of what is lost, 0 to 1. Above TCP it shows as a stall, as of a retransmission.
    pub loss: Option<f64>,
}

/// A pause that strikes at random.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// Chance for each piece of data, 0 to 1.
    pub p: f64,
    /// How long nothing moves.
    #[serde(rename = "for")]
    pub for_: Span,
}

/// A link with a name: nodes take it with `via`, or it names its two ends itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawLink")]
pub struct NamedLink {
    /// Node at the near end.
    pub from: Option<Spanned<String>>,
    /// Node at the far end.
    pub to: Option<Spanned<String>>,
    /// For both directions, where these do not say otherwise.
    pub shape: LinkShape,
    /// From `from` to `to`; for `via`, from the node to what it connects to.
    pub up: Option<LinkShape>,
    /// The way back.
    pub down: Option<LinkShape>,
}

/// Which way through a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the near end to the far one.
    Up,
    /// From the far end to the near one.
    Down,
    /// Both ways.
    #[default]
    Both,
}

impl Direction {
    /// The word in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }
}

impl LinkShape {
    /// These keys, and those of `common` where they say nothing.
    #[must_use]
    pub fn over(&self, common: &Self) -> Self {
        Self {
            latency: self.latency.or(common.latency),
            jitter: self.jitter.or(common.jitter),
            stall: self.stall.or(common.stall),
            rate: self.rate.or(common.rate),
            loss: self.loss.or(common.loss),
        }
    }
}

impl NamedLink {
    /// The shape of one direction: its own keys over the common ones. `Both` gives the common ones.
    pub fn direction(&self, direction: Direction) -> LinkShape {
        let own = match direction {
            Direction::Up => self.up.as_ref(),
            Direction::Down => self.down.as_ref(),
            Direction::Both => None,
        };
        own.map_or_else(|| self.shape.clone(), |own| own.over(&self.shape))
    }
}

/// As it is written, the common shape beside the rest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLink {
    #[serde(default)]
    from: Option<Spanned<String>>,
    #[serde(default)]
    to: Option<Spanned<String>>,
    #[serde(default)]
    latency: Option<Span>,
    #[serde(default)]
    jitter: Option<Span>,
    #[serde(default)]
    stall: Option<Stall>,
    #[serde(default)]
    rate: Option<Rate>,
    #[serde(default)]
    loss: Option<f64>,
    #[serde(default)]
    up: Option<LinkShape>,
    #[serde(default)]
    down: Option<LinkShape>,
}

impl From<RawLink> for NamedLink {
    fn from(raw: RawLink) -> Self {
        let RawLink { from, to, latency, jitter, stall, rate, loss, up, down } = raw;
        Self { from, to, shape: LinkShape { latency, jitter, stall, rate, loss }, up, down }
    }
}

/// The network between nodes, in the seed's and upstream's words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// `direct` without latency and loss, or `latency` with those below.
    #[serde(default)]
    pub model: Option<Spanned<NetworkModel>>,
    /// Latency of links that are not listed, in microseconds.
    #[serde(default)]
    pub default_latency_us: Option<Spanned<u64>>,
    /// Loss rate of links that are not listed, 0 to 1.
    #[serde(default)]
    pub default_loss_rate: Option<Spanned<f64>>,
    /// Listed links.
    #[serde(default)]
    pub links: Vec<Link>,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkModel {
    /// Straight to the other side.
    Direct,
    /// Through shaped links.
    Latency,
}

/// A directed link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Node that sends.
    pub src: Spanned<String>,
    /// Node that receives.
    pub dst: Spanned<String>,
    /// Latency in microseconds; absent means the default.
    #[serde(default)]
    pub latency_us: Option<u64>,
    /// Loss rate, 0 to 1; absent means the default.
    #[serde(default)]
    pub loss_rate: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::{Direction, NamedLink};
    use crate::yaml::Source;

    #[test]
    fn a_direction_has_its_own_keys_over_the_common_ones() {
        let text = "{from: a, to: b, latency: 50ms, loss: 0.5, up: {rate: 1mbit}, down: {latency: 80ms}}";
        let link: NamedLink = Source::new("l.yaml", text).parse().unwrap();
        let (up, down) = (link.direction(Direction::Up), link.direction(Direction::Down));
        assert_eq!((up.latency.unwrap().to_string(), up.rate.unwrap().0), ("50ms".to_owned(), 1_000_000));
        assert_eq!(
            (down.latency.unwrap().to_string(), down.rate, down.loss),
            ("80ms".into(), None, Some(0.5))
        );
        assert_eq!(link.direction(Direction::Both), link.shape);
        assert!(Source::new("l.yaml", "{latncy: 1s}").parse::<NamedLink>().is_err());
    }
}
