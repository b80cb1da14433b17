//! Nodes: names, and which keys go with which implementation. A key without effect would be believed.

use std::collections::BTreeMap;

use super::super::expect::is_node_id;
use super::super::{Implementation, ModelConfig, Node, Role, Scenario};
use super::place::{wrong, wrong_key, wrong_with_hint};
use crate::ImageName;
use crate::stack::{NAME_RULE, is_name};
use crate::yaml::{Source, YamlError, near};

/// The most clients of one scenario.
const MOST: u32 = 10_000;

/// The smallest memory that an engine grants.
const LEAST_MEMORY: u64 = 6 << 20;

pub(super) fn check(scenario: &Scenario, source: &Source) -> Result<(), YamlError> {
    let nodes = &scenario.nodes.value;
    let mut seen = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let checked = Checked { node, source, index: index.to_string(), scenario };
        checked.all()?;
        if let Some(line) = seen.insert(&node.id.value, node.id.referenced.line()) {
            let message = format!("node `{}` is there twice, first on line {line}", node.id.value);
            return Err(source.error_at(&node.id, message));
        }
    }
    if let Some((group, node)) = overlap(nodes) {
        let message = format!("`{}` is also one of those that `count` makes of `{group}`", node.id.value);
        return Err(source.error_at(&node.id, message));
    }
    let counted = || nodes.iter().filter_map(|node| node.count.as_ref());
    let total: u64 = counted().map(|count| u64::from(count.value)).sum();
    match counted().next_back().filter(|_| total > u64::from(MOST)) {
        Some(count) => {
            let message = format!("{total} nodes together are more than {MOST}");
            Err(source.error_at(count, message))
        }
        None => Ok(()),
    }
}

/// A node whose id is that of one which `count` makes.
fn overlap(nodes: &[Node]) -> Option<(&str, &Node)> {
    nodes.iter().find_map(|node| {
        let (group, number) = node.id.value.rsplit_once('-')?;
        let number: u32 = number.parse().ok().filter(|n: &u32| *n > 0 && n.to_string() == number)?;
        let counted = nodes.iter().find(|other| other.id.value == group)?;
        (number <= counted.count.as_ref()?.value).then_some((group, node))
    })
}

/// One node and where it stands.
struct Checked<'a> {
    node: &'a Node,
    scenario: &'a Scenario,
    source: &'a Source,
    index: String,
}

