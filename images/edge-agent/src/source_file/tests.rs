//! Bundles from a file and from a folder.

use std::time::Duration;

use xedge_bundle::tuf::PIECE;
use xedge_model::Platform;

use super::*;
use crate::engine::Fake;
use crate::facts::Machine;
use crate::forge::{Forge, NOW};
use crate::staged::Staged;
use crate::trust::{Enrolment, enrol};
use crate::{Clock, Device, Home, TrustStore};

struct Bench {
    folder: tempfile::TempDir,
    home: Home,
    trust: TrustStore,
}

fn bench(forge: &Forge) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(Utf8PathBuf::try_from(folder.path().join("state")).unwrap());
    let (trust, _) = enrol(&home, &forge.trusted(), &Device::new(None, &[1; 16]), Enrolment::First).unwrap();
    std::fs::create_dir(folder.path().join("stick")).unwrap();
    Bench { folder, home, trust }
}

impl Bench {
    fn stick(&self) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.folder.path().join("stick")).unwrap()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Utf8PathBuf {
        let path = self.stick().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn stage(&self, path: &Utf8Path) -> Result<Utf8PathBuf> {
        self.stage_with(path, &self.engine())
    }

    fn stage_with(&self, path: &Utf8Path, engine: &Fake) -> Result<Utf8PathBuf> {
        let (device, machine) = (Device::load(&self.home)?, Machine::real());
        stage(&look(&self.home, engine, &device, &machine, &self.trust), path, NOW)
    }

    fn engine(&self) -> Fake {
        Fake::open(Utf8PathBuf::try_from(self.folder.path().join("engine")).unwrap(), || 1)
    }
}

struct Still;

impl Clock for Still {
    fn unix(&self) -> i64 {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) {}
}

fn look<'a>(
    home: &'a Home,
    engine: &'a Fake,
    device: &'a Device,
    machine: &'a Machine,
    trust: &'a TrustStore,
) -> Look<'a> {
    Look { home, machine, engine, clock: &Still, device, trust, agent: "0.1.0" }
}

fn big() -> Forge {
    let layer: Vec<u8> = (0..2 * PIECE + 9).map(|at| u8::try_from(at % 251).unwrap()).collect();
    Forge::with(|forge| forge.replace_layer(&layer))
}

#[test]
fn a_file_is_staged_and_verified_again() {
    let forge = big();
    let (bench, tar) = (bench(&forge), forge.parts().tar());
    let path = bench.put("edge-1.xedge", &tar);
    let head = bench.stage(&path).unwrap();
    assert_eq!(std::fs::read(&head).unwrap(), forge.parts().head());
    let staged = Staged::verify(&bench.home, &head, &bench.trust, NOW, &bench.engine()).unwrap();
    assert_eq!(staged.manifest(), verify_file(&path, &bench.trust, NOW).unwrap().manifest());
    bench.stage(&path).expect("again changes nothing");
}

#[test]
fn a_damaged_file_stages_nothing() {
    let forge = big();
    let (bench, tar) = (bench(&forge), forge.parts().tar());
    for at in (0..tar.len()).step_by(tar.len() / 40) {
        let mut bad = tar.clone();
        bad[at] ^= 0x10;
        let path = bench.put("bad.xedge", &bad);
        let error = bench.stage(&path).unwrap_err();
        assert!(error.code().is_some(), "byte {at}: {error}");
        let short = bench.put("short.xedge", &tar[..at]);
        let error = bench.stage(&short).unwrap_err();
        assert!(error.code().is_some(), "cut at {at}: {error}");
    }
    assert!(!bench.home.store().exists() && !bench.home.stacks().exists());
}

#[test]
fn a_release_for_other_devices_is_refused_before_anything_is_written() {
    let forge = Forge::with(|forge| {
        forge.manifest.compatibility.platforms = vec![Platform::LinuxArm64];
        for service in &mut forge.manifest.services {
            let manifest = service.manifests.pop_first().unwrap().1;
            service.manifests = [(Platform::LinuxArm64, manifest)].into();
        }
    });
    let bench = bench(&forge);
    let path = bench.put("edge.xedge", &forge.parts().tar());
    let error = bench.stage(&path).unwrap_err();
    assert_eq!(error.code(), Some("platform"), "{error}");
    assert!(!bench.home.store().exists() && !bench.home.stacks().exists());
}

