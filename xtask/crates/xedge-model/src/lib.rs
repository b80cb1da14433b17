//! The nouns that every stage shares: digests, platforms, error classes, and each YAML file as a type.
//!
//! No network, no clock, no random source, no environment. The only code that reads or writes YAML is here.

pub mod atomic;
pub mod bounded;
pub mod class;
pub mod compose;
pub mod digest;
pub mod duration;
pub mod format;
pub mod image;
pub mod lock;
pub mod name;
pub mod platform;
pub mod reference;
pub mod scenario;
pub mod stack;
pub mod tree;
pub mod user;
pub mod yaml;

pub use class::{Class, Failure};
pub use digest::{Digest, Hasher};
pub use image::ImageDef;
pub use lock::ImageLock;
pub use name::ImageName;
pub use platform::Platform;
pub use reference::Reference;
pub use scenario::Scenario;
pub use stack::StackDef;
pub use user::UserSettings;
