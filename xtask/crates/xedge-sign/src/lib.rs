//! Keys and signatures that are made on the host. No network, no clock, no random source (random bytes are passed in);
//! nothing here is linked into the device agent, and no secret is ever printed.

mod error;
mod gate;
mod key;
mod keyfile;

pub use error::Error;
pub use gate::{FILE_NAME, GateKey};
pub use key::SigningKey;
pub use xedge_bundle::statement::KeyStatus;

#[cfg(test)]
mod tests;
