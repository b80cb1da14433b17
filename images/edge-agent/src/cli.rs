//! The command line: what can be typed, and its help. Decides nothing.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 environment (worth a retry), 2 the release failed and was taken back, 3 bad input, \
6 refused (signature, digest, older release, expired), 101 a bug";

/// The device's side of xedge: verifies releases, installs them, watches them and takes them back.
///
/// It trusts the root that it was enrolled with and nothing else. A release is verified as a whole before anything that runs is
/// touched; one that does not come up is taken back by itself.
#[derive(Debug, Parser)]
#[command(name = "xedge-agent", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Folder of the agent's state.
    #[arg(long, global = true, env = "XEDGE_STATE", value_name = "DIR", default_value = xedge_agent::home::DEFAULT)]
    pub(crate) state: Utf8PathBuf,
    /// Socket of Docker or Podman; found by itself where none is named.
    #[arg(long, global = true, env = "XEDGE_ENGINE", value_name = "SOCKET")]
    pub(crate) engine: Option<Utf8PathBuf>,
    /// How data is written to stdout, and errors to stderr.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// One JSON value.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pins the root that this device trusts from now on, and says who the device is.
    Enroll(Enroll),
    /// Verifies a bundle to its last byte, and changes nothing.
    Verify {
        /// The bundle.
        file: Utf8PathBuf,
    },
    /// Installs a bundle, or the newest one of each stack in a folder.
    Apply(Apply),
    /// Fetches a release from a registry, with this device's Engine, and installs it.
    Pull(Pull),
    /// Shows what runs here, and what needs a person.
    Status {
        /// Also measures what each service uses, over this many seconds.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
        measure: Option<u32>,
    },
    /// Shows what a stack's services wrote last.
    Logs(Logs),
    /// Brings back the release before, with its exact containers and configuration.
    Rollback {
        /// The stack; may be left out where there is one only.
        stack: Option<String>,
    },
    /// Removes a stack from this device. Its data and secrets stay.
    Remove {
        /// The stack.
        stack: String,
        /// Removes its data and secrets too. They are gone then.
        #[arg(long)]
        purge: bool,
    },
    /// Finishes what a power cut interrupted, starts what died, and reports; runs until it is stopped.
    Watch {
        /// Looks once and ends.
        #[arg(long)]
        once: bool,
    },
    /// Explains the code of a refusal.
    Why {
        /// The code, such as `expired`; all of them where none is given.
        code: Option<String>,
    },
    /// Removes what no release here needs: members, folders, heads and containers, images of a release that did not come, and
    /// files that a killed process left. Volumes, secrets and values stay.
    Gc,
    /// Looks for everything on this device that would be in a release's way.
    Doctor,
    /// Speaks with a host on stdin and stdout: for `cargo xtask deploy`, not for people.
    Session,
    /// Replaces this program by another one, once that has shown that it works here.
    Upgrade(Upgrade),
    /// Removes every stack and this program. Data, secrets and trust stay.
    Uninstall {
        /// Removes data, secrets and trust too. They are gone then.
        #[arg(long)]
        purge: bool,
    },
    /// Shows whether this program can work with the state that is here.
    #[command(hide = true)]
    SelfCheck,
}

/// Arguments of `enroll`.
#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// The root: the newest `$XEDGE_HOME/trust/N.root.json` of the machine with the keys, or `-` for stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Utf8PathBuf,
    /// The device's class, such as `pi-sd`.
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Folder for the data of named volumes, such as on an external disk.
    #[arg(long, value_name = "DIR")]
    pub(crate) volume_root: Option<Utf8PathBuf>,
    /// Most memory that one service may have, such as `512m`.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_memory: Option<u64>,
    /// Most processors that one service may have, such as `1.5`.
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus)]
    pub(crate) max_cpus: Option<u64>,
    /// The board, where the firmware does not say it.
    #[arg(long, value_name = "SLUG")]
    pub(crate) board: Option<String>,
    /// Trusts this root in place of the one before.
    #[arg(long)]
    pub(crate) again: bool,
    /// Does not set up the service that runs `watch`.
    #[arg(long)]
    pub(crate) no_service: bool,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The bundle, or a folder with bundles.
    pub(crate) path: Utf8PathBuf,
    /// A container, started by hand, that a service takes over with its data: `NAME`, or `SERVICE=NAME`.
    #[arg(long, value_name = "NAME")]
    pub(crate) adopt: Option<String>,
    /// Verifies and checks everything, and changes nothing that runs.
    #[arg(long)]
    pub(crate) check_only: bool,
}

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// `HOST/PATH/xedge-releases/STACK:bundle-VERSION`; the newest release where no tag is named.
    pub(crate) reference: String,
    /// A container, started by hand, that a service takes over with its data: `NAME`, or `SERVICE=NAME`.
    #[arg(long, value_name = "NAME")]
    pub(crate) adopt: Option<String>,
    /// Fetches, verifies and checks everything, and changes nothing that runs.
    #[arg(long)]
    pub(crate) check_only: bool,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The stack.
    pub(crate) stack: String,
    /// One of its services; all where none is named.
    pub(crate) service: Option<String>,
    /// How many lines of each.
    #[arg(long, default_value_t = 100)]
    pub(crate) lines: u32,
    /// Goes on with what comes; for one service.
    #[arg(long, requires = "service")]
    pub(crate) follow: bool,
}

/// Arguments of `upgrade`.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The other program.
    pub(crate) file: Utf8PathBuf,
    /// Link by which the program is found; by itself only where the state has its usual place.
    #[arg(long, value_name = "PATH")]
    pub(crate) link: Option<Utf8PathBuf>,
}

/// Bytes: a number with `k`, `m` or `g` of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is no size such as `512m` or `1g`");
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'k', 'm', 'g']);
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return Err(bad()),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// Billionths of a processor.
fn parse_cpus(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is no number of processors such as `1.5`");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let part: u64 = format!("{part:0<9}").parse().map_err(|_| bad())?;
    whole.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(part)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_free_of_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn following_is_for_one_service() {
        assert!(Cli::try_parse_from(["xedge-agent", "logs", "edge", "--follow"]).is_err());
        assert!(Cli::try_parse_from(["xedge-agent", "logs", "edge", "gateway", "--follow"]).is_ok());
    }

    #[test]
    fn sizes_and_processors_are_read_as_the_engine_reads_them() {
        assert_eq!(parse_size("512m"), Ok(512 << 20));
        assert_eq!(parse_size("1G"), Ok(1 << 30));
        assert_eq!(parse_size("1024"), Ok(1024));
        assert_eq!(parse_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_cpus("2"), Ok(2_000_000_000));
        for bad in ["", "m", "1x", "-1", "1.5g", "99999999999g"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        for bad in ["", ".5x", "1.", "-1", "1.0000000001"] {
            assert!(parse_cpus(bad).is_err(), "{bad}");
        }
    }
}
