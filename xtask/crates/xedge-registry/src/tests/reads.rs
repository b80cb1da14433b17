//! What is read, what is refused, and what is never taken for "not there".

use camino::Utf8Path;
use xedge_model::{Class, Digest};

use super::fake::{Fake, What};
use super::support::{client, is, repository, settings};
use crate::{Client, Target, save_login, server};

fn put(fake: &Fake, reference: &str, bytes: &[u8]) -> Digest {
    let manifest = ("application/vnd.oci.image.index.v1+json".to_owned(), bytes.to_vec());
    let digest = Digest::of(bytes);
    let mut state = fake.state();
    state.manifests.insert(("site/app".into(), reference.into()), manifest.clone());
    state.manifests.insert(("site/app".into(), digest.to_string()), manifest);
    digest
}

#[tokio::test]
async fn manifests_come_with_type_and_digest() {
    let fake = Fake::start().await;
    let digest = put(&fake, "1", b"{\"a\":1}");
    let (client, repository) = (client(), repository(&fake));
    for reference in ["1", digest.as_str()] {
        let fetched = client.manifest(&repository, reference).await.unwrap();
        assert_eq!((fetched.bytes.as_slice(), &fetched.digest), (&b"{\"a\":1}"[..], &digest));
        assert_eq!(fetched.media_type, crate::OCI_INDEX);
        assert_eq!(client.head_manifest(&repository, reference).await.unwrap(), Some(digest.clone()));
    }
    is(&client.manifest(&repository, "2").await.unwrap_err(), Class::Input, "site/app:2");
}

#[tokio::test]
async fn wrong_and_shortened_manifests_are_refused() {
    let fake = Fake::start().await;
    let digest = put(&fake, "1", b"{\"a\":1}");
    let (client, repository) = (client(), repository(&fake));
    fake.say("GET", "manifests/sha256", 1, 200, "{\"a\":");
    let error = client.manifest(&repository, digest.as_str()).await.unwrap_err();
    is(&error, Class::Integrity, digest.as_str());
    let claim = vec![("docker-content-digest", digest.to_string())];
    fake.fail("GET", "manifests/1", 1, What::Say(200, claim, b"{}".to_vec()));
    is(&client.manifest(&repository, "1").await.unwrap_err(), Class::Integrity, "expected");
}

#[tokio::test]
async fn only_absence_is_absence() {
    let fake = Fake::start().await;
    let (client, repository) = (client(), repository(&fake));
    for body in [
        "",
        "<html>",
        r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#,
        r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#,
    ] {
        fake.say("HEAD", "manifests/", 1, 404, body);
        assert_eq!(client.head_manifest(&repository, "1").await.unwrap(), None, "{body}");
        fake.say("GET", "manifests/", 1, 404, body);
        let error = client.manifest(&repository, "1").await.unwrap_err();
        is(&error, Class::Input, "failed to find");
    }
    for (status, code, class) in [
        (404, "DENIED", Class::Input),
        (404, "UNAUTHORIZED", Class::Input),
        (404, "SOMETHING_ELSE", Class::Input),
        (403, "DENIED", Class::Input),
        (401, "UNAUTHORIZED", Class::Input),
        (429, "TOOMANYREQUESTS", Class::Environment),
        (500, "UNKNOWN", Class::Environment),
        (400, "NAME_INVALID", Class::Input),
    ] {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"words of the registry"}}]}}"#);
        fake.say("GET", "manifests/", 4, status, &body);
        is(&client.manifest(&repository, "1").await.unwrap_err(), class, "words of the registry");
        fake.say("GET", "referrers/", 4, status, &body);
        let error = client.referrers(&repository, &Digest::of(b"x")).await.unwrap_err();
        is(&error, class, "words of the registry");
        fake.say("GET", "tags/list", 4, status, &body);
        is(&client.tags(&repository).await.unwrap_err(), class, "words of the registry");
        fake.state().faults.clear();
    }
    for status in [401, 403, 429, 500] {
        fake.say("HEAD", "manifests/", 4, status, "");
        assert!(client.head_manifest(&repository, "1").await.is_err(), "{status}");
        fake.state().faults.clear();
    }
}

#[tokio::test]
async fn tags_come_page_by_page() {
    let fake = Fake::start().await;
    let (client, repository) = (client(), repository(&fake));
    assert!(client.tags(&repository).await.unwrap().is_empty());
    for tag in ["1", "2", "3", "4", "5"] {
        put(&fake, tag, b"{}");
    }
    assert_eq!(client.tags(&repository).await.unwrap(), ["1", "2", "3", "4", "5"]);
    assert_eq!(fake.count("GET /v2/site/app/tags/list?n=2&last="), 2);
}

