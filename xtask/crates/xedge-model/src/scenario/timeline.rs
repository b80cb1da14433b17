//! What is done to nodes and links at which time of the publishing phase. Does none of it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::link::Direction;
use crate::duration::Span;
use crate::yaml::Spanned;

/// One entry of `timeline`.
#[derive(Clone, Debug)]
pub struct TimelineEntry {
    /// When, from the start of the publishing phase.
    pub at: Spanned<Span>,
    /// What.
    pub action: Action,
    /// How soon after the action the node must be ready again.
    pub recover_within: Option<Span>,
}

/// A deed.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ends a node's main process.
    Kill {
        /// Node.
        node: Spanned<String>,
        /// How.
        signal: Signal,
    },
    /// Starts a node that was killed.
    Start {
        /// Node.
        node: Spanned<String>,
    },
    /// Kills and starts.
    Restart {
        /// Node.
        node: Spanned<String>,
        /// Time between the two.
        down_for: Span,
        /// How it is killed.
        signal: Signal,
    },
    /// Freezes a node for a while.
    Pause {
        /// Node.
        node: Spanned<String>,
        /// How long.
        for_: Span,
    },
    /// Lets nothing through a link for a while.
    Partition {
        /// Link.
        link: Spanned<String>,
        /// How long.
        for_: Span,
        /// Which way.
        direction: Direction,
    },
    /// Tears down every connection of a link.
    Reset {
        /// Link.
        link: Spanned<String>,
    },
}

/// How a process is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// At once, without a chance to save anything: a power cut.
    #[default]
    Kill,
    /// Asked to end.
    Term,
}

impl Signal {
    /// The word in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Term => "TERM",
        }
    }
}

impl Action {
    /// The node that it is done to; `None` for links.
    pub fn node(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Kill { node, .. }
            | Self::Start { node }
            | Self::Restart { node, .. }
            | Self::Pause { node, .. } => Some(node),
            Self::Partition { .. } | Self::Reset { .. } => None,
        }
    }

    /// The link that it is done to; `None` for nodes.
    pub fn link(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Partition { link, .. } | Self::Reset { link } => Some(link),
            _ => None,
        }
    }

    /// How long it goes on by itself.
    pub fn lasts(&self) -> Option<Span> {
        match self {
            Self::Restart { down_for: time, .. }
            | Self::Pause { for_: time, .. }
            | Self::Partition { for_: time, .. } => Some(*time),
            Self::Kill { .. } | Self::Start { .. } | Self::Reset { .. } => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { node, signal } => write!(f, "kill {} with {}", node.value, signal.as_str()),
            Self::Start { node } => write!(f, "start {}", node.value),
            Self::Restart { node, down_for, signal } => {
                write!(f, "restart {} with {}, down for {down_for}", node.value, signal.as_str())
            }
            Self::Pause { node, for_ } => write!(f, "pause {} for {for_}", node.value),
            Self::Partition { link, for_, direction } => {
                write!(f, "partition {} for {for_}, {}", link.value, direction.as_str())
            }
            Self::Reset { link } => write!(f, "reset {}", link.value),
        }
    }
}

/// As it is written: one of the verbs, with what goes with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    at: Spanned<Span>,
    #[serde(default)]
    kill: Option<Spanned<String>>,
    #[serde(default)]
    start: Option<Spanned<String>>,
    #[serde(default)]
    restart: Option<Spanned<String>>,
    #[serde(default)]
    pause: Option<Spanned<String>>,
    #[serde(default)]
    partition: Option<Spanned<String>>,
    #[serde(default)]
    reset: Option<Spanned<String>>,
    #[serde(default)]
    signal: Option<Signal>,
    #[serde(default)]
    down_for: Option<Span>,
    #[serde(default, rename = "for")]
    for_: Option<Span>,
    #[serde(default)]
    direction: Option<Direction>,
    #[serde(default)]
    recover_within: Option<Span>,
}

/// The verbs, in the words of a message.
const VERBS: &str = "`kill`, `start`, `restart`, `pause`, `partition` or `reset`";

impl Raw {
    /// The one verb and its target.
    fn verb(&mut self) -> Result<(&'static str, Spanned<String>), String> {
        let verbs = [
            ("kill", self.kill.take()),
            ("start", self.start.take()),
            ("restart", self.restart.take()),
            ("pause", self.pause.take()),
            ("partition", self.partition.take()),
            ("reset", self.reset.take()),
        ];
        let mut found = verbs.into_iter().filter_map(|(name, target)| Some((name, target?)));
        match (found.next(), found.next()) {
            (Some(verb), None) => Ok(verb),
            (None, _) => Err(format!("nothing is done here: expected {VERBS}")),
            (Some((first, _)), Some((second, _))) => {
                Err(format!("`{first}` and `{second}` are two entries: one thing is done at a time"))
            }
        }
    }

