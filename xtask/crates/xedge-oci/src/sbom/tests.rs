//! SBOMs: deterministic, with unique identifiers and nothing made up.

use std::collections::BTreeSet;

use serde_json::Value;
use xedge_model::lock::LockedPackage;
use xedge_model::{Digest, Platform};

use super::package::expression;
use super::{SbomPackage, spdx};
use crate::sample::{CREATED, name};

fn debian(name: &str, version: &str) -> SbomPackage {
    SbomPackage::debian(&LockedPackage {
        name: name.into(),
        version: version.into(),
        architecture: "arm64".into(),
        source: "src".into(),
        source_version: "1".into(),
        pocket: "bookworm".into(),
        filename: "pool/x.deb".into(),
        size: 1,
        sha256: Digest::of(name.as_bytes()),
    })
}

fn document(packages: &[SbomPackage]) -> Vec<u8> {
    spdx(&name("xedgesim/sample"), Platform::LinuxArm64, &Digest::of(b"manifest"), CREATED, packages)
}

#[test]
fn package_urls_are_encoded() {
    assert_eq!(
        debian("libstdc++6", "1:12.2.0-14+deb12u1~x").purl,
        "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~x?arch=arm64"
    );
    assert_eq!(SbomPackage::cargo("serde", "1.0.0+x", None, None).purl, "pkg:cargo/serde@1.0.0%2Bx");
}

#[test]
fn order_and_repeats_do_not_matter() {
    let (a, b) = (debian("a", "1"), debian("b", "2"));
    assert_eq!(document(&[a.clone(), b.clone()]), document(&[b, a.clone(), a]));
}

#[test]
fn the_image_is_described_and_contains_its_packages() {
    let crates = SbomPackage::cargo("serde", "1.0.0", Some(Digest::of(b"crate")), Some("MIT/Apache-2.0"));
    let json: Value = serde_json::from_slice(&document(&[debian("a", "1"), crates])).unwrap();
    assert_eq!(json["spdxVersion"], "SPDX-2.3");
    let namespace = json["documentNamespace"].as_str().unwrap();
    assert!(namespace.starts_with("https://") && namespace.ends_with(Digest::of(b"manifest").hex()));
    let kinds: Vec<_> =
        json["relationships"].as_array().unwrap().iter().map(|r| &r["relationshipType"]).collect();
    assert_eq!(kinds, ["DESCRIBES", "CONTAINS", "CONTAINS"]);
    let by_name =
        |name: &str| json["packages"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap();
    assert_eq!(by_name("serde")["licenseDeclared"], "MIT OR Apache-2.0");
    assert_eq!(by_name("serde")["checksums"][0]["checksumValue"], Digest::of(b"crate").hex());
    assert_eq!(by_name("a")["supplier"], "Organization: Debian");
    assert_eq!(by_name("a")["licenseDeclared"], "NOASSERTION");
    assert_eq!(by_name("a")["sourceInfo"], "built package from: src 1");
}

#[test]
fn identifiers_are_unique_and_plain() {
    let packages = [
        debian("a+b", "1"),
        debian("a-b", "1"),
        debian("a-b", "1~"),
        SbomPackage::cargo("a_b", "1", None, None),
    ];
    let json: Value = serde_json::from_slice(&document(&packages)).unwrap();
    let ids: BTreeSet<&str> =
        json["packages"].as_array().unwrap().iter().map(|p| p["SPDXID"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 5);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    assert!(ids.iter().all(|id| id.starts_with("SPDXRef-") && id.chars().all(plain)), "{ids:?}");
}

#[test]
fn only_expressions_pass_as_licences() {
    let check =
        |text: &str, expected: Option<&str>| assert_eq!(expression(text).as_deref(), expected, "{text}");
    check("MIT", Some("MIT"));
    check("MIT/Apache-2.0", Some("MIT OR Apache-2.0"));
    check("(MIT OR Apache-2.0) AND Unicode-3.0", Some("(MIT OR Apache-2.0) AND Unicode-3.0"));
    check("Apache-2.0 WITH LLVM-exception", Some("Apache-2.0 WITH LLVM-exception"));
    for bad in ["", "see LICENSE", "MIT OR", "OR MIT", "(MIT", "MIT)", "()", "MIT\"}", "MIT AND AND X"] {
        check(bad, None);
    }
}
