//! Which mirror carries which pocket, from apt's source files or from one given URL; nothing is asked over the network.
//!
//! What a mirror serves is trusted only after its `InRelease` was verified: here it is enough to guess well.

use crate::suite;

mod apt;

/// Code names and aliases of Debian's own suites; other names (Ubuntu's, vendors') are passed over.
const SUITES: [&str; 14] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "experimental",
    "rc-buggy",
];

/// Debian mirrors, the most trustworthy guess first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors {
    main: Vec<Mirror>,
    security: Vec<Mirror>,
}

/// One mirror and the suites that the machine takes from it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    url: String,
    suites: Vec<String>,
    /// How much speaks for a plain mirror of Debian, and against another vendor's archive for Debian.
    rank: i32,
}

impl Mirrors {
    /// One mirror for everything, for example `http://HOST/debian`; its security archive is that URL and `-security`.
    pub fn from_override(url: &str) -> Self {
        let url = url.trim().trim_end_matches('/');
        let mirror = |url: String| vec![Mirror { url, suites: Vec::new(), rank: 0 }];
        Self { main: mirror(url.to_owned()), security: mirror(format!("{url}-security")) }
    }

    /// From the names and texts of `/etc/apt/sources.list` and `/etc/apt/sources.list.d/*`, in this order.
    ///
    /// A file is read by its extension: `.list` has a line for each source, `.sources` has paragraphs (sources.list(5));
    /// others are passed over, as apt does it. Only enabled http and https sources of binary packages in `main` count.
    pub fn from_apt(texts: &[(String, String)]) -> Self {
        let mut mirrors = Self::default();
        for source in texts.iter().flat_map(|(name, text)| apt::sources(name, text)) {
            for suite in source.suites.iter().filter(|suite| is_debian(suite)) {
                for uri in &source.uris {
                    mirrors.add(uri, suite, source.rank());
                }
            }
        }
        for list in [&mut mirrors.main, &mut mirrors.security] {
            list.iter_mut().for_each(Mirror::settle);
            list.sort_by_key(|mirror| -mirror.rank);
        }
        mirrors
    }

    /// The URL below which `dists/POCKET` and `pool` lie, without a final slash.
    pub fn pocket_url(&self, pocket: &str) -> Option<&str> {
        self.pocket_urls(pocket).into_iter().next()
    }

    /// All mirrors to try, best first: those that the machine uses for the pocket, then others of the same kind, since
    /// a machine on another suite has a mirror of the whole archive all the same.
    pub fn pocket_urls(&self, pocket: &str) -> Vec<&str> {
        let list = if is_security(pocket) { &self.security } else { &self.main };
        let (own, others): (Vec<&Mirror>, Vec<&Mirror>) =
            list.iter().partition(|mirror| mirror.suites.iter().any(|suite| suite == pocket));
        own.into_iter().chain(others).map(|mirror| mirror.url.as_str()).collect()
    }

    fn add(&mut self, uri: &str, suite: &str, rank: i32) {
        let url = uri.trim_end_matches('/');
        let list = if is_security(suite) { &mut self.security } else { &mut self.main };
        match list.iter_mut().find(|mirror| mirror.url == url) {
            Some(mirror) => {
                mirror.suites.push(suite.to_owned());
                mirror.rank = mirror.rank.max(rank);
            }
            None => list.push(Mirror { url: url.to_owned(), suites: vec![suite.to_owned()], rank }),
        }
    }
}

impl Mirror {
    /// Only Debian itself has an updates pocket, and its archives are called so.
    fn settle(&mut self) {
        let has_updates = self.suites.iter().any(|suite| suite.ends_with("-updates"));
        let folder = self.url.rsplit('/').next().unwrap_or_default();
        self.rank += i32::from(has_updates) + i32::from(matches!(folder, "debian" | "debian-security"));
    }
}

fn is_debian(name: &str) -> bool {
    SUITES.iter().any(|suite| {
        let pockets = suite::pockets(suite);
        pockets.iter().any(|pocket| pocket == name)
            || name.strip_prefix(suite).is_some_and(|rest| {
                matches!(rest, "-proposed-updates" | "-backports" | "-backports-sloppy" | "/updates")
            })
    })
}

/// `SUITE/updates` is how the security archive was named up to buster.
fn is_security(suite: &str) -> bool {
    suite.ends_with("-security") || suite.ends_with("/updates")
}

#[cfg(test)]
#[path = "mirror/tests.rs"]
mod tests;
