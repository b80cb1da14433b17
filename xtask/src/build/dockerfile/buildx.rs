//! Building with docker's buildx plugin, which speaks to the `BuildKit` of the Engine. The result stays in the Engine,
//! without a tag, like that of the Engine's own builder.

use std::collections::{BTreeMap, VecDeque};
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::process::Command;
use xedge_model::Platform;
use xedge_sim::{BuildEnd, BuildFailure};

use super::error::Error;
use crate::error::{Error as Shared, Result, read_text};

const TAIL: usize = 20;

/// Whether the plugin is there. Its version is part of what an image is made from.
pub(super) fn version() -> Option<String> {
    let output =
        std::process::Command::new("docker").args(["buildx", "version"]).stdin(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.contains("buildx").then_some(text)
}

/// A build.
pub(super) struct Request<'a> {
    /// Where the Engine answers, as `DOCKER_HOST`.
    pub(super) host: &'a str,
    pub(super) context: &'a Utf8Path,
    /// The Dockerfile with the names of images filled in, and the text of its ignore file.
    pub(super) dockerfile: &'a str,
    pub(super) ignore: &'a str,
    pub(super) platform: Platform,
    pub(super) target: Option<&'a str>,
    pub(super) args: &'a BTreeMap<String, String>,
    /// Files by id.
    pub(super) secrets: &'a BTreeMap<String, Utf8PathBuf>,
}

/// Builds. The process ends when this future is dropped.
pub(super) async fn build(request: &Request<'_>, progress: impl Fn(&str)) -> Result<BuildEnd> {
    let scratch = tempfile::tempdir().map_err(|error| Error::Buildx(error.to_string()))?;
    let folder =
        Utf8Path::from_path(scratch.path()).ok_or_else(|| Error::Buildx("its folder's name".to_owned()))?;
    let (file, id) = (folder.join("Dockerfile"), folder.join("id"));
    let ignore = folder.join("Dockerfile.dockerignore");
    for (path, text) in [(&file, request.dockerfile), (&ignore, request.ignore)] {
        std::fs::write(path, text).map_err(|source| Shared::Write { path: path.clone(), source })?;
    }
    let mut command = command(request, &file, &id);
    let mut child =
        command.spawn().map_err(|source| Shared::Spawn { program: "docker buildx".into(), source })?;
    let mut group = Group(child.id());
    let mut output = Output::default();
    if let Some(stderr) = child.stderr.take() {
        output.read(BufReader::new(stderr), &progress).await;
    }
    let status = child.wait().await.map_err(|error| Error::Buildx(error.to_string()))?;
    group.0 = None;
    if status.success() {
        return Ok(BuildEnd::Image(read_text(&id)?.trim().to_owned()));
    }
    Ok(BuildEnd::Failed(output.failure()))
}

fn command(request: &Request<'_>, file: &Utf8Path, id: &Utf8Path) -> Command {
    let mut command = Command::new("docker");
    // The builder `default` is the Engine's own: it has the images of the project that were loaded.
    command.args(["--host", &url(request.host), "buildx", "--builder", "default", "build", "--load"]);
    command.args(["--progress", "plain", "--provenance=false", "--platform", request.platform.as_str()]);
    command.args(["--file", file.as_str(), "--iidfile", id.as_str()]);
    command.args(request.target.into_iter().flat_map(|target| ["--target", target]));
    for (name, value) in request.args {
        command.arg("--build-arg").arg(format!("{name}={value}"));
    }
    for (name, path) in request.secrets {
        command.arg("--secret").arg(format!("id={name},src={path}"));
    }
    command.arg(request.context.as_str());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    command
}

/// docker and its plugin, which is a process of its own. They end when a build is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // Those that ended by themselves are an error here.
            let _gone = rustix::process::kill_process_group(leader, rustix::process::Signal::TERM);
        }
    }
}

fn url(host: &str) -> String {
    if host.contains("://") { host.to_owned() } else { format!("unix://{host}") }
}

#[derive(Default)]
struct Output {
    steps: BTreeMap<String, String>,
    tail: VecDeque<String>,
    failed: Option<(String, String)>,
}

impl Output {
    /// To its end: who writes into a pipe that nobody reads is stopped. Programs print bytes that are no text.
    async fn read(&mut self, mut from: impl AsyncBufRead + Unpin, progress: &impl Fn(&str)) {
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            self.take(String::from_utf8_lossy(&line).trim_end(), progress);
            line.clear();
        }
    }

    /// `#7 [2/3] RUN make`, `#7 0.1 what it says`, `#7 ERROR: process …`.
    fn take(&mut self, line: &str, progress: &impl Fn(&str)) {
        if line.is_empty() {
            return;
        }
        if let Some((number, rest)) = line.strip_prefix('#').and_then(|line| line.split_once(' ')) {
            if rest.starts_with('[') && !self.steps.contains_key(number) {
                self.steps.insert(number.to_owned(), rest.to_owned());
                progress(rest);
            }
            if let Some(message) = rest.strip_prefix("ERROR: ") {
                let step = self.steps.get(number).cloned().unwrap_or_default();
                self.failed = Some((step, message.to_owned()));
            }
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }

    fn failure(self) -> BuildFailure {
        let last = self.tail.iter().rev().find(|line| line.starts_with("ERROR"));
        let told = last.or(self.tail.back()).cloned().unwrap_or_else(|| "it says nothing".to_owned());
        let (step, message) = self.failed.unwrap_or((String::new(), told));
        BuildFailure { step, tail: self.tail.into(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::Output;

    #[test]
    fn the_failing_step_is_found() {
        let mut output = Output::default();
        let lines =
            ["#1 [internal] load", "#5 [2/2] RUN false", "#5 0.1 said", "#5 ERROR: exit code: 1", "------"];
        for line in lines {
            output.take(line, &|_| {});
        }
        let failure = output.failure();
        assert_eq!((failure.step.as_str(), failure.message.as_str()), ("[2/2] RUN false", "exit code: 1"));
        assert_eq!(failure.tail.len(), lines.len());
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_end_nothing() {
        let mut output = Output::default();
        let said = b"#5 [2/2] RUN x\n#5 0.1 \xff\xfe\n#5 0.2 the reason\n#5 ERROR: exit code: 7";
        output.read(&said[..], &|_| {}).await;
        let failure = output.failure();
        assert_eq!((failure.step.as_str(), failure.message.as_str()), ("[2/2] RUN x", "exit code: 7"));
        assert!(failure.tail.contains(&"#5 0.2 the reason".to_owned()), "{:?}", failure.tail);
    }
}
