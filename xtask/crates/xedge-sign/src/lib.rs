//! Keys and signatures that are made on the host. No network, no clock, no random source (random bytes are passed in);
//! nothing here is linked into the device agent, and no secret is ever printed.

mod disk;
mod ed25519;
mod encrypted;
mod error;
mod gate;
mod image;
mod key;
mod keyfile;
mod metadata;
mod passphrase;
mod referrer;
mod ring;
mod role;
mod secret;
mod spec;
mod tuf;

pub use ed25519::{Ed25519Key, Ed25519PublicKey};
pub use error::Error;
pub use gate::GateKey;
pub use image::{ImageKey, SIGN_PREDICATE_TYPE, SIGSTORE_BUNDLE};
pub use key::SigningKey;
pub use metadata::{
    MetadataKey, ROOT_LIFETIME, TARGETS_LIFETIME, TIMESTAMP_LIFETIME, make_root, make_snapshot, make_targets,
    make_timestamp, rotate_root,
};
pub use p256::elliptic_curve::zeroize::Zeroizing;
pub use passphrase::{AskPassphrase, KeyName, Passphrase};
pub use referrer::{Artifact, EMPTY, EMPTY_BYTES, Layer, listing, referrer, standalone};
pub use ring::{KeyRing, NewKeys, PublicInfo};
pub use role::{Algorithm, Role};
pub use secret::PublicKey;
pub use spec::RootSpec;
pub use xedge_bundle::statement::KeyStatus;

#[cfg(test)]
mod tests;
