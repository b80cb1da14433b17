//! Blobs into files: resumed, restarted where a registry or a part does not play along, and never half under their name.

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use xedge_model::Class;

use super::fake::{Fake, What};
use super::support::{Notes, blob, client, is, manifest, repository, sample};
use crate::{Event, OCI_INDEX, OCI_MANIFEST, Repository, Silent, Target, server};

fn folder() -> (TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap().join("store/blob");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    (folder, path)
}

fn part(path: &Utf8Path) -> Utf8PathBuf {
    format!("{path}.part").into()
}

fn put(fake: &Fake, bytes: &[u8]) -> crate::Blob {
    let blob = blob(bytes);
    fake.state().blobs.insert(("site/app".into(), blob.digest.to_string()), bytes.to_vec());
    blob
}

#[tokio::test]
async fn what_an_earlier_process_read_is_not_read_again() {
    let (_store, root) = folder();
    let store = server::Store::open(&root).unwrap();
    let running = server::serve(server::bind(0).await.unwrap(), store).unwrap();
    let fake = Fake::start().await;
    let mut sample = sample(&fake, 7);
    let target: Target = running.address().to_string().parse().unwrap();
    let repository: Repository = target.repository(&"app".parse().unwrap()).unwrap();
    sample.image.repository = repository.clone();
    let [small, big] = &sample.image.blobs[..] else { panic!("two blobs") };
    let named = |kind: &str, blob: &crate::Blob| {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, blob.digest, blob.size)
    };
    let (config, layer) = (named("application/json", small), named("application/octet-stream", big));
    let child = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
    let child = manifest(&child, OCI_MANIFEST);
    let listed = named(OCI_MANIFEST, &blob(&child.bytes));
    sample.image.index = manifest(&format!(r#"{{"schemaVersion":2,"manifests":[{listed}]}}"#), OCI_INDEX);
    sample.image.manifests = vec![child];
    sample.push(&client()).await.unwrap();
    let (wanted, content) = (sample.image.blobs[1].clone(), sample.contents[1].clone());

    let (_folder, path) = folder();
    std::fs::write(part(&path), &content[..1_000_000]).unwrap();
    let notes = Notes::default();
    client().download(&repository, &wanted, &path, &notes).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert!(!part(&path).exists());
    assert!(notes.has(|event| *event == Event::Resumed(wanted.digest.clone(), 1_000_000)));
    assert!(!notes.has(|event| matches!(event, Event::Started(_))), "it was read from the start");

    // A part that is not the start of the blob costs a second try and nothing else.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(part(&path), vec![9; 1_000_000]).unwrap();
    let notes = Notes::default();
    client().download(&repository, &wanted, &path, &notes).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert!(notes.has(|event| matches!(event, Event::Started(_))));

    // So does one that is too long, and one that is whole.
    for leftover in [[&content[..], b"more"].concat(), content.to_vec()] {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(part(&path), leftover).unwrap();
        client().download(&repository, &wanted, &path, &Silent).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_registry_without_ranges_sends_all_of_it() {
    let fake = Fake::start().await;
    let wanted = put(&fake, b"hello world");
    let (_folder, path) = folder();
    std::fs::write(part(&path), b"hello").unwrap();
    client().download(&repository(&fake), &wanted, &path, &Silent).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello world");

    std::fs::remove_file(&path).unwrap();
    std::fs::write(part(&path), b"hello").unwrap();
    fake.say("GET", "blobs/", 1, 416, "");
    client().download(&repository(&fake), &wanted, &path, &Silent).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello world");
}

#[tokio::test]
async fn a_cut_connection_is_taken_up_again() {
    let fake = Fake::start().await;
    let wanted = put(&fake, b"{{{{ hello");
    let (_folder, path) = folder();
    fake.fail("GET", "blobs/", 2, What::Short(4));
    client().download(&repository(&fake), &wanted, &path, &Silent).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"{{{{ hello");
}

#[tokio::test]
async fn what_is_wrong_leaves_nothing_under_its_name() {
    let fake = Fake::start().await;
    let (repository, (_folder, path)) = (repository(&fake), folder());
    let wanted = blob(b"right");
    let serve = |bytes: &[u8]| {
        fake.state().blobs.insert(("site/app".into(), wanted.digest.to_string()), bytes.to_vec());
    };
    for bytes in [&b"wrong"[..], b"too long", b"cut"] {
        serve(bytes);
        let error = client().download(&repository, &wanted, &path, &Silent).await.unwrap_err();
        is(&error, Class::Integrity, wanted.digest.as_str());
        assert!(!path.exists() && !part(&path).exists());
    }
    let error = client().download(&repository, &blob(b"missing"), &path, &Silent).await.unwrap_err();
    is(&error, Class::Input, "failed to find");
    serve(b"right");
    client().download(&repository, &wanted, &path, &Silent).await.unwrap();
    let requests = fake.count("GET");
    // What is there is not asked for again.
    client().download(&repository, &wanted, &path, &Silent).await.unwrap();
    assert_eq!(fake.count("GET"), requests);
    assert!(!part(&path).exists());
}

#[tokio::test]
async fn two_at_once_read_it_once() {
    let fake = Fake::start().await;
    let wanted = put(&fake, &vec![7; 300_000]);
    let (repository, (_folder, path)) = (repository(&fake), folder());
    let (first, second) = (client(), client());
    let both = tokio::join!(
        first.download(&repository, &wanted, &path, &Silent),
        second.download(&repository, &wanted, &path, &Silent)
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(std::fs::read(&path).unwrap().len(), 300_000);
    assert_eq!(fake.count("GET"), 1);
}
