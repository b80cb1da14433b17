//! The command line as data: clap types only, no behaviour.

mod deploy;
mod make;
mod policy;
mod ship;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use xedge_model::Platform;

pub(crate) use deploy::{Deploy, Device, HostArgs, WhichArgs};
pub(crate) use make::{New, NewCommand, Secrets};
pub(crate) use policy::{Policy, PolicyCheck};
pub(crate) use ship::{
    Bundle, Extract, ImageArgs, Keys, PublicForm, Push, ReachArgs, Registry, RegistryArgs, Release,
    StackArgs, Verify,
};

const EXIT_CODES: &str = "Exit codes: 0 done · 1 environment (worth a retry) · 2 a gate failed · 3 bad input · \
    4 invalid run · 5 flaky · 6 integrity · 101 a bug of ours · 130 interrupted";

/// Takes edge software from simulation to production.
///
/// The image digest and the configuration that passed the simulation are the ones that run. Images are assembled
/// without a daemon, proved against real brokers, and bound to their configuration by signed evidence.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Project folder; else found by walking up from the current one
    #[arg(long, global = true, env = "XEDGE_PROJECT", value_name = "DIR")]
    pub(crate) project: Option<Utf8PathBuf>,
    /// Form of data on stdout, and of errors on stderr
    #[arg(long, global = true, env = "XEDGE_FORMAT", value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Colour of talk on stderr
    #[arg(long, global = true, env = "XEDGE_COLOR", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// File of mode 0600 whose first line is the passphrase of production keys; else it is asked for at a terminal
    #[arg(long, global = true, env = "XEDGE_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<Utf8PathBuf>,
    /// No talk and no progress; warnings, errors and data stay
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// Form of data and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For scripts: one JSON value a line
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// At a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether to use colour, given what `auto` would do.
    pub(crate) fn decide(self, auto: bool) -> bool {
        match self {
            Color::Auto => auto,
            Color::Always => true,
            Color::Never => false,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install and start what this machine lacks; print the plan first
    Setup(Setup),
    /// List every problem of this machine at once, each with the command that mends it
    Doctor,
    /// Lay out a project, or add an image, scenario or stack to one
    New(New),
    /// Resolve packages and write images/*/image.lock.json; keep what they name
    Lock(Lock),
    /// Assemble images into the layout; print one line per image, NAME@sha256:INDEX
    Build(Build),
    /// Look at built images, or save one
    #[command(subcommand)]
    Image(Image),
    /// Make a stack of this project from a file of another tool; print what became of each key
    #[command(subcommand)]
    Import(Import),
    /// Render a stack's configuration for one environment
    Render(Render),
    /// Review a configuration by rules: authentication, persistence, logging, limits, secrets
    #[command(subcommand)]
    Policy(Policy),
    /// Run scenarios against the images by digest; write reports and signed evidence
    Sim(Sim),
    /// Print the JSON Schema of a kind of file, for editors
    Schema {
        /// Which kind
        #[arg(value_enum, default_value_t = Schema::Scenario)]
        of: Schema,
    },
    /// Build, render, gate, push and bundle in one go; print digests, references and the bundle's path
    Release(Release),
    /// Push gated images by digest; print one reference by digest per line
    Push(Push),
    /// Log in to a registry; look at the embedded one, or serve it
    #[command(subcommand)]
    Registry(Registry),
    /// Make or show keys
    #[command(subcommand)]
    Keys(Keys),
    /// Make, set, list, renew and hand out the passwords and files that stacks need
    #[command(subcommand)]
    Secrets(Secrets),
    /// Check a bundle offline, from a root that is trusted already
    Verify(Verify),
    /// Look into a bundle, or have a refusal explained
    #[command(subcommand)]
    Bundle(Bundle),
    /// Bring a release to devices over ssh: what they lack travels, they verify it, switch over, and go back by themselves
    Deploy(Deploy),
    /// Look at a device, roll it back, or take a stack off it
    #[command(subcommand)]
    Device(Device),
    /// Remove what kept or dead runs left in the Engine, their images, and blobs that no image needs
    Gc(Gc),
    /// Run CI jobs, the same as in GitHub Actions
    Ci(Ci),
    /// A published port of the embedded engine, which starts this itself
    #[command(hide = true)]
    EmbeddedForward {
        /// Network namespace of the run
        network: String,
        /// Address in it
        to: std::net::SocketAddr,
    },
}

impl Command {
    /// What is to run containers.
    pub(crate) fn engine(&self) -> EngineChoice {
        match self {
            Command::Sim(flags) => flags.engine,
            Command::Release(flags) => flags.engine,
            Command::Ci(flags) => flags.engine,
            Command::Gc(flags) => flags.engine,
            Command::Deploy(flags) => flags.engine,
            // They run no containers; what builds or loads images needs Docker's API in any case.
            _ => EngineChoice::Auto,
        }
    }
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Schema {
    /// scenarios/*.yaml
    Scenario,
}

/// `setup`.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    /// Do it without a question
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only print the plan; exit 1 if something is missing
    #[arg(long, conflicts_with = "yes")]
    pub(crate) check: bool,
    /// Also for this platform, beside the usual two (linux/arm/v7 is 32-bit ARM)
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Vec<Platform>,
}

/// `lock`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Lock {
    /// Images by folder or name; all when none is named
    pub(crate) images: Vec<String>,
    /// Resolve again, to the newest versions
    #[arg(long)]
    pub(crate) update: bool,
    /// Only check that the locks meet the definitions and that every package can be had
    #[arg(long, conflicts_with = "update")]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<LockCommand>,
}

