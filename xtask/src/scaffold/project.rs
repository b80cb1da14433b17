//! A new project: Cargo's files, the five-line xtask, an image, a stack, a scenario, workflows and a test.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_config::policy::Date;
use xedge_model::Platform;

use super::parts::{self, Base};
use super::source::XedgeSource;
use super::tree::Tree;
use super::{Error, fill, name};
use crate::environment::Environment;
use crate::error::{Error as Other, Result, read_text};
use crate::setup::{self, Surroundings};

/// xedge's own lock: a new project starts with the versions that xedge was tested with.
const LOCK: &str = include_str!("../../../Cargo.lock");
const MANIFEST: &str = include_str!("../../../Cargo.toml");
const TOOLCHAIN: &str = include_str!("../../../rust-toolchain.toml");

/// Files that may be there already: they stay as they are, and the user is told what they should hold.
const ADOPTED: [(&str, &str); 5] = [
    (".gitignore", "it should name `/target`"),
    (
        ".dockerignore",
        "it should name `target`, `.git` and what xedge reads, or every run makes another image",
    ),
    ("README.md", "`cargo xtask --help` lists the commands"),
    ("rust-toolchain.toml", "xedge is tested with the toolchain that its own rust-toolchain.toml names"),
    ("rustfmt.toml", "it decides how `cargo xtask ci lint` wants the files of xtask/ and tests/"),
];

/// What is wanted.
pub(crate) struct Order<'a> {
    /// The folder as the user wrote it.
    pub(crate) folder: &'a Utf8Path,
    /// The project's name; the folder's when there is none.
    pub(crate) name: Option<&'a str>,
    /// Where xedge comes from; where this tool comes from when there is none.
    pub(crate) source: Option<XedgeSource>,
}

