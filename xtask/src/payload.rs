//! Rust payloads of images: cross-compiled, static, and the same bytes in every folder.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::Platform;
use xedge_model::image::Payload;
use xshell::Shell;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::project::Project;
use crate::setup::{Surroundings, Toolchain, target_toolchain};

/// The Cargo profile of payloads, given on the command line so that every project's payloads are built alike: small,
/// stripped, without unwinding.
const PROFILE: [&str; 6] = [
    "profile.payload.inherits='release'",
    "profile.payload.opt-level='s'",
    "profile.payload.lto=true",
    "profile.payload.codegen-units=1",
    "profile.payload.panic='abort'",
    "profile.payload.strip=true",
];

/// A built payload.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The binary on this machine.
    pub(crate) file: Utf8PathBuf,
    /// Where it goes in the image.
    pub(crate) path: Utf8PathBuf,
}

/// All payloads of one image for one platform, and the compiler that made them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    /// The programs.
    pub(crate) programs: Vec<Program>,
    /// First line of `rustc -vV`.
    pub(crate) rustc: Option<String>,
}

/// Builds the payloads; Cargo decides what is stale.
pub(crate) fn build(
    project: &Project,
    environment: &Environment,
    payloads: &[Payload],
    platform: Platform,
) -> Result<Programs> {
    if payloads.is_empty() {
        return Ok(Programs::default());
    }
    let toolchain = target_toolchain(platform, &Surroundings::of(environment, project.root()))?;
    let target_dir = project.output("payload").join(platform.file_stem());
    let mut programs = Vec::new();
    for payload in payloads {
        cargo(project.root(), environment, &toolchain, payload, platform, &target_dir)?;
        let file = target_dir.join(platform.rust_target()).join("payload").join(&payload.bin);
        programs.push(Program { file, path: payload.path.clone() });
    }
    Ok(Programs { programs, rustc: Some(toolchain.version) })
}

/// The device's program for a platform, from the sources that this xedge was compiled from: a project of its own has none. The
/// output lies below the project all the same.
pub(crate) fn agent(project: &Project, environment: &Environment, platform: Platform) -> Result<Utf8PathBuf> {
    const NAME: &str = "xedge-agent";
    let sources = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Utf8Path::new("/"));
    if !sources.join("images/edge-agent/Cargo.toml").is_file() {
        let hint = "name a program that was built elsewhere: `cargo xtask deploy --agent FILE`".to_owned();
        let (what, name) = ("the sources of xedge-agent in", sources.to_string());
        return Err(Error::Unknown { what, name, hint }.into());
    }
    let toolchain = target_toolchain(platform, &Surroundings::of(environment, sources))?;
    let target_dir = project.output("payload").join(platform.file_stem());
    let payload = Payload { package: NAME.into(), bin: NAME.into(), path: NAME.into() };
    cargo(sources, environment, &toolchain, &payload, platform, &target_dir)?;
    Ok(target_dir.join(platform.rust_target()).join("payload").join(NAME))
}

/// The compiler that would build the payloads of an image here: none without payloads, or without a compiler.
pub(crate) fn compiler(
    project: &Project,
    environment: &Environment,
    payloads: &[Payload],
    platform: Platform,
) -> Option<String> {
    let around = Surroundings::of(environment, project.root());
    (!payloads.is_empty())
        .then(|| target_toolchain(platform, &around).ok())
        .flatten()
        .map(|found| found.version)
}

fn cargo(
    root: &Utf8Path,
    environment: &Environment,
    toolchain: &Toolchain,
    payload: &Payload,
    platform: Platform,
    target_dir: &Utf8PathBuf,
) -> Result<()> {
    let spawn =
        |error: xshell::Error| Error::Spawn { program: "cargo".into(), source: std::io::Error::other(error) };
    let sh = Shell::new().map_err(spawn)?;
    sh.change_dir(root);
    let flags = remaps(root, environment);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let command = sh
        .cmd(toolchain.cargo.as_str())
        .args(["build", "--locked", "--quiet", "--profile", "payload"])
        .args(["--package", &payload.package, "--bin", &payload.bin])
        .args(["--target", toolchain.target(), "--target-dir", target_dir.as_str()])
        .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
        .envs(toolchain.env(&flags))
        .ignore_status()
        .quiet();
    let output = command.output().map_err(spawn)?;
    if output.status.success() {
        return Ok(());
    }
    let output = format!("\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    Err(Error::Cargo { package: payload.package.clone(), platform, output }.into())
}

/// No folder of this machine in the binary.
fn remaps(root: &Utf8Path, environment: &Environment) -> Vec<String> {
    let cargo_home = environment
        .var("CARGO_HOME")
        .map(str::to_owned)
        .or_else(|| environment.var("HOME").map(|home| format!("{home}/.cargo")));
    let mut flags: Vec<String> =
        cargo_home.map(|home| format!("--remap-path-prefix={home}=/cargo")).into_iter().collect();
    flags.push(format!("--remap-path-prefix={root}=/project"));
    flags
}
