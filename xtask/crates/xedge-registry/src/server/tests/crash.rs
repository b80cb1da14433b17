//! What a process that was killed leaves behind, and two processes on one folder.

use std::fs;

use super::http::{Bench, path};
use crate::server::Store;

fn sessions(folder: &tempfile::TempDir) -> usize {
    let entries = fs::read_dir(folder.path().join("uploads")).unwrap().map(Result::unwrap);
    entries.filter(|entry| entry.path().is_dir()).count()
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_another_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(&path(&folder)).unwrap();
    let stale = folder.path().join("uploads/session-stale");
    fs::create_dir(&stale).unwrap();
    fs::write(stale.join("lock"), "").unwrap();
    fs::write(stale.join("half"), "half a blob").unwrap();
    fs::create_dir(folder.path().join("uploads/session-unlocked")).unwrap();
    let second = Store::open(&path(&folder)).unwrap();
    assert!(!stale.exists());
    assert_eq!(sessions(&folder), 2);
    drop((first, second));
    assert_eq!(sessions(&folder), 0);
}

#[tokio::test]
async fn two_processes_share_a_folder() {
    let bench = Bench::new().await;
    let store = Store::open(&path(&bench.folder)).unwrap();
    let other = crate::server::serve(crate::server::bind(0).await.unwrap(), store).unwrap();
    let other = Bench { folder: tempfile::tempdir().unwrap(), running: other };
    let digest = bench.blob("a", b"bytes").await;
    assert_eq!(other.get(&format!("/v2/a/blobs/{digest}")).await.body, b"bytes");
    let begun = bench.ask("POST", "/v2/a/blobs/uploads/", &[], b"").await;
    drop(Store::open(&path(&bench.folder)).unwrap());
    let target = format!("{}?digest={digest}", begun.header("location").unwrap());
    assert_eq!(bench.ask("PUT", &target, &[], b"bytes").await.status, 201);
}

#[tokio::test]
async fn a_damaged_manifest_is_never_handed_out() {
    let bench = Bench::new().await;
    let text = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let got = bench.manifest("a", "v1", "application/vnd.oci.image.index.v1+json", text).await;
    assert_eq!(got.status, 201);
    let digest = xedge_model::Digest::of(text);
    let file = bench.folder.path().join("blobs/sha256").join(digest.hex());
    fs::write(file, "damaged").unwrap();
    assert_eq!(bench.get("/v2/a/manifests/v1").await.refusal(), (500, "UNKNOWN".into()));
    let again = bench.manifest("a", "v1", "application/vnd.oci.image.index.v1+json", text).await;
    assert_eq!(again.status, 201);
    assert_eq!(bench.get("/v2/a/manifests/v1").await.status, 200);
}

#[tokio::test]
async fn no_staged_file_stays_after_requests() {
    let bench = Bench::new().await;
    bench.blob("a", b"bytes").await;
    let wrong = format!("/v2/a/blobs/uploads/?digest={}", xedge_model::Digest::of(b""));
    assert_eq!(bench.ask("POST", &wrong, &[], b"bytes").await.status, 400);
    for entry in fs::read_dir(bench.folder.path().join("uploads")).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            let names: Vec<_> = fs::read_dir(entry.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["lock"]);
        }
    }
}
