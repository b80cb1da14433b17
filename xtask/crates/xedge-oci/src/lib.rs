//! OCI images as files: deterministic layers, configs, manifests, indexes, layouts, archives and SBOMs (image-spec v1.1).
//!
//! No network, no async, no clock, no random source, no environment: the same input gives the same bytes in every
//! folder and for every user. What is read back is checked against its digest before it is believed.

pub mod archive;
pub mod base;
pub mod blobs;
pub mod config;
pub mod descriptor;
pub mod error;
mod hashed;
pub mod import;
pub mod index;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod sbom;
pub mod tarball;
pub mod time;
pub mod tree;

#[cfg(test)]
mod sample;

pub use blobs::Blobs;
pub use descriptor::Descriptor;
pub use error::Error;
pub use layer::{Layer, write_layer};
pub use layout::{ImageEntry, Layout, PlatformImage};
pub use time::rfc3339;
pub use tree::{Kind, Node, Tree};
