//! How mirrors and registries are reached from here: the environment's settings, else those of the user's `config.yaml`
//! in the data folder. Opens no connection.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use xedge_model::UserSettings;
use xedge_model::yaml::Source;

use crate::environment::Environment;
use crate::error::{Result, read_text};
use crate::fetch::shown;

/// The file of a user's settings, in the data folder.
const FILE: &str = "config.yaml";

/// A mirror of Debian's archive, before this machine's apt sources.
const MIRROR: &str = "XEDGE_DEBIAN_MIRROR";
/// A private authority, beside those that the system trusts.
const CA: &str = "XEDGE_CA";
/// What HTTP clients everywhere understand; small letters too.
const PROXIES: [&str; 3] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];

/// Where the settings of this user lie, or would.
pub(crate) fn file(environment: &Environment) -> Utf8PathBuf {
    environment.data_folder().ok().flatten().unwrap_or_default().join(FILE)
}

/// A value, and who set it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Set<T> {
    /// The value.
    pub(crate) value: T,
    /// A variable, or the path of a file.
    pub(crate) from: String,
}

/// What is set for the network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// Mirror of Debian's archive; where none is set, apt's sources count.
    pub(crate) mirror: Option<Set<String>>,
    /// PEM file of a private authority.
    pub(crate) ca: Option<Set<Utf8PathBuf>>,
    /// Proxy of the user's file; one of the environment is the HTTP client's own business.
    pub(crate) proxy: Option<Set<Proxy>>,
    /// Variables of the environment that name proxies, with what may be shown of them.
    pub(crate) environment_proxies: Vec<(String, String)>,
}

/// A proxy, and what goes past it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Proxy {
    /// Its address.
    pub(crate) url: String,
    /// Hosts and domains that are reached without it.
    pub(crate) except: Vec<String>,
}

impl Reach {
    /// What holds for this process.
    pub(crate) fn of(environment: &Environment) -> Result<Self> {
        let home = environment.data_folder()?;
        let file = home.map(|home| home.join(FILE)).filter(|file| file.exists());
        let mut reach = match &file {
            Some(file) => Self::of_file(file)?,
            None => Self::default(),
        };
        let set = |name: &str| {
            environment.var(name).map(|value| Set { value: value.to_owned(), from: name.to_owned() })
        };
        reach.mirror = set(MIRROR).or(reach.mirror);
        if let Some(Set { value, from }) = set(CA) {
            reach.ca = Some(Set { value: environment.folder()?.join(value), from });
        }
        let both = PROXIES.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
        let named = |name: String| environment.var(&name).map(shown).map(|value| (name, value));
        reach.environment_proxies = both.filter_map(named).collect();
        if !reach.environment_proxies.is_empty() {
            reach.proxy = None;
        }
        Ok(reach)
    }

    fn of_file(file: &Utf8Path) -> Result<Self> {
        let settings = UserSettings::parse(&Source::new(file.as_str(), read_text(file)?))?;
        let folder = file.parent().unwrap_or(Utf8Path::new("/"));
        let from = file.to_string();
        let except = settings.no_proxy.map(|except| except.value).unwrap_or_default();
        let proxy = settings.proxy.map(|url| Proxy { url: url.value, except });
        Ok(Self {
            mirror: settings.debian_mirror.map(|url| Set { value: url.value, from: from.clone() }),
            ca: settings.ca_file.map(|file| Set { value: folder.join(file.value), from: from.clone() }),
            proxy: proxy.map(|value| Set { value, from }),
            environment_proxies: Vec::new(),
        })
    }

    /// A line for each thing that is set, for `doctor`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mirror =
            self.mirror.iter().map(|set| format!("Debian mirror: {} ({})", shown(&set.value), set.from));
        let ca = self.ca.iter().map(|set| format!("private authority: {} ({})", set.value, set.from));
        let proxy = self.proxy.iter().map(|set| format!("proxy: {} ({})", shown(&set.value.url), set.from));
        let variables =
            self.environment_proxies.iter().map(|(name, value)| format!("proxy: {value} ({name})"));
        mirror.chain(ca).chain(proxy).chain(variables).collect()
    }
}

#[cfg(test)]
mod tests {
    use camino::{Utf8Path, Utf8PathBuf};

    use super::{FILE, Proxy, Reach};
    use crate::environment::Environment;

    const TEXT: &str = "format: 1\ndebian_mirror: http://file.example/debian\nca_file: ca.pem\n\
                        proxy: http://me:s3cret@file.example:3128\nno_proxy: [.example]\n";

    fn reach(home: &Utf8Path, variables: &[(&str, &str)]) -> Reach {
        let home = [("XEDGE_HOME", home.as_str())];
        Reach::of(&Environment::for_tests(variables.iter().chain(&home).copied())).unwrap()
    }

    fn home(text: Option<&str>) -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        if let Some(text) = text {
            std::fs::write(home.join(FILE), text).unwrap();
        }
        (folder, home)
    }

    #[test]
    fn nothing_is_set_where_nobody_set_it() {
        let (_folder, home) = home(None);
        assert_eq!(reach(&home, &[]).lines(), [""; 0]);
    }

    #[test]
    fn the_file_counts_where_the_environment_is_silent() {
        let (_folder, home) = home(Some(TEXT));
        let set = reach(&home, &[]);
        assert_eq!(set.mirror.as_ref().unwrap().value, "http://file.example/debian");
        assert_eq!(set.ca.as_ref().unwrap().value, home.join("ca.pem"));
        let url = "http://me:s3cret@file.example:3128".to_owned();
        assert_eq!(set.proxy.as_ref().unwrap().value, Proxy { url, except: vec![".example".to_owned()] });
        let lines = set.lines().join("\n");
        assert!(lines.contains(&format!("({})", home.join(FILE))) && !lines.contains("s3cret"), "{lines}");
    }

    #[test]
    fn each_variable_wins_over_its_line_of_the_file() {
        let (_folder, home) = home(Some(TEXT));
        let set = reach(&home, &[("XEDGE_DEBIAN_MIRROR", "http://m.example/d"), ("XEDGE_CA", "/mine.pem")]);
        assert_eq!(
            set.lines()[..2],
            [
                "Debian mirror: http://m.example/d (XEDGE_DEBIAN_MIRROR)",
                "private authority: /mine.pem (XEDGE_CA)"
            ]
        );
        assert!(set.proxy.is_some());
        for name in ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"] {
            let set = reach(&home, &[(name, "http://me:s3cret@p.example:1")]);
            assert_eq!(set.proxy.map(|set| set.value), None, "{name}");
            assert_eq!(set.environment_proxies, [(name.to_owned(), "http://p.example:1/".to_owned())]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_never_passed_over() {
        let (_folder, home) = home(Some("format: 1\ndebian_miror: http://m\n"));
        let environment = Environment::for_tests([("XEDGE_HOME", home.as_str())]);
        let error = Reach::of(&environment).unwrap_err();
        assert!(error.chain()[0].contains("config.yaml:2"), "{error:?}");
    }
}
