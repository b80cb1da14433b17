//! Packages of a base image, from what dpkg and apk wrote down in it. Guesses nothing from file names.

use camino::Utf8Path;

use super::RootFs;
use crate::sbom::SbomPackage;

const DPKG: &str = "/var/lib/dpkg/status";
/// Of images without dpkg, a file a package.
const DPKG_FOLDER: &str = "/var/lib/dpkg/status.d";
const APK: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
const USERS: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// What is known of a base's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The packages.
    pub packages: Vec<SbomPackage>,
    /// The lists that were read; with none, the content is not known.
    pub lists: Vec<&'static str>,
}

/// Whether a file's content is kept while layers are read.
pub(super) fn is_read(path: &Utf8Path) -> bool {
    let named = [DPKG].into_iter().chain(APK).chain(OS_RELEASE).chain(USERS);
    named.into_iter().any(|known| path == known) || path.parent().is_some_and(|folder| folder == DPKG_FOLDER)
}

/// Reads the lists of installed packages.
pub fn contents(root: &RootFs) -> Contents {
    let distribution = distribution(root);
    let mut found = Contents::default();
    if let Some(text) = text(root, DPKG) {
        found.lists.push(DPKG);
        found.packages.extend(stanzas(&text).filter_map(|stanza| dpkg(&stanza, &distribution, true)));
    }
    let alone: Vec<_> = root
        .folder(DPKG_FOLDER)
        .into_iter()
        .filter(|(path, _)| path.extension() != Some("md5sums"))
        .collect();
    if !alone.is_empty() {
        found.lists.push(DPKG_FOLDER);
    }
    for (_, content) in alone {
        let text = String::from_utf8_lossy(&content).into_owned();
        found.packages.extend(stanzas(&text).filter_map(|stanza| dpkg(&stanza, &distribution, false)));
    }
    for list in APK {
        if let Some(text) = text(root, list) {
            found.lists.push(list);
            found.packages.extend(stanzas(&text).filter_map(|stanza| apk(&stanza, &distribution)));
            // The other one is often a link to it.
            break;
        }
    }
    found
}

/// `ID` of os-release: `debian`, `ubuntu`, `alpine`.
fn distribution(root: &RootFs) -> String {
    let text = OS_RELEASE.into_iter().find_map(|path| text(root, path)).unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("ID=")).unwrap_or_default();
    id.trim().trim_matches(['"', '\'']).to_owned()
}

/// The content of a file; one that cannot be read says nothing.
fn text(root: &RootFs, path: &str) -> Option<String> {
    let node = root.file(path).ok()??;
    let crate::Kind::File { content } = node.kind else { return None };
    Some(String::from_utf8_lossy(&content).into_owned())
}

/// `KEY: VALUE` and `KEY:VALUE` of one package; lines that go on are left out.
struct Stanza<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Stanza<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim())?;
        (!value.is_empty()).then_some(value)
    }
}

fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    text.split("\n\n").map(|stanza| {
        let lines = stanza.lines().filter(|line| !line.starts_with([' ', '\t']));
        Stanza(lines.filter_map(|line| line.split_once(':')).collect())
    })
}

fn dpkg(stanza: &Stanza<'_>, distribution: &str, needs_status: bool) -> Option<SbomPackage> {
    let (name, version) = (stanza.get("Package")?, stanza.get("Version")?);
    let is_installed = match stanza.get("Status") {
        Some(status) => status.ends_with(" installed"),
        None => !needs_status,
    };
    let vendor = if distribution.is_empty() { "debian" } else { distribution };
    let source = match stanza.get("Source").map(|source| source.split_once(" (")) {
        Some(Some((source, version))) => format!("{source} {}", version.trim_end_matches(')')),
        Some(None) => format!("{} {version}", stanza.get("Source").unwrap_or(name)),
        None => format!("{name} {version}"),
    };
    is_installed.then(|| {
        let mut package = SbomPackage::installed("deb", vendor, name, version, stanza.get("Architecture"));
        package.supplier = (vendor == "debian").then(|| "Debian".to_owned());
        package.source = Some(source);
        package
    })
}

fn apk(stanza: &Stanza<'_>, distribution: &str) -> Option<SbomPackage> {
    let (name, version) = (stanza.get("P")?, stanza.get("V")?);
    let vendor = if distribution.is_empty() { "alpine" } else { distribution };
    let mut package = SbomPackage::installed("apk", vendor, name, version, stanza.get("A"));
    package.license = stanza.get("L").map(str::to_owned);
    package.source = stanza.get("o").map(|origin| format!("{origin} {version}"));
    Some(package)
}
