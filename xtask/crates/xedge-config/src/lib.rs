//! Production configuration: a stack's templates and one environment's values in, checked files with one digest out.
//!
//! No network, no clock, no environment variables, no values of secrets: only references to them.

pub mod conf;
mod disk;
mod error;
mod late;
mod origin;
pub mod parity;
pub mod passwd;
mod render;
mod rendered;
mod template;

pub use disk::{Drift, Written};
pub use error::{Error, Place};
pub use origin::Origin;
pub use render::{environments, operation, render, stack, stacks};
pub use rendered::{COMPOSE_FILE, Record, Rendered, RenderedFile};

#[cfg(test)]
mod tests;
