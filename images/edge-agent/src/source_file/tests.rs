//! Bundles from a file and from a folder.

use xedge_bundle::tuf::PIECE;

use super::*;
use crate::engine::Fake;
use crate::forge::{Forge, NOW};
use crate::staged::Staged;
use crate::trust::{Enrolment, enrol};
use crate::{Device, TrustStore};

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

    fn engine(&self) -> Fake {
        Fake::open(Utf8PathBuf::try_from(self.folder.path().join("engine")).unwrap(), || 1)
    }
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
    let head = stage(&bench.home, &path, &bench.trust, NOW, &bench.engine()).unwrap();
    assert_eq!(std::fs::read(&head).unwrap(), forge.parts().head());
    let staged = Staged::verify(&bench.home, &head, &bench.trust, NOW, &bench.engine()).unwrap();
    assert_eq!(staged.manifest(), verify_file(&path, &bench.trust, NOW).unwrap().manifest());
    stage(&bench.home, &path, &bench.trust, NOW, &bench.engine()).expect("again changes nothing");
}

#[test]
fn a_damaged_file_stages_nothing() {
    let forge = big();
    let (bench, tar) = (bench(&forge), forge.parts().tar());
    for at in (0..tar.len()).step_by(tar.len() / 40) {
        let mut bad = tar.clone();
        bad[at] ^= 0x10;
        let path = bench.put("bad.xedge", &bad);
        let error = stage(&bench.home, &path, &bench.trust, NOW, &bench.engine()).unwrap_err();
        assert!(error.code().is_some(), "byte {at}: {error}");
        let short = bench.put("short.xedge", &tar[..at]);
        let error = stage(&bench.home, &short, &bench.trust, NOW, &bench.engine()).unwrap_err();
        assert!(error.code().is_some(), "cut at {at}: {error}");
    }
    assert!(!bench.home.store().exists() && !bench.home.stacks().exists());
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
    assert_eq!(find(&bench.stick(), &bench.trust, NOW).unwrap(), [newest.clone()]);
    assert_eq!(find(&newest, &bench.trust, NOW).unwrap(), [newest]);
}
