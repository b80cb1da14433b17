//! The Python programs that only tests use, in an environment of their own below `target/`. Installs nothing itself.

use super::Surroundings;

/// Where the environment lies in a project.
pub const FOLDER: &str = "target/xedge/tools/python";

/// What is in it, with the versions that the tests were written against: TUF's reference implementation, which reads
/// what we sign, and zizmor, which audits the workflow files.
pub const PINS: [(&str, &str); 4] =
    [("tuf", "7.0.1"), ("securesystemslib", "1.6.0"), ("cryptography", "50.0.2"), ("zizmor", "1.32.0")];

/// The commands, for the project's folder, that make the environment anew.
pub(super) fn commands() -> [String; 2] {
    let pins: Vec<String> = PINS.iter().map(|(name, version)| format!("{name}=={version}")).collect();
    [
        format!("python3 -m venv --clear {FOLDER}"),
        // Wheels only: a source package would run code of its own while it is installed.
        format!(
            "{FOLDER}/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: {}",
            pins.join(" ")
        ),
    ]
}

/// Whether the project has the environment, with every pinned version in it.
pub(super) fn is_there(around: &Surroundings) -> bool {
    let folder = around.project.join(FOLDER);
    // A link to a Python that was upgraded away does not exist.
    let starts = ["python", "zizmor"].iter().all(|name| folder.join("bin").join(name).exists());
    let Ok(libraries) = folder.join("lib").read_dir_utf8() else { return false };
    let mut packages = libraries.flatten().map(|library| library.path().join("site-packages"));
    starts
        && packages.any(|packages| {
            PINS.iter().all(|(name, version)| packages.join(format!("{name}-{version}.dist-info")).is_dir())
        })
}
