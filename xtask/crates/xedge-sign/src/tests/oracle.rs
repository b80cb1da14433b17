//! What this crate makes, put before other implementations: `tough`'s client, python-tuf, securesystemslib, openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tough::{FilesystemTransport, Prefix, RepositoryLoader, TargetName};
use xedge_bundle::VerifyingKey;

use super::metadata::{FUTURE, PAST, Release};
use super::{Folder, bytes, gate_key, signed, stream};
use crate::{
    Ed25519PublicKey, ImageKey, KeyRing, KeyStatus, NewKeys, Passphrase, Role, Zeroizing, make_timestamp,
};

/// A file name and its bytes, to be put in the place of the right one.
type Wrong<'a> = (&'a str, Vec<u8>);

/// What python says: `Ok` if it accepts, else why not.
fn python(args: &[&str]) -> Result<(), String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = manifest.join("src/tests/oracle.py");
    let ours = manifest.join("../../../target/xedge/tools/python/bin/python");
    let python = if ours.exists() { ours } else { PathBuf::from("python3") };
    let output = Command::new(&python).arg("-B").arg(script).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("failed to start python ({e}): run `cargo xtask setup`"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(text),
        Some(9) => panic!("these tests need tuf and securesystemslib: run `cargo xtask setup`: {text}"),
        _ => panic!("{text}"),
    }
}

fn python_tuf(folder: &Path, root: &str) -> Result<(), String> {
    let root = folder.join("metadata").join(root);
    python(&["tuf", folder.to_str().unwrap(), root.to_str().unwrap(), "bundle.json", "blob.big"])
}

fn tough(folder: &Path, root: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let trusted = fs::read(folder.join("metadata").join(root)).unwrap();
        let url = |name: &str| format!("file://{}/{name}/", folder.to_str().unwrap()).parse().unwrap();
        let loader = RepositoryLoader::new(&trusted, url("metadata"), url("targets"));
        let repository =
            loader.transport(FilesystemTransport).load().await.map_err(|error| error.to_string())?;
        for name in ["bundle.json", "blob.big"] {
            let out = tempfile::tempdir().unwrap();
            let name = TargetName::new(name).unwrap();
            let saved = repository.save_target(&name, out.path(), Prefix::None).await;
            saved.map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

fn on_disk(release: &Release, wrong: Option<Wrong<'_>>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    release.write(folder.path());
    if let Some((name, bytes)) = wrong {
        let path = folder.path().join(name);
        assert_ne!(fs::read(&path).unwrap(), bytes, "{name}");
        fs::write(path, bytes).unwrap();
    }
    folder
}

#[test]
fn other_clients_accept_a_release() {
    let folder = on_disk(&Release::new(FUTURE), None);
    assert_eq!(tough(folder.path(), "1.root.json"), Ok(()));
    assert_eq!(python_tuf(folder.path(), "1.root.json"), Ok(()));
}

#[test]
fn other_clients_follow_a_rotation() {
    let mut release = Release::new(FUTURE);
    release.rotate();
    let folder = on_disk(&release, None);
    for root in ["1.root.json", "2.root.json"] {
        assert_eq!(tough(folder.path(), root), Ok(()), "{root}");
        assert_eq!(python_tuf(folder.path(), root), Ok(()), "{root}");
    }
}

#[test]
fn other_clients_refuse_what_has_expired() {
    let release = Release::new(PAST);
    let folder = on_disk(&release, None);
    assert!(tough(folder.path(), "1.root.json").unwrap_err().contains("expired"));
    assert!(python_tuf(folder.path(), "1.root.json").unwrap_err().contains("ExpiredMetadataError"));
}

#[test]
fn other_clients_refuse_what_was_changed() {
    let release = Release::new(FUTURE);
    let other = Release::with(FUTURE, 7);
    let replace = |bytes: &[u8], from: &str, to: &str| {
        String::from_utf8(bytes.to_vec()).unwrap().replacen(from, to, 1).into_bytes()
    };
    let wrongs: Vec<Wrong<'_>> = vec![
        ("metadata/timestamp.json", other.timestamp.clone()),
        ("metadata/timestamp.json", replace(&release.timestamp, "2099", "2098")),
        ("metadata/snapshot.json", replace(&release.snapshot, "2099", "2098")),
        ("metadata/targets.json", replace(&release.targets, "\"kind\":\"bundle\"", "\"kind\":\"config\"")),
        ("targets/bundle.json", b"another bundle".to_vec()),
    ];
    for wrong in wrongs {
        let name = wrong.0;
        let folder = on_disk(&release, Some(wrong));
        assert!(tough(folder.path(), "1.root.json").is_err(), "{name}");
        assert!(python_tuf(folder.path(), "1.root.json").is_err(), "{name}");
    }
}

#[test]
fn other_clients_refuse_a_root_that_does_not_follow() {
    let mut release = Release::new(FUTURE);
    release.rotate();
    let mut other = Release::with(FUTURE, 7);
    other.rotate();
    let folder = on_disk(&release, Some(("metadata/2.root.json", other.roots[1].clone())));
    assert!(tough(folder.path(), "1.root.json").is_err());
    assert!(python_tuf(folder.path(), "1.root.json").is_err());
}

#[test]
fn a_stamp_of_a_later_time_is_accepted() {
    let mut release = Release::new(FUTURE);
    release.timestamp =
        make_timestamp(release.root(), &release.snapshot, FUTURE + 5, &release.stamp_key()).unwrap();
    let folder = on_disk(&release, None);
    assert_eq!(python_tuf(folder.path(), "1.root.json"), Ok(()));
}

#[test]
fn securesystemslib_verifies_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = gate_key(1);
    let id = key.verifying_key().key_id().hex().to_owned();
    fs::write(at("pub.pem"), key.verifying_key().to_pem()).unwrap();
    fs::write(at("good"), signed(&key).to_json()).unwrap();
    fs::write(at("bad"), signed(&gate_key(2)).to_json()).unwrap();
    let bundle = ImageKey::generate(KeyStatus::Development, bytes(1)).unwrap();
    let image = xedge_model::Digest::of(b"image");
    let bundle: serde_json::Value = serde_json::from_slice(&bundle.sign_as_bundle(&image)).unwrap();
    let mut envelope = bundle["dsseEnvelope"].clone();
    // That client wants a key's name beside each signature; cosign writes none.
    envelope["signatures"][0]["keyid"] = id.as_str().into();
    fs::write(at("image"), envelope.to_string()).unwrap();
    envelope["payload"] = "e30=".into();
    fs::write(at("changed"), envelope.to_string()).unwrap();
    let verify = |name: &str| python(&["dsse", &at(name), &at("pub.pem"), &id]);
    assert_eq!((verify("good"), verify("image")), (Ok(()), Ok(())));
    assert!(verify("bad").is_err() && verify("changed").is_err());
}

