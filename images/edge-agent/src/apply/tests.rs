//! Operations on the fake Engine with real files, a real trust store, and a clock that a test can turn.

mod bench;
mod cuts;
mod full_disk;
mod operations;
mod processes;
mod unexpected;
mod whole;
