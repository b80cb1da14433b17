//! Networks and registries that fail half-way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xedge_model::Class;

use super::fake::{Fake, What};
use super::support::{Notes, Sample, client, is, sample, settings, silent};
use crate::{Client, Event, Progress, Result};

async fn push_with(fake: &Fake) -> (Sample, Result<crate::Pushed>, Arc<Notes>) {
    let sample = sample(fake, 1);
    let notes = Arc::new(Notes::default());
    let watching: Arc<dyn Progress> = notes.clone();
    let client = client();
    let result = match client.plan(sample.image.clone()).await {
        Ok(plan) => client.push(&plan, &sample.source(), &watching).await,
        Err(error) => Err(error),
    };
    (sample, result, notes)
}

#[tokio::test]
async fn a_cut_upload_goes_on_where_it_stood() {
    let fake = Fake::start().await;
    fake.fail("PUT", "uploads/", 2, What::Cut(1_000_000));
    fake.fail("PATCH", "uploads/", 1, What::Cut(700_000));
    let (sample, result, notes) = push_with(&fake).await;
    result.unwrap();
    assert!(notes.has(|event| *event == Event::Resumed(sample.big().clone(), 1_000_000)));
    assert!(notes.has(|event| *event == Event::Resumed(sample.big().clone(), 1_700_000)));
    assert!(fake.count("PATCH") >= 2);
}

#[tokio::test]
async fn a_session_that_is_gone_is_started_again() {
    let fake = Fake::start().await;
    fake.fail("PUT", "uploads/", 1, What::Cut(9));
    fake.say("GET", "uploads/", 1, 404, "");
    let (_, result, notes) = push_with(&fake).await;
    result.unwrap();
    assert!(!notes.has(|event| matches!(event, Event::Resumed(..))));
    assert_eq!(fake.count("POST"), 3);
}

#[tokio::test]
async fn a_session_with_more_bytes_than_there_are_is_started_again() {
    for range in ["0-18446744073709551615", "0-18446744073709551616", "0-3000000", "bytes=0-x", "7"] {
        let fake = Fake::start().await;
        fake.fail("PUT", "uploads/", 1, What::Cut(1_000_000));
        fake.fail("GET", "uploads/", 1, What::Say(204, vec![("range", range.into())], Vec::new()));
        let (_, result, notes) = push_with(&fake).await;
        result.unwrap();
        assert!(!notes.has(|event| matches!(event, Event::Resumed(..))), "{range}");
        assert_eq!(fake.count("POST"), 3, "{range}");
    }
}

#[tokio::test]
async fn a_blob_that_arrived_before_the_cut_is_not_sent_twice() {
    let fake = Fake::start().await;
    fake.say("PUT", "uploads/", 1, 502, "");
    let (_, result, _) = push_with(&fake).await;
    result.unwrap();
    fake.say("PUT", "uploads/", 1, 416, "");
    fake.state().blobs.clear();
    fake.state().manifests.clear();
    push_with(&fake).await.1.unwrap();
}

