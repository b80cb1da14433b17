//! Images that somebody else's tools build: from a Dockerfile by the real Engine, and imported from it and from archives.

mod build;
mod import;
mod plugin;
mod refused;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::images::layout::{Layout, index_of};
use crate::support::{self, Ran};

/// A small project with a data folder of its own. Images that it put into the Engine are removed at the end.
struct Bench {
    project: TempDir,
    home: TempDir,
}

impl Bench {
    /// A project without images.
    fn empty() -> Self {
        let project = tempfile::tempdir().unwrap();
        fs::create_dir(project.path().join("images")).unwrap();
        fs::write(project.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        Self { project, home: tempfile::tempdir().unwrap() }
    }

    /// A project with the broker image, for what needs a program.
    fn with_broker() -> Self {
        Self { project: support::project_with_packages(), home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.project.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// An image of files, without an engine.
    fn assembled(&self, name: &str) {
        let yaml =
            "platforms: [linux/amd64, linux/arm64]\nfrom: scratch\nconfig: {command: [/x], user: \"7\"}\n";
        self.write(&format!("images/{name}/image.yaml"), &format!("format: 1\nname: {name}\n{yaml}"));
        self.write(&format!("images/{name}/rootfs/etc/{name}"), name);
    }

    /// An image from a Dockerfile, for this machine's platform.
    fn dockerfile(&self, name: &str, text: &str) {
        self.definition(name, "from: dockerfile\n");
        self.write(&format!("images/{name}/Dockerfile"), text);
    }

    fn definition(&self, name: &str, rest: &str) {
        let yaml = format!("format: 1\nname: {name}\nplatforms: [{}]\n{rest}", native());
        self.write(&format!("images/{name}/image.yaml"), &yaml);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = support::command(self.project.path(), arguments);
        command.env("XEDGE_HOME", self.home.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        support::finish(self.command(arguments))
    }

    /// Runs where no Engine answers.
    fn alone(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        support::finish(command)
    }

    /// Runs with the Engine's own builder, whatever plugins this machine has.
    fn classic(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.env("PATH", "/nonexistent");
        support::finish(command)
    }

    fn layout(&self) -> Layout {
        Layout::of(self.project.path())
    }

    /// Manifest and config of an image for an architecture.
    fn built(&self, stdout: &str, name: &str, architecture: &str) -> (Value, Value) {
        let layout = self.layout();
        let manifest = layout.manifests(&index_of(stdout, name))[architecture].clone();
        let config = layout.json(&manifest["config"]);
        (manifest, config)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for record in fs::read_dir(self.home.path().join("loaded")).into_iter().flatten().flatten() {
            let id = format!("sha256:{}", record.file_name().to_string_lossy());
            let _ = docker(&["rmi", &id]);
        }
    }
}

/// This machine's platform.
fn native() -> &'static str {
    if architecture() == "amd64" { "linux/amd64" } else { "linux/arm64" }
}

fn architecture() -> &'static str {
    if std::env::consts::ARCH == "x86_64" { "amd64" } else { "arm64" }
}

fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output().expect("docker starts: `cargo xtask setup`");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A name that no other test run has.
fn unique(word: &str) -> String {
    format!("{word}-{}", std::process::id())
}

/// Paths in a layer.
fn paths(layout: &Layout, layer: &Value) -> Vec<String> {
    let list = crate::images::layout::piped("tar", &["-tzf", "-"], &layout.blob(layer));
    String::from_utf8(list).unwrap().lines().map(|path| path.trim_end_matches('/').to_owned()).collect()
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