/// What was made.
pub(crate) struct Made {
    /// The folder.
    pub(crate) folder: Utf8PathBuf,
    /// The project's name.
    pub(crate) name: String,
    /// The files, ordered.
    pub(crate) files: Vec<Utf8PathBuf>,
    /// Where xedge comes from, in words.
    pub(crate) source: String,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// Lays out a project.
pub(crate) fn make(environment: &Environment, order: &Order<'_>) -> Result<Made> {
    let folder = folder(environment, order.folder)?;
    let name = match order.name {
        Some(name) => name.to_owned(),
        None => name::of_folder(folder.file_name().unwrap_or_default()),
    };
    name::check(&name)?;
    if folder.join("Cargo.toml").exists() {
        return Err(Error::CargoProject(folder).into());
    }
    let (source, why) = source(environment, order)?;
    let mut notes = Vec::new();
    let mut tree = Tree::default();
    base(&mut tree, &name, &folder, &source);
    let scenario = if folder.join("Dockerfile").is_file() {
        service(&mut tree, &name, &folder, &mut notes)?
    } else {
        broker(&mut tree, &name, environment)
    };
    workflows(&mut tree, &source, &scenario);
    adopt(&mut tree, &folder, &mut notes);
    tree.refuse_clashes(&folder, &format!("a project in {folder}"))?;
    tree.add("Cargo.lock", lock(environment, &tree)?);
    tree.write(&folder)?;
    let files = tree.paths().map(Utf8Path::to_owned).collect();
    Ok(Made { folder, name, files, source: in_words(&source, why.as_deref()), notes })
}

/// The folder, absolute and without `..`, whether it is there or not.
fn folder(environment: &Environment, wanted: &Utf8Path) -> Result<Utf8PathBuf> {
    let folder = environment.folder()?.join(wanted);
    let read = |source| Other::Read { path: folder.clone(), source };
    match folder.metadata() {
        Ok(meta) if meta.is_dir() => Ok(folder.canonicalize_utf8().map_err(read)?),
        Ok(_) => Err(Error::NotAFolder { folder }.into()),
        Err(_) => {
            let parent = folder.parent().filter(|parent| parent.is_dir());
            let name = folder.file_name();
            let (Some(parent), Some(name)) = (parent, name) else { return Ok(folder) };
            Ok(parent.canonicalize_utf8().map_err(read)?.join(name))
        }
    }
}

fn source(environment: &Environment, order: &Order<'_>) -> Result<(XedgeSource, Option<String>)> {
    let Some(source) = &order.source else { return XedgeSource::of_this_tool() };
    let XedgeSource::Path(path) = source else { return Ok((source.clone(), None)) };
    let path = environment.folder()?.join(path);
    let clone = path.canonicalize_utf8().ok().filter(|clone| clone.join("xtask/src/lib.rs").is_file());
    match clone {
        Some(clone) => Ok((XedgeSource::Path(clone), None)),
        None => Err(Error::NoSource(format!("there is no clone of xedge at {path}")).into()),
    }
}

fn in_words(source: &XedgeSource, why: Option<&str>) -> String {
    match (source, why) {
        (XedgeSource::Git { url, commit }, _) => format!("{url} at {commit}"),
        (XedgeSource::Path(path), None) => format!("the clone at {path}"),
        (XedgeSource::Path(path), Some(why)) => format!("the clone at {path}, since {why}"),
    }
}

/// How long a new project may go without TLS, in seconds.
const WAIVED: i64 = 90 * 86_400;

/// What every project has.
fn base(tree: &mut Tree, name: &str, folder: &Utf8Path, source: &XedgeSource) {
    let profile = MANIFEST.find("[profile.dev]").map_or("", |start| &MANIFEST[start..]);
    // A clone inside the project would become a member of its workspace.
    let inside = match source {
        XedgeSource::Path(path) => path.strip_prefix(folder).ok(),
        XedgeSource::Git { .. } => None,
    };
    let exclude = inside.map(|path| format!("exclude = [{:?}]\n", path.as_str())).unwrap_or_default();
    let marks = [("@EXCLUDE@\n", if exclude.is_empty() { "\n" } else { &exclude }), ("@PROFILE@\n", profile)];
    tree.add("Cargo.toml", fill(include_str!("files/cargo.toml"), &marks));
    tree.add(
        "xtask/Cargo.toml",
        fill(include_str!("files/xtask.toml"), &[("@SOURCE@\n", &source.dependency())]),
    );
    tree.add("xtask/src/main.rs", include_str!("files/main.rs.txt"));
    tree.add("tests/project.rs", include_str!("files/project.rs.txt"));
    let net = match source {
        // Then a repository that git can reach, Cargo can reach too.
        XedgeSource::Git { .. } => "\n[net]\ngit-fetch-with-cli = true\n",
        XedgeSource::Path(_) => "",
    };
    tree.add(".cargo/config.toml", include_str!("files/cargo-config.toml").to_owned() + net);
    tree.add(".gitignore", include_str!("files/gitignore"));
    tree.add("rust-toolchain.toml", TOOLCHAIN);
    tree.add("rustfmt.toml", include_str!("files/rustfmt.toml"));
    tree.add("README.md", fill(include_str!("files/readme.md"), &[("@PROJECT@", name)]));
    tree.add("templates/environments/simulation.yaml", include_str!("files/simulation.yaml"));
    tree.add("templates/environments/production.yaml", include_str!("files/production.yaml"));
}

/// The image, stack and scenario of a project that starts from nothing. Gives the scenario's name.
fn broker(tree: &mut Tree, name: &str, environment: &Environment) -> String {
    let (image, platforms) = (format!("{name}/broker"), startable(environment));
    let marks = [("@IMAGE@", image.as_str()), ("@STACK@", name), ("@PLATFORMS@", &platforms)];
    let stack = Utf8Path::new("templates/stacks").join(name);
    for (path, text) in [
        (Utf8PathBuf::from("images/broker/image.yaml"), include_str!("files/broker/image.yaml")),
        (
            "images/broker/rootfs/mosquitto/config/mosquitto.conf".into(),
            include_str!("files/broker/mosquitto.conf"),
        ),
        (stack.join("stack.yaml"), include_str!("files/broker/stack.yaml")),
        (stack.join("compose.yaml.j2"), include_str!("files/broker/compose.yaml.j2")),
        ("scenarios/sensors.yaml".into(), include_str!("files/broker/sensors.yaml")),
        (
            "templates/services/broker/mosquitto.conf.j2".into(),
            include_str!("files/broker/mosquitto.conf.j2"),
        ),
    ] {
        tree.add(path, fill(text, &marks));
    }
    let parity = include_str!("files/parity.yaml").to_owned() + include_str!("files/broker/extras.yaml");
    tree.add("templates/parity.yaml", parity);
    let expires = Date::of_unix(environment.now_unix() + WAIVED).to_string();
    let policy = include_str!("files/policy.yaml").to_owned() + include_str!("files/broker/waivers.yaml");
    tree.add("templates/policy.yaml", fill(&policy, &[("@STACK@", name), ("@EXPIRES@", &expires)]));
    "sensors".to_owned()
}

/// The platforms whose containers start here.
fn startable(environment: &Environment) -> String {
    let around = Surroundings::of(environment, Utf8Path::new("/"));
    let native = crate::commands::host_platform().ok();
    let starts = |platform: &Platform| Some(*platform) == native || setup::starts_foreign(&around, *platform);
    let found: Vec<&str> = Platform::USUAL.iter().filter(|p| starts(p)).map(|p| p.as_str()).collect();
    found.join(", ")
}

/// The image, stack and scenario of a folder that has a Dockerfile. Gives the scenario's name.
fn service(tree: &mut Tree, name: &str, folder: &Utf8Path, notes: &mut Vec<String>) -> Result<String> {
    let full = format!("{name}/{name}");
    let home = folder.join("images").join(name);
    tree.add(
        format!("images/{name}/image.yaml"),
        parts::image_text(&full, &Base::Dockerfile(folder.into()), &home)?,
    );
    let part = parts::Part::of_dockerfile(name, &full, &folder.join("Dockerfile"))?;
    notes.extend(part.notes.iter().cloned());
    let scenario = format!("{name}_smoke");
    parts::stack_files(tree, name, &[part], &scenario, true);
    tree.add("templates/parity.yaml", include_str!("files/parity.yaml"));
    tree.add("templates/policy.yaml", include_str!("files/policy.yaml"));
    tree.add(".dockerignore", include_str!("files/dockerignore"));
    Ok(scenario)
}

fn workflows(tree: &mut Tree, source: &XedgeSource, scenario: &str) {
    let note = "# Before its first run, put the repository of xedge in place of OWNER/xedge, a commit of it in place of COMMIT, and the\n\
                # same into xtask/Cargo.toml.\n";
    let (repository, commit, note) = match (source, source.on_github()) {
        (XedgeSource::Git { commit, .. }, Some(repository)) => (repository, commit.as_str(), ""),
        _ => ("OWNER/xedge", "COMMIT", note),
    };
    let actions = format!("{repository}/.github/actions");
    let marks =
        [("@COMMIT@", commit), ("@ACTIONS@", actions.as_str()), ("@NOTE@", note), ("@SCENARIO@", scenario)];
    tree.add(".github/workflows/ci.yml", fill(include_str!("files/ci.yml"), &marks));
    tree.add(".github/workflows/release.yml", fill(include_str!("files/release.yml"), &marks));
}

/// Leaves alone what may be there already.
fn adopt(tree: &mut Tree, folder: &Utf8Path, notes: &mut Vec<String>) {
    let clashes = tree.clashes(folder);
    for (file, advice) in ADOPTED {
        if clashes.iter().any(|path| path == file) {
            tree.remove(Utf8Path::new(file));
            notes.push(format!("{file} was there and stays as it is: {advice}"));
        }
    }
}

/// The lock of the new workspace: Cargo leaves the versions that xedge's own lock names. First without the network.
fn lock(environment: &Environment, tree: &Tree) -> Result<String> {
    let scratch =
        tempfile::tempdir().map_err(|source| Other::Write { path: "a temporary folder".into(), source })?;
    let path = Utf8Path::from_path(scratch.path()).ok_or_else(|| Other::NoFolder)?;
    tree.write(path)?;
    let file = path.join("Cargo.lock");
    let mut told = String::new();
    for offline in [true, false] {
        std::fs::write(&file, LOCK).map_err(|source| Other::Write { path: file.clone(), source })?;
        match metadata(environment, path, offline)? {
            Ok(()) => return read_text(&file),
            Err(error) => told = error,
        }
    }
    Err(Error::Metadata(told).into())
}

fn metadata(
    environment: &Environment,
    folder: &Utf8Path,
    offline: bool,
) -> Result<std::result::Result<(), String>> {
    let mut command = Command::new(environment.var("CARGO").unwrap_or("cargo"));
    command.args(["metadata", "--format-version", "1", "--quiet"]).args(offline.then_some("--offline"));
    command.current_dir(folder).stdin(Stdio::null());
    let output = command.output().map_err(|source| Other::Spawn { program: "cargo".into(), source })?;
    let text = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Ok(if output.status.success() { Ok(()) } else { Err(text) })
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::{Tree, XedgeSource, workflows};

    fn texts(url: &str, commit: &str) -> Vec<String> {
        let source = XedgeSource::Git { url: url.to_owned(), commit: commit.to_owned() };
        let mut tree = Tree::default();
        workflows(&mut tree, &source, "smoke");
        tree.texts().map(|(_, text)| text.to_owned()).collect()
    }

    #[test]
    fn workflows_use_our_actions_by_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let all = texts("https://github.com/owner/xedge.git", commit).concat();
        for action in ["setup", "sim", "release"] {
            assert!(
                all.contains(&format!("uses: owner/xedge/.github/actions/{action}@{commit}\n")),
                "{action}:\n{all}"
            );
        }
        assert!(!all.contains("OWNER") && !all.contains("COMMIT"), "{all}");
        for text in texts("https://example.com/owner/xedge", commit) {
            assert!(text.contains("uses: OWNER/xedge/.github/actions/setup@COMMIT\n"), "{text}");
            assert!(text.contains("# Before its first run, put the repository of xedge"), "{text}");
        }
    }

    #[test]
    fn other_actions_are_pinned_as_our_own_workflows_pin_them() {
        let ours = include_str!("../../../.github/workflows/release.yml");
        for line in texts("https://github.com/o/x", "c").concat().lines() {
            if let Some((_, action)) = line.split_once("uses: actions/") {
                assert!(ours.contains(action), "{line}");
            }
        }
    }

    #[test]
    fn no_mark_is_left_in_any_file() {
        let mut tree = Tree::default();
        super::base(&mut tree, "p", Utf8Path::new("/p"), &XedgeSource::Path("/p/xedge".into()));
        for (path, text) in tree.texts() {
            let mark = text
                .split('@')
                .skip(1)
                .step_by(2)
                .find(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase()));
            assert_eq!(mark, None, "{path}:\n{text}");
        }
        let manifest = tree.texts().find(|(path, _)| *path == "Cargo.toml").unwrap().1;
        assert!(
            manifest.contains("exclude = [\"xedge\"]") && manifest.contains("[profile.dev.package.sha2]"),
            "{manifest}"
        );
    }
}
