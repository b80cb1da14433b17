//! One package of an SBOM, with its package URL. Looks nothing up.

use std::fmt::Write as _;

use xedge_model::Digest;
use xedge_model::lock::LockedPackage;

/// A package that is in an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SbomPackage {
    /// Package URL, which also orders the list: `pkg:deb/debian/NAME@VERSION?arch=ARCH`, `pkg:cargo/NAME@VERSION`.
    pub purl: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// The organisation that it comes from.
    pub supplier: Option<String>,
    /// SPDX licence expression, as its publisher declares it.
    pub license: Option<String>,
    /// Digest of the file that it came in (.deb, .crate).
    pub sha256: Option<Digest>,
    /// Name and version of the source package that it was built from.
    pub source: Option<String>,
    /// What else is known of it.
    pub comment: Option<String>,
}

impl SbomPackage {
    /// A Debian package as it is locked.
    pub fn debian(package: &LockedPackage) -> Self {
        let LockedPackage { name, version, architecture, source, source_version, .. } = package;
        Self {
            purl: format!("pkg:deb/debian/{}@{}?arch={architecture}", percent(name), percent(version)),
            name: name.clone(),
            version: version.clone(),
            supplier: Some("Debian".to_owned()),
            license: None,
            sha256: Some(package.sha256.clone()),
            source: Some(format!("{source} {source_version}")),
            comment: None,
        }
    }

    /// A package as a base image's own list of packages has it: `kind` and `vendor` are those of package URLs.
    pub fn installed(
        kind: &str,
        vendor: &str,
        name: &str,
        version: &str,
        architecture: Option<&str>,
    ) -> Self {
        let arch = architecture.map(|arch| format!("?arch={}", percent(arch))).unwrap_or_default();
        Self {
            purl: format!("pkg:{kind}/{}/{}@{}{arch}", percent(vendor), percent(name), percent(version)),
            name: name.to_owned(),
            version: version.to_owned(),
            supplier: None,
            license: None,
            sha256: None,
            source: None,
            comment: None,
        }
    }

    /// A base image by digest; `repository` is host and path, `comment` says what is known of its content.
    pub fn base_image(repository: &str, manifest: &Digest, architecture: &str, comment: String) -> Self {
        let last = repository.rsplit('/').next().unwrap_or(repository);
        let at = percent(repository).replace("%2F", "/");
        Self {
            purl: format!("pkg:oci/{}@{manifest}?arch={architecture}&repository_url={at}", percent(last)),
            name: repository.to_owned(),
            version: manifest.to_string(),
            supplier: None,
            license: None,
            sha256: Some(manifest.clone()),
            source: None,
            comment: Some(comment),
        }
    }

    /// A crate as Cargo.lock has it; crates of the workspace itself have no checksum.
    pub fn cargo(name: &str, version: &str, checksum: Option<Digest>, license: Option<&str>) -> Self {
        Self {
            purl: format!("pkg:cargo/{}@{}", percent(name), percent(version)),
            name: name.to_owned(),
            version: version.to_owned(),
            supplier: None,
            license: license.map(str::to_owned),
            sha256: checksum,
            source: None,
            comment: None,
        }
    }
}

/// Percent-encoding of package URLs: everything but letters, digits and `.-_~:`.
pub(super) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    encoded
}

/// The declared licence as an SPDX expression, or `None` if it is not one by its form. Cargo's old `A/B` means `A OR B`.
pub(super) fn expression(license: &str) -> Option<String> {
    let text = license.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mut depth, mut want_id) = (0_usize, true);
    for word in &words {
        match *word {
            "(" if want_id => depth += 1,
            ")" if !want_id => depth = depth.checked_sub(1)?,
            "AND" | "OR" | "WITH" if !want_id => want_id = true,
            id if want_id && is_license_id(id) => want_id = false,
            _ => return None,
        }
    }
    let complete = depth == 0 && !want_id;
    complete.then(|| words.join(" ").replace("( ", "(").replace(" )", ")"))
}

fn is_license_id(word: &str) -> bool {
    let in_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    !["AND", "OR", "WITH"].contains(&word)
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(in_id)
}