#[tokio::test]
async fn a_404_is_no_tags_only_where_the_registry_does_not_know_the_name() {
    let fake = Fake::start().await;
    let (client, repository) = (client(), repository(&fake));
    fake.say("GET", "tags/list", 1, 404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#);
    assert!(client.tags(&repository).await.unwrap().is_empty());
    for body in
        ["", "<html>a proxy</html>", "{}", r#"{"errors":[]}"#, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#]
    {
        fake.say("GET", "tags/list", 1, 404, body);
        is(&client.tags(&repository).await.unwrap_err(), Class::Input, "status 404");
    }
    // The registry in the data folder says it as well.
    let folder = tempfile::tempdir().unwrap();
    let store = server::Store::open(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
    let running = server::serve(server::bind(0).await.unwrap(), store).unwrap();
    let target: Target = running.address().to_string().parse().unwrap();
    let repository = target.repository(&"app".parse().unwrap()).unwrap();
    assert!(client.tags(&repository).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_list_that_leads_through_another_host_shows_it_nothing() {
    let (fake, storage) = (Fake::start().await, Fake::start().await);
    let folder = tempfile::tempdir().unwrap();
    let config = camino::Utf8PathBuf::from_path_buf(folder.path().join("config.json")).unwrap();
    save_login(&config, &fake.host.parse().unwrap(), "me", "secret").unwrap();
    fake.state().login = Some(("me", "secret"));
    put(&fake, "1", b"{}");
    let mut settings = settings();
    settings.config_files = vec![config];
    let client = Client::new(settings).unwrap();
    // The next page is at the storage, which sends us back: the 401 is the registry's, the first hop is not.
    let next = format!("<http://{}/v2/site/app/tags/list?last=1>; rel=\"next\"", storage.host);
    fake.fail("GET", "tags/list", 1, What::With("link", next));
    let back = format!("http://{}/v2/site/app/tags/list?last=1", fake.host);
    storage.fail("GET", "tags/list", 9, What::Say(307, vec![("location", back)], Vec::new()));
    is(&client.tags(&repository(&fake)).await.unwrap_err(), Class::Input, "denied");
    assert_eq!((storage.count("GET"), fake.state().seen.len()), (1, 1));
    assert!(storage.state().seen.is_empty());
}

#[tokio::test]
async fn blobs_are_hashed_limited_and_whole_or_absent() {
    let fake = Fake::start().await;
    let (client, repository) = (client(), repository(&fake));
    let (good, other) = (Digest::of(b"hello"), Digest::of(b"other"));
    fake.state().blobs.insert(("site/app".into(), good.to_string()), b"hello".to_vec());
    fake.state().blobs.insert(("site/app".into(), other.to_string()), b"changed".to_vec());
    let mut sink = Vec::new();
    assert_eq!(client.blob(&repository, &good, 5, &mut sink).await.unwrap(), 5);
    assert_eq!(sink, b"hello");
    is(&client.blob(&repository, &good, 4, &mut sink).await.unwrap_err(), Class::Integrity, "more than 4");
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap().join("a/b");
    let error = client.blob_to_file(&repository, &other, 99, &path).await.unwrap_err();
    is(&error, Class::Integrity, other.as_str());
    assert!(!path.exists());
    client.blob_to_file(&repository, &good, 99, &path).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    let missing = Digest::of(b"missing");
    let error = client.blob_to_file(&repository, &missing, 99, &path).await.unwrap_err();
    is(&error, Class::Input, "failed to find");
}

#[tokio::test]
async fn a_blob_behind_a_redirect_is_fetched_without_showing_who_we_are() {
    let (fake, storage) = (Fake::start().await, Fake::start().await);
    let folder = tempfile::tempdir().unwrap();
    let config = camino::Utf8PathBuf::from_path_buf(folder.path().join("config.json")).unwrap();
    save_login(&config, &fake.host.parse().unwrap(), "me", "secret").unwrap();
    fake.state().login = Some(("me", "secret"));
    // The storage asks for a token of its own, which must not be answered with the registry's password.
    storage.state().tokens = Some(0);
    let mut settings = settings();
    settings.config_files = vec![config];
    let client = Client::new(settings).unwrap();
    // From here on the password is sent at once, so that the only 401 is the storage's.
    client.head_manifest(&repository(&fake), "1").await.unwrap();
    let (digest, mut sink) = (Digest::of(b"hello"), Vec::new());
    let to = format!("http://{}/v2/x/blobs/{digest}?signature=1", storage.host);
    fake.fail("GET", "blobs/", 2, What::Say(307, vec![("location", to)], Vec::new()));
    let error = client.blob(&repository(&fake), &digest, 9, &mut sink).await.unwrap_err();
    is(&error, Class::Input, "denied");
    storage.state().tokens = None;
    storage.state().blobs.insert(("x".into(), digest.to_string()), b"hello".to_vec());
    assert_eq!(client.blob(&repository(&fake), &digest, 9, &mut sink).await.unwrap(), 5);
    assert!(!fake.state().seen.is_empty());
    assert!(storage.state().seen.is_empty() && storage.count("GET /token") == 0);
}

#[tokio::test]
async fn a_body_that_is_cut_is_read_again() {
    let fake = Fake::start().await;
    let digest = put(&fake, "1", b"{\"a\":1}");
    fake.state().blobs.insert(("site/app".into(), digest.to_string()), b"{\"a\":1}".to_vec());
    let (client, repository) = (client(), repository(&fake));
    fake.fail("GET", "/", 2, What::Short(4));
    assert_eq!(client.manifest(&repository, "1").await.unwrap().digest, digest);
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap().join("blob");
    fake.fail("GET", "/", 2, What::Short(4));
    assert_eq!(client.blob_to_file(&repository, &digest, 99, &path).await.unwrap(), 7);
    fake.fail("GET", "/", 99, What::Short(4));
    is(&client.manifest(&repository, "1").await.unwrap_err(), Class::Environment, &fake.host);
}
