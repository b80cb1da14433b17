//! The disk of the agent's files fills up before every single step: a small file system of its own, in a child process with
//! namespaces of its own.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};

use camino::Utf8Path;

use super::bench::{Bench, FORKS, folder};
use super::cuts::SCENARIOS;

/// The folder with the small file system.
const CHILD: &str = "XEDGE_AGENT_TEST_FULL_DISK";
/// The release that is installed, of those that [`SCENARIOS`] has.
const UPDATE: usize = 1;

/// The parent makes the namespaces and runs this very test in them.
#[test]
fn the_disk_fills_up_before_every_step() {
    if let Ok(root) = std::env::var(CHILD) {
        return fill_up(Utf8Path::new(&root));
    }
    let (_keep, root) = folder();
    let mount = r#"mount -t tmpfs -o size=3m,nr_inodes=4k tmpfs "$0" && exec "$@""#;
    let alone = FORKS.write();
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, root.as_str()])
        .arg(std::env::current_exe().unwrap())
        .args(["apply::tests::full_disk", "--test-threads=1", "--nocapture"])
        .env(CHILD, &root)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`unshare` of util-linux is there");
    drop(alone);
    let output = child.wait_with_output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("steps filled: "), "the child did its work: {text}");
}

fn fill_up(root: &Utf8Path) {
    let scenario = &SCENARIOS[UPDATE];
    let (_elsewhere, engine) = folder();
    let device = root.join("device");
    let (mut at, mut failed, mut undone) = (1, 0, 0);
    loop {
        if device.exists() {
            fs::remove_dir_all(&device).unwrap();
        }
        fs::create_dir(&device).unwrap();
        // The Engine has a disk of its own.
        let images = engine.join(at.to_string());
        fs::create_dir(&images).unwrap();
        std::os::unix::fs::symlink(&images, device.join("engine")).unwrap();
        scenario.prepare(&device);
        let bench = Bench::at(&device);
        let filler = root.join("filler");
        let full = filler.clone();
        bench.on_step(move |step, _| {
            if step == at {
                let mut file = File::create(&full).unwrap();
                while file.write_all(&[1; 4096]).is_ok() {}
                while file.write_all(&[1]).is_ok() {}
            }
        });
        let result = bench.act(scenario.deed);
        bench.on_step(|_, _| {});
        let reached = filler.exists();
        if result.is_err() {
            failed += 1;
            undone += u64::from(crate::records::load_journal(&bench.stack()).unwrap().is_none());
        }
        fs::remove_file(&filler).ok();
        if !reached {
            break;
        }
        let place = format!("full before step {at}: {result:?}");
        let bench = Bench::at(&device);
        bench.engine.boot().unwrap();
        let _found = bench.recover().unwrap_or_else(|error| panic!("{place}: {error}"));
        if result.is_ok() {
            assert_eq!(bench.runs(), scenario.new, "{place}");
        }
        scenario.check(&bench, &place);
        at += 1;
    }
    assert!(at > 20 && failed > 3, "{at} steps, {failed} failed");
    println!("steps filled: {}, of which failed {failed}, of which back at once {undone}", at - 1);
}
