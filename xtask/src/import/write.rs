//! The files of an import: made beside, tried, and moved into place at the end. Nothing that is there is replaced.

use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use xedge_model::ImageDef;
use xedge_model::atomic::{self, WriteError};
use xedge_model::yaml::Source;

use super::error::ImportError;
use super::files::{Copy, escaped};
use super::images::NewImage;
use super::secrets::{CLOSE, OPEN};
use crate::error::Result;

/// Everything that an import makes.
pub(super) struct Made<'a> {
    pub(super) root: &'a Utf8Path,
    pub(super) stack: &'a str,
    /// The imported file, for comments.
    pub(super) file: &'a str,
    /// The stack's Compose file, names of device values in it between their marks.
    pub(super) compose: String,
    pub(super) copies: &'a std::collections::BTreeMap<Utf8PathBuf, Copy>,
    pub(super) images: &'a [NewImage],
    /// Names of values that each device fills in.
    pub(super) device_values: &'a [String],
    /// Secrets with their owners.
    pub(super) secrets: &'a [(String, u32)],
}

/// Where an import makes its files; what a killed one left there, `gc` removes.
pub(crate) const STAGES: &str = "target/xedge/import";

/// The most that a build's context holds when it is copied.
const MOST_BYTES: u64 = 256 << 20;

impl Made<'_> {
    /// What comes to the project: folders and files below its root.
    pub(super) fn places(&self) -> Vec<Utf8PathBuf> {
        let stack = self.stack;
        let mut places = vec![Utf8PathBuf::from(format!("templates/stacks/{stack}"))];
        if !self.copies.is_empty() {
            places.push(format!("templates/services/{stack}").into());
        }
        places.extend(self.images.iter().map(|image| format!("images/{}", image.folder).into()));
        places.push(format!("scenarios/{stack}_smoke.yaml").into());
        places
    }

    /// Makes everything in a folder beside, has it read by those who will, and moves it into place.
    pub(super) fn write(&self, dry_run: bool) -> Result<()> {
        let taken: Vec<Utf8PathBuf> = self
            .places()
            .into_iter()
            .filter(|place| self.root.join(place).symlink_metadata().is_ok())
            .collect();
        if !taken.is_empty() {
            return Err(ImportError::Exists(taken).into());
        }
        let beside = self.root.join(STAGES);
        let failed = |source| ImportError::Write(WriteError::new(&beside, source));
        fs::create_dir_all(&beside).map_err(failed)?;
        let kept = tempfile::tempdir_in(&beside).map_err(failed)?;
        let stage = Utf8Path::from_path(kept.path()).ok_or_else(|| failed(io::Error::other("no UTF-8")))?;
        self.fill(stage)?;
        self.try_out(stage)?;
        if !dry_run {
            self.move_in(stage).map_err(|source| ImportError::Write(WriteError::new(self.root, source)))?;
        }
        Ok(())
    }

    fn fill(&self, stage: &Utf8Path) -> Result<()> {
        let templates = stage.join("templates");
        let stack = templates.join("stacks").join(self.stack);
        put(&stack.join("stack.yaml"), &self.stack_text(), 0o644)?;
        put(&stack.join("compose.yaml.j2"), &self.compose_text(), 0o644)?;
        for (path, copy) in self.copies {
            let template = templates.join("services").join(self.stack).join(format!("{path}.j2"));
            put(&template, &with_names(&escaped(&copy.text)), 0o644)?;
        }
        for image in self.images {
            let folder = stage.join("images").join(&image.folder);
            if let Some(context) = &image.context {
                let mut left = MOST_BYTES;
                let takes = |path: &Utf8Path| !context.leaves_out(path);
                let context = &context.folder;
                copy_folder(context, &folder, &mut left, &takes)
                    .map_err(|source| ImportError::Context { context: context.clone(), source })?;
                if folder.join("image.yaml").exists() {
                    let source = io::Error::other("it holds an image.yaml of its own");
                    return Err(ImportError::Context { context: context.clone(), source }.into());
                }
            }
            put(&folder.join("image.yaml"), &image.text(self.file), 0o644)?;
        }
        put(&stage.join(format!("scenarios/{}_smoke.yaml", self.stack)), &self.scenario_text(), 0o644)
    }

    fn compose_text(&self) -> String {
        let text = with_names(&escaped(&self.compose));
        format!("{{# Made by `cargo xtask import compose` from {}; yours to change. #}}\n{text}", self.file)
    }

    fn stack_text(&self) -> String {
        use std::fmt::Write as _;
        let stack = self.stack;
        let mut text =
            format!("# Made by `cargo xtask import compose` from {}; yours to change.\n", self.file);
        let _ = write!(text, "format: 1\nname: {}\ncompose: stacks/{stack}/compose.yaml.j2\n", json!(stack));
        if !self.copies.is_empty() {
            text.push_str("files:\n");
        }
        for (path, copy) in self.copies {
            let template = json!(format!("services/{stack}/{path}.j2"));
            let _ = writeln!(
                text,
                "  - {{template: {template}, output: {}, mode: \"{:04o}\"}}",
                json!(path),
                copy.mode
            );
        }
        if !self.secrets.is_empty() {
            text.push_str("\n# A container finds them in /run/secrets; `owner` is the user that it runs as.\nsecrets:\n");
        }
        for (name, owner) in self.secrets {
            let _ = writeln!(text, "  {name}: {{kind: file, owner: {owner}}}");
        }
        if !self.device_values.is_empty() {
            text.push_str(
                "\n# Every device fills in its own; the gate runs with the sample.\ndevice_values:\n",
            );
        }
        for name in self.device_values {
            let sample = format!("sample-{}", name.replace('_', "-"));
            let _ = writeln!(
                text,
                "  {name}: {{pattern: \"[ -~]{{1,128}}\", sample: {sample}, max_length: 128}}"
            );
        }
        let _ = write!(text, "\ngate: [{stack}_smoke]\n");
        text
    }

    fn scenario_text(&self) -> String {
        format!(
            "# All services of the stack {0}: they become healthy, their published ports answer, and they keep running.\n\
             simulation: {{duration_s: 10, seed: 1}}\nprofile: production\nstack: {0}\n",
            self.stack
        )
    }

    /// Renders the stack for every environment, among the project's other templates, and reads the images.
    fn try_out(&self, stage: &Utf8Path) -> Result<()> {
        let trial = stage.join("trial");
        let templates = self.root.join("templates");
        let failed = |source| ImportError::Write(WriteError::new(&trial, source));
        if templates.is_dir() {
            copy_templates(&templates, &trial).map_err(failed)?;
        }
        copy_templates(&stage.join("templates"), &trial).map_err(failed)?;
        for environment in xedge_config::environments(&trial)? {
            let _rendered = xedge_config::render(&trial, self.stack, &environment)?;
        }
        for image in self.images {
            ImageDef::parse(&Source::new(
                format!("images/{}/image.yaml", image.folder),
                image.text(self.file),
            ))?;
        }
        Ok(())
    }

    /// Moves every place; what was moved goes away again when a later one fails.
    fn move_in(&self, stage: &Utf8Path) -> io::Result<()> {
        let mut moved: Vec<Utf8PathBuf> = Vec::new();
        for place in self.places() {
            let target = self.root.join(&place);
            let parent = target.parent().unwrap_or(self.root);
            let done = fs::create_dir_all(parent).and_then(|()| move_to(&stage.join(&place), &target));
            if let Err(error) = done {
                for target in moved {
                    let _ =
                        if target.is_dir() { fs::remove_dir_all(&target) } else { fs::remove_file(&target) };
                }
                return Err(error);
            }
            moved.push(target);
        }
        Ok(())
    }
}

