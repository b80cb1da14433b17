//! The command line's own errors, and the type that carries any stage's error up to the exit code.

use camino::Utf8PathBuf;
use xedge_model::{Class, Digest, Failure};

/// Any error of any stage, with its class and hint.
pub struct Failed(Box<dyn Failure>);

/// The result of everything above the stage crates.
pub type Result<T> = std::result::Result<T, Failed>;

impl<E: Failure> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl Failed {
    /// Whose fault it is, and the exit code.
    pub fn class(&self) -> Class {
        self.0.class()
    }

    /// Whether it is this error of this stage.
    pub(crate) fn is<E: Failure>(&self, which: impl FnOnce(&E) -> bool) -> bool {
        let error: &(dyn std::error::Error + 'static) = &*self.0;
        error.downcast_ref::<E>().is_some_and(which)
    }

    /// The stable code of a refusal, for `cargo xtask bundle why CODE`.
    pub fn refusal(&self) -> Option<&str> {
        let error: &(dyn std::error::Error + 'static) = &*self.0;
        if let Some(error) = error.downcast_ref::<xedge_deploy::Error>() {
            return error.code();
        }
        match error.downcast_ref::<xedge_bundle::ReadError>() {
            Some(xedge_bundle::ReadError::Refused(refusal)) => Some(refusal.code.as_str()),
            _ => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// The message and those of its causes, outermost first.
    pub fn chain(&self) -> Vec<String> {
        let mut texts = vec![self.0.to_string()];
        let mut cause = self.0.source();
        while let Some(error) = cause {
            texts.push(error.to_string());
            cause = error.source();
        }
        texts
    }

    /// Whether the reader of stdout went away, which is a normal end.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.0.source().and_then(|source| source.downcast_ref::<std::io::Error>()).is_some_and(|source| {
            source.kind() == std::io::ErrorKind::BrokenPipe && self.chain()[0] == STDOUT
        })
    }
}

impl std::fmt::Debug for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

const STDOUT: &str = "failed to write to standard output";

/// What can go wrong between the stages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to find the current folder, or its name is not UTF-8")]
    NoFolder,
    #[error("failed to find a folder for keys and secrets: neither XEDGE_HOME nor HOME is set")]
    NoHome,
    #[error("failed to get random bytes from the system: {0}")]
    NoRandom(String),
    #[error("failed to find a project: neither {0} nor a folder above it holds Cargo.toml and images/")]
    NoProject(Utf8PathBuf),
    #[error("{STDOUT}")]
    Stdout(#[source] std::io::Error),
    #[error("failed to read {path}")]
    Read { path: Utf8PathBuf, source: std::io::Error },
    #[error("failed to write {path}")]
    Write { path: Utf8PathBuf, source: std::io::Error },
    #[error("failed to use {path}: {reason}")]
    BadFile { path: Utf8PathBuf, reason: String },
    #[error("failed to find {what} `{name}`")]
    Unknown { what: &'static str, name: String, hint: String },
    #[error("failed to fetch {url}")]
    Fetch { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("failed to fetch {url}: its certificate is not trusted here")]
    Certificate { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("failed to fetch {url}: the server answered {status}")]
    FetchStatus { url: String, status: u16 },
    #[error("failed to trust {path}: it has {found}, expected {expected}; it was removed")]
    Damaged { path: Utf8PathBuf, found: Digest, expected: Digest },
    #[error("failed to trust {url}: it has {found}, expected {expected}")]
    FetchDigest { url: String, found: Digest, expected: Digest },
    #[error("failed to find a Debian mirror for {pocket}")]
    NoMirror { pocket: String },
    #[error("failed to fetch {0}: the mirror's index names them, and the mirror does not have them")]
    OutOfStep(String),
    #[error("failed to use {reference} for {platform}: it is for {}", if has.is_empty() { "no platform".to_owned() } else { has.join(", ") })]
    BasePlatform { reference: String, platform: xedge_model::Platform, has: Vec<String> },
    #[error("failed to find {reference}: it was not imported on this machine")]
    NotImported { reference: String },
    #[error(
        "failed to add the user {name} with the number {id}: in the base image it has the number {found}"
    )]
    UserTaken { name: String, id: u32, found: String },
    #[error("failed to use {path} as it is: {reason}")]
    Lock { path: Utf8PathBuf, reason: String },
    #[error("failed to build {package} for {platform}: cargo stopped with an error{output}")]
    Cargo { package: String, platform: xedge_model::Platform, output: String },
    #[error("failed to start {program}")]
    Spawn { program: String, source: std::io::Error },
    #[error("{count} of {total} scenarios did not pass")]
    Scenarios { count: usize, total: usize, class: Class },
    #[error("failed in {job}: {what}")]
    Job { job: &'static str, what: String, hint: String },
    #[error("found differences that must not be there:\n{0}")]
    Differences(String),
    #[error("found what must not be in production, {count} times: {}", rules.join(", "))]
    Policy { count: usize, rules: Vec<String> },
    #[error("found {0} problems on this machine")]
    Problems(usize),
    #[error("found {0} files of another format than this xedge reads")]
    Formats(usize),
    #[error("stopped: nothing was changed")]
    Declined,
    #[error("failed to use the Engine at {host}, which {from} names: a run needs its ports on this machine")]
    RemoteEngine { host: String, from: String },
    #[error("failed to use the Engine at {0}: it publishes ports on another loopback than this container's")]
    EngineElsewhere(String),
    #[error("failed to build {0}: cargo metadata stopped with an error: {1}")]
    Metadata(String, String),
    #[error("failed to find {image} in the Engine after it was loaded: it has no image {config}")]
    NotLoaded { image: xedge_model::ImageName, config: Digest },
    #[error("failed to accept the evidence {file}: {reason}")]
    Evidence { file: String, reason: String },
    #[error("failed to release what was not gated: {}", gaps.join("; "))]
    Ungated { gaps: Vec<String>, scenarios: Vec<String>, environment: String },
    #[error("failed to release {stack}: its services have no platform in common")]
    NoPlatform { stack: String },
    #[error("failed to find an image of this project for the service {service}: its image is {image}")]
    ServiceImage { service: String, image: xedge_model::ImageName },
    #[error(
        "failed to put {first} and {second} into one bundle: Docker's and OCI's words for the layer {layer} differ"
    )]
    TwoTypes { layer: Digest, first: xedge_model::ImageName, second: xedge_model::ImageName },
    #[error("failed to find a trusted root at {0}")]
    NoRoot(Utf8PathBuf),
    #[error("failed to read a passphrase: {0}")]
    Passphrase(String),
    #[error("failed to read a password from stdin: {0}")]
    Password(String),
    #[error(
        "failed to use release {seq} of {stack}: the registry already has another release of that number"
    )]
    SeqTaken { stack: String, seq: u64 },
    #[error(
        "failed to release {stack} as {version}: that version is another release, {found}; this one is {wanted}"
    )]
    VersionTaken { stack: String, version: String, found: Digest, wanted: Digest },
    #[error("failed to use the {role} key {key_id}: the trusted root does not name it")]
    KeyNotInRoot { role: &'static str, key_id: Digest },
    #[error("failed to sign: the root expired at {0}")]
    RootExpired(String),
    #[error("failed to make keys: there is a root at {0}, and devices may trust it")]
    RootExists(Utf8PathBuf),
    #[error("found {0} problems on devices")]
    DeviceProblems(usize),
    #[error("failed to understand the agent of {host}: {reason}")]
    DeviceAnswer { host: String, reason: String },
    #[error("stopped by Ctrl-C")]
    Interrupted,
    #[error("failed to find an explanation for `{0}`: it is no refusal code and no file")]
    UnknownRefusal(String),
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::NoFolder
            | Error::NoHome
            | Error::NoRandom(_)
            | Error::Stdout(_)
            | Error::Write { .. }
            | Error::Fetch { .. }
            | Error::FetchStatus { .. }
            | Error::Certificate { .. }
            | Error::NoMirror { .. }
            | Error::OutOfStep(_)
            | Error::RemoteEngine { .. }
            | Error::EngineElsewhere(_)
            | Error::Spawn { .. }
            | Error::Problems(_)
            | Error::DeviceProblems(_)
            | Error::DeviceAnswer { .. }
            | Error::Declined => Class::Environment,
            Error::NoProject(_)
            | Error::BadFile { .. }
            | Error::Unknown { .. }
            | Error::BasePlatform { .. }
            | Error::NotImported { .. }
            | Error::UserTaken { .. }
            | Error::Lock { .. }
            | Error::Formats(_)
            | Error::Cargo { .. }
            | Error::Metadata(..)
            | Error::NoPlatform { .. }
            | Error::ServiceImage { .. }
            | Error::TwoTypes { .. }
            | Error::Passphrase(_)
            | Error::Password(_)
            | Error::UnknownRefusal(_)
            | Error::Policy { .. }
            | Error::RootExists(_)
            | Error::VersionTaken { .. }
            | Error::Differences(_) => Class::Input,
            Error::Damaged { .. }
            | Error::FetchDigest { .. }
            | Error::Evidence { .. }
            | Error::Ungated { .. }
            | Error::NoRoot(_)
            | Error::SeqTaken { .. }
            | Error::KeyNotInRoot { .. }
            | Error::RootExpired(_)
            | Error::NotLoaded { .. } => Class::Integrity,
            Error::Interrupted => Class::Interrupted,
            Error::Scenarios { class, .. } => *class,
            Error::Read { source, .. } => Class::of_read(source),
            Error::Job { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Error::NoHome => "name a folder: `export XEDGE_HOME=$PWD/.xedge`".into(),
            Error::NoProject(_) => "go into the project, or name it: `cargo xtask --project DIR …`".into(),
            Error::Unknown { hint, .. } | Error::Job { hint, .. } => hint.clone(),
            Error::Fetch { .. } | Error::FetchStatus { .. } | Error::OutOfStep(_) => {
                "is the mirror reachable? another one: `XEDGE_DEBIAN_MIRROR=http://HOST/debian cargo xtask build`; which mirror and proxy are in use: `cargo xtask doctor`".into()
            }
            Error::Certificate { .. } => {
                "where a private authority signed it, name that one, in PEM: `export XEDGE_CA=FILE`, or for good `ca_file: FILE` in config.yaml of the data folder".into()
            }
            Error::FetchDigest { .. } => "a proxy or mirror changed the file; another mirror: `XEDGE_DEBIAN_MIRROR=http://HOST/debian`".into(),
            Error::Damaged { .. } => "the file was damaged on this disk; fetch it again: `cargo xtask build`".into(),
            Error::Ungated { scenarios, environment, .. } => {
                let scenarios = scenarios.join(" ");
                match environment.as_str() {
                    crate::evidence::PRODUCTION => format!("run the gate: `cargo xtask sim {scenarios}`"),
                    other => format!("run the gate: `cargo xtask sim --env {other} {scenarios}`"),
                }
            }
            Error::Evidence { .. } => "make it anew: `cargo xtask sim`".into(),
            Error::NoPlatform { .. } => "give them one: `platforms: [linux/amd64, linux/arm64]` in images/*/image.yaml".into(),
            Error::ServiceImage { .. } => "add it, or name one of: `cargo xtask image ls`".into(),
            Error::TwoTypes { .. } => {
                "one of them is its base as it is: add something to it, a label in its `config` is enough".into()
            }
            Error::NoRoot(_) => "name the root that you trust: `cargo xtask verify FILE --root N.root.json`; for keys of your own, restore the folder trust from their backup, or make new ones: `cargo xtask keys init`".into(),
            Error::Passphrase(_) => "put it on the first line of a file of mode 0600: `--passphrase-file FILE`".into(),
            Error::Password(_) => "pipe it in: `cargo xtask registry login HOST --username USER --password-stdin < FILE`".into(),
            Error::VersionTaken { .. } => "a version is never moved: choose another, `cargo xtask release --version V`".into(),
            Error::KeyNotInRoot { .. } => "keys and roots belong together: restore the folders keys and trust from one backup".into(),
            Error::RootExpired(_) => "is the clock right? `date`; else devices need a newer root, signed by the root key".into(),
            Error::RootExists(path) => format!("its keys are needed, not new ones: restore them from your backup; look at it with `cat {path}`; development ones make place for `cargo xtask keys init --production`"),
            Error::BadFile { path, .. } => format!("look at it: `cat {path}`"),
            Error::SeqTaken { .. } => "somebody released from another machine at the same time: run `cargo xtask release` again".into(),
            Error::Policy { rules, .. } => {
                let rule = rules.first().map_or("", String::as_str);
                format!("what it means and what to do: `cargo xtask policy explain {rule}`")
            }
            Error::UnknownRefusal(_) => "a code stands in brackets in the refusal: `cargo xtask bundle why CODE`".into(),
            Error::RemoteEngine { .. } => {
                "use the Engine of this machine: `DOCKER_HOST=unix:///var/run/docker.sock cargo xtask sim`".into()
            }
            Error::EngineElsewhere(_) => {
                "run the job on the machine itself, without `container:`, or with `docker run --network host`: `cargo xtask doctor`".into()
            }
            Error::NotLoaded { .. } => "the Engine says what it has: `docker images --no-trunc`".into(),
            Error::NoMirror { .. } => {
                "this machine's apt sources name none; name one: `export XEDGE_DEBIAN_MIRROR=http://HOST/debian`, or for good `debian_mirror: http://HOST/debian` in config.yaml of the data folder".into()
            }
            Error::BasePlatform { platform, .. } => {
                format!("take {platform} out of `platforms` in image.yaml, or stand on another image")
            }
            Error::NotImported { .. } => "import it again: `cargo xtask image import --help`".into(),
            Error::UserTaken { .. } => "give it that number, or another name, in image.yaml".into(),
            Error::Lock { .. } => "resolve it again and review the change: `cargo xtask lock --update && git diff images`".into(),
            Error::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                format!("there is no such file: `ls {}`", path.parent().unwrap_or(path))
            }
            Error::Write { path, source } if source.kind() == std::io::ErrorKind::StorageFull => {
                format!("the disk is full: `df -h {}`", path.parent().unwrap_or(path))
            }
            Error::Spawn { program, .. } => format!("is `{program}` installed? `cargo xtask doctor`"),
            Error::DeviceAnswer { host, .. } => format!("is it an agent of this version? `cargo xtask device doctor --host {host}`"),
            Error::Problems(_) => "`cargo xtask setup`".into(),
            Error::Formats(_) => "what to do stands below each file: `cargo xtask doctor`".into(),
            Error::Declined => "without a question: `cargo xtask setup --yes`".into(),
            Error::Cargo { package, .. } => format!("see its own words: `cargo build --package {package}`"),
            Error::Scenarios { .. } => "the reports say why: `ls target/xedge/reports`".into(),
            _ => return None,
        };
        Some(text)
    }
}

/// Reads a text file, naming it on failure.
pub(crate) fn read_text(path: &camino::Utf8Path) -> Result<String> {
    Ok(std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?)
}

/// Reads a file, naming it on failure.
pub(crate) fn read_bytes(path: &camino::Utf8Path) -> Result<Vec<u8>> {
    Ok(std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?)
}
