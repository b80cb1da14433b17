//! MQTT 3.1.1 as far as models and probes need it: `QoS` 0 and 1, retained messages, no wills, no TLS.

#[cfg(test)]
pub(crate) mod broker;
pub mod client;
pub mod decode;
pub mod encode;
pub mod packet;
pub mod topic;

pub use client::{Connection, Login, Refused};
pub use decode::{Malformed, decode};
pub use encode::encode;
pub use packet::{Connect, Packet, Publish};
