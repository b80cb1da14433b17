//! Tests of the folder of keys: made once, all or none, locked where they are for production.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8PathBuf;
use serde_json::Value;
use xedge_model::{Class, Failure as _};

use super::{Folder, bytes, gate_key, no_passphrase, stream};
use crate::{
    Algorithm, Error, GateKey, KeyRing, KeyStatus, NewKeys, Passphrase, PublicInfo, Role, Zeroizing,
};

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(&Zeroizing::new(text.to_owned())).unwrap()
}

fn production(folder: &Folder) -> KeyRing {
    KeyRing::init(&folder.path(), NewKeys::Production(&passphrase("correct horse")), stream(1)).unwrap()
}

fn json(path: &Utf8PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn write(path: &Utf8PathBuf, value: &Value) {
    fs::write(path, value.to_string()).unwrap();
}

fn ids(ring: &KeyRing) -> Vec<String> {
    ring.public().iter().map(|info| info.key.key_id().to_string()).collect()
}

/// Key files and what may have been left beside them.
fn files(folder: &Folder) -> Vec<String> {
    let names = fs::read_dir(folder.path()).map(|entries| {
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    });
    let mut names = names.unwrap_or_default();
    names.sort();
    names
}

const ALL_FILES: [&str; 5] =
    ["gate.key.json", "image-sign.key.json", "release.key.json", "root.key.json", "stamp.key.json"];

#[test]
fn five_development_keys_are_made_and_kept() {
    let folder = Folder::new();
    let gate = folder.gate_key();
    let first = KeyRing::open_or_make_development(&folder.path(), stream(1)).unwrap();
    let second = KeyRing::open_or_make_development(&folder.path(), stream(2)).unwrap();
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(files(&folder), ALL_FILES);
    assert_eq!(first.gate_key(&no_passphrase).unwrap().verifying_key(), gate.verifying_key());
    let info: Vec<PublicInfo> = first.public();
    let roles: Vec<Role> = info.iter().map(|info| info.role).collect();
    assert_eq!(roles, Role::ALL);
    for info in &info {
        let mode = fs::metadata(&info.path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode, info.status), (0o600, KeyStatus::Development), "{}", info.role);
        assert_eq!(info.key.algorithm(), info.role.algorithm());
    }
    assert_eq!(Role::Stamp.algorithm(), Algorithm::Ed25519);
}

