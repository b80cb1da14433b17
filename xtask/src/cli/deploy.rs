//! The flags of what happens on devices: deploy and device. Types only, no behaviour.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::{EngineChoice, ImageArgs, RegistryArgs};

/// Which devices, and how they are reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct HostArgs {
    /// Device, [USER@]NAME[:PORT] or an alias of ssh's configuration; may be repeated: one after the other, up to the first failure
    #[arg(long, required = true, value_name = "HOST", value_parser = host)]
    pub(crate) host: Vec<xedge_deploy::Host>,
    /// User to log in as, where HOST names none
    #[arg(long, value_name = "USER", value_parser = user)]
    pub(crate) user: Option<String>,
    /// Configuration of ssh, instead of the user's own
    #[arg(long, env = "XEDGE_SSH_CONFIG", value_name = "FILE")]
    pub(crate) ssh_config: Option<Utf8PathBuf>,
}

/// `deploy`.
#[derive(Args, Debug)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) hosts: HostArgs,
    /// A bundle; the newest release of the stack when not given
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stack", "image"])]
    pub(crate) bundle: Option<Utf8PathBuf>,
    /// Stack whose newest release is deployed; the only one when there is one
    #[arg(long)]
    pub(crate) stack: Option<String>,
    /// Environment; `staging` also measures the device and signs what it found, of the production release where the project has no
    /// environment of that name
    #[arg(long, default_value = "production")]
    pub(crate) env: String,
    /// How long `--env staging` measures, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) measure: u32,
    /// The root that the bundle and the device start from; the one in the data folder when not given
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<Utf8PathBuf>,
    /// A value that only this device has; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// Class of the device, such as pi-sd, for its enrolment
    #[arg(long, value_name = "CLASS", value_parser = word)]
    pub(crate) class: Option<String>,
    /// Take over the container of this name, started by hand: its volumes stay, and it is kept for rollback. `SERVICE=NAME` where
    /// it is not clear which service takes it over
    #[arg(long, value_name = "[SERVICE=]NAME", value_parser = adoption)]
    pub(crate) adopt: Option<String>,
    /// Enrol a device again that was enrolled for development, now for production
    #[arg(long)]
    pub(crate) reenroll: bool,
    /// Print what would travel, in bytes; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The device's program, instead of one built from the sources of this xedge
    #[arg(long, env = "XEDGE_AGENT", value_name = "FILE")]
    pub(crate) agent: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) of_image: ImageArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// What runs the container of a smoke gate
    #[arg(long, env = "XEDGE_ENGINE", value_enum, default_value_t = EngineChoice::Auto)]
    pub(crate) engine: EngineChoice,
    /// Fail where a lock cannot be used as it is
    #[arg(long, requires = "image")]
    pub(crate) locked: bool,
}

/// `device`.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// What runs on it, and what needs a person
    Status {
        #[command(flatten)]
        hosts: HostArgs,
    },
    /// The last lines of its services
    Logs {
        #[command(flatten)]
        hosts: HostArgs,
        #[command(flatten)]
        which: WhichArgs,
        /// Only this service
        #[arg(long, value_parser = word)]
        service: Option<String>,
        /// How many lines
        #[arg(long, default_value_t = 100)]
        lines: u32,
        /// Go on until interrupted, with one service
        #[arg(long, short, requires = "service")]
        follow: bool,
    },
    /// Take a stack off the device; volumes and secrets stay unless they are purged
    Remove {
        #[command(flatten)]
        hosts: HostArgs,
        #[command(flatten)]
        which: WhichArgs,
        /// Delete its volumes and secrets too: its data is gone
        #[arg(long)]
        purge: bool,
    },
    /// Bring the release before this one back
    Rollback {
        #[command(flatten)]
        hosts: HostArgs,
        #[command(flatten)]
        which: WhichArgs,
    },
    /// List every problem of the device, each with the command that mends it
    Doctor {
        #[command(flatten)]
        hosts: HostArgs,
    },
}

/// Which stack of a device.
#[derive(Args, Clone, Debug)]
pub(crate) struct WhichArgs {
    /// Stack; the only one of the device when there is one
    #[arg(long, value_parser = word)]
    pub(crate) stack: Option<String>,
}

fn host(text: &str) -> Result<xedge_deploy::Host, String> {
    text.parse().map_err(|error: xedge_deploy::BadHost| error.to_string())
}

fn user(text: &str) -> Result<String, String> {
    xedge_deploy::check_user(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if xedge_model::stack::is_device_name(name) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE, NAME as the stack declares it under `device_values`".to_owned()),
    }
}

/// A container, and perhaps the service that takes it over.
fn adoption(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(2, '=').collect();
    let words: Result<Vec<String>, String> = parts.into_iter().map(word).collect();
    words.map(|words| words.join("="))
}

/// A word that is handed to a program of the device: nothing that it could take for an option.
fn word(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() <= 128 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner) {
        return Ok(text.to_owned());
    }
    Err("expected letters, digits, `.`, `_` and `-`, the first a letter or digit".to_owned())
}
