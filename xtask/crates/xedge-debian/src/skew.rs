//! One source version for all platforms: an image must not be two different programs under one name.

use std::collections::{BTreeMap, BTreeSet};

use xedge_model::Platform;
use xedge_model::lock::LockedPackage;

use crate::Error;

type Versions<'a> = BTreeMap<Platform, BTreeSet<&'a str>>;

/// Checks that every source package has the same source version on each platform that has packages of it.
///
/// Binary versions may differ by a rebuild (`+bN`).
pub fn check_skew(by_platform: &BTreeMap<Platform, Vec<LockedPackage>>) -> Result<(), Error> {
    let mut sources: BTreeMap<&str, Versions<'_>> = BTreeMap::new();
    for (platform, packages) in by_platform {
        for package in packages {
            let versions = sources.entry(&package.source).or_default().entry(*platform).or_default();
            versions.insert(&package.source_version);
        }
    }
    for (source, versions) in sources {
        let mut sets = versions.values();
        let first = sets.next();
        if sets.any(|set| Some(set) != first) {
            return Err(Error::Skew { source_package: source.to_owned(), versions: describe(&versions) });
        }
    }
    Ok(())
}

fn describe(versions: &Versions<'_>) -> String {
    let one = |(platform, set): (&Platform, &BTreeSet<&str>)| {
        format!("{} on {platform}", set.iter().copied().collect::<Vec<_>>().join(" and "))
    };
    versions.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use xedge_model::lock::LockedPackage;
    use xedge_model::{Digest, Platform};

    use super::check_skew;

    fn package(name: &str, version: &str, source: &str, source_version: &str) -> LockedPackage {
        LockedPackage {
            name: name.into(),
            version: version.into(),
            architecture: "any".into(),
            source: source.into(),
            source_version: source_version.into(),
            pocket: "bookworm".into(),
            filename: "pool/x.deb".into(),
            size: 1,
            sha256: Digest::of(b""),
        }
    }

    fn check(amd64: Vec<LockedPackage>, arm64: Vec<LockedPackage>) -> Result<(), String> {
        let platforms = BTreeMap::from([(Platform::LinuxAmd64, amd64), (Platform::LinuxArm64, arm64)]);
        check_skew(&platforms).map_err(|error| error.to_string())
    }

    #[test]
    fn rebuilds_and_packages_of_one_platform_are_fine() {
        let amd64 = vec![package("a", "1-1+b1", "s", "1-1"), package("only", "3", "o", "3")];
        let arm64 = vec![package("a", "1-1+b2", "s", "1-1"), package("b", "1-1", "s", "1-1")];
        assert_eq!(check(amd64, arm64), Ok(()));
    }

    #[test]
    fn another_source_version_is_named_with_its_platforms() {
        let amd64 = vec![package("libssl3", "3.0.17", "openssl", "3.0.17"), package("z", "1", "z", "1")];
        let arm64 = vec![package("libssl3", "3.0.16", "openssl", "3.0.16"), package("z", "1", "z", "1")];
        assert_eq!(
            check(amd64, arm64).unwrap_err(),
            "failed to match the platforms: the source package `openssl` is 3.0.17 on linux/amd64, 3.0.16 on linux/arm64"
        );
    }

    #[test]
    fn two_versions_on_one_platform_must_be_two_on_the_other() {
        let both = || vec![package("a", "1", "s", "1"), package("b", "2", "s", "2")];
        assert_eq!(check(both(), both()), Ok(()));
        assert!(check(both(), vec![package("a", "1", "s", "1")]).is_err());
    }
}
