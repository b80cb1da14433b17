//! What a push writes, in which order, and what it leaves alone.

use std::sync::Arc;

use xedge_model::Class;

use super::fake::{Fake, What};
use super::support::{Damaged, Notes, client, is, sample, silent};
use crate::{BlobStep, Event, ManifestStep, Progress, TagStep};

#[tokio::test]
async fn all_is_pushed_and_a_second_push_only_looks() {
    let fake = Fake::start().await;
    let sample = sample(&fake, 1);
    let plan = client().plan(sample.image.clone()).await.unwrap();
    assert_eq!(plan.upload_bytes(), 3_000_010);
    assert!(plan.manifests().all(|(_, step)| step == ManifestStep::Put));
    assert!(plan.tags().all(|(_, step)| *step == TagStep::Set));
    assert_eq!(fake.writes(), 0);

    let notes = Arc::new(Notes::default());
    let watching: Arc<dyn Progress> = notes.clone();
    let pushed = client().push(&plan, &sample.source(), &watching).await.unwrap();
    assert_eq!((pushed.uploaded, pushed.uploaded_bytes, pushed.mounted), (2, 3_000_010, 0));
    assert_eq!(pushed.tags, ["1.0", "latest"]);
    assert_eq!(pushed.reference, format!("{}/site/app@{}", fake.host, sample.image.index.digest));
    assert!(notes.has(|event| *event == Event::Done(sample.big().clone())));
    let puts: Vec<String> = fake.state().log.iter().filter(|line| line.contains("PUT")).cloned().collect();
    let place = |part: &str| puts.iter().position(|line| line.contains(part)).unwrap();
    assert!(place("uploads") < place(sample.image.manifests[0].digest.as_str()));
    assert!(place(sample.image.manifests[0].digest.as_str()) < place(sample.image.index.digest.as_str()));
    assert_eq!(place("manifests/1.0"), puts.len() - 2);

    let (again, writes) = (client(), fake.writes());
    sample.push(&again).await.unwrap();
    // One for each tag: they name the index, and so it is there.
    assert_eq!(again.requests(), 2);
    assert_eq!(fake.writes(), writes);
}

#[tokio::test]
async fn a_version_that_names_another_image_stops_the_push_before_it_starts() {
    let fake = Fake::start().await;
    let (first, second) = (sample(&fake, 1), sample(&fake, 2));
    first.push(&client()).await.unwrap();
    let writes = fake.writes();
    let plan = client().plan(second.image.clone()).await.unwrap();
    let found = first.image.index.digest.clone();
    assert_eq!(plan.tags().next().unwrap().1, &TagStep::Conflict { found: found.clone() });
    assert_eq!(plan.tags().nth(1).unwrap().1, &TagStep::Set);
    let error = client().push(&plan, &second.source(), &silent()).await.unwrap_err();
    is(&error, Class::Input, found.as_str());
    is(&error, Class::Input, second.image.index.digest.as_str());
    assert_eq!(fake.writes(), writes);
}

#[tokio::test]
async fn a_version_set_by_somebody_else_meanwhile_is_not_moved() {
    let fake = Fake::start().await;
    let sample = sample(&fake, 1);
    let plan = client().plan(sample.image.clone()).await.unwrap();
    let race = What::Race("site/app".into(), "1.0".into(), b"{}".to_vec());
    fake.fail("HEAD", "manifests/1.0", 1, race);
    let error = client().push(&plan, &sample.source(), &silent()).await.unwrap_err();
    is(&error, Class::Input, "names");
    assert_eq!(fake.count("PUT /v2/site/app/manifests/1.0"), 0);
    assert_eq!(fake.count("PUT /v2/site/app/manifests/latest"), 0);
}

#[tokio::test]
async fn blobs_are_mounted_where_another_repository_has_them() {
    for mounts in [true, false] {
        let fake = Fake::start().await;
        let mut sample = sample(&fake, 1);
        let digest = sample.big().clone();
        fake.state().mounts = mounts;
        fake.state().blobs.insert(("site/base".into(), digest.to_string()), sample.contents[1].to_vec());
        sample.image.mount_from = vec!["site/nothing".into(), "site/base".into()];
        let plan = client().plan(sample.image.clone()).await.unwrap();
        assert_eq!(plan.upload_bytes(), 10);
        let is_mount =
            |step: &BlobStep| matches!(step, BlobStep::Mount { from } if from.path() == "site/base");
        assert!(plan.blobs().any(|(blob, step)| blob.digest == digest && is_mount(step)));
        let pushed = client().push(&plan, &sample.source(), &silent()).await.unwrap();
        // A 202 opened a session: it is used, and none is left over.
        assert_eq!(pushed.mounted, usize::from(mounts));
        assert_eq!(fake.count("POST"), 2);
        assert!(fake.state().uploads.is_empty());
        assert!(fake.state().blobs.contains_key(&("site/app".into(), digest.to_string())));
    }
}

#[tokio::test]
async fn a_damaged_blob_is_never_complete_anywhere() {
    let fake = Fake::start().await;
    let sample = sample(&fake, 1);
    let plan = client().plan(sample.image.clone()).await.unwrap();
    let damaged: Arc<dyn crate::BlobSource> = Arc::new(Damaged(sample.source()));
    let error = client().push(&plan, &damaged, &silent()).await.unwrap_err();
    is(&error, Class::Integrity, "damaged blob sha256:");
    assert!(fake.state().blobs.is_empty() && fake.state().manifests.is_empty());
}

#[tokio::test]
async fn a_registry_that_keeps_something_else_is_found_out() {
    let fake = Fake::start().await;
    let sample = sample(&fake, 1);
    let plan = client().plan(sample.image.clone()).await.unwrap();
    let index = format!("manifests/{}", sample.image.index.digest);
    fake.say("GET", &index, 1, 200, "{}");
    let error = client().push(&plan, &sample.source(), &silent()).await.unwrap_err();
    is(&error, Class::Integrity, "expected");
    assert_eq!(fake.count("PUT /v2/site/app/manifests/1.0"), 0);
}
