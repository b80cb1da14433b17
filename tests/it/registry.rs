//! Registries as they are found in the field: Debian's own is started for the tests that need a real one.

mod archive;
mod cut;
pub mod place;
mod push;
pub mod real;
pub mod refused;
pub mod stack;