/// `lock` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Push the locked packages to a registry, where a build finds what the mirror no longer has
    Archive {
        /// Images by folder or name; all when none is named
        images: Vec<String>,
        #[command(flatten)]
        registry: RegistryArgs,
    },
}

/// `build`.
#[derive(Args, Debug)]
pub(crate) struct Build {
    /// Images by folder or name; all when none is named
    pub(crate) images: Vec<String>,
    /// Only these platforms (linux/amd64, linux/arm64, linux/arm/v7)
    #[arg(long, value_name = "P", value_parser = platform)]
    pub(crate) platform: Vec<Platform>,
    /// Also put this machine's platform into the Engine, as NAME:latest
    #[arg(long)]
    pub(crate) load: bool,
    /// Fail where a lock cannot be used as it is
    #[arg(long)]
    pub(crate) locked: bool,
}

/// `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List the images of the layout
    Ls,
    /// Show digests, layers, packages and SBOM of one image; every blob is hashed again
    Inspect {
        /// Folder or name
        image: String,
    },
    /// Write an archive that `docker load` takes and that is an OCI layout too
    Save {
        /// Folder or name
        image: String,
        /// The file to write
        #[arg(long, short, value_name = "FILE")]
        output: Utf8PathBuf,
        /// Platform; this machine's when not given
        #[arg(long, value_name = "P", value_parser = platform)]
        platform: Option<Platform>,
    },
    /// Take over an image that somebody else built, so that it can pass the gate; print NAME@sha256:INDEX
    Import(ImageImport),
}

/// `image import`.
#[derive(Args, Debug)]
pub(crate) struct ImageImport {
    /// Archives of `docker save`, or OCI layouts (archive or folder); several for several platforms
    #[arg(required_unless_present = "from_engine", conflicts_with = "from_engine")]
    pub(crate) files: Vec<Utf8PathBuf>,
    /// Take it from the Engine, by name or id
    #[arg(long, value_name = "REF")]
    pub(crate) from_engine: Option<String>,
    /// What it is called here: images/NAME, and imported/NAME in the embedded registry
    #[arg(long)]
    pub(crate) name: String,
    /// Which image of the archive, where it holds several
    #[arg(long, value_name = "IMAGE", conflicts_with = "from_engine")]
    pub(crate) image: Option<String>,
}

/// `import`.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// A Compose file: stack, templates, image definitions and a scenario; no existing file is changed
    Compose(ImportCompose),
}

