//! Registries: a client that pushes and reads by digest, and the small registry in the data folder. No YAML, no clock but the monotonic one.

pub mod server;
