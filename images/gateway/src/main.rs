//! The edge gateway: it subscribes to sensor readings, aggregates them per window and publishes the result upstream.
//!
//! Runs as PID 1 of a container without a shell or a writable file system. It stores nothing: what is not yet
//! confirmed upstream is not yet acknowledged to the broker either, so the broker keeps it.

mod aggregate;
mod config;
mod health;
mod log;
mod mqtt;
mod relay;
mod run;
mod seen;

use std::env;
use std::process::ExitCode;

use config::{Config, Overrides};
use log::log;

/// Where the configuration is read from unless `GATEWAY_CONFIG` names another file.
const DEFAULT_CONFIG: &str = "/etc/gateway/gateway.toml";
/// The machine or the network is at fault.
const EXIT_ENVIRONMENT: u8 = 1;
/// The configuration or the command line is at fault.
const EXIT_INPUT: u8 = 3;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let command: fn(&Config) -> Result<(), String> = match args[..] {
        [] => run::run,
        ["--health"] => health::ask,
        _ => {
            log!("usage: gateway [--health]");
            return ExitCode::from(EXIT_INPUT);
        }
    };
    let config = match Config::load(&overrides()) {
        Ok(config) => config,
        Err(error) => {
            log!("{error}");
            return ExitCode::from(EXIT_INPUT);
        }
    };
    match command(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log!("{problem}");
            ExitCode::from(EXIT_ENVIRONMENT)
        }
    }
}

/// The only place where the environment is read. No password comes from it: it shows in `docker inspect`.
fn overrides() -> Overrides {
    let named = |name| env::var(name).ok().filter(|value| !value.is_empty());
    Overrides {
        path: named("GATEWAY_CONFIG").unwrap_or_else(|| DEFAULT_CONFIG.to_owned()),
        path_is_explicit: named("GATEWAY_CONFIG").is_some(),
        id: named("GATEWAY_ID"),
        broker: named("MQTT_BROKER"),
    }
}
