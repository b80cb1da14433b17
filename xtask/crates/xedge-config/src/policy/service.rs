//! A service of a Compose file, read leniently: files of others hold keys that stacks of this project do not have.

use camino::Utf8PathBuf;
use xedge_model::tree::{At, Tree, Value};

/// One service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) at: At,
    pub(super) tree: &'a Tree,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MountKind {
    /// A folder of the device.
    Bind(String),
    /// A volume, which outlives the container.
    Volume,
    /// Memory, or a volume without a name: both go with the container.
    Passing,
}

/// One mount.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) kind: MountKind,
    pub(super) target: Utf8PathBuf,
    pub(super) read_only: bool,
}

/// One published port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) address: Option<String>,
    /// `None` where it is no single number.
    pub(super) container: Option<u16>,
    pub(super) text: String,
    pub(super) at: At,
}

impl Port {
    pub(super) fn is_loopback(&self) -> bool {
        let is =
            |address: &str| address.starts_with("127.") || matches!(address, "localhost" | "::1" | "[::1]");
        self.address.as_deref().is_some_and(is)
    }
}

impl Service<'_> {
    /// The text of a setting.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.tree.get(key).and_then(Tree::text)
    }

    /// Whether a setting is `true`.
    pub(super) fn is(&self, key: &str) -> bool {
        matches!(self.tree.get(key).map(|tree| &tree.value), Some(Value::Bool(true)))
    }

    /// Where a setting stands, else the service.
    pub(super) fn at(&self, key: &str) -> At {
        let entry = self.tree.entries().iter().find(|(name, _)| name.name == key);
        entry.map_or(self.at, |(key, _)| key.at)
    }

    /// The path of a setting, as waivers name it.
    pub(super) fn setting(&self, key: &str) -> String {
        format!("services.{}.{key}", self.name)
    }

    /// The texts of a list, or of a setting that is one text.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        match self.tree.get(key) {
            Some(Tree { value: Value::List(items), .. }) => items.iter().filter_map(Tree::text).collect(),
            Some(tree) => tree.text().into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// What one of the container's limits is, by Compose's own key or by that of `deploy.resources.limits`.
    pub(super) fn limit(&self, key: &str, deployed: &str) -> Option<String> {
        let limits = ["deploy", "resources", "limits"].iter().try_fold(self.tree, |tree, key| tree.get(key));
        self.text(key).or_else(|| limits.and_then(|limits| limits.get(deployed)).and_then(Tree::text))
    }

    /// What stdout and stderr may fill: whether it is bounded.
    pub(super) fn logs_are_bounded(&self) -> bool {
        let Some(logging) = self.tree.get("logging") else { return false };
        let driver = logging.get("driver").and_then(Tree::text);
        match driver.as_deref() {
            Some("json-file") | None => {
                logging.get("options").is_some_and(|options| options.get("max-size").is_some())
            }
            // `local` rotates by itself, and the others hand lines to what keeps its own house.
            Some(_) => true,
        }
    }

    /// Environment variables: name, value if one is given, place.
    pub(super) fn environment(&self) -> Vec<(String, Option<String>, At)> {
        let Some(tree) = self.tree.get("environment") else { return Vec::new() };
        match &tree.value {
            Value::Map(entries) => {
                entries.iter().map(|(key, value)| (key.name.clone(), value.text(), key.at)).collect()
            }
            Value::List(items) => items
                .iter()
                .filter_map(|item| {
                    let text = item.text()?;
                    let (name, value) =
                        text.split_once('=').map_or((&*text, None), |(name, value)| (name, Some(value)));
                    Some((name.to_owned(), value.map(str::to_owned), item.at))
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Its mounts.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        let items = match self.tree.get("volumes") {
            Some(Tree { value: Value::List(items), .. }) => items.iter().filter_map(mount).collect(),
            _ => Vec::new(),
        };
        let memory = self.list("tmpfs").into_iter().map(|text| Mount {
            kind: MountKind::Passing,
            target: text.split(':').next().unwrap_or_default().into(),
            read_only: false,
        });
        items.into_iter().chain(memory).collect()
    }

    /// The mount that a path of the container lies in: the deepest.
    pub(super) fn mount_of(&self, path: &str) -> Option<Mount> {
        let mut all = self.mounts();
        all.retain(|mount| camino::Utf8Path::new(path).starts_with(&mount.target));
        all.into_iter().max_by_key(|mount| mount.target.as_str().len())
    }

    /// Its published ports.
    pub(super) fn ports(&self) -> Vec<Port> {
        match self.tree.get("ports") {
            Some(Tree { value: Value::List(items), .. }) => items.iter().filter_map(port).collect(),
            _ => Vec::new(),
        }
    }
}

fn mount(tree: &Tree) -> Option<Mount> {
    if let Some(text) = tree.text() {
        let parts: Vec<&str> = text.split(':').collect();
        return Some(match parts[..] {
            [target] => Mount { kind: MountKind::Passing, target: target.into(), read_only: false },
            [source, target] => Mount { kind: kind(source), target: target.into(), read_only: false },
            [source, target, options, ..] => {
                let read_only = options.split(',').any(|option| option == "ro");
                Mount { kind: kind(source), target: target.into(), read_only }
            }
            [] => return None,
        });
    }
    let text = |key: &str| tree.get(key).and_then(Tree::text);
    let kind = match (text("type").as_deref(), text("source")) {
        (Some("bind"), Some(source)) => MountKind::Bind(source),
        (Some("volume"), Some(_)) => MountKind::Volume,
        _ => MountKind::Passing,
    };
    let read_only = text("read_only").as_deref() == Some("true");
    Some(Mount { kind, target: text("target")?.into(), read_only })
}

fn kind(source: &str) -> MountKind {
    if source.starts_with(['.', '/', '~']) { MountKind::Bind(source.to_owned()) } else { MountKind::Volume }
}

fn port(tree: &Tree) -> Option<Port> {
    let at = tree.at;
    if let Some(text) = tree.text() {
        let plain = text.split('/').next().unwrap_or_default();
        let (before, container) = plain.rsplit_once(':').unwrap_or(("", plain));
        let address = before.rsplit_once(':').map(|(address, _)| address.to_owned());
        return Some(Port { address, container: container.parse().ok(), text, at });
    }
    let text = |key: &str| tree.get(key).and_then(Tree::text);
    let container = text("target")?;
    let shown = format!("{}:{container}", text("published").unwrap_or_default());
    Some(Port { address: text("host_ip"), container: container.parse().ok(), text: shown, at })
}