#[test]
fn many_at_once_get_the_same_keys() {
    let folder = Folder::new();
    let rings: Vec<Vec<String>> = std::thread::scope(|scope| {
        let open = |n| ids(&KeyRing::open_or_make_development(&folder.path(), stream(n)).unwrap());
        let threads: Vec<_> = (1..9).map(|n| scope.spawn(move || open(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(rings.iter().all(|ids| *ids == rings[0]), "{rings:?}");
    assert_eq!(files(&folder), ALL_FILES);
}

#[test]
fn of_many_that_init_one_wins_and_its_keys_are_one_set() {
    let folder = Folder::new();
    let wins = std::thread::scope(|scope| {
        let init = |n| KeyRing::init(&folder.path(), NewKeys::Development, stream(n));
        let threads: Vec<_> = (1..9).map(|n| scope.spawn(move || init(n))).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap().ok())
            .map(|r| ids(&r))
            .collect::<Vec<_>>()
    });
    assert!(wins.len() <= 1, "{wins:?}");
    let left = files(&folder);
    assert!(left.is_empty() || left == ALL_FILES, "{left:?}");
}

#[test]
fn init_makes_all_keys_or_none() {
    for role in Role::ALL {
        let (folder, other) = (Folder::new(), Folder::new());
        KeyRing::init(&other.path(), NewKeys::Development, stream(3)).unwrap();
        fs::create_dir_all(folder.path()).unwrap();
        fs::copy(role.path_in(&other.path()), role.path_in(&folder.path())).unwrap();
        let error = KeyRing::init(&folder.path(), NewKeys::Development, stream(1)).err().unwrap();
        assert!(matches!(&error, Error::Exists { path } if *path == role.path_in(&folder.path())), "{error}");
        assert_eq!(files(&folder), [format!("{role}.key.json")]);
    }
    let folder = Folder::new();
    let broken = KeyRing::init(&folder.path(), NewKeys::Development, |buffer| buffer.fill(0));
    assert_eq!(broken.err().unwrap().class(), Class::Environment);
    assert!(files(&folder).is_empty());
}

#[test]
fn production_keys_need_their_passphrase_and_only_when_they_are_used() {
    let folder = Folder::new();
    let ring = production(&folder);
    assert_eq!(
        (ring.status(), files(&folder)),
        (KeyStatus::Production, ALL_FILES.map(String::from).to_vec())
    );
    for info in ring.public() {
        let file = json(&info.path);
        assert!(file["pem"].as_str().unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        assert_eq!(file["public"], info.key.to_pem());
    }
    let asked = RefCell::new(Vec::new());
    let right = |name: &crate::KeyName| {
        asked.borrow_mut().push(name.role);
        Ok(passphrase("correct horse"))
    };
    assert_eq!(ring.root_key(&right).unwrap().status(), KeyStatus::Production);
    assert_eq!(ring.gate_key(&right).unwrap().status(), KeyStatus::Production);
    let image = ring.image_key(&right).unwrap();
    assert_eq!(image.verifying_key().key_id(), ring.public_key(Role::ImageSign).unwrap().key_id());
    assert_eq!(*asked.borrow(), [Role::Root, Role::Gate, Role::ImageSign]);
}

#[test]
fn a_wrong_passphrase_is_said_to_be_one() {
    let folder = Folder::new();
    let ring = production(&folder);
    for wrong in ["correct horsf", "correct horse ", "x"] {
        let error = ring.stamp_key(&|_| Ok(passphrase(wrong))).unwrap_err();
        assert!(matches!(error, Error::WrongPassphrase { role: Role::Stamp, .. }), "{error}");
        assert_eq!(error.class(), Class::Input);
        assert!(error.hint().unwrap().contains("--passphrase-file"));
    }
    let error = ring.gate_key(&|name| Err(name.locked())).unwrap_err();
    assert!(error.hint().unwrap().contains("--passphrase-file"), "{error}");
    assert!(matches!(GateKey::load(&folder.key_file()), Err(Error::Locked { .. })));
    for bad in ["", "\n", "a\nb"] {
        let text = Zeroizing::new(bad.to_owned());
        assert!(matches!(Passphrase::new(&text), Err(Error::NotAPassphrase)), "{bad:?}");
    }
    assert!(ring.stamp_key(&|_| Ok(passphrase("correct horse\r\n"))).is_ok(), "a line of a file");
}

#[test]
fn only_the_roles_that_are_needed_are_read() {
    let folder = Folder::new();
    KeyRing::init(&folder.path(), NewKeys::Development, stream(1)).unwrap();
    for role in [Role::Root, Role::Release] {
        fs::remove_file(role.path_in(&folder.path())).unwrap();
    }
    fs::write(Role::ImageSign.path_in(&folder.path()), "broken").unwrap();
    let ring = KeyRing::open(&folder.path(), &[Role::Gate, Role::Stamp]).unwrap();
    assert!(ring.stamp_key(&no_passphrase).is_ok());
    let missing = [ring.root_key(&no_passphrase).err(), KeyRing::open(&folder.path(), &[Role::Root]).err()];
    for error in missing.map(Option::unwrap) {
        assert!(matches!(error, Error::Missing { role: Role::Root, .. }), "{error}");
        assert!(error.hint().unwrap().contains("`cargo xtask keys init`"));
    }
    fs::remove_file(Role::ImageSign.path_in(&folder.path())).unwrap();
    assert_eq!(KeyRing::open_present(&folder.path()).unwrap().public().len(), 2);
    assert!(matches!(KeyRing::open_present(&Folder::new().path()), Err(Error::Missing { .. })));
}

#[test]
fn statuses_must_agree() {
    let (folder, other) = (Folder::new(), Folder::new());
    production(&folder);
    let gate = folder.key_file();
    fs::remove_file(&gate).unwrap();
    let error = KeyRing::open_or_make_development(&folder.path(), stream(1)).err().unwrap();
    assert!(
        matches!(error, Error::Missing { role: Role::Gate, .. }),
        "no development key joins them: {error}"
    );
    other.gate_key();
    fs::copy(other.key_file(), &gate).unwrap();
    let error = KeyRing::open_present(&folder.path()).err().unwrap();
    assert!(matches!(error, Error::Mixed { .. }), "{error}");
    assert_eq!(error.class(), Class::Input);
    assert!(error.to_string().contains("production") && error.to_string().contains("development"));
    assert!(KeyRing::open(&folder.path(), &[Role::Root, Role::Stamp]).is_ok(), "these two agree");
}

/// A gate key file as xedge wrote it when there were no other keys.
#[test]
fn a_key_file_of_format_1_is_read() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path()).unwrap();
    fs::write(folder.key_file(), include_str!("gate-format-1.key.json")).unwrap();
    fs::set_permissions(folder.key_file(), Permissions::from_mode(0o600)).unwrap();
    let ring = KeyRing::open_or_make_development(&folder.path(), stream(1)).unwrap();
    let gate = ring.gate_key(&no_passphrase).unwrap();
    assert_eq!(gate.verifying_key(), gate_key(1).verifying_key());
    assert_eq!(json(&folder.key_file())["format"], 1, "it is kept as it is");
}

#[test]
fn an_edited_production_key_is_refused() {
    let (folder, other) = (Folder::new(), Folder::new());
    let ring = production(&folder);
    KeyRing::init(&other.path(), NewKeys::Production(&passphrase("correct horse")), stream(9)).unwrap();
    let unlock =
        || KeyRing::open(&folder.path(), &[Role::Root])?.root_key(&|_| Ok(passphrase("correct horse")));
    let path = Role::Root.path_in(&folder.path());
    let (good, foreign) = (json(&path), json(&Role::Root.path_in(&other.path())));
    for (field, value) in [
        ("status", "development".into()),
        ("role", "release".into()),
        ("format", 1.into()),
        ("keyId", foreign["keyId"].clone()),
        ("public", foreign["public"].clone()),
        ("public", json(&folder.key_file())["public"].clone()),
        ("public", Value::Null),
        ("seal", foreign["seal"].clone()),
        ("pem", foreign["pem"].clone()),
        ("pem", good["pem"].as_str().unwrap().replace('M', "N").into()),
        ("pem", good["pem"].as_str().unwrap().replace("ENCRYPTED ", "").into()),
        ("pem", "".into()),
    ] {
        let mut edited = good.clone();
        edited[field] = value;
        write(&path, &edited);
        let error = unlock().err().unwrap_or_else(|| panic!("{field}"));
        assert!(!matches!(error, Error::Read { .. }), "{field}: {error}");
    }
    write(&path, &good);
    assert!(unlock().is_ok());
    drop(ring);
}

#[test]
fn a_cheaper_encryption_is_refused() {
    let folder = Folder::new();
    production(&folder);
    let path = Role::Gate.path_in(&folder.path());
    let mut file = json(&path);
    let pem = file["pem"].as_str().unwrap().to_owned();
    let der = pkcs8::SecretDocument::from_pem(&pem).unwrap().1;
    // The INTEGER 16384 of scrypt's cost becomes 2.
    let at = der.as_bytes().windows(4).position(|bytes| *bytes == [2, 2, 0x40, 0]).unwrap();
    let mut cheap = der.as_bytes().to_vec();
    cheap[at + 2..at + 4].copy_from_slice(&[0x01, 0x00]);
    let cheap = pkcs8::SecretDocument::try_from(&cheap[..]).unwrap();
    let cheap = cheap.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap();
    file["pem"] = cheap.as_str().into();
    write(&path, &file);
    let ring = KeyRing::open(&folder.path(), &[Role::Gate]).unwrap();
    let error = ring.gate_key(&|_| Ok(passphrase("correct horse"))).unwrap_err();
    assert!(matches!(error, Error::NotAKeyFile { .. }), "{error}");
}

#[test]
fn key_files_are_the_same_bytes_each_time() {
    let (one, two) = (Folder::new(), Folder::new());
    production(&one);
    production(&two);
    for role in Role::ALL {
        let [one, two] = [&one, &two].map(|folder| fs::read(role.path_in(&folder.path())).unwrap());
        assert_eq!(one, two, "{role}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let folder = Folder::new();
    let ring = KeyRing::open_or_make_development(&folder.path(), bytes_of_each()).unwrap();
    let root = ring.root_key(&no_passphrase).unwrap();
    let shown = format!("{root:?} {:?} {:?}", passphrase("horse"), NewKeys::Production(&passphrase("horse")));
    assert!(!shown.contains("horse") && shown.contains("secret of"), "{shown}");
    let path = Role::Root.path_in(&folder.path());
    let pem = json(&path)["pem"].as_str().unwrap().to_owned();
    let secret = pem.lines().nth(1).unwrap();
    assert!(!format!("{shown} {:?}", ring.public()).contains(secret));
}

fn bytes_of_each() -> impl FnMut(&mut [u8]) {
    let mut start = 0;
    move |buffer| {
        start += 1;
        bytes(start)(buffer);
    }
}
