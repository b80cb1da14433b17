//! What is reviewed: the files of a rendered stack or files of others, which conf belongs to which service, and what is known
//! of the images. Reading only.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::stack::SecretReference;
use xedge_model::tree::{At, Tree};
use xedge_model::yaml::Source;

use super::declared::{Declared, FILE};
use super::finding::Finding;
use super::rules::{Severity, rule};
use super::service::{MountKind, Service};
use crate::conf::{BrokerVersion, Conf, Entry, Facts, Listener, Problem, Scope};
use crate::error::Place;
use crate::{COMPOSE_FILE, Error, Rendered};

/// What is known of an image.
#[derive(Clone, Debug, Default)]
pub struct ImageFacts {
    /// The version of mosquitto that its package list names.
    pub broker: Option<BrokerVersion>,
    /// The user that it runs as; empty is root.
    pub user: Option<String>,
}

/// What is reviewed.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Every file: name and text.
    files: Vec<(String, String)>,
    compose: Option<Compose>,
    brokers: Vec<Broker>,
    rendered: Option<&'a Rendered>,
    images: BTreeMap<String, ImageFacts>,
    declared: &'a Declared,
}

#[derive(Debug)]
struct Compose {
    source: Source,
    tree: Tree,
}

/// One mosquitto.conf.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) conf: Conf,
    pub(super) problems: Vec<Problem>,
    pub(super) facts: Facts,
    /// The service that reads it, where it is known.
    pub(super) service: Option<String>,
    /// Where the container finds the file's folder, and how the files there are named here.
    folder: Option<(Utf8PathBuf, Utf8PathBuf)>,
}

/// From where a listener can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only from the same place.
    Loopback,
    /// From containers of the stack.
    Stack,
    /// From other machines.
    Outside,
}

