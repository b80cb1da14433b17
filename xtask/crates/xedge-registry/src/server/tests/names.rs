//! Names that would leave the folder, and hosts that are not this one.

use super::http::Bench;
use crate::server::name::{Name, Reference, Tag};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn only_names_of_the_specification_are_taken() {
    for name in ["a", "a/b/c", "a.b", "a_b", "a__b", "a---b", "0/9", "tags/list"] {
        assert!(Name::parse(name).is_ok(), "{name}");
    }
    let long = "a".repeat(256);
    for name in ["", "/", "a/", "/a", "a//b", "A", "_tags", "a/_tags", "..", "a/..", ".a", "a..b", "a___b"] {
        assert!(Name::parse(name).is_err(), "{name}");
    }
    for name in ["a\0b", "a b", "a\\b", "ä", "-a", "a-", "a._b", long.as_str()] {
        assert!(Name::parse(name).is_err(), "{name}");
    }
}

#[test]
fn only_tags_and_digests_of_the_specification_are_taken() {
    let long = "t".repeat(128);
    for tag in ["latest", "1.0", "_", "A-b.c", long.as_str()] {
        assert!(Tag::parse(tag).is_ok(), "{tag}");
    }
    for tag in ["", ".", "..", "-a", "a/b", "a:b", "a b", "a\0", "ä", &format!("{long}t")] {
        assert!(Tag::parse(tag).is_err(), "{tag}");
    }
    assert!(matches!(Reference::parse(DIGEST), Ok(Reference::Digest(_))));
    assert!(Reference::parse("sha256:../../x").is_err());
}

#[tokio::test]
async fn no_path_leaves_the_folder() {
    let bench = Bench::new().await;
    std::fs::write(bench.folder.path().join("secret"), "secret").unwrap();
    for name in ["..", "../..", "a/../../..", "%2e%2e", "a%2f..%2fb", "a/%2e%2e", "a%00b", "_blobs", "a%"] {
        for rest in
            [&format!("blobs/{DIGEST}"), "manifests/latest", "tags/list", "manifests/..%2f..%2fsecret"]
        {
            let got = bench.get(&format!("/v2/{name}/{rest}")).await;
            assert_eq!(got.refusal(), (400, "NAME_INVALID".into()), "{name} {rest}");
        }
        let got = bench.manifest(name, "latest", "application/json", b"{}").await;
        assert_eq!(got.refusal(), (400, "NAME_INVALID".into()), "{name}");
        let got =
            bench.ask("POST", &format!("/v2/a/blobs/uploads/?mount={DIGEST}&from={name}"), &[], b"").await;
        assert_eq!(got.refusal(), (400, "NAME_INVALID".into()), "{name}");
    }
    for reference in ["..%2f..%2fsecret", "%2e%2e", ".x"] {
        let target = format!("/v2/a/manifests/{reference}");
        assert_eq!(bench.get(&target).await.refusal(), (404, "MANIFEST_UNKNOWN".into()), "{reference}");
        assert_eq!(bench.ask("PUT", &target, &[], b"{}").await.refusal(), (400, "TAG_INVALID".into()));
        assert_eq!(bench.ask("DELETE", &target, &[], b"").await.status, 404);
    }
    for id in ["..", "%2e%2e%2fsecret", "lock"] {
        let got = bench.get(&format!("/v2/a/blobs/uploads/{id}")).await;
        assert_eq!(got.refusal(), (404, "BLOB_UPLOAD_UNKNOWN".into()), "{id}");
    }
    let bad =
        ["sha256:..%2fsecret", "sha256:00", "sha512:00", "..", &DIGEST.to_uppercase()].map(String::from);
    for digest in bad {
        for part in ["blobs", "referrers"] {
            let got = bench.get(&format!("/v2/a/{part}/{digest}")).await;
            assert_eq!(got.refusal(), (400, "DIGEST_INVALID".into()), "{digest}");
        }
    }
    assert_eq!(std::fs::read_dir(bench.folder.path().join("repositories")).unwrap().count(), 0);
}

#[tokio::test]
async fn only_this_host_is_answered() {
    let bench = Bench::new().await;
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.9:5", 200),
        ("[::1]:5", 200),
        ("[::1]", 200),
        ("rebound.example", 403),
        ("127.0.0.1.example:80", 403),
        ("192.0.2.1", 403),
    ] {
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(bench.raw(request.as_bytes(), false).await.status, status, "{host}");
    }
    let everywhere = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let store = crate::server::Store::open(&super::http::path(&bench.folder)).unwrap();
    assert!(matches!(crate::server::serve(everywhere, store), Err(crate::server::Error::NotLoopback { .. })));
}

#[tokio::test]
async fn the_root_and_what_is_not_there() {
    let bench = Bench::new().await;
    let got = bench.get("/v2/").await;
    assert_eq!((got.status, got.header("docker-distribution-api-version")), (200, Some("registry/2.0")));
    assert_eq!(bench.get("/v2").await.status, 200);
    for target in ["/", "/v1/", "/v2/a", "/v2/a/b/c", "/v2x/"] {
        assert_eq!(bench.get(target).await.status, 404, "{target}");
    }
    for (method, target) in [("POST", "/v2/"), ("POST", "/v2/a/manifests/b"), ("PUT", "/v2/a/tags/list")] {
        assert_eq!(bench.ask(method, target, &[], b"").await.refusal(), (405, "UNSUPPORTED".into()));
    }
    let head = bench.ask("HEAD", "/v2/a/manifests/b", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    let taken = bench.address().port();
    assert!(crate::server::bind(taken).await.is_err());
    bench.running.stop().await;
    drop(crate::server::bind(taken).await.unwrap());
}
