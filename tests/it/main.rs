//! Integration tests: the command line as a user types it, on the real Engine and with real tools.
#![expect(unreachable_pub, reason = "modules of one test binary")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy.toml allows only in the tests themselves"
)]

mod support;

mod actions;
mod adhoc;
mod bad_input;
mod base;
mod cli;
mod deploy;
mod device;
mod dockerfile;
mod forms;
mod images;
mod import;
mod locks;
mod new;
mod policy;
mod reach;
mod registry;
mod release;
mod render;
mod secrets;
mod sim;
mod tidy;