impl<'a> Subject<'a> {
    /// A rendered stack; `images` is what is known of the image of each service.
    pub fn of_rendered(
        rendered: &'a Rendered,
        images: BTreeMap<String, ImageFacts>,
        declared: &'a Declared,
    ) -> Result<Self, Error> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let files = rendered.files().iter().map(|file| (file.path().to_string(), text(file.bytes())));
        Self::new(files.collect(), Some(rendered), images, declared)
    }

    /// Files of others, by their names: a Compose file (`.yaml`, `.yml`), broker configurations (`.conf`), password files
    /// (`passwd` in the name), access lists (`acl` in the name). `image` is what is known of the broker's image.
    pub fn of_files(
        files: Vec<(String, String)>,
        image: Option<ImageFacts>,
        declared: &'a Declared,
    ) -> Result<Self, Error> {
        let images = image.map(|facts| (String::new(), facts)).into_iter().collect();
        Self::new(files, None, images, declared)
    }

    fn new(
        files: Vec<(String, String)>,
        rendered: Option<&'a Rendered>,
        images: BTreeMap<String, ImageFacts>,
        declared: &'a Declared,
    ) -> Result<Self, Error> {
        let mut subject = Self { files, compose: None, brokers: Vec::new(), rendered, images, declared };
        let compose = subject.files.iter().find(|(name, _)| subject.is_compose(name));
        if let Some((name, text)) = compose {
            let source = Source::new(name, text.clone());
            let tree = Tree::parse(&source)?;
            subject.compose = Some(Compose { source, tree });
        }
        let confs: Vec<String> = subject
            .files
            .iter()
            .map(|(name, _)| name)
            .filter(|name| subject.is_conf(name))
            .cloned()
            .collect();
        subject.brokers = confs.iter().map(|name| subject.broker(name)).collect();
        Ok(subject)
    }

    fn is_compose(&self, name: &str) -> bool {
        match self.rendered {
            Some(_) => name == COMPOSE_FILE,
            None => matches!(Utf8Path::new(name).extension(), Some("yaml" | "yml")),
        }
    }

    /// In a stack the main file has mosquitto's own name, and those that it includes have not.
    fn is_conf(&self, name: &str) -> bool {
        let path = Utf8Path::new(name);
        let other = self.rendered.is_none() && path.extension() == Some("conf");
        other || path.file_name() == Some("mosquitto.conf")
    }

    fn broker(&self, name: &str) -> Broker {
        let (service, folder) = self.reader(Utf8Path::new(name)).unzip();
        let folder = folder.flatten();
        let include = |path: &str| {
            let mut found: Vec<(String, String)> = Vec::new();
            let (inside, here) = folder.as_ref()?;
            let wanted = here.join(Utf8Path::new(path).strip_prefix(inside).ok()?);
            for (name, text) in &self.files {
                let name_path = Utf8Path::new(name);
                if name_path.parent() == Some(&*wanted) && name_path.extension() == Some("conf") {
                    found.push((name.clone(), text.clone()));
                }
            }
            // mosquitto sorts them by name, in any case of letters.
            found.sort_by_key(|(name, _)| name.to_lowercase());
            (!found.is_empty()).then_some(found)
        };
        let text = self.text(name).unwrap_or_default();
        let (conf, problems) = Conf::read(name, text, &include);
        let facts = conf.facts();
        Broker { conf, problems, facts, service, folder }
    }

    /// The service that mounts a file, and the mounted folder inside and here. Of files of others it is the one that mounts
    /// something where mosquitto looks for its configuration.
    fn reader(&self, path: &Utf8Path) -> Option<(String, Option<(Utf8PathBuf, Utf8PathBuf)>)> {
        for service in self.services() {
            for mount in service.mounts() {
                let MountKind::Bind(source) = &mount.kind else { continue };
                let source = Utf8Path::new(source.trim_start_matches("./"));
                if let Ok(rest) = path.strip_prefix(source) {
                    // A mount of the file itself has its folder one step up.
                    let (target, here) = if rest.as_str().is_empty() {
                        (mount.target.parent()?.to_owned(), path.parent()?.to_owned())
                    } else {
                        (mount.target.clone(), source.to_owned())
                    };
                    return Some((service.name.to_owned(), Some((target, here))));
                }
            }
        }
        let mut fitting = self.services().filter(|service| {
            let mounts = service.mounts();
            mounts.iter().any(|mount| mount.target.starts_with("/mosquitto/config"))
                || service.text("image").is_some_and(|image| image.contains("mosquitto"))
        });
        let (first, second) = (fitting.next(), fitting.next());
        first.filter(|_| second.is_none()).map(|service| {
            let target = Utf8PathBuf::from("/mosquitto/config");
            let here = path.parent().map(Utf8Path::to_owned).unwrap_or_default();
            (service.name.to_owned(), Some((target, here)))
        })
    }

    pub(super) fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    pub(super) fn declared(&self) -> &Declared {
        self.declared
    }

    /// Whether a bundle will name each image by its digest.
    pub(super) fn is_stack(&self) -> bool {
        self.rendered.is_some()
    }

    pub(super) fn files(&self) -> &[(String, String)] {
        &self.files
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, text)| text.as_str())
    }

    pub(super) fn secret(&self, name: &str) -> Option<&SecretReference> {
        self.rendered?.secrets().iter().find(|secret| secret.name == name)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = Service<'_>> {
        let services = self.compose.as_ref().and_then(|compose| compose.tree.get("services"));
        services.into_iter().flat_map(Tree::entries).map(|(key, tree)| Service {
            name: &key.name,
            at: key.at,
            tree,
        })
    }

    pub(super) fn service(&self, broker: &Broker) -> Option<Service<'_>> {
        let name = broker.service.as_ref()?;
        self.services().find(|service| service.name == name)
    }

    /// What is known of a service's image; of files of others there is one.
    pub(super) fn image(&self, service: Option<&str>) -> Option<&ImageFacts> {
        self.images.get(service.unwrap_or_default()).or_else(|| self.images.get(""))
    }

    /// The name of the file that a broker finds at a path of its container.
    pub(super) fn file_at(&self, broker: &Broker, path: &str) -> Option<&str> {
        let (inside, here) = broker.folder.as_ref()?;
        let wanted = here.join(Utf8Path::new(path).strip_prefix(inside).ok()?);
        self.files.iter().map(|(name, _)| name.as_str()).find(|name| Utf8Path::new(name) == wanted)
    }

    /// From where a listener can be reached.
    pub(super) fn reach(&self, broker: &Broker, listener: &Listener) -> Reach {
        let address = listener.address.as_deref().unwrap_or("0.0.0.0");
        let loopback = address.starts_with("127.") || matches!(address, "localhost" | "::1");
        if loopback || listener.port == 0 {
            return Reach::Loopback;
        }
        // Without a Compose file nothing says that a container stands around it.
        let Some(service) = self.service(broker) else { return Reach::Outside };
        if service.text("network_mode").as_deref() == Some("host") {
            return Reach::Outside;
        }
        let published = service.ports();
        let mut to_it = published.iter().filter(|port| port.container == Some(listener.port));
        if to_it.any(|port| !port.is_loopback()) { Reach::Outside } else { Reach::Stack }
    }

    /// A finding about an entry of a broker's configuration, or about the file as a whole.
    pub(super) fn at_entry(
        &self,
        id: &'static str,
        broker: &Broker,
        entry: Option<&Entry>,
        message: String,
    ) -> Finding {
        let place = entry.map_or_else(|| broker.conf.place_at(0, 1, 1), |entry| broker.conf.place(entry));
        let setting = entry.map_or_else(String::new, setting);
        self.finding(id, place, setting, message)
    }

    /// A finding about a setting of the Compose file.
    pub(super) fn at_setting(&self, id: &'static str, at: At, setting: String, message: String) -> Finding {
        let place = match &self.compose {
            Some(compose) => Place::of(&compose.source, at),
            None => Place::start(COMPOSE_FILE),
        };
        self.finding(id, place, setting, message)
    }

    /// A stack that nothing watches.
    pub(super) fn unwatched(&self) -> Option<Finding> {
        let stack = self.rendered?.stack();
        let message = format!("nothing is declared that watches the stack `{stack}`");
        let place = Place::start(&format!("templates/{FILE}"));
        (!self.declared.watches(stack)).then(|| self.finding("ops.docs", place, "monitoring".into(), message))
    }

    pub(super) fn finding(
        &self,
        id: &'static str,
        place: Place,
        setting: String,
        message: String,
    ) -> Finding {
        let rule = rule(id).expect("a rule of the table");
        let origin =
            self.rendered.and_then(|rendered| rendered.origin(Utf8Path::new(&place.file), place.line));
        Finding { rule, severity: rule.severity, place, setting, message, origin: origin.cloned() }
    }
}

