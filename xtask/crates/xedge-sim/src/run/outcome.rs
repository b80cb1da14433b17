//! What came of a run. Only this crate makes one, and only from a run on a real Engine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use xedge_model::scenario::Role;
use xedge_model::{Digest, Platform};

use super::resources::Resources;
use crate::check::{Claim, Fault, NodeStats, Percentiles, Verdict};
use crate::engine::EngineFacts;
use crate::link::LinkStats;
use crate::lockstep::LinkCount;

/// What came of a run.
#[derive(Clone, Debug)]
#[must_use]
pub struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) claims: Vec<Claim>,
    pub(super) nodes: BTreeMap<String, NodeStats>,
    pub(super) facts: Facts,
    pub(super) leftovers: Vec<String>,
}

/// Circumstances of a run.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) scenario: String,
    pub(super) run_id: String,
    pub(super) seed: u64,
    pub(super) duration: Duration,
    pub(super) shortened: bool,
    pub(super) kept: bool,
    pub(super) engine: EngineFacts,
    pub(super) containers: Vec<ContainerFacts>,
    pub(super) links: Vec<LinkStats>,
    pub(super) stimulus: Digest,
    pub(super) send_lag: Option<Percentiles>,
    pub(super) ack_latency: Option<Percentiles>,
    pub(super) delivery_latency: Option<Percentiles>,
    pub(super) faults: Vec<Fault>,
    pub(super) resources: BTreeMap<String, Resources>,
    pub(super) virtual_time: Option<VirtualFacts>,
}

/// What a run in virtual time adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualFacts {
    /// Digest over everything that happened; two runs had the same one.
    pub trace: Digest,
    /// How much happened.
    pub events: u64,
    /// Messages that links lost.
    pub lost: u64,
    /// Messages that were under way at the end.
    pub in_flight: u64,
    /// What each direction of each link did.
    pub links: BTreeMap<String, LinkCount>,
}

/// A container that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerFacts {
    /// Node of the scenario.
    pub node: String,
    /// `broker`, `gateway` or `service`.
    #[serde(serialize_with = "role_name")]
    pub role: Role,
    /// Image of the container as the Engine named it: one of the plan's accepted digests.
    pub image: String,
    /// Platform of the image.
    pub platform: Platform,
    /// Whether the Engine's machine emulated it.
    pub emulated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn role_name<S: serde::Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.as_str())
}

/// What may be said about repeating a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Honesty {
    /// About what was done to the system: the same seed gives the same planned sends.
    pub stimulus: &'static str,
    /// About what came of it: measured once on a real clock.
    pub outcome: &'static str,
}

impl Outcome {
    /// Passed, failed or invalid.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Every claim, in the order of the scenario.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Counts of every node that did something.
    pub fn nodes(&self) -> &BTreeMap<String, NodeStats> {
        &self.nodes
    }

    /// Name of the scenario.
    pub fn scenario(&self) -> &str {
        &self.facts.scenario
    }

    /// Id of the run.
    pub fn run_id(&self) -> &str {
        &self.facts.run_id
    }

    /// Seed of every random draw.
    pub fn seed(&self) -> u64 {
        self.facts.seed
    }

    /// Length of the publishing phase.
    pub fn duration(&self) -> Duration {
        self.facts.duration
    }

    /// The Engine that it ran on.
    pub fn engine(&self) -> &EngineFacts {
        &self.facts.engine
    }

    /// The containers that took part, with the images that really ran.
    pub fn containers(&self) -> &[ContainerFacts] {
        &self.facts.containers
    }

    /// What every link did.
    pub fn links(&self) -> &[LinkStats] {
        &self.facts.links
    }

    /// Digest over every planned reading.
    pub fn stimulus(&self) -> &Digest {
        &self.facts.stimulus
    }

    /// How far behind their plan readings were sent.
    pub fn send_lag(&self) -> Option<&Percentiles> {
        self.facts.send_lag.as_ref()
    }

    /// From the planned send to the broker's acknowledgement.
    pub fn ack_latency(&self) -> Option<&Percentiles> {
        self.facts.ack_latency.as_ref()
    }

    /// From the planned send to the arrival at gateway models.
    pub fn delivery_latency(&self) -> Option<&Percentiles> {
        self.facts.delivery_latency.as_ref()
    }

    /// What the timeline did, and the effect that was seen.
    pub fn faults(&self) -> &[Fault] {
        &self.facts.faults
    }

    /// What the containers used that claims are about.
    pub fn resources(&self) -> &BTreeMap<String, Resources> {
        &self.facts.resources
    }

    /// What may be said about repeating this run.
    pub fn honesty(&self) -> Honesty {
        match &self.facts.virtual_time {
            Some(_) => Honesty { stimulus: "L3 identical trace", outcome: "L3 identical trace" },
            None => Honesty { stimulus: "L2 same stimulus", outcome: "L1 measured" },
        }
    }

    /// What a run in virtual time adds.
    pub fn virtual_time(&self) -> Option<&VirtualFacts> {
        self.facts.virtual_time.as_ref()
    }

    /// Whether the run was shorter than its scenario says.
    pub fn shortened(&self) -> bool {
        self.facts.shortened
    }

    /// Whether a gate may build on this run: it was neither shortened nor kept for looking into.
    pub fn eligible_for_evidence(&self) -> bool {
        !self.facts.shortened && !self.facts.kept
    }

    /// What could not be removed from the Engine; the next sweep tries again.
    pub fn leftovers(&self) -> &[String] {
        &self.leftovers
    }
}

#[cfg(test)]
impl Outcome {
    /// An outcome with these claims, for tests of reports.
    pub(crate) fn sample(claims: Vec<Claim>) -> Self {
        let engine = EngineFacts {
            kind: crate::EngineKind::Docker,
            name: "Engine".into(),
            version: "1".into(),
            api: "1.41".into(),
            architecture: "amd64".into(),
        };
        let facts = Facts {
            scenario: "smoke".into(),
            run_id: "r1".into(),
            seed: 1,
            duration: Duration::from_secs(1),
            shortened: false,
            kept: false,
            engine,
            containers: vec![],
            links: vec![],
            stimulus: Digest::of(b""),
            send_lag: None,
            ack_latency: None,
            delivery_latency: None,
            faults: vec![],
            resources: BTreeMap::new(),
            virtual_time: None,
        };
        let verdict = Verdict::over(&claims);
        Self { verdict, claims, nodes: BTreeMap::new(), facts, leftovers: vec![] }
    }
}