/// `import compose`.
#[derive(Args, Debug)]
pub(crate) struct ImportCompose {
    /// The Compose file
    pub(crate) file: Utf8PathBuf,
    /// Name of the stack; the file's `name`, else its folder's when not given
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// File of NAME=value for `${NAME}`, instead of the `.env` beside the Compose file; later ones win
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<Utf8PathBuf>,
    /// Leave a key out, by the path that the report names
    #[arg(long, value_name = "KEY")]
    pub(crate) without: Vec<String>,
    /// Platforms of the new image definitions
    #[arg(long, value_name = "P", value_parser = platform)]
    pub(crate) platform: Vec<Platform>,
    /// Print the report and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `render`.
#[derive(Args, Debug)]
pub(crate) struct Render {
    /// Stack, a folder below templates/stacks; the only one when there is one
    #[arg(long)]
    pub(crate) stack: Option<String>,
    /// Environment, a file below templates/environments
    #[arg(long, default_value = "production")]
    pub(crate) env: String,
    /// Class of devices, one of the environment's `classes`
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Folder to write; target/xedge/rendered/STACK.ENV when not given
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<Utf8PathBuf>,
    /// Write nothing; fail if the folder differs from what would be rendered, and show how
    #[arg(long)]
    pub(crate) check: bool,
    /// Print what differs from this environment, and why; write nothing
    #[arg(long, value_name = "ENV", conflicts_with_all = ["check", "out"])]
    pub(crate) diff: Option<String>,
    /// Print differences as a unified diff instead of a table
    #[arg(long, requires = "diff")]
    pub(crate) unified: bool,
    /// Write the stack into the folder of `--out` in a form for work by hand; nothing checks it on a device
    #[arg(long = "as", value_name = "FORM", value_enum, requires = "out", conflicts_with_all = ["check", "diff"])]
    pub(crate) form: Option<Form>,
    /// A device value of such a form, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = ship::assignment, requires = "form")]
    pub(crate) set: Vec<(String, String)>,
}

/// A form of `render --as`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A Compose file
    Compose,
    /// Units of Podman's Quadlet
    Quadlet,
    /// A script of `docker run` lines
    Run,
}

/// `sim`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Sim {
    /// Scenarios by name or file; all of scenarios/ when none is named
    pub(crate) scenarios: Vec<String>,
    /// Shorten the publishing phase, such as 5s; such a run is never evidence
    #[arg(long, value_name = "D", value_parser = span)]
    pub(crate) duration: Option<xedge_model::duration::Span>,
    /// Environment whose configuration scenarios of `profile: production` run
    #[arg(long, default_value = "production")]
    pub(crate) env: String,
    /// Another seed than the scenario's; such a run is never evidence
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Run every seed so many times; fewer than the scenario asks for are never evidence
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: Option<u32>,
    /// Scenarios side by side; as many as fit this machine's CPUs and memory when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: Option<u32>,
    /// Only the scenarios of one of several machines, such as 1/4; the same split everywhere
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Leave containers, volumes and network in the Engine; such a run is never evidence
    #[arg(long)]
    pub(crate) keep: bool,
    /// What runs the containers
    #[arg(long, env = "XEDGE_ENGINE", value_enum, default_value_t = EngineChoice::Auto)]
    pub(crate) engine: EngineChoice,
    /// Fail where a lock cannot be used as it is
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(subcommand)]
    pub(crate) command: Option<SimCommand>,
}

/// One of several machines that share the scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Which one, from 1.
    pub(crate) number: u32,
    /// How many there are.
    pub(crate) of: u32,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) && of <= 1_000 => Ok(Self { number, of }),
            _ => Err("expected I/N with I from 1 to N, such as 1/4".to_owned()),
        }
    }
}

/// What runs containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineChoice {
    /// Docker's API where it answers, else the embedded engine
    #[default]
    Auto,
    /// Docker's API: Docker or Podman
    Docker,
    /// Namespaces of our own, with crun or runc; Linux, as root
    Embedded,
}

/// `sim` subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Check scenario files without running them
    Validate {
        /// Files
        #[arg(required = true)]
        files: Vec<Utf8PathBuf>,
    },
}

/// `ci`.
#[derive(Args, Debug)]
pub(crate) struct Ci {
    /// Jobs; all when none is named
    #[arg(value_enum)]
    pub(crate) jobs: Vec<Job>,
    /// What runs the containers of the simulation
    #[arg(long, env = "XEDGE_ENGINE", value_enum, default_value_t = EngineChoice::Auto)]
    pub(crate) engine: EngineChoice,
}

/// `gc`.
#[derive(Args, Debug)]
pub(crate) struct Gc {
    /// Whose containers and images are cleared, beside those of the embedded engine
    #[arg(long, env = "XEDGE_ENGINE", value_enum, default_value_t = EngineChoice::Auto)]
    pub(crate) engine: EngineChoice,
}

/// A CI job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    /// Formatting and lints
    Lint,
    /// All tests, with the real Engine
    Test,
    /// Every scenario, with evidence
    Sim,
    /// Deployments to a device that is a container: power cuts, bad releases, a full disk
    Device,
    /// The same faults 200 times over, and what the agent weighs (not part of all)
    DeviceFaults,
}

fn platform(text: &str) -> std::result::Result<Platform, String> {
    text.parse().map_err(|error: xedge_model::platform::UnknownPlatform| error.to_string())
}

fn span(text: &str) -> std::result::Result<xedge_model::duration::Span, String> {
    text.parse().map_err(|error: xedge_model::duration::NotASpan| error.to_string())
}
