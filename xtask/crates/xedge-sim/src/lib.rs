//! Scenario runs: real brokers in containers, models that speak MQTT to them, a recorded history, claims checked over
//! it, and reports. It resolves no images, files or secrets (they come in a plan) and reads no environment.

pub mod check;
mod either;
pub mod engine;
mod error;
pub mod history;
pub mod link;
pub mod lock;
pub mod lockstep;
pub mod model;
pub mod mqtt;
pub mod plan;
pub mod probe;
pub mod report;
pub mod run;
pub mod seed;
pub mod sweep;

pub use check::{Claim, State, Verdict};
pub use engine::{
    BuildEnd, BuildFailure, BuildProgress, BuildRequest, Docker, Embedded, Engine, EngineFacts, EngineKind,
};
pub use error::{Error, ScriptFailure};
pub use link::{LinkControl, Links};
pub use lock::RunLock;
pub use lockstep::VirtualPlan;
pub use plan::{
    Chance, ContainerExtras, ContainerPlan, Credentials, Ends, FilePlan, HealthPace, Limits, LinkPlan,
    ModelPlan, ModelSettings, Need, Place, ProcessPlan, RestartPolicy, RetainedProbe, RunPlan, Secret, Shape,
    VolumePlan, expand, links,
};
pub use run::container::{ContainerProbe, ProbePlan, probe_container};
pub use run::outcome::{ContainerFacts, Honesty, Outcome, VirtualFacts};
pub use run::{Progress, run, run_virtual};
pub use sweep::{Swept, remove_kept, sweep};
