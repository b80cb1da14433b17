//! The flags of what leaves this machine: release, push, registry, keys, verify, bundle. Types only, no behaviour.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};
use xedge_model::Platform;
use xedge_model::compose::{BadValue, Bytes, Cpus};
use xedge_sign::Role;

use super::EngineChoice;

/// Where images go, and how the registry is reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegistryArgs {
    /// Registry and path, HOST[:PORT][/PATH]; the embedded one in the data folder when not given
    #[arg(long, env = "XEDGE_REGISTRY", value_name = "HOST/PATH")]
    pub(crate) registry: Option<String>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// Which stack, and for which environment.
#[derive(Args, Clone, Debug)]
pub(crate) struct StackArgs {
    /// Stack, a folder below templates/stacks; the only one when there is one
    #[arg(long)]
    pub(crate) stack: Option<String>,
    /// Environment, a file below templates/environments; with a class of devices ENV--CLASS
    #[arg(long, default_value = "production")]
    pub(crate) env: String,
}

/// An image as a stack of one service, in the words of the seed's deploy script.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ImageArgs {
    /// An image of the project, by folder or name, as a stack of one service behind a smoke gate
    #[arg(long, value_name = "IMAGE", conflicts_with = "stack")]
    pub(crate) image: Option<String>,
    /// Config file, `FILE` or `FILE:/PATH/IN/CONTAINER`; may be repeated
    #[arg(long, value_name = "FILE", requires = "image")]
    pub(crate) config: Vec<String>,
    /// Name of service, stack and container; the last part of the image's name when not given
    #[arg(long, value_name = "NAME", requires = "image")]
    pub(crate) name: Option<String>,
    /// Port of the device, or PORT:CONTAINER-PORT; the one that the image exposes when not given
    #[arg(long, value_name = "PORT", requires = "image")]
    pub(crate) port: Option<String>,
    /// Memory limit, 256m when not given
    #[arg(long, value_name = "SIZE", requires = "image", value_parser = memory)]
    pub(crate) memory: Option<Bytes>,
    /// Limit of processor time in processors, 1.0 when not given
    #[arg(long, value_name = "N", requires = "image", value_parser = cpus)]
    pub(crate) cpus: Option<Cpus>,
    /// Who may log in to a broker whose config has `password_file /run/secrets/mosquitto-passwd`; may be repeated
    #[arg(long, value_name = "USER", requires = "image")]
    pub(crate) mqtt_user: Vec<String>,
}

fn memory(text: &str) -> Result<Bytes, String> {
    text.parse().map_err(|error: BadValue| error.to_string())
}

fn cpus(text: &str) -> Result<Cpus, String> {
    text.parse().map_err(|error: BadValue| error.to_string())
}

/// `release`.
#[derive(Args, Debug)]
pub(crate) struct Release {
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    #[command(flatten)]
    pub(crate) of_image: ImageArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Version, also the write-once tag of the images; rSEQ when not given
    #[arg(long, value_name = "V", value_parser = tag)]
    pub(crate) version: Option<String>,
    /// Further tags, which may move
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) tag: Vec<String>,
    /// What runs the containers of scenarios that have no evidence
    #[arg(long, env = "XEDGE_ENGINE", value_enum, default_value_t = EngineChoice::Auto)]
    pub(crate) engine: EngineChoice,
    /// Take evidence from this folder, made on other machines, and run no scenario
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<Utf8PathBuf>,
    /// Fail where a lock cannot be used as it is
    #[arg(long)]
    pub(crate) locked: bool,
    /// Release again what was released before, under a new number: a bundle, or a number of this machine's record
    #[arg(long, value_name = "FILE|SEQ", conflicts_with_all = ["env", "image", "evidence", "locked"])]
    pub(crate) content_of: Option<String>,
    /// Build and check, then print the plan; run, push, sign and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `push`.
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// Images by folder or name; all of the stack when none is named
    pub(crate) images: Vec<String>,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Write-once tag: an error if it names another digest
    #[arg(long, value_name = "V", value_parser = tag)]
    pub(crate) version: Option<String>,
    /// Tags that may move
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) tag: Vec<String>,
    /// Print per blob: there, mount or upload N bytes; change nothing
    #[arg(long)]
    pub(crate) plan: bool,
}

