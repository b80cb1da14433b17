//! Manifests, indexes, tags and referrers.

use serde_json::{Value, json};
use xedge_model::Digest;

use super::http::{Bench, Got};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn image(config: &[u8], layer: &[u8]) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.example.config", "digest": Digest::of(config), "size": config.len() },
        "layers": [{ "mediaType": "application/octet-stream", "digest": Digest::of(layer), "size": layer.len() }],
    })
}

async fn push(bench: &Bench, reference: &str, document: &Value) -> Got {
    let kind = document["mediaType"].as_str().unwrap();
    bench.manifest("a", reference, kind, document.to_string().as_bytes()).await
}

async fn ready() -> (Bench, Value) {
    let bench = Bench::new().await;
    bench.blob("a", b"config").await;
    bench.blob("a", b"layer").await;
    (bench, image(b"config", b"layer"))
}

#[tokio::test]
async fn by_tag_and_by_digest_byte_for_byte() {
    let (bench, document) = ready().await;
    let text = format!(" {document}\n");
    let digest = Digest::of(text.as_bytes());
    let got = bench.manifest("a", "v1", MANIFEST, text.as_bytes()).await;
    assert_eq!((got.status, got.header("docker-content-digest")), (201, Some(digest.as_str())));
    assert_eq!(got.header("location"), Some(format!("/v2/a/manifests/{digest}").as_str()));
    assert_eq!(bench.manifest("a", digest.as_str(), MANIFEST, text.as_bytes()).await.status, 201);
    for reference in ["v1", digest.as_str()] {
        let target = format!("/v2/a/manifests/{reference}");
        let got = bench.get(&target).await;
        assert_eq!((got.status, got.header("content-type")), (200, Some(MANIFEST)));
        assert_eq!(got.body, text.as_bytes());
        let head = bench.ask("HEAD", &target, &[], b"").await;
        assert_eq!(head.header("content-length"), Some(text.len().to_string().as_str()));
        assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
    }
    let encoded = format!("/v2/a/manifests/{}", digest.as_str().replace(':', "%3A"));
    assert_eq!(bench.get(&encoded).await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_manifest_is_told() {
    let (bench, good) = ready().await;
    let with = |key: &str, value: Value| {
        let mut document = good.clone();
        document[key] = value;
        document
    };
    let own = Digest::of(good.to_string().as_bytes());
    let missing = json!([{ "digest": Digest::of(b"missing"), "size": 7 }]);
    let short = json!({ "digest": Digest::of(b"config"), "size": 5 });
    let index =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [{ "digest": own, "size": 1 }] });
    for (document, code) in [
        (image(b"absent", b"layer"), "MANIFEST_BLOB_UNKNOWN"),
        (with("layers", missing), "MANIFEST_BLOB_UNKNOWN"),
        (index, "MANIFEST_BLOB_UNKNOWN"),
        (with("config", short), "MANIFEST_INVALID"),
        (with("schemaVersion", json!(1)), "MANIFEST_INVALID"),
        (with("manifests", json!([])), "MANIFEST_INVALID"),
        (with("subject", json!({ "digest": "sha256:00", "size": 1 })), "MANIFEST_INVALID"),
    ] {
        assert_eq!(push(&bench, "v1", &document).await.refusal(), (400, code.into()), "{document}");
    }
    let text = good.to_string();
    for (reference, kind, text, status, code) in [
        ("v1", INDEX, text.as_str(), 400, "MANIFEST_INVALID"),
        ("v1", MANIFEST, "{", 400, "MANIFEST_INVALID"),
        ("v1", MANIFEST, &" ".repeat((8 << 20) + 1), 413, "MANIFEST_INVALID"),
        (Digest::of(b"").as_str(), MANIFEST, text.as_str(), 400, "DIGEST_INVALID"),
        ("sha256:00", MANIFEST, text.as_str(), 400, "DIGEST_INVALID"),
    ] {
        assert_eq!(
            bench.manifest("a", reference, kind, text.as_bytes()).await.refusal(),
            (status, code.into())
        );
    }
    assert_eq!(bench.get("/v2/a/manifests/v1").await.status, 404);
    let padded = format!("{good}{}", " ".repeat(5 << 20));
    assert_eq!(bench.manifest("a", "large", MANIFEST, padded.as_bytes()).await.status, 201);
    let far =
        with("layers", json!([{ "digest": Digest::of(b"far"), "size": 3, "urls": ["https://example.com"] }]));
    assert_eq!(push(&bench, "far", &far).await.status, 201);
}

