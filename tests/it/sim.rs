//! `sim` as a user runs it, on the real Engine: what passes, what fails, what is signed, and that nothing stays behind.

pub mod bench;
mod broken;
mod clean;
mod embedded;
mod engines;
mod faults;
mod github;
mod links;
mod lost;
mod many;
mod mqtt;
mod passes;
mod podman;
mod production;
mod services;
mod signed;
mod virtual_time;
