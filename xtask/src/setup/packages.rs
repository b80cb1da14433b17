//! What dpkg, apt and os-release say, as text. Runs nothing.

use std::collections::BTreeSet;

use super::machine::{Family, System};

/// The system that an os-release file describes.
pub(super) fn system_of(os_release: &str) -> System {
    let value = |key: &str| {
        os_release.lines().find_map(|line| {
            let value = line.trim().strip_prefix(key)?.strip_prefix('=')?;
            Some(value.trim_matches(['"', '\'']).to_owned())
        })
    };
    let id = value("ID").unwrap_or_default();
    let like = value("ID_LIKE").unwrap_or_default();
    let is = |name: &str| id == name || like.split_whitespace().any(|word| word == name);
    let family = match id.as_str() {
        "debian" => Family::Debian,
        _ if is("ubuntu") || is("debian") => Family::Ubuntu,
        _ if is("fedora") || is("rhel") => Family::Fedora,
        _ => Family::Other,
    };
    let major = value("VERSION_ID").and_then(|version| version.split('.').next()?.parse().ok());
    let name = value("PRETTY_NAME")
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "an unknown system".to_owned());
    System { family, name, major }
}

/// Installed packages in the output of `dpkg-query -W -f '${db:Status-Status} ${Package}\n'`.
pub(super) fn installed(listing: &str) -> BTreeSet<String> {
    listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(|name| name.trim().to_owned())
        .collect()
}

/// The origins (`o=`) of all lists in the output of `apt-cache policy`. A mirror keeps its archive's origin, so this
/// tells Debian's archive from another's whatever the mirror is called.
pub(super) fn origins(policy: &str) -> BTreeSet<String> {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("release "))
        .flat_map(|fields| fields.split(','))
        .filter_map(|field| field.strip_prefix("o="))
        .map(str::to_owned)
        .collect()
}