#[tokio::test]
async fn children_come_before_their_index() {
    let (bench, document) = ready().await;
    let child = Digest::of(document.to_string().as_bytes());
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{ "mediaType": MANIFEST, "digest": child, "size": document.to_string().len() }],
    });
    assert_eq!(push(&bench, "all", &index).await.refusal(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
    assert_eq!(push(&bench, child.as_str(), &document).await.status, 201);
    assert_eq!(push(&bench, "all", &index).await.status, 201);
    assert_eq!(bench.get("/v2/a/manifests/all").await.header("content-type"), Some(INDEX));
    // The content of a manifest is no blob.
    assert_eq!(bench.get(&format!("/v2/a/blobs/{child}")).await.status, 404);
}

#[tokio::test]
async fn tags_page_by_page() {
    let (bench, document) = ready().await;
    assert_eq!(bench.get("/v2/x/tags/list").await.refusal(), (404, "NAME_UNKNOWN".into()));
    assert_eq!(bench.get("/v2/a/tags/list").await.json()["tags"], json!([]));
    for tag in ["b", "a", "C", "d.1"] {
        assert_eq!(push(&bench, tag, &document).await.status, 201);
    }
    let all = bench.get("/v2/a/tags/list").await;
    assert_eq!(all.json(), json!({ "name": "a", "tags": ["C", "a", "b", "d.1"] }));
    assert_eq!(all.header("link"), None);
    let first = bench.get("/v2/a/tags/list?n=3").await;
    assert_eq!(first.json()["tags"], json!(["C", "a", "b"]));
    assert_eq!(first.header("link"), Some("</v2/a/tags/list?n=3&last=b>; rel=\"next\""));
    let rest = bench.get("/v2/a/tags/list?n=3&last=b").await;
    assert_eq!((rest.json()["tags"].clone(), rest.header("link")), (json!(["d.1"]), None));
    assert_eq!(bench.get("/v2/a/tags/list?n=0").await.json()["tags"], json!([]));
    assert_eq!(bench.get("/v2/a/tags/list?n=many").await.status, 400);
    assert_eq!(bench.ask("DELETE", "/v2/a/manifests/a", &[], b"").await.status, 202);
    assert_eq!(bench.ask("DELETE", "/v2/a/manifests/a", &[], b"").await.status, 404);
    let target = format!("/v2/a/manifests/{}", Digest::of(document.to_string().as_bytes()));
    assert_eq!(bench.get(&target).await.status, 200);
    assert_eq!(bench.ask("DELETE", &target, &[], b"").await.status, 202);
    assert_eq!(bench.get(&target).await.refusal(), (404, "MANIFEST_UNKNOWN".into()));
    assert_eq!(bench.get("/v2/a/tags/list").await.json()["tags"], json!([]));
}

#[tokio::test]
async fn referrers_of_what_need_not_be_there() {
    let (bench, plain) = ready().await;
    let subject = Digest::of(b"never pushed");
    let mut signature = plain.clone();
    signature["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 12 });
    let mut sbom = signature.clone();
    sbom["artifactType"] = json!("application/vnd.example.sbom+json");
    sbom["annotations"] = json!({ "k": "v" });
    let target = format!("/v2/a/referrers/{subject}");
    assert_eq!(bench.get(&target).await.json()["manifests"], json!([]));
    for document in [&signature, &sbom] {
        let digest = Digest::of(document.to_string().as_bytes());
        let got = push(&bench, digest.as_str(), document).await;
        assert_eq!((got.status, got.header("oci-subject")), (201, Some(subject.as_str())));
    }
    assert_eq!(push(&bench, "plain", &plain).await.header("oci-subject"), None);
    let all = bench.get(&target).await;
    assert_eq!((all.header("content-type"), all.header("oci-filters-applied")), (Some(INDEX), None));
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let only = format!("{target}?artifactType=application/vnd.example.sbom%2Bjson");
    let only = bench.get(&only).await;
    let text = sbom.to_string();
    let descriptor = json!({
        "mediaType": MANIFEST, "digest": Digest::of(text.as_bytes()), "size": text.len(),
        "artifactType": "application/vnd.example.sbom+json", "annotations": { "k": "v" },
    });
    assert_eq!(only.json()["manifests"], json!([descriptor]));
    assert_eq!(only.header("oci-filters-applied"), Some("artifactType"));
    // Without a type of its own, a manifest is of the type of its configuration.
    let by_config = bench.get(&format!("{target}?artifactType=application/vnd.example.config")).await;
    assert_eq!(by_config.json()["manifests"].as_array().unwrap().len(), 1);
    let gone = format!("/v2/a/manifests/{}", Digest::of(text.as_bytes()));
    assert_eq!(bench.ask("DELETE", &gone, &[], b"").await.status, 202);
    assert_eq!(bench.get(&target).await.json()["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(bench.get("/v2/empty/referrers/".to_owned().as_str()).await.status, 400);
}
