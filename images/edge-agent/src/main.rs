//! `xedge-agent`.

fn main() {}
