//! The edge gateway.
fn main() {}