fn put(path: &Utf8Path, text: &str, mode: u32) -> Result<()> {
    Ok(atomic::write(path, text.as_bytes(), mode)?)
}

/// A template's text: the names of device values between their marks become what a template writes.
fn with_names(text: &str) -> String {
    text.replace(OPEN, "{{ device.").replace(CLOSE, " }}")
}

/// Moves a file or folder, also where `target/` is on another disk.
fn move_to(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            if from.is_dir() {
                let mut left = u64::MAX;
                copy_folder(from, to, &mut left, &|_| true)
            } else {
                fs::copy(from, to).map(drop)
            }
        }
        moved => moved,
    }
}

/// Copies the files and folders that are taken, by their path below `from`; links and everything else are refused.
fn copy_folder(
    from: &Utf8Path,
    to: &Utf8Path,
    left: &mut u64,
    takes: &dyn Fn(&Utf8Path) -> bool,
) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        let name = Utf8Path::new(entry.file_name());
        let (kind, target) = (entry.file_type()?, to.join(name));
        if !takes(name) {
            continue;
        }
        if kind.is_dir() {
            copy_folder(entry.path(), &target, left, &|below| takes(&name.join(below)))?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            *left = left.checked_sub(size).ok_or_else(|| io::Error::other("it holds more than 256 MiB"))?;
            fs::copy(entry.path(), &target)?;
        } else {
            return Err(io::Error::other(format!("{} is neither a file nor a folder", entry.path())));
        }
    }
    Ok(())
}

/// Copies templates for a trial; links to files are followed, as they are when a stack is rendered.
fn copy_templates(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_templates(entry.path(), &target)?;
        } else if entry.path().is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
