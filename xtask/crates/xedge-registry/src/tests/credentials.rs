//! Who we are: files, helpers, tokens, and what is said when it does not suffice.

use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use xedge_model::{Class, Failure};

use super::fake::{Fake, What};
use super::support::{client, is, repository, sample, settings, text};
use crate::credentials::encode;
use crate::{Client, Error, Login, Target, config_with_login, save_login};

fn folder() -> (TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

fn target(fake: &Fake) -> Target {
    fake.host.parse().unwrap()
}

fn with_files(files: &[&Utf8Path]) -> Client {
    let mut settings = settings();
    settings.config_files = files.iter().map(|path| (*path).to_owned()).collect();
    Client::new(settings).unwrap()
}

fn helper(folder: &Utf8Path, name: &str, script: &str) {
    let path = folder.join(format!("docker-credential-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_password_is_sent_only_when_asked_for_and_then_at_once() {
    let fake = Fake::start().await;
    let (_guard, folder) = folder();
    let config = folder.join("config.json");
    fake.state().login = Some(("me", "pass:word"));
    save_login(&config, &target(&fake), "me", "pass:word").unwrap();
    let client = with_files(&[&folder.join("missing.json"), &config]);
    client.head_manifest(&repository(&fake), "1").await.unwrap();
    client.head_manifest(&repository(&fake), "1").await.unwrap();
    assert_eq!(client.requests(), 3);
}

#[tokio::test]
async fn a_token_is_kept_and_renewed_when_it_expires_half_way() {
    let fake = Fake::start().await;
    let (_guard, folder) = folder();
    let config = folder.join("config.json");
    fake.state().login = Some(("me", "secret"));
    fake.state().tokens = Some(0);
    save_login(&config, &target(&fake), "me", "secret").unwrap();
    let (client, sample) = (with_files(&[&config]), sample(&fake, 1));
    let plan = client.plan(sample.image.clone()).await.unwrap();
    assert_eq!(fake.count("GET /token"), 1);
    let asked = "GET /token?service=fake&scope=repository%3Asite%2Fapp%3Apull%2Cpush";
    assert_eq!(fake.count(asked), 1);
    fake.fail("PUT", "uploads/", 1, What::Expire);
    client.push(&plan, &sample.source(), &super::support::silent()).await.unwrap();
    assert_eq!(fake.count("GET /token"), 2);
    // An unchanged push in a new client: challenge, token and two tags.
    let again = with_files(&[&config]);
    sample.push(&again).await.unwrap();
    assert_eq!(again.requests(), 4);
}

#[tokio::test]
async fn denied_says_so_and_how_to_log_in_and_never_the_secret() {
    for tokens in [None, Some(0)] {
        let fake = Fake::start().await;
        let (_guard, folder) = folder();
        let config = folder.join("config.json");
        fake.state().login = Some(("me", "right"));
        fake.state().tokens = tokens;
        let check = |error: Error, why: &str| {
            is(&error, Class::Input, why);
            is(&error, Class::Input, "denied");
            let login = format!("cargo xtask registry login {} --username USER --password-stdin", fake.host);
            assert_eq!(error.hint().unwrap(), login);
            let all = format!("{} {error:?}", text(&error));
            assert!(!all.contains("wrong-secret") && !all.contains(&encode("me", "wrong-secret")), "{all}");
        };
        let error = client().manifest(&repository(&fake), "1").await.unwrap_err();
        check(error, "no credentials for this host");
        save_login(&config, &target(&fake), "me", "wrong-secret").unwrap();
        let error = with_files(&[&config]).head_manifest(&repository(&fake), "1").await.unwrap_err();
        check(error, "wrong user or password");
        check(
            client().login(&target(&fake), "me", "wrong-secret").await.unwrap_err(),
            "wrong user or password",
        );
        assert_eq!(client().login(&target(&fake), "me", "right").await.unwrap(), Login::Accepted);
    }
    let open = Fake::start().await;
    assert_eq!(client().login(&target(&open), "me", "x").await.unwrap(), Login::NotAskedFor);
}

#[tokio::test]
async fn the_first_file_that_knows_the_host_wins_and_a_host_helper_before_all() {
    let fake = Fake::start().await;
    let (_guard, folder) = folder();
    fake.state().login = Some(("me", "right"));
    let host = &fake.host;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (right, wrong) = (encode("me", "right"), encode("me", "wrong"));
    let other = write("other.json", format!(r#"{{"auths":{{"other.example":{{"auth":"{wrong}"}}}}}}"#));
    let good = write("good.json", format!(r#"{{"auths":{{"http://{host}/v2/":{{"auth":"{right}"}}}}}}"#));
    let bad = write("bad.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{wrong}"}}}}}}"#));
    let by_path = write(
        "path.json",
        format!(r#"{{"auths":{{"{host}":{{"auth":"{wrong}"}},"{host}/site":{{"auth":"{right}"}}}}}}"#),
    );
    let works = async |files: &[&Utf8Path]| {
        let mut settings = settings();
        settings.config_files = files.iter().map(|path| (*path).to_owned()).collect();
        settings.helper_folders = vec![folder.clone()];
        Client::new(settings).unwrap().head_manifest(&repository(&fake), "1").await.map(|_| ())
    };
    works(&[&other, &good, &bad]).await.unwrap();
    is(&works(&[&bad, &good]).await.unwrap_err(), Class::Input, "wrong user or password");
    works(&[&by_path]).await.unwrap();

    let script = format!(
        "read h; test \"$h\" = {host} -a \"$1\" = get || exit 9\necho '{{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"right\"}}'"
    );
    helper(&folder, "good", &script);
    helper(&folder, "none", "echo 'credentials not found in native keychain'; exit 1");
    helper(&folder, "broken", "echo right-secret; exit 3");
    let own = write(
        "own.json",
        format!(r#"{{"credHelpers":{{"{host}":"good"}},"auths":{{"{host}":{{"auth":"{wrong}"}}}}}}"#),
    );
    works(&[&own]).await.unwrap();
    let store = write("store.json", format!(r#"{{"credsStore":"good","auths":{{"{host}":{{}}}}}}"#));
    works(&[&store]).await.unwrap();
    let none = write("none.json", r#"{"credsStore":"none"}"#.to_owned());
    works(&[&none, &good]).await.unwrap();
    let broken = write("broken.json", r#"{"credsStore":"broken"}"#.to_owned());
    let error = works(&[&broken]).await.unwrap_err();
    is(&error, Class::Input, "docker-credential-broken");
    assert!(!text(&error).contains("right-secret"));
    let absent = write("absent.json", r#"{"credsStore":"is-not-there"}"#.to_owned());
    is(&works(&[&absent]).await.unwrap_err(), Class::Input, "docker-credential-is-not-there");
    let torn = write("torn.json", format!(r#"{{"auths":{{"{host}":{{"auth":"{right}"#));
    let error = works(&[&torn]).await.unwrap_err();
    is(&error, Class::Input, "torn.json");
    assert!(!text(&error).contains(&right));
}

#[tokio::test]
async fn a_helper_that_hangs_is_given_up() {
    let fake = Fake::start().await;
    let (_guard, folder) = folder();
    fake.state().login = Some(("me", "right"));
    helper(&folder, "slow", "exec sleep 60");
    let config = folder.join("config.json");
    std::fs::write(&config, r#"{"credsStore":"slow"}"#).unwrap();
    let mut settings = settings();
    settings.timeouts.helper = std::time::Duration::from_millis(100);
    settings.config_files = vec![config];
    settings.helper_folders = vec![folder];
    let error = Client::new(settings).unwrap().head_manifest(&repository(&fake), "1").await.unwrap_err();
    is(&error, Class::Environment, "docker-credential-slow");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let fake = Fake::start().await;
    let (_guard, folder) = folder();
    fake.state().tokens = Some(0);
    let config = folder.join("config.json");
    let host = &fake.host;
    std::fs::write(&config, format!(r#"{{"auths":{{"{host}":{{"auth":"bWU6","identitytoken":"it"}}}}}}"#))
        .unwrap();
    with_files(&[&config]).head_manifest(&repository(&fake), "1").await.unwrap();
    assert_eq!((fake.count("POST /token"), fake.count("GET /token")), (1, 0));
}

#[test]
fn a_login_keeps_what_else_is_in_the_file() {
    let path = Utf8Path::new("config.json");
    let old =
        br#"{"credsStore":"x","auths":{"a.example":{"auth":"eA=="},"b:1":{"auth":"old"}},"unknown":[1]}"#;
    let new = config_with_login(path, Some(old), "b:1", "me", "pw").unwrap();
    let value: serde_json::Value = serde_json::from_slice(&new).unwrap();
    assert_eq!(value["credsStore"], "x");
    assert_eq!(value["unknown"][0], 1);
    assert_eq!(value["auths"]["a.example"]["auth"], "eA==");
    assert_eq!(value["auths"]["b:1"]["auth"], encode("me", "pw"));
    assert!(config_with_login(path, Some(b"[]"), "b:1", "me", "pw").is_err());
    assert!(config_with_login(path, Some(b""), "b:1", "me", "pw").is_ok());
    assert!(config_with_login(path, None, "b:1", "me:you", "pw").is_err());
}

#[test]
fn a_saved_login_is_for_its_owner_only() {
    let (_guard, folder) = folder();
    let path = folder.join("new/config.json");
    save_login(&path, &"localhost:5000/x".parse().unwrap(), "me", "pw").unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"localhost:5000\""));
}
