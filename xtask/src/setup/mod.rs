//! What this machine lacks, and getting it: `cargo xtask setup` and `cargo xtask doctor`.
//!
//! Three parts that meet in plain data: [`probe`] looks (and changes nothing), [`plan`] and [`doctor`] are pure
//! functions of what it saw, [`act`] runs the plan and looks again. Nothing here prints or asks: text is returned,
//! questions go through [`Talk`].

pub mod act;
pub mod binfmt;
pub mod discover;
pub mod engine;
pub mod error;
pub mod loopback;
pub mod machine;
pub mod need;
pub mod packages;
pub mod plan;
pub mod probe;
pub mod python;
pub mod remedy;
pub mod surroundings;
pub mod toolchain;

pub use act::{Mode, Outcome, Talk, setup};
pub use discover::{Choice, Place, choose};
pub use error::Error;
pub use loopback::{ignores_limits, is_elsewhere};
pub use machine::Machine;
pub use need::{Need, Problem, doctor, render_problems};
pub use plan::{Step, plan, render_plan};
pub use probe::probe;
pub use surroundings::Surroundings;
pub use toolchain::{Toolchain, target_toolchain};

/// Whether containers of this platform start here although the machine is of another: the kernel knows an emulator.
pub fn starts_foreign(around: &Surroundings, platform: xedge_model::Platform) -> bool {
    binfmt::starts(around, platform)
}

#[cfg(test)]
mod tests;