#[tokio::test]
async fn what_passes_is_tried_again_and_a_wish_to_wait_is_honoured() {
    let fake = Fake::start().await;
    fake.say("HEAD", "manifests/sha256", 1, 503, "");
    let busy = What::Say(429, vec![("retry-after", "30".into())], b"busy".to_vec());
    fake.fail("POST", "uploads/", 1, busy);
    fake.say("PUT", "manifests/", 2, 500, "");
    let start = Instant::now();
    push_with(&fake).await.1.unwrap();
    // 30 s are cut down to the longest pause of the settings.
    assert!(start.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn what_does_not_pass_names_everything() {
    let fake = Fake::start().await;
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    fake.say("PUT", "uploads/", 100, 429, body);
    let (_, result, _) = push_with(&fake).await;
    let error = result.unwrap_err();
    for part in [&fake.host, "site/app", "sha256:", "status 429", "TOOMANYREQUESTS", "slow down"] {
        is(&error, Class::Environment, part);
    }
    // The other upload may still have been on its way when the first gave up.
    assert!(fake.count("DELETE") >= 1);
    assert!(fake.state().manifests.is_empty());
}

#[tokio::test]
async fn a_refused_digest_is_not_tried_again() {
    let fake = Fake::start().await;
    fake.say("PUT", "uploads/", 100, 400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
    let (_, result, _) = push_with(&fake).await;
    is(&result.unwrap_err(), Class::Input, "DIGEST_INVALID");
    assert!(fake.count("PUT") <= 2);
}

#[tokio::test]
async fn locations_may_be_absolute_and_must_be_there() {
    let fake = Fake::start().await;
    fake.fail("POST", "uploads/", 100, What::Without("location"));
    let (_, result, _) = push_with(&fake).await;
    is(&result.unwrap_err(), Class::Environment, "without a `Location`");

    let fake = Fake::start().await;
    fake.state().uploads.insert(77, Vec::new());
    let location = format!("http://{}/v2/site/app/blobs/uploads/77?state=a%2Fb", fake.host);
    fake.fail("POST", "uploads/", 1, What::With("location", location));
    push_with(&fake).await.1.unwrap();
    assert_eq!(fake.count("PUT /v2/site/app/blobs/uploads/77?state=a%2Fb&digest="), 1);
}

#[tokio::test]
async fn a_manifest_put_without_location_and_digest_is_taken() {
    let fake = Fake::start().await;
    fake.fail("PUT", "manifests/", 100, What::Without("docker-content-digest"));
    fake.fail("HEAD", "manifests/", 100, What::Without("docker-content-digest"));
    push_with(&fake).await.1.unwrap();
}

#[tokio::test]
async fn plain_http_is_only_followed_where_it_is_allowed() {
    let fake = Fake::start().await;
    let away = What::With("location", "http://elsewhere.invalid/upload".into());
    fake.fail("POST", "uploads/", 100, away);
    let (_, result, _) = push_with(&fake).await;
    is(&result.unwrap_err(), Class::Input, "http://elsewhere.invalid/upload");
}

#[tokio::test]
async fn a_push_that_is_dropped_leaves_no_tag() {
    let fake = Fake::start().await;
    let sample = sample(&fake, 1);
    let plan = client().plan(sample.image.clone()).await.unwrap();
    let client = client();
    let source = sample.source();
    let silent = silent();
    for wait in 1..12 {
        let push = client.push(&plan, &source, &silent);
        if tokio::time::timeout(Duration::from_millis(wait * 3), push).await.is_ok() {
            break;
        }
        let state = fake.state();
        let tagged = state.manifests.contains_key(&("site/app".into(), "1.0".into()));
        let whole = state.manifests.contains_key(&("site/app".into(), sample.image.index.digest.to_string()));
        assert!(whole || !tagged);
    }
}

#[tokio::test]
async fn nobody_there_and_standing_still_are_told_apart_from_absence() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let target: crate::Target = host.parse().unwrap();
    let repository = target.repository(&"x".parse().unwrap()).unwrap();
    let mut settings = settings();
    settings.retry.tries = 2;
    settings.timeouts.stall = Duration::from_millis(50);
    let client = Client::new(settings).unwrap();
    // The listener takes connections and never answers.
    let error = client.head_manifest(&repository, "1").await.unwrap_err();
    is(&error, Class::Environment, "nothing moved");
    drop(listener);
    let error = client.head_manifest(&repository, "1").await.unwrap_err();
    is(&error, Class::Environment, &host);
    assert_eq!(client.requests(), 4);
}

#[tokio::test]
async fn a_closed_port_is_tried_three_times_at_most() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let repository = host.parse::<crate::Target>().unwrap().repository(&"x".parse().unwrap()).unwrap();
    let mut settings = settings();
    settings.retry.tries = 50;
    let client = Client::new(settings).unwrap();
    let error = client.head_manifest(&repository, "1").await.unwrap_err();
    is(&error, Class::Environment, "failed to reach");
    is(&error, Class::Environment, &host);
    assert_eq!(client.requests(), 3);
    // With the settings that are used outside of tests, that is a matter of seconds.
    let retry = crate::Settings::new("xedge-tests").retry;
    assert!(retry.pause(1, None) + retry.pause(2, None) < Duration::from_secs(5));
}
