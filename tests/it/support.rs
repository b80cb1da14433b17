//! Running the binary, and making projects to run it on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Ran {
    /// Fails with everything that was said unless the exit code is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless stderr has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` is not in stderr:\n{}", self.stderr);
        self
    }
}

/// This repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project").to_owned()
}

/// A data folder below `target/` for all tests, so that no test touches the user's keys and none is left elsewhere.
pub fn home() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/home"))
}

/// A command on a project, ready to run.
pub fn command(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(project).args(arguments).env("XEDGE_HOME", home()).env_remove("XEDGE_PROJECT");
    // Where the tests themselves run in GitHub Actions, its step summary is not theirs.
    command.stdin(Stdio::null()).env_remove("GITHUB_ACTIONS");
    command
}

/// Runs a prepared command to its end.
pub fn finish(mut command: Command) -> Ran {
    let output = command.output().expect("the binary starts");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command on a project.
pub fn run(project: &Path, arguments: &[&str]) -> Ran {
    finish(command(project, arguments))
}

/// Runs a command on this repository.
pub fn here(arguments: &[&str]) -> Ran {
    run(&root(), arguments)
}

/// A copy of this repository's files without outputs, in a folder of its own.
pub fn copy() -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&root(), copy.path());
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().expect("a file type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copied file");
        }
    }
}

/// Writes a scenario into a temporary folder and gives its path.
pub fn scenario(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("scenario.yaml");
    fs::File::create(&path).expect("a file").write_all(text.as_bytes()).expect("a written file");
    (folder, path)
}

/// Replaces text in a file; fails if it is not there.
#[track_caller]
pub fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("a readable file");
    assert!(text.contains(from), "`{from}` is not in {}", path.display());
    fs::write(path, text.replace(from, to)).expect("a written file");
}

/// Accepts what these rules find in a stack of a test, which is no example for production.
pub fn waive(project: &Path, stack: &str, rules: &[&str]) {
    let path = project.join("templates/policy.yaml");
    let mut text = fs::read_to_string(&path).expect("a readable file");
    for rule in rules {
        text += &format!(
            "  - {{rule: {rule}, stack: {stack}, reason: a test, owner: tests, expires: 9999-12-31}}\n"
        );
    }
    fs::write(path, text).expect("a written file");
}

/// A copy of this repository that shares its fetched packages, so that only one test fetches them.
pub fn project_with_packages() -> TempDir {
    static FETCHED: OnceLock<()> = OnceLock::new();
    FETCHED.get_or_init(|| drop(here(&["lock", "mqtt-broker"]).expect(0)));
    let project = copy();
    let outputs = project.path().join("target/xedge");
    fs::create_dir_all(&outputs).expect("a folder");
    std::os::unix::fs::symlink(root().join("target/xedge/store"), outputs.join("store")).expect("a link");
    project
}

/// Where `mark` is in a text; a `|` in it stands where the caret must be.
#[track_caller]
pub fn place(text: &str, mark: &str) -> (usize, usize) {
    let start = text.find(&mark.replace('|', "")).unwrap_or_else(|| panic!("`{mark}` is not in\n{text}"));
    let before = &text[..start + mark.find('|').unwrap_or(0)];
    (before.matches('\n').count() + 1, before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1)
}

/// What is said of a mistake at a line and column of a text: the place, the line, and a caret below it.
pub fn told(file: &str, text: &str, (line, column): (usize, usize), message: &str) -> String {
    let pad = " ".repeat(line.to_string().len());
    let content = text.lines().nth(line - 1).expect("a line of the text");
    let caret = " ".repeat(column - 1);
    format!("{file}:{line}:{column}: {message}\n{pad} |\n{line} | {content}\n{pad} | {caret}^\n")
}
