//! What is read on a device: DSSE envelopes and in-toto statements, in pure Rust.
