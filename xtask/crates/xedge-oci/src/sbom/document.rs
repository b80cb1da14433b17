//! The SPDX document around the packages. The order of the fields is the order in the JSON.

use std::collections::BTreeSet;

use serde::Serialize;
use xedge_model::{Digest, ImageName, Platform};

use super::SbomPackage;
use super::package::{expression, percent};

const NOASSERTION: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    #[serde(rename = "documentNamespace")]
    namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    name: String,
    #[serde(rename = "SPDXID")]
    id: String,
    version_info: String,
    supplier: String,
    download_location: &'static str,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    external_refs: [ExternalRef; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
struct ExternalRef {
    #[serde(rename = "referenceCategory")]
    category: &'static str,
    #[serde(rename = "referenceType")]
    kind: &'static str,
    #[serde(rename = "referenceLocator")]
    locator: String,
}

#[derive(Serialize)]
struct Relationship {
    #[serde(rename = "spdxElementId")]
    from: &'static str,
    #[serde(rename = "relationshipType")]
    kind: &'static str,
    #[serde(rename = "relatedSpdxElement")]
    to: String,
}

/// The SPDX 2.3 document of one platform's image. `created` is RFC 3339; the namespace is made from the manifest's
/// digest; packages are ordered by package URL and named once.
pub fn spdx(
    image: &ImageName,
    platform: Platform,
    manifest: &Digest,
    created: &str,
    packages: &[SbomPackage],
) -> Vec<u8> {
    let described = std::iter::once(image_package(image, platform, manifest));
    let packages: Vec<Package> = described.chain(contained(packages)).collect();
    let name = format!("{}-{}", image.file_stem(), platform.file_stem());
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        namespace: format!("https://spdx.org/spdxdocs/{name}-{}", manifest.hex()),
        name,
        creation_info: CreationInfo { created: created.to_owned(), creators: ["Tool: xedge"] },
        relationships: packages.iter().map(relationship).collect(),
        packages,
    };
    let mut text = serde_json::to_vec_pretty(&document).expect("the document has string keys only");
    text.push(b'\n');
    text
}

fn relationship(package: &Package) -> Relationship {
    let (from, kind) = if package.id == IMAGE { (DOCUMENT, "DESCRIBES") } else { (IMAGE, "CONTAINS") };
    Relationship { from, kind, to: package.id.clone() }
}

fn image_package(image: &ImageName, platform: Platform, manifest: &Digest) -> Package {
    let (_, last) = image.as_str().rsplit_once('/').unwrap_or(("", image.as_str()));
    let arch = platform.oci_architecture();
    Package {
        checksums: vec![sha256(manifest)],
        primary_package_purpose: Some("CONTAINER"),
        ..package(
            image.as_str(),
            IMAGE.to_owned(),
            manifest.as_str(),
            format!("pkg:oci/{}@{}?arch={arch}", percent(last), manifest.as_str()),
        )
    }
}

fn contained(packages: &[SbomPackage]) -> Vec<Package> {
    let mut ids = BTreeSet::new();
    let once: BTreeSet<&SbomPackage> = packages.iter().collect();
    once.into_iter().map(|package| contained_package(package, unique_id(package, &mut ids))).collect()
}

fn contained_package(from: &SbomPackage, id: String) -> Package {
    let no_assertion = || NOASSERTION.to_owned();
    Package {
        supplier: from.supplier.as_ref().map_or_else(no_assertion, |name| format!("Organization: {name}")),
        license_declared: from.license.as_deref().and_then(expression).unwrap_or_else(no_assertion),
        source_info: from.source.as_ref().map(|source| format!("built package from: {source}")),
        checksums: from.sha256.iter().map(sha256).collect(),
        comment: from.comment.clone(),
        ..package(&from.name, id, &from.version, from.purl.clone())
    }
}

/// A package of which nothing but name, version and package URL is known.
fn package(name: &str, id: String, version: &str, purl: String) -> Package {
    Package {
        name: name.to_owned(),
        id,
        version_info: version.to_owned(),
        supplier: NOASSERTION.to_owned(),
        download_location: NOASSERTION,
        files_analyzed: false,
        source_info: None,
        license_concluded: NOASSERTION,
        license_declared: NOASSERTION.to_owned(),
        copyright_text: NOASSERTION,
        comment: None,
        primary_package_purpose: None,
        checksums: Vec::new(),
        external_refs: [ExternalRef { category: "PACKAGE-MANAGER", kind: "purl", locator: purl }],
    }
}

fn sha256(digest: &Digest) -> Checksum {
    Checksum { algorithm: "SHA256", checksum_value: digest.hex().to_owned() }
}

/// SPDX identifiers have letters, digits, `.` and `-` only, so two packages may need a number to tell them apart.
fn unique_id(package: &SbomPackage, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let purl = package.purl.strip_prefix("pkg:").unwrap_or(&package.purl);
    let base: String = purl.chars().map(plain).collect();
    let numbered = (2_u32..).map(|number| format!("SPDXRef-{base}-{number}"));
    let mut candidates = std::iter::once(format!("SPDXRef-{base}")).chain(numbered);
    let id = candidates.find(|id| !taken.contains(id)).unwrap_or_default();
    taken.insert(id.clone());
    id
}
