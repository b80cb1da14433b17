//! What a reference must be, and which login is whose. Fetching itself is tried on a real Engine and a real registry.

use std::fs;

use camino::Utf8PathBuf;

use super::{Logins, parse};

#[test]
fn a_reference_says_where_its_images_are() {
    let check = |text: &str, base: &str| {
        let (_, found) = parse(text).expect("a reference of bundles");
        assert_eq!(found, base, "{text}");
    };
    check("127.0.0.1:5000/xedge-releases/edge:bundle-r1", "127.0.0.1:5000/");
    check("registry.example.com/team/xedge-releases/edge", "registry.example.com/team/");
    check("xedge-releases/edge", "");
}

#[test]
fn what_is_no_reference_of_bundles_is_refused() {
    for text in [
        "registry.example.com/edge:r1",
        "my-xedge-releases/edge",
        "https://host/xedge-releases/edge",
        "-x",
        "",
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
}

#[test]
fn logins_are_those_that_docker_keeps() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Utf8PathBuf::from_path_buf(folder.path().join("config.json")).expect("UTF-8");
    // user:pass:word
    fs::write(
        &path,
        r#"{"auths":{"https://r.example/v1/":{"auth":"dXNlcjpwYXNzOndvcmQ="},"other":{}},"credsStore":"x"}"#,
    )
    .expect("a file");
    let missing = path.with_file_name("none.json");
    let logins = Logins::read(&[missing, path.clone()]).expect("logins");
    let found = logins.of("r.example").expect("a login");
    assert_eq!((found.user.as_str(), found.password.as_str()), ("user", "pass:word"));
    assert!(logins.of("other").is_none() && logins.of("r.example:443").is_none());

    fs::write(&path, r#"{"auths":{"r":{"auth":"geheim!"}}}"#).expect("a file");
    let error = Logins::read(&[path]).err().expect("no base64").to_string();
    assert!(!error.contains("geheim"), "{error}");
}
