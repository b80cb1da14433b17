//! Debian suites, package indexes, versions, a resolver and .deb reading, without network code.
//!
//! The caller downloads; this crate says what to download ([`mirror`], [`release`]), checks and reads it. The only
//! program it starts is gpgv. It reads no clock and no environment: times and the texts of apt's files are arguments.

pub mod deb;
pub mod deb822;
mod error;
pub mod index;
pub mod mirror;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod skew;
pub mod suite;
pub mod version;

pub use error::Error;
pub use index::{PackageEntry, Universe};
pub use mirror::Mirrors;
pub use release::Release;
pub use version::Version;
