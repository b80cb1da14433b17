//! `scenarios/*.yaml`: what runs, for how long, and what must hold. The seed's keys are kept as they are.
//!
//! A production scenario without `nodes` is the short form: whoever has the stack fills in a node for each service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::yaml::Spanned;

mod check;
mod config;
mod expect;
mod link;
mod matrix;
mod measure;
mod node;
mod pattern;
mod places;
mod ports;
mod runs;
mod schema;
mod short;
mod timeline;
mod units;

pub use check::wrong;
pub use config::{ModelConfig, Protocol, Tls, Will};
pub use expect::{Expectation, UnknownExpectation};
pub use link::{Direction, Link, LinkShape, NamedLink, Network, NetworkModel, Stall};
pub use matrix::{Expanded, Matrix};
pub use measure::{Bound, Measure, Metric, Op, Rank};
pub use node::{Docker, Implementation, Lockstep, Node, NodeLimits, Process, Role, Volume};
pub use pattern::LogPattern;
pub use places::{Mount, Mounts};
pub use ports::Ports;
pub use runs::{RunLimits, Runs};
pub use schema::schema;
pub use timeline::{Action, Signal, TimelineEntry};
pub use units::{Rate, Share, Size};

/// The format version that this tool reads.
pub const FORMAT: u32 = 1;

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Format version of the file; scenarios are read without one too.
    #[serde(default)]
    pub format: Option<Spanned<u32>>,
    /// Duration and seed.
    pub simulation: Simulation,
    /// What a pass shows; evidence names it.
    #[serde(default)]
    pub level: Level,
    /// `production` runs images with the rendered production files of `stack`.
    #[serde(default)]
    pub profile: Option<Spanned<Profile>>,
    /// The stack (folder below templates/stacks) whose services the docker nodes are.
    #[serde(default)]
    pub stack: Option<Spanned<String>>,
    /// What runs; left out in the short form, until [`Scenario::run_all_of`] fills it in.
    #[serde(default = "short::no_nodes")]
    pub nodes: Spanned<Vec<Node>>,
    /// Links with names and shapes.
    #[serde(default)]
    pub links: BTreeMap<String, Spanned<NamedLink>>,
    /// Links between nodes in upstream's words; absent means direct.
    #[serde(default)]
    pub network: Option<Network>,
    /// What is done to nodes and links while it runs.
    #[serde(default)]
    pub timeline: Vec<TimelineEntry>,
    /// What must hold; absent means the seed's four claims, and without models those about every service.
    #[serde(default)]
    pub expect: Option<Spanned<Vec<Spanned<Expectation>>>>,
    /// How often it runs; absent means once.
    #[serde(default)]
    pub runs: Option<Runs>,
    /// Values that are put in, one scenario for each combination ([`Scenario::parse_all`]).
    #[serde(default)]
    pub matrix: Option<Matrix>,
    /// What makes a run invalid.
    #[serde(default)]
    pub limits: Option<RunLimits>,
}

/// What a pass shows. It is part of the evidence, so that nobody takes a smoke test for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything that the scenario claims, of what the services are for.
    #[default]
    Scenario,
    /// That it starts, stays up, and its ports answer; nothing is said about what it does.
    Smoke,
}

impl Level {
    /// The word in a scenario and in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Smoke => "smoke",
        }
    }

    /// Whether it is the usual one, which evidence does not name.
    pub fn is_usual(&self) -> bool {
        *self == Self::Scenario
    }
}

/// How long and with which seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// Length of the publishing phase in seconds; without models, how long the services are watched.
    pub duration_s: Spanned<f64>,
    /// How many seconds a container has from its start to its first answer; absent means 30.
    #[serde(default)]
    pub ready_s: Option<Spanned<f64>>,
    /// Seed of every random draw.
    pub seed: u64,
    /// Step of model-only lockstep runs in microseconds; without effect where a real container takes part.
    #[serde(default)]
    pub time_quantum_us: Option<u64>,
}

/// Whose configuration the containers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What is in the image.
    Simulation,
    /// The rendered production files.
    Production,
}