/// `registry`.
#[derive(Debug, Subcommand)]
pub(crate) enum Registry {
    /// Check a password read from stdin and keep it in the data folder, mode 0600
    Login {
        /// HOST[:PORT]
        host: String,
        /// User
        #[arg(long, short)]
        username: String,
        /// Read the password from stdin; there is no other way, so that it is in no argument and no history
        #[arg(long, required = true)]
        password_stdin: bool,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// List what the embedded registry holds
    Ls,
    /// Serve the embedded registry on loopback until interrupted: `docker pull 127.0.0.1:PORT/NAME@DIGEST`
    Serve {
        /// Port; a free one when 0
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

/// How a registry named elsewhere is reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReachArgs {
    /// Talk plain HTTP to this HOST[:PORT]; loopback needs no leave
    #[arg(long, env = "XEDGE_PLAIN_HTTP", value_name = "HOST", value_delimiter = ',')]
    pub(crate) plain_http: Vec<String>,
    /// PEM file of a private authority, beside those that the system trusts
    #[arg(long, env = "XEDGE_CA", value_name = "FILE")]
    pub(crate) ca: Option<Utf8PathBuf>,
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make all keys and the root that devices pin; refuses where there are keys already
    Init {
        /// Production keys, encrypted with a passphrase; development keys otherwise
        #[arg(long)]
        production: bool,
    },
    /// Show the public keys
    Show {
        /// Only this role
        #[arg(long, value_parser = role)]
        role: Option<Role>,
        /// Print public keys as PEM, or only their ids
        #[arg(long, value_enum, default_value_t = PublicForm::Id)]
        public: PublicForm,
    },
}

/// How a public key is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PublicForm {
    /// `SubjectPublicKeyInfo` PEM, as openssl and cosign read it
    Pem,
    /// The key id
    Id,
}

/// `verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A bundle
    pub(crate) file: Utf8PathBuf,
    /// The root to start from; the one in the data folder when not given, never the file's own
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<Utf8PathBuf>,
}

/// `bundle`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Show what a bundle says of itself, WITHOUT checking a signature
    Inspect {
        /// The bundle
        file: Utf8PathBuf,
    },
    /// Verify a bundle and take it apart for work by hand: archives, configuration, and the steps in RUNBOOK.md
    Extract(Extract),
    /// Explain a refusal: by its code, or by checking a bundle and explaining what it is refused for
    Why {
        /// A refusal code, or a bundle
        what: String,
        /// The root to start from; the one in the data folder when not given
        #[arg(long, value_name = "FILE")]
        root: Option<Utf8PathBuf>,
    },
}

/// `bundle extract`.
#[derive(Args, Debug)]
pub(crate) struct Extract {
    /// The bundle
    pub(crate) file: Utf8PathBuf,
    /// A folder that is not there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Utf8PathBuf,
    /// Platform of the device
    #[arg(long, value_name = "P")]
    pub(crate) platform: Platform,
    /// A value that the stack leaves to the device
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// The root to start from; the one in the data folder when not given
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<Utf8PathBuf>,
}

/// `NAME=VALUE`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or("expected NAME=VALUE".to_owned())
}

fn role(text: &str) -> Result<Role, String> {
    let known = Role::ALL.into_iter().find(|role| role.as_str() == text);
    known.ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("known roles: {}", names.join(", "))
    })
}

/// A tag of the distribution specification, section "Pulling manifests".
fn tag(text: &str) -> Result<String, String> {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let rest = |c: char| first(c) || c == '.' || c == '-';
    if ["seq-", "sha256-", "bundle-"].iter().any(|own| text.starts_with(own)) {
        return Err("tags that begin with `seq-`, `sha256-` or `bundle-` are set by xedge itself".to_owned());
    }
    if text.len() <= 128 && text.starts_with(first) && text.chars().all(rest) {
        return Ok(text.to_owned());
    }
    Err("a tag has up to 128 letters, digits, `_`, `.` and `-`, the first a letter, digit or `_`".to_owned())
}