impl Broker {
    /// The entry of a key in a scope.
    pub(super) fn entry(&self, scope: Scope, key: &str) -> Option<&Entry> {
        self.conf.entries().iter().find(|entry| entry.scope == scope && entry.key == key)
    }

    /// The first entry of a key, whatever it is about.
    pub(super) fn any(&self, key: &str) -> Option<&Entry> {
        self.conf.entries().iter().find(|entry| entry.key == key)
    }

    /// The entry that opens a listener.
    pub(super) fn opening(&self, listener: &Listener) -> Option<&Entry> {
        let of = |key| self.entry(listener.scope, key);
        of("listener").or_else(|| of("port")).or_else(|| of("bind_address"))
    }

    /// The entries that load a plugin; each with the path.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &Entry> {
        let is = |entry: &&Entry| {
            matches!(&*entry.key, "plugin" | "auth_plugin" | "global_plugin" | "plugin_load")
        };
        self.conf.entries().iter().filter(is)
    }
}

fn setting(entry: &Entry) -> String {
    match (entry.scope, entry.key.as_str()) {
        (Scope::Broker, key) => key.to_owned(),
        (Scope::Listener(n), key) => format!("listener.{n}.{key}"),
        (Scope::Bridge(n), key) => format!("connection.{n}.{key}"),
    }
}

impl Finding {
    /// The same, not as bad as the rule's worst case.
    pub(super) fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }
}
