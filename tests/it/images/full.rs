//! A full disk: an error of the machine with a command that helps, and nothing half-written that the next run picks up.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use xedge_model::Digest;

use crate::support::{copy, home, project_with_packages, run};

/// Builds on a disk with `$1` of space and copies to `$2` what that leaves; then builds with space. The disk is in a mount
/// namespace of its own, which takes it away whatever happens; the packages are on it unless `$4` names a folder of them.
const SCRIPT: &str = r#"
mount -t tmpfs -o size="$1" full target || exit 90
if [ -n "$4" ]; then mkdir target/xedge && ln -s "$4" target/xedge/store || exit 91; fi
"$3" build mqtt-broker >"$2/out.1" 2>"$2/err.1"
echo $? >"$2/code.1"
cp -r target/xedge "$2/left"
mount -o remount,size=512m target || exit 92
"$3" build mqtt-broker >"$2/out.2" 2>"$2/err.2"
echo $? >"$2/code.2"
cp -r target/xedge "$2/done"
"#;

/// Runs the script. Root may mount; others may in a user namespace, where the system lets them.
fn on_a_full_disk(size: &str, project: &Path, packages: &str) -> tempfile::TempDir {
    let seen = tempfile::tempdir().unwrap();
    fs::create_dir_all(project.join("target")).unwrap();
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut script = Command::new("unshare");
    script.args(if is_root { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
    script
        .args(["sh", "-c", SCRIPT, "sh", size])
        .arg(seen.path())
        .arg(env!("CARGO_BIN_EXE_xtask"))
        .arg(packages);
    script.current_dir(project).env("XEDGE_HOME", home()).env_remove("XEDGE_PROJECT").stdin(Stdio::null());
    let output = script.output().expect("unshare starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "a small disk is needed, and only who may mount can have one:\n{stderr}"
    );
    seen
}

fn read(seen: &Path, name: &str) -> String {
    fs::read_to_string(seen.join(name)).unwrap()
}

/// Every file that is named by a digest has it, and no file is left half-written beside them.
#[track_caller]
fn check_whole(outputs: &Path) -> usize {
    let mut count = 0;
    for folder in ["store/sha256", "layout/blobs/sha256"].map(|name| outputs.join(name)) {
        for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            let digest = Digest::of(&fs::read(entry.path()).unwrap());
            assert_eq!(entry.file_name().to_str().unwrap(), digest.hex(), "{}", entry.path().display());
            count += 1;
        }
    }
    count
}

#[track_caller]
fn check(size: &str, project: &Path, packages: &str, wanted: &str) {
    let seen = on_a_full_disk(size, project, packages);
    let said = read(seen.path(), "err.1");
    assert_eq!(read(seen.path(), "code.1").trim(), "1", "{size}: {said}");
    assert!(
        said.contains("error: failed to write ") && said.contains("hint: the disk is full: "),
        "{size}: {said}"
    );
    assert!(said.contains("`df -h "), "{size}: {said}");
    assert_eq!(read(seen.path(), "out.1"), "");
    check_whole(&seen.path().join("left"));

    let said = read(seen.path(), "err.2");
    assert_eq!(read(seen.path(), "code.2").trim(), "0", "{size}: {said}");
    assert_eq!(read(seen.path(), "out.2"), wanted);
    assert!(check_whole(&seen.path().join("done")) > 5, "nothing was checked");
}

/// The packages fit or not, here or there: whatever write is the first to fail must be told as such.
#[test]
fn a_full_disk_is_said_and_the_next_run_with_space_succeeds() {
    let reference = project_with_packages();
    let wanted = run(reference.path(), &["build", "mqtt-broker"]).expect(0).stdout;
    let store = fs::canonicalize(reference.path().join("target/xedge/store")).unwrap();
    for size in ["64k", "2m", "15m"] {
        check(size, copy().path(), store.to_str().unwrap(), &wanted);
    }
    check("2m", copy().path(), "", &wanted);
}