impl Checked<'_> {
    fn wrong(&self, path: &[&str], message: impl Into<String>) -> YamlError {
        wrong(self.source, &self.path(path), message)
    }

    fn path<'a>(&'a self, path: &[&'a str]) -> Vec<&'a str> {
        ["nodes", self.index.as_str()].into_iter().chain(path.iter().copied()).collect()
    }

    fn all(&self) -> Result<(), YamlError> {
        let id = &self.node.id;
        if !is_node_id(&id.value) {
            let message = format!("`{}` is no node id: up to 63 letters, digits, `-`, `_` and `.`", id.value);
            return Err(self.source.error_at(id, message));
        }
        if let Some(count) = self.node.count.as_ref().filter(|count| count.value == 0 || count.value > MOST) {
            return Err(self.source.error_at(count, format!("`count` must be 1 to {MOST}")));
        }
        match self.node.implementation {
            Implementation::Docker => self.docker(),
            Implementation::Model | Implementation::PythonModel => self.model(),
            Implementation::Process => self.process(),
        }
    }

    /// Refuses keys that belong to another implementation.
    fn only(&self, keys: &[&str], message: impl Fn(&str) -> String) -> Result<(), YamlError> {
        let node = self.node;
        let given = [
            ("docker", node.docker.is_some()),
            ("process", node.process.is_some()),
            ("script", node.script.is_some()),
            ("service", node.service.is_some()),
            ("limits", node.limits.is_some()),
            ("volumes", !node.volumes.is_empty()),
            ("count", node.count.as_ref().is_some_and(|count| count.value != 1)),
            ("config", node.config != ModelConfig::default()),
        ];
        match given.iter().find(|(key, given)| *given && !keys.contains(key)) {
            Some((key, _)) => Err(self.wrong(&[key], message(key))),
            None => Ok(()),
        }
    }

    fn docker(&self) -> Result<(), YamlError> {
        let id = &self.node.id;
        let Some(docker) = &self.node.docker else {
            return Err(self.source.error_at(id, format!("node `{}` needs `docker`", id.value)));
        };
        let mut keys = vec!["docker", "service", "limits", "volumes"];
        if self.node.is_lockstep() {
            keys.push("config");
        }
        self.only(&keys, |key| match key {
            "process" | "script" => format!("`{key}` needs another `implementation`"),
            _ => format!("`{key}` is for built-in models"),
        })?;
        self.limits()?;
        self.volumes()?;
        let lockstep = docker.value.lockstep.as_ref();
        if lockstep.is_some_and(|lockstep| lockstep.command.first().is_none_or(String::is_empty)) {
            return Err(self.wrong(&["docker", "lockstep", "command"], "`command` is empty"));
        }
        let Some(image) = &docker.value.image else {
            return match &docker.value.build_context {
                Some(_) => Ok(()),
                None => Err(self
                    .source
                    .error_at(docker, "`docker` needs `image`, the name of an image in images/")),
            };
        };
        match ImageName::from_reference(&image.value) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.source.error_at(image, error.to_string())),
        }
    }

    fn limits(&self) -> Result<(), YamlError> {
        let Some(limits) = &self.node.limits else { return Ok(()) };
        if limits.value.memory.is_some_and(|memory| memory.0 < LEAST_MEMORY) {
            return Err(self.wrong(&["limits", "memory"], "`memory` must be at least 6m"));
        }
        if limits.value.cpus.is_some_and(|cpus| !(0.01..=1_024.0).contains(&cpus)) {
            return Err(self.wrong(&["limits", "cpus"], "`cpus` must be 0.01 to 1024"));
        }
        if limits.value.pids == Some(0) {
            return Err(self.wrong(&["limits", "pids"], "`pids` must be at least 1"));
        }
        Ok(())
    }

    fn volumes(&self) -> Result<(), YamlError> {
        let mut taken = BTreeMap::new();
        for (name, volume) in &self.node.volumes {
            let at = |key| ["volumes", name.as_str(), key];
            if !is_node_id(name) {
                let message =
                    format!("`{name}` is no name of a volume: up to 63 letters, digits, `-`, `_` and `.`");
                return Err(wrong_key(self.source, &self.path(&["volumes", name]), message, None));
            }
            let path = volume.value.path.as_str();
            if !path.starts_with('/') || path == "/" || path.split('/').any(|part| part == "..") {
                let message = format!("`{path}` is no place for a volume: expected an absolute path below /");
                return Err(self.wrong(&at("path"), message));
            }
            if volume.value.size.is_some_and(|size| size.0 < 4_096) {
                return Err(self.wrong(&at("size"), "`size` must be at least 4k"));
            }
            if let Some(other) = taken.insert(path, name) {
                return Err(self.wrong(&at("path"), format!("`{path}` is the place of `{other}` too")));
            }
        }
        let mounts = self.node.docker.iter().flat_map(|docker| &docker.value.volumes.0);
        for (index, mount) in mounts.enumerate() {
            if !mount.is_of_project() && !is_node_id(&mount.source) {
                let message =
                    format!("`{}` is no name of a volume, and no path that starts with `./`", mount.source);
                return Err(self.wrong(&["docker", "volumes", &index.to_string()], message));
            }
            if taken.insert(&mount.target, &mount.source).is_some() {
                let message = format!("`{}` is the place of two volumes", mount.target);
                return Err(self.wrong(&["docker", "volumes", &index.to_string()], message));
            }
        }
        Ok(())
    }

    fn process(&self) -> Result<(), YamlError> {
        let id = &self.node.id;
        let Some(process) = &self.node.process else {
            return Err(self.source.error_at(id, format!("node `{}` needs `process`", id.value)));
        };
        self.only(&["process"], |key| match key {
            "limits" | "volumes" => format!("`{key}` is for containers"),
            "count" | "config" => format!("`{key}` is for models"),
            _ => format!("`{key}` needs another `implementation`"),
        })?;
        if process.value.command.value.first().is_none_or(String::is_empty) {
            return Err(self.source.error_at(&process.value.command, "`command` is empty"));
        }
        if !matches!(self.node.role, Role::Broker | Role::Gateway | Role::Service) {
            let message = "only brokers, gateways and services run as programs: use `implementation: model`";
            return Err(self.wrong(&["type"], message));
        }
        Ok(())
    }

    fn model(&self) -> Result<(), YamlError> {
        let own = ["config", "count", "script"];
        self.only(&own, |key| match key {
            "process" => "`process` needs `implementation: process`".to_owned(),
            _ => format!("`{key}` needs `implementation: docker`"),
        })?;
        self.config()?;
        if let Some(script) = &self.node.script {
            return match self.node.implementation {
                Implementation::PythonModel => Ok(()),
                _ => Err(self.source.error_at(script, "`script` needs `implementation: python_model`")),
            };
        }
        if matches!(self.node.role, Role::Broker | Role::Service) {
            let message = format!(
                "node `{}`: a {} has no built-in model, use `implementation: docker`",
                self.node.id.value,
                self.node.role.as_str()
            );
            return Err(self.source.error_at(&self.node.id, message));
        }
        self.only_its_own()
    }

    /// Values of settings, of scripts too: keys of these names mean the same there.
    fn config(&self) -> Result<(), YamlError> {
        let config = &self.node.config;
        if let Some(user) = config.user.as_ref().filter(|user| !is_name(user)) {
            return Err(self.wrong(&["config", "user"], format!("`{user}` is no user name: {NAME_RULE}")));
        }
        if config.qos > 2 {
            return Err(self.wrong(&["config", "qos"], "`qos` must be 0, 1 or 2"));
        }
        if config.every.is_some_and(|every| every.0.is_zero()) {
            return Err(self.wrong(&["config", "every"], "`every` must be more than 0"));
        }
        if config.payload.is_some_and(|payload| payload.0 > 1 << 20) {
            return Err(self.wrong(&["config", "payload"], "`payload` must be at most 1MiB"));
        }
        let keep_alive = config.keep_alive.map(|span| span.0);
        if keep_alive.is_some_and(|time| time.subsec_millis() != 0 || time.as_secs() > 65_535) {
            return Err(
                self.wrong(&["config", "keep_alive"], "`keep_alive` must be whole seconds, at most 65535s")
            );
        }
        if config.will.as_ref().is_some_and(|will| will.qos > 2) {
            return Err(self.wrong(&["config", "will", "qos"], "`qos` must be 0, 1 or 2"));
        }
        let Some(to) = &config.to else { return Ok(()) };
        let known: Vec<&str> = self.scenario.nodes.value.iter().map(|node| node.id.value.as_str()).collect();
        if *to == self.node.id.value {
            return Err(self.wrong(&["config", "to"], format!("`{to}` would send to itself")));
        }
        if !known.contains(&to.as_str()) {
            let hint = near(to, known.iter().copied()).map_or_else(
                || format!("known here: {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let path = self.path(&["config", "to"]);
            return Err(wrong_with_hint(self.source, &path, format!("unknown node `{to}`"), hint));
        }
        Ok(())
    }

    /// A built-in model has no other keys, and none without effect.
    fn only_its_own(&self) -> Result<(), YamlError> {
        let config = &self.node.config;
        if let Some(key) = config.other.keys().next() {
            let near = near(key, ModelConfig::KEYS.into_iter());
            let hint = near.map_or_else(
                || format!("known here: {}", ModelConfig::KEYS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let path = self.path(&["config", key]);
            return Err(wrong_key(self.source, &path, format!("unknown key `{key}`"), Some(hint)));
        }
        let publishes = [
            ("every", config.every.is_some()),
            ("jitter", config.jitter.is_some()),
            ("topic", config.topic.is_some()),
            ("payload", config.payload.is_some()),
            ("retain", config.retain),
        ];
        let without_effect = match self.node.role {
            Role::Cloud => publishes.iter().find(|(_, given)| *given).map(|(key, _)| *key),
            Role::Sensor => config.subscribe.is_some().then_some("subscribe"),
            _ => None,
        };
        if let Some(key) = without_effect {
            let message = format!("`{key}` has no effect on a {}", self.node.role.as_str());
            return Err(self.wrong(&["config", key], message));
        }
        if !self.scenario.is_virtual() {
            return Ok(());
        }
        let mqtt = [
            ("user", config.user.is_some()),
            ("retain", config.retain),
            ("clean_session", !config.clean_session),
            ("keep_alive", config.keep_alive.is_some()),
            ("will", config.will.is_some()),
            ("tls", config.tls.is_some()),
            ("protocol", config.protocol != super::super::Protocol::default()),
        ];
        match mqtt.iter().find(|(_, given)| *given) {
            Some((key, _)) => {
                let message = format!("`{key}` needs a broker: models alone speak no MQTT");
                Err(self.wrong(&["config", key], message))
            }
            None => Ok(()),
        }
    }
}
