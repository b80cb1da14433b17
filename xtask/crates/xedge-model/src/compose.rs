//! The supported part of a Compose file.
