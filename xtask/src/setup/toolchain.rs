//! Which compiler and linker build a static Rust program for a platform, and the environment that makes cargo use
//! them. Builds nothing.
//!
//! The order: the rustc on `PATH` if it has the target's standard library (under rustup that is the toolchain which the
//! project pins), else Debian's `/usr/bin/rustc` with `libstd-rust-web-dev` of the other architecture, else an error.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::Platform;
use xshell::Shell;

use super::machine::RustFrom;
use super::{Error, Surroundings, probe};

/// Debian's compiler, and the version of it that the code needs (the workspace's `rust-version`).
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// What builds static programs for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The platform that is built for.
    pub platform: Platform,
    /// Whose compiler it is.
    pub from: RustFrom,
    /// The cargo to run.
    pub cargo: Utf8PathBuf,
    /// The compiler, by its absolute path.
    pub rustc: Utf8PathBuf,
    /// The C compiler that links.
    pub linker: String,
    /// The first line of `rustc -vV`, as a lock file records it.
    pub version: String,
}

/// The toolchain that builds static programs for `platform` in the project of `around`.
pub fn target_toolchain(platform: Platform, around: &Surroundings) -> Result<Toolchain, Error> {
    let sh = around.shell()?;
    let (from, rustc) = match path_rustc(&sh, platform) {
        Some(rustc) => (RustFrom::Path, rustc),
        None => (RustFrom::Debian, debian_rustc(around, &sh, platform)?),
    };
    let native = probe::native(around) == Some(platform);
    let linker = static_linker(around, &sh, platform, native).ok_or(Error::NoLinker { platform })?;
    let cargo = around.cargo.clone().unwrap_or_else(|| Utf8PathBuf::from("cargo"));
    let version = version_line(&sh, &rustc)?;
    Ok(Toolchain { platform, from, cargo, rustc, linker, version })
}

impl Toolchain {
    /// Rust's name of the target, for `cargo build --target`.
    pub fn target(&self) -> &'static str {
        self.platform.rust_target()
    }

    /// The variables for cargo. `flags` are further flags for rustc, such as `--remap-path-prefix`.
    ///
    /// The encoded form of the flags outranks what a person's environment or configuration says, so that the same code
    /// gives the same bytes on every machine. With `--target`, cargo keeps them from build scripts.
    pub fn env(&self, flags: &[&str]) -> BTreeMap<String, String> {
        let shout = self.target().replace('-', "_").to_uppercase();
        let mut rustflags = vec!["-Ctarget-feature=+crt-static"];
        rustflags.extend(flags);
        BTreeMap::from([
            ("RUSTC".to_owned(), self.rustc.to_string()),
            (format!("CARGO_TARGET_{shout}_LINKER"), self.linker.clone()),
            // Read by the `cc` crate, for dependencies with C in them.
            (format!("CC_{}", self.target().replace('-', "_")), self.linker.clone()),
            ("CARGO_ENCODED_RUSTFLAGS".to_owned(), rustflags.join("\u{1f}")),
        ])
    }
}

/// The rustc on `PATH`, by the absolute path behind rustup's proxy, if it has the platform's standard library.
pub(super) fn path_rustc(sh: &Shell, platform: Platform) -> Option<Utf8PathBuf> {
    let target = platform.rust_target();
    let asked =
        probe::output(sh, &["rustc", "--print", "sysroot", "--print", "target-libdir", "--target", target])?;
    let mut lines = asked.lines().map(Utf8PathBuf::from);
    let (sysroot, library) = (lines.next()?, lines.next()?);
    // The path is printed whether or not the folder is there, and an empty folder is left by removing a target.
    has_std(&library).then(|| sysroot.join("bin/rustc"))
}

/// Debian's rustc, if it has the platform's standard library and is new enough.
pub(super) fn debian_rustc(
    around: &Surroundings,
    sh: &Shell,
    platform: Platform,
) -> Result<Utf8PathBuf, Error> {
    let rustc = around.file(DEBIAN_RUSTC);
    let library = around.file(&format!("/usr/lib/rustlib/{}/lib", platform.rust_target()));
    if !rustc.exists() || !has_std(&library) {
        return Err(Error::NoRustTarget { platform });
    }
    let line = version_line(sh, &rustc)?;
    let found = line.split(' ').nth(1).unwrap_or_default();
    if at_least(found, OLDEST_RUST) {
        Ok(rustc)
    } else {
        let (rustc, found) = (rustc.into_string(), found.to_owned());
        Err(Error::OldRust { rustc, platform, found, needed: OLDEST_RUST })
    }
}

fn has_std(library: &Utf8Path) -> bool {
    let Ok(entries) = library.read_dir_utf8() else { return false };
    entries
        .flatten()
        .any(|entry| entry.file_name().starts_with("libstd-") && entry.path().extension() == Some("rlib"))
}

/// Whether version `found` (`1.96.0`) is `needed` (`1.95`) or newer.
pub(super) fn at_least(found: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    matches!((numbers(found), numbers(needed)), (Some(found), Some(needed)) if found >= needed)
}

/// The C compiler that links static programs for `platform`: it must be there and know a `libc.a`.
pub(super) fn static_linker(
    around: &Surroundings,
    sh: &Shell,
    platform: Platform,
    native: bool,
) -> Option<String> {
    let cross: [&str; 2] = match platform {
        // Debian's name, and the one of the cross toolchains for macOS.
        Platform::LinuxAmd64 => ["x86_64-linux-gnu-gcc", "x86_64-unknown-linux-gnu-gcc"],
        Platform::LinuxArm64 => ["aarch64-linux-gnu-gcc", "aarch64-unknown-linux-gnu-gcc"],
        Platform::LinuxArmV7 => ["arm-linux-gnueabihf-gcc", "armv7-unknown-linux-gnueabihf-gcc"],
    };
    let names: &[&str] = if native { &["cc", "gcc"] } else { &cross };
    names
        .iter()
        .filter(|name| around.which(name).is_some())
        .find(|name| knows_static_libc(sh, name))
        .map(|n| (*n).to_owned())
}

/// A compiler that does not find the file answers with the bare name.
fn knows_static_libc(sh: &Shell, compiler: &str) -> bool {
    probe::output(sh, &[compiler, "-print-file-name=libc.a"])
        .is_some_and(|file| Utf8Path::new(file.trim()).is_absolute() && Utf8Path::new(file.trim()).exists())
}

fn version_line(sh: &Shell, rustc: &Utf8Path) -> Result<String, Error> {
    let command = format!("{rustc} -vV");
    let output = sh.cmd(rustc).arg("-vV").quiet().ignore_status().output();
    let output = output.map_err(|source| Error::Start { command: command.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(line) if output.status.success() && line.starts_with("rustc ") => Ok(line.to_owned()),
        _ => {
            Err(Error::Rustc { command, tail: String::from_utf8_lossy(&output.stderr).trim_end().to_owned() })
        }
    }
}