fn openssl(folder: &Path, args: &[&str]) -> Output {
    let output = Command::new("openssl").args(args).current_dir(folder).output();
    output.expect("these tests need openssl: `apt-get install openssl`")
}

#[test]
fn openssl_reads_keys_at_rest_with_their_passphrase_only() {
    let folder = Folder::new();
    let passphrase = Passphrase::new(&Zeroizing::new("correct horse".into())).unwrap();
    let ring = KeyRing::init(&folder.path(), NewKeys::Production(&passphrase), stream(1)).unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("right"), "correct horse\n").unwrap();
    fs::write(at("wrong"), "correct horsf\n").unwrap();
    for info in ring.public() {
        let file: serde_json::Value = serde_json::from_slice(&fs::read(&info.path).unwrap()).unwrap();
        fs::write(at("key.pem"), file["pem"].as_str().unwrap()).unwrap();
        let read = |pass| {
            let args = ["pkey", "-in", "key.pem", "-passin", pass, "-pubout"];
            openssl(folder.path().as_std_path(), &args)
        };
        let right = read("file:right");
        assert_eq!(String::from_utf8_lossy(&right.stdout), info.key.to_pem(), "{} {right:?}", info.role);
        assert!(!read("file:wrong").status.success(), "{}", info.role);
    }
}

#[test]
fn openssl_agrees_on_public_keys_and_signatures() {
    let folder = Folder::new();
    let ring = KeyRing::open_or_make_development(&folder.path(), stream(1)).unwrap();
    let at = |name: &str| folder.path().join(name);
    let root = crate::Ed25519Key::generate(stream(3)).unwrap();
    fs::write(at("ed.pem"), root.public().to_pem()).unwrap();
    fs::write(at("message"), b"message").unwrap();
    fs::write(at("signature"), root.sign(b"message")).unwrap();
    let args = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "ed.pem",
        "-rawin",
        "-in",
        "message",
        "-sigfile",
        "signature",
    ];
    let verified = openssl(folder.path().as_std_path(), &args);
    assert!(verified.status.success(), "{verified:?}");
    for info in ring.public() {
        fs::write(at("pub.pem"), info.key.to_pem()).unwrap();
        let again = openssl(folder.path().as_std_path(), &["pkey", "-pubin", "-in", "pub.pem", "-pubout"]);
        assert_eq!(String::from_utf8_lossy(&again.stdout), info.key.to_pem());
    }
    let pem = ring.public_key(Role::Root).unwrap().to_pem();
    assert!(Ed25519PublicKey::from_pem(&pem).is_some());
    assert!(VerifyingKey::from_pem("root", &pem).is_err(), "one algorithm is not taken for the other");
}
