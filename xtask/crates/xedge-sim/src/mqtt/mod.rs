//! MQTT 3.1.1 and 5 as far as models and probes need it: every `QoS`, retained messages, wills, sessions, TLS. No topic
//! aliases, no shared subscriptions, no extended authentication.

#[cfg(test)]
pub(crate) mod broker;
pub mod client;
pub mod decode;
pub mod encode;
mod fields;
pub mod packet;
mod properties;
pub mod tls;
pub mod topic;

pub use client::{Connection, Login, Refused, Session};
pub use decode::{Malformed, decode};
pub use encode::encode;
pub use packet::{Connect, Packet, Publish, Qos, Step, StepKind, Will};
pub use tls::{Tls, TlsError};
