//! Artifacts and how they are found from their subject.

use std::sync::Arc;

use bytes::Bytes;
use xedge_model::{Class, Digest};

use super::fake::Fake;
use super::support::{blob, client, is, manifest, repository, silent};
use crate::{BlobSource, MemoryBlobs, OCI_MANIFEST, PushArtifact, PushedArtifact, Referrer, Result};

const BLOB: &[u8] = b"{}";

fn subject() -> Digest {
    Digest::of(b"the image")
}

fn artifact(fake: &Fake, name: &str) -> PushArtifact {
    let text = format!(
        r#"{{"artifactType":"application/{name}","config":{{"mediaType":"application/x"}},"subject":{{"digest":"{}"}},"annotations":{{"who":"{name}"}}}}"#,
        subject()
    );
    let manifest = manifest(&text, OCI_MANIFEST);
    PushArtifact { repository: repository(fake), manifest, blobs: vec![blob(BLOB)], tag: None }
}

async fn push(artifact: PushArtifact) -> Result<PushedArtifact> {
    let source: Arc<dyn BlobSource> = Arc::new(MemoryBlobs::new([Bytes::from_static(BLOB)]));
    client().push_artifact(artifact, &source, &silent()).await
}

#[tokio::test]
async fn a_list_of_the_registry_is_enough() {
    let fake = Fake::start().await;
    fake.state().referrers = true;
    let pushed = push(artifact(&fake, "a")).await.unwrap();
    assert_eq!((pushed.changed, pushed.referrer), (true, Referrer::Listed));
    assert_eq!(client().referrers(&repository(&fake), &subject()).await.unwrap().len(), 1);
    let writes = fake.writes();
    assert!(!push(artifact(&fake, "a")).await.unwrap().changed);
    assert_eq!(fake.writes(), writes);
}

#[tokio::test]
async fn a_tag_stands_in_and_a_promise_alone_is_not_believed() {
    for promises in [false, true] {
        let fake = Fake::start().await;
        fake.state().promises_referrers = promises;
        let pushed = push(artifact(&fake, "a")).await.unwrap();
        assert_eq!((pushed.changed, pushed.referrer), (true, Referrer::StandIn));
        push(artifact(&fake, "b")).await.unwrap();
        let writes = fake.writes();
        assert!(!push(artifact(&fake, "a")).await.unwrap().changed);
        assert_eq!(fake.writes(), writes);
        let found = client().referrers(&repository(&fake), &subject()).await.unwrap();
        let types: Vec<&str> = found.iter().filter_map(|found| found.artifact_type.as_deref()).collect();
        assert_eq!(types, ["application/a", "application/b"]);
        assert_eq!(found[0].annotations["who"], "a");
        assert_eq!(found[0].digest, artifact(&fake, "a").manifest.digest);
    }
}

#[tokio::test]
async fn a_stand_in_that_cannot_be_read_is_not_overwritten() {
    let fake = Fake::start().await;
    let tag = format!("manifests/sha256-{}", subject().hex());
    fake.say("GET", &tag, 9, 404, r#"{"errors":[{"code":"DENIED"}]}"#);
    is(&push(artifact(&fake, "a")).await.unwrap_err(), Class::Input, "denied");
    assert_eq!(fake.count(&format!("PUT /v2/site/app/{tag}")), 0);
    fake.state().faults.clear();
    fake.say("GET", &tag, 9, 200, r#"{"layers":[]}"#);
    is(&push(artifact(&fake, "a")).await.unwrap_err(), Class::Environment, "not an image index");
    assert_eq!(fake.count(&format!("PUT /v2/site/app/{tag}")), 0);
}

#[tokio::test]
async fn an_artifact_without_subject_needs_no_list() {
    let fake = Fake::start().await;
    let mut artifact = artifact(&fake, "a");
    artifact.manifest = manifest(r#"{"config":{"mediaType":"application/x"}}"#, OCI_MANIFEST);
    artifact.tag = Some(crate::Tag::new("sha256-x.sig", crate::TagKind::Moving).unwrap());
    assert_eq!(push(artifact).await.unwrap().referrer, Referrer::None);
    assert_eq!(fake.count("GET /v2/site/app/referrers"), 0);
    assert_eq!(client().tags(&repository(&fake)).await.unwrap(), ["sha256-x.sig"]);
}
