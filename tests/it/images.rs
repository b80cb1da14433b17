//! Images as a user builds, inspects, saves and loads them: reproducible, valid, whole, and run by the real Engine.

mod engine;
mod full;
pub mod layout;
mod sources;
mod whole;
