//! Blobs and their uploads: at once, in pieces, broken off and taken up again, by range, by a link.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use xedge_model::Digest;

use super::http::{Bench, Got};
use crate::server::blobs::{Wanted, wanted_of};

async fn begin(bench: &Bench) -> String {
    let got = bench.ask("POST", "/v2/a/blobs/uploads/", &[], b"").await;
    assert_eq!(got.status, 202);
    got.header("location").unwrap().to_owned()
}

async fn piece(bench: &Bench, location: &str, range: &str, bytes: &[u8]) -> Got {
    bench.ask("PATCH", location, &[&format!("Content-Range: {range}")], bytes).await
}

/// Waits until the server has seen this many bytes of an upload.
async fn until(bench: &Bench, location: &str, range: &str) {
    for _ in 0..200 {
        if bench.get(location).await.header("range") == Some(range) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the upload never came to {range}");
}

#[tokio::test]
async fn at_once_and_read_back() {
    let bench = Bench::new().await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let digest = bench.blob("a/b", &bytes).await;
    let target = format!("/v2/a/b/blobs/{digest}");
    let got = bench.get(&target).await;
    assert_eq!((got.status, got.header("docker-content-digest")), (200, Some(digest.as_str())));
    assert!(got.body == bytes, "the blob has changed");
    let head = bench.ask("HEAD", &target, &[], b"").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("300000"), 0));
    // What was pushed to one repository is not there for another.
    assert_eq!(bench.get(&format!("/v2/a/blobs/{digest}")).await.refusal(), (404, "BLOB_UNKNOWN".into()));
    assert_eq!(bench.ask("DELETE", &target, &[], b"").await.status, 202);
    assert_eq!(bench.ask("DELETE", &target, &[], b"").await.status, 404);
    assert_eq!(bench.get(&target).await.status, 404);
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_leaves_nothing() {
    let bench = Bench::new().await;
    let wrong = Digest::of(b"other");
    let got = bench.ask("POST", &format!("/v2/a/blobs/uploads/?digest={wrong}"), &[], b"bytes").await;
    assert_eq!(got.refusal(), (400, "DIGEST_INVALID".into()));
    let location = begin(&bench).await;
    for query in ["", "?digest=sha256:00", "?digest=..%2f.."] {
        let got = bench.ask("PUT", &format!("{location}{query}"), &[], b"").await;
        assert_eq!(got.refusal(), (400, "DIGEST_INVALID".into()), "{query}");
    }
    let got = bench.ask("PUT", &format!("{location}?digest={wrong}"), &[], b"bytes").await;
    assert_eq!(got.refusal(), (400, "DIGEST_INVALID".into()));
    assert_eq!(bench.get(&location).await.refusal(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    assert_eq!(bench.get(&format!("/v2/a/blobs/{wrong}")).await.status, 404);
    assert_eq!(std::fs::read_dir(bench.folder.path().join("blobs/sha256")).unwrap().count(), 0);
}

#[tokio::test]
async fn in_pieces_and_only_in_order() {
    let bench = Bench::new().await;
    let location = begin(&bench).await;
    let got = piece(&bench, &location, "0-3", b"abcd").await;
    assert_eq!((got.status, got.header("range")), (202, Some("0-3")));
    for range in ["0-3", "5-8", "3-6"] {
        let got = piece(&bench, &location, range, b"efgh").await;
        assert_eq!(got.refusal(), (416, "BLOB_UPLOAD_INVALID".into()));
        assert_eq!((got.header("range"), got.header("location")), (Some("0-3"), Some(location.as_str())));
    }
    assert_eq!(piece(&bench, &location, "4-9", b"efgh").await.refusal(), (400, "SIZE_INVALID".into()));
    assert_eq!(piece(&bench, &location, "4-3", b"").await.refusal(), (400, "SIZE_INVALID".into()));
    assert_eq!(
        piece(&bench, &location, "four", b"efgh").await.refusal(),
        (400, "BLOB_UPLOAD_INVALID".into())
    );
    let status = bench.get(&location).await;
    assert_eq!((status.status, status.header("range")), (204, Some("0-3")));
    assert_eq!(bench.ask("PATCH", &location, &[], b"efgh").await.status, 202);
    let digest = Digest::of(b"abcdefghij");
    let got = bench.ask("PUT", &format!("{location}?digest={digest}"), &["Content-Range: 8-9"], b"ij").await;
    assert_eq!((got.status, got.header("docker-content-digest")), (201, Some(digest.as_str())));
    assert_eq!(bench.get(got.header("location").unwrap()).await.body, b"abcdefghij");
    assert_eq!(bench.get(&location).await.status, 404);
    // An upload belongs to the repository that it was begun in.
    let other = begin(&bench).await.replace("/v2/a/", "/v2/b/");
    assert_eq!(bench.get(&other).await.status, 404);
}

#[tokio::test]
async fn broken_off_and_taken_up_again() {
    let bench = Bench::new().await;
    let location = begin(&bench).await;
    let mut stream = TcpStream::connect(bench.address()).await.unwrap();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhello");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    drop(stream);
    until(&bench, &location, "0-4").await;
    assert_eq!(piece(&bench, &location, "5-10", b" world").await.status, 202);
    let digest = Digest::of(b"hello world");
    let got = bench.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").await;
    assert_eq!(got.status, 201);
    assert_eq!(bench.get(&format!("/v2/a/blobs/{digest}")).await.body, b"hello world");
    let given_up = begin(&bench).await;
    assert_eq!(bench.ask("DELETE", &given_up, &[], b"").await.status, 204);
    assert_eq!(bench.ask("DELETE", &given_up, &[], b"").await.status, 404);
}

#[tokio::test]
async fn a_link_from_another_repository() {
    let bench = Bench::new().await;
    let digest = bench.blob("a", b"shared").await;
    let got = bench.ask("POST", &format!("/v2/b/c/blobs/uploads/?mount={digest}&from=a"), &[], b"").await;
    assert_eq!((got.status, got.header("docker-content-digest")), (201, Some(digest.as_str())));
    assert_eq!(bench.get(got.header("location").unwrap()).await.body, b"shared");
    // Without the blob there, or without `from`, an upload is opened instead.
    let absent = Digest::of(b"absent");
    for query in
        [format!("mount={absent}&from=a"), format!("mount={digest}&from=x"), format!("mount={digest}")]
    {
        let got = bench.ask("POST", &format!("/v2/d/blobs/uploads/?{query}"), &[], b"").await;
        assert_eq!(got.status, 202, "{query}");
        assert!(got.header("location").unwrap().starts_with("/v2/d/blobs/uploads/"));
    }
}

#[tokio::test]
async fn by_range() {
    let bench = Bench::new().await;
    let digest = bench.blob("a", b"0123456789").await;
    let target = format!("/v2/a/blobs/{digest}");
    for (range, body, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=3-", "3456789", "bytes 3-9/10"),
        ("bytes=3-99", "3456789", "bytes 3-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
    ] {
        let got = bench.ask("GET", &target, &[&format!("Range: {range}")], b"").await;
        assert_eq!((got.status, got.header("content-range")), (206, Some(content_range)), "{range}");
        assert_eq!(got.body, body.as_bytes(), "{range}");
    }
    let got = bench.ask("GET", &target, &["Range: bytes=10-"], b"").await;
    assert_eq!((got.status, got.header("content-range")), (416, Some("bytes */10")));
}

#[test]
fn what_is_no_range_asks_for_the_whole() {
    for range in ["bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=3-2"] {
        assert_eq!(wanted_of(range, 10), Wanted::Whole, "{range}");
    }
    for (range, size) in [("bytes=0-", 0), ("bytes=-0", 10), ("bytes=-5", 0), ("bytes=11-12", 10)] {
        assert_eq!(wanted_of(range, size), Wanted::Nothing, "{range}");
    }
}
