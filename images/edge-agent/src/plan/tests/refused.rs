//! What is refused, by its name.

use serde_json::json;
use xedge_model::Failure;

use super::Case;

#[track_caller]
fn refused(case: &Case, words: &[&str]) {
    let error = case.plan().expect_err("it is refused");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text}");
    }
    assert!(error.hint().is_some(), "{text}");
}

fn one(service: &str, rest: &str) -> Case {
    Case::new(&format!("services:\n  app:\n    image: x/app:1\n{service}\n{rest}"))
}

#[test]
fn what_would_not_be_what_was_signed() {
    refused(
        &one("    volumes: [\"./app:/etc/app\"]", "").file("app/a", "0644", ""),
        &["app", "can be written"],
    );
    refused(&one("    volumes: [\"./other:/etc/app:ro\"]", "").file("app/a", "0644", ""), &["./other"]);
    refused(&one("    labels: {xedge.seq: \"1\"}", ""), &["xedge.seq"]);
    let secret = one("    secrets: [key]", "secrets: {key: {file: ../keys/key}}\n");
    refused(&secret, &["app", "../secrets/key"]);
}

#[test]
fn what_does_not_fit_together() {
    let twice =
        "services:\n  a: {image: x/a:1, container_name: same}\n  b: {image: x/b:1, container_name: same}\n";
    refused(&Case::new(twice), &["same", "`a`", "`b`"]);
    let mut unknown = one("", "");
    unknown.services.clear();
    refused(&unknown, &["app", "no image"]);
    let mut no_config = one("", "");
    no_config.images.clear();
    refused(&no_config, &["app", "config"]);
    let mut no_compose = one("", "");
    no_compose.files[0].0 = "other.yaml".into();
    refused(&no_compose, &["compose.yaml"]);
}

#[test]
fn a_user_without_a_number_reads_only_what_everybody_may() {
    let with = |mode: &str| {
        let mut case = one("    volumes: [\"./app:/etc/app:ro\"]", "").file("app/a", mode, "");
        case.images.insert("app".into(), br#"{"config": {"User": "broker"}}"#.to_vec());
        case
    };
    refused(&with("0640"), &["app", "`a`"]);
    let plan = with("0644").planned();
    assert_eq!((plan.services["app"].user, plan.mounts[0].owner), (None, (0, 0)));
}

#[test]
fn values_that_are_missing_or_do_not_fit() {
    let mut case = one("    environment: {SITE: \"@{site}\"}", "");
    case.device_values = json!([{"name": "site", "pattern": "[a-z]+", "sample": "lab", "maxLength": 8}]);
    refused(&case, &["site", "missing"]);
    case.values.insert("site".into(), "North".into());
    refused(&case, &["site", "[a-z]+"]);
}

#[test]
fn other_bytes_than_the_signed_ones() {
    let case = one("    volumes: [\"./app:/etc/app:ro\"]", "").file("app/a", "0644", "signed");
    let manifest = case.manifest();
    let mut files: std::collections::BTreeMap<camino::Utf8PathBuf, Vec<u8>> =
        case.files.iter().map(|(path, _, bytes)| (path.into(), bytes.clone())).collect();
    files.insert("app/a".into(), b"other".to_vec());
    let input = crate::plan::Input {
        manifest: &manifest,
        platform: xedge_model::Platform::LinuxAmd64,
        files: &files,
        images: &case.images,
        home: &case.home,
        bounds: super::Bounds::default(),
        values: &case.values,
        secrets: &case.secrets,
        adopted: &case.adopted,
    };
    let error = super::plan(&input).expect_err("other bytes").to_string();
    assert!(error.contains("app/a"), "{error}");
    let signed =
        [("app/a", "signed"), ("compose.yaml", std::str::from_utf8(&case.files[0].2).expect("text"))];
    let signed = signed.map(|(path, bytes)| (path.into(), bytes.as_bytes().to_vec())).into();
    let arm = crate::plan::Input { platform: xedge_model::Platform::LinuxArm64, files: &signed, ..input };
    let error = super::plan(&arm).expect_err("no image").to_string();
    assert!(error.contains("arm64"), "{error}");
}
