//! Production configuration: a stack's templates and one environment's values in, checked files with one digest out.
//!
//! No network, no clock, no environment variables, no values of secrets: only references to them.

pub mod conf;
mod disk;
mod error;
mod files;
mod late;
mod origin;
pub mod outputs;
pub mod parity;
pub mod passwd;
pub mod policy;
mod render;
mod rendered;
mod template;
mod unified;
mod values;

pub use disk::{Drift, Written};
pub use error::{Error, Place};
pub use files::{environments, stacks};
pub use origin::Origin;
pub use render::{operation, render, stack};
pub use rendered::{COMPOSE_FILE, Record, Rendered, RenderedFile};
pub use values::{split_class, with_class};

#[cfg(test)]
mod tests;