#[test]
fn layers_without_room_are_refused_before_their_first_byte() {
    let forge = big();
    let bench = bench(&forge);
    let path = bench.put("edge.xedge", &forge.parts().tar());
    // A file system that never has room.
    let engine = Fake::open("/proc/no-room", || 1);
    let error = bench.stage_with(&path, &engine).unwrap_err();
    assert_eq!(error.code(), Some("no-space"), "{error}");
    let kept = Store::new(&bench.home).members().unwrap();
    assert!(kept.values().all(|length| *length < PIECE), "no layer came: {kept:?}");
}

#[test]
fn the_newest_bundle_of_a_folder_is_taken() {
    let forge = Forge::new();
    let bench = bench(&forge);
    let error = find(&bench.stick(), &bench.trust, NOW).unwrap_err();
    assert!(error.to_string().contains("no file `*.xedge`"), "{error}");
    bench.put("broken.xedge", b"not a bundle");
    bench.put(".hidden.xedge", b"not a bundle");
    bench.put("notes.txt", b"not a bundle");
    assert!(find(&bench.stick(), &bench.trust, NOW).unwrap_err().code().is_some());
    let with_seq = |seq| Forge::with(|forge| forge.manifest.seq = seq).parts().tar();
    bench.put("b.xedge", &with_seq(9));
    let newest = bench.put("a.xedge", &with_seq(12));
    bench.put("c.xedge", &with_seq(11));
    let expected = std::slice::from_ref(&newest);
    assert_eq!(find(&bench.stick(), &bench.trust, NOW).unwrap(), expected);
    assert_eq!(find(&newest, &bench.trust, NOW).unwrap(), expected);
}

/// Folder of a bench whose stick has a bundle.
const CHILD: &str = "XEDGE_AGENT_TEST_STAGES";
/// The most bytes that an agent may hold while it takes a large bundle; the device may be a small one.
const MOST: u64 = 30 << 20;

/// Both the child of the test below and a test of its own: stages, verifies and reads the layers as an Engine does.
#[test]
fn child() {
    let task = std::env::var(CHILD).ok();
    let keep;
    let folder = if let Some(folder) = &task {
        Utf8PathBuf::from(folder)
    } else {
        let forge = big();
        keep = bench(&forge);
        keep.put("edge.xedge", &forge.parts().tar());
        Utf8PathBuf::try_from(keep.folder.path().to_owned()).unwrap()
    };
    let home = Home::new(folder.join("state"));
    let (trust, engine) = (TrustStore::open(&home).unwrap(), Fake::open(folder.join("engine"), || 1));
    let file = folder.join("stick/edge.xedge");
    let (device, machine) = (Device::load(&home).unwrap(), Machine::real());
    let look = look(&home, &engine, &device, &machine, &trust);
    let head = stage(&look, &file, NOW).unwrap();
    let staged = Staged::verify(&home, &head, &trust, NOW, &engine).unwrap();
    for layer in staged.images().values().flat_map(|image| &image.layers) {
        let mut blob = staged.open_layer(&layer.digest).unwrap();
        assert_eq!(io::copy(&mut blob, &mut io::sink()).unwrap(), layer.length);
    }
    if task.is_some() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = line.trim().trim_end_matches(" kB").trim().parse().unwrap();
        std::fs::write(folder.join("peak"), (peak * 1024).to_string()).unwrap();
    }
}

#[test]
fn a_large_bundle_needs_no_more_memory_than_a_small_one() {
    let peak = |layer: u64| -> u64 {
        let bytes: Vec<u8> = (0..layer).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let forge = Forge::with(|forge| forge.replace_layer(&bytes));
        let bench = bench(&forge);
        bench.put("edge.xedge", &forge.parts().tar());
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["source_file::tests::child", "--exact", "--test-threads=1"])
            .env(CHILD, bench.folder.path())
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        std::fs::read_to_string(bench.folder.path().join("peak")).unwrap().parse().unwrap()
    };
    let (small, large) = (peak(2 * PIECE), peak(128 * PIECE));
    assert!(large < MOST, "{large} bytes");
    assert!(large < small + 4 * PIECE, "{large} bytes, {small} for a small one");
}