    /// Keys that the verb has no use for are mistakes.
    fn only(&self, verb: &str, known: &[&str]) -> Result<(), String> {
        let given = [
            ("signal", self.signal.is_some()),
            ("down_for", self.down_for.is_some()),
            ("for", self.for_.is_some()),
            ("direction", self.direction.is_some()),
            ("recover_within", self.recover_within.is_some()),
        ];
        match given.iter().find(|(key, is_given)| *is_given && !known.contains(key)) {
            Some((key, _)) => Err(format!("`{verb}` takes no `{key}`")),
            None => Ok(()),
        }
    }

    fn for_(&self, verb: &str) -> Result<Span, String> {
        self.for_.ok_or_else(|| format!("`{verb}` needs `for`, how long it lasts"))
    }

    fn action(&mut self) -> Result<Action, String> {
        let (verb, target) = self.verb()?;
        match verb {
            "kill" => {
                self.only(verb, &["signal"])?;
                Ok(Action::Kill { node: target, signal: self.signal.unwrap_or_default() })
            }
            "start" => {
                self.only(verb, &["recover_within"])?;
                Ok(Action::Start { node: target })
            }
            "restart" => {
                self.only(verb, &["signal", "down_for", "recover_within"])?;
                let down_for = self.down_for.unwrap_or(Span(std::time::Duration::ZERO));
                Ok(Action::Restart { node: target, down_for, signal: self.signal.unwrap_or_default() })
            }
            "pause" => {
                self.only(verb, &["for", "recover_within"])?;
                Ok(Action::Pause { node: target, for_: self.for_(verb)? })
            }
            "partition" => {
                self.only(verb, &["for", "direction"])?;
                let direction = self.direction.unwrap_or_default();
                Ok(Action::Partition { link: target, for_: self.for_(verb)?, direction })
            }
            _ => {
                self.only(verb, &[])?;
                Ok(Action::Reset { link: target })
            }
        }
    }
}

impl<'de> Deserialize<'de> for TimelineEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = Raw::deserialize(deserializer)?;
        let action = raw.action().map_err(D::Error::custom)?;
        Ok(Self { at: raw.at, action, recover_within: raw.recover_within })
    }
}

#[cfg(test)]
mod tests {
    use super::TimelineEntry;
    use crate::yaml::Source;

    fn read(text: &str) -> Result<String, String> {
        let entry = Source::new("t.yaml", text).parse::<TimelineEntry>();
        entry.map(|entry| entry.action.to_string()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn every_verb_is_read_with_its_defaults() {
        for (text, action) in [
            ("{at: 20s, kill: b}", "kill b with KILL"),
            ("{at: 20s, kill: b, signal: TERM}", "kill b with TERM"),
            ("{at: 25s, start: b, recover_within: 5s}", "start b"),
            ("{at: 30s, restart: b, down_for: 2s}", "restart b with KILL, down for 2s"),
            ("{at: 40s, pause: b, for: 3s}", "pause b for 3s"),
            ("{at: 50s, partition: lan, for: 5s}", "partition lan for 5s, both"),
            ("{at: 50s, partition: lan, for: 5s, direction: up}", "partition lan for 5s, up"),
            ("{at: 55s, reset: lan}", "reset lan"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(action));
        }
    }

    #[test]
    fn a_verb_has_what_it_needs_and_nothing_else() {
        for (text, message) in [
            ("{at: 1s}", "nothing is done here: expected"),
            ("{at: 1s, kill: a, reset: l}", "`kill` and `reset` are two entries"),
            ("{at: 1s, kill: a, for: 3s}", "`kill` takes no `for`"),
            ("{at: 1s, start: a, signal: TERM}", "`start` takes no `signal`"),
            ("{at: 1s, restart: a, for: 3s}", "`restart` takes no `for`"),
            ("{at: 1s, pause: a}", "`pause` needs `for`"),
            ("{at: 1s, partition: l}", "`partition` needs `for`"),
            ("{at: 1s, reset: l, direction: up}", "`reset` takes no `direction`"),
            ("{kill: a}", "missing field `at`"),
            ("{at: 1s, kill: a, signal: HUP}", "unknown value `HUP`"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.starts_with(message), "{text}: {found}");
        }
    }
}
