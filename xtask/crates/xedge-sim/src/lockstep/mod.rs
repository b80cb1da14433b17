//! Runs in virtual time: built-in models, Python scripts and lockstep containers in one total order of events, as fast as
//! this machine can. The same plan gives the same trace, whose digest is the proof. No wall clock takes part, but for
//! patience with scripts.

mod cast;
mod claims;
mod drive;
mod expand;
mod histogram;
mod kernel;
mod link;
mod member;
mod node;
mod peer;
mod plan;
mod queue;
mod route;
mod script;
mod trace;
mod wire;

pub(crate) use cast::Surroundings;
pub(crate) use claims::answers;
pub(crate) use drive::{Passage, run_twice};
pub use link::{LinkCount, LinkPlan, Shape};
pub use plan::{ContainerCommand, Patience, Runs, ScriptPlan, VirtualNode, VirtualPlan};

#[cfg(test)]
mod script_tests;
#[cfg(test)]
mod tests;
