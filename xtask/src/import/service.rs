//! One service of an imported file, key by key, in the form that a stack takes.

use serde_json::{Map, Value as Json, json};
use xedge_model::compose::Size;
use xedge_model::tree::{At, Key, Tree, Value, join};

use super::keys;
use super::walk::{Step, Walk, plain};
use super::words;

type Service = Map<String, Json>;

/// Keys whose values a stack takes as they are.
const SAME: [&str; 22] = [
    "cap_add",
    "cap_drop",
    "container_name",
    "cpu_shares",
    "cpus",
    "devices",
    "expose",
    "extra_hosts",
    "group_add",
    "hostname",
    "labels",
    "restart",
    "security_opt",
    "shm_size",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "ulimits",
    "user",
    "working_dir",
    "mem_limit",
    "mem_reservation",
];

/// Keys with a form of their own.
const OWN: [&str; 25] = [
    "build",
    "command",
    "depends_on",
    "deploy",
    "entrypoint",
    "env_file",
    "environment",
    "healthcheck",
    "image",
    "init",
    "logging",
    "network_mode",
    "networks",
    "pids_limit",
    "platform",
    "ports",
    "privileged",
    "pull_policy",
    "read_only",
    "scale",
    "secrets",
    "stdin_open",
    "stop_grace_period",
    "tty",
    "volumes",
];

impl Walk<'_> {
    /// A service without image and build, which are looked at elsewhere.
    pub(super) fn service(&mut self, path: &str, tree: &Tree) -> Step<Service> {
        let mut out = Service::new();
        // The long limits come last, so that both forms of one are seen.
        let (long, short): (Vec<_>, Vec<_>) =
            tree.entries().iter().partition(|(key, _)| key.name == "deploy");
        for (key, value) in short.into_iter().chain(long) {
            let at = join(path, &key.name);
            if let Some(why) = keys::reason(&keys::SERVICE, &key.name) {
                self.report.unsupported(&at, key.at, why);
            } else if !matches!(key.name.as_str(), "image" | "build" | "environment" | "env_file") {
                self.key(&mut out, &at, key, value)?;
            }
        }
        self.environment(&mut out, path, tree)?;
        Ok(out)
    }

    fn key(&mut self, out: &mut Service, path: &str, key: &Key, value: &Tree) -> Step {
        let at = key.at;
        match key.name.as_str() {
            known
                if matches!(value.value, Value::Null) && (SAME.contains(&known) || OWN.contains(&known)) =>
            {
                self.report.taken(path, at);
            }
            "shm_size" | "mem_limit" | "mem_reservation" => {
                let size = self.size(value)?;
                self.accept(out, &key.name, size, path, value.at)?;
            }
            "restart" => {
                let policy = match value.value {
                    Value::Bool(false) => json!("no"),
                    _ => plain(value),
                };
                self.accept(out, "restart", policy, path, value.at)?;
            }
            "labels" => self.labels(out, path, value)?,
            same if SAME.contains(&same) => self.same(out, path, key, value)?,
            "command" | "entrypoint" => {
                let words = self.words(value)?;
                self.accept(out, &key.name, words, path, value.at)?;
            }
            "init" | "read_only" => {
                let flag = self.flag(value)?;
                self.accept(out, &key.name, json!(flag), path, value.at)?;
            }
            "pids_limit" => match value.text().as_deref() {
                Some("-1" | "0") => self.report.taken(path, at),
                _ => self.accept(out, "pids_limit", plain(value), path, value.at)?,
            },
            "stop_grace_period" => {
                let span = self.span(value)?;
                self.accept(out, "stop_grace_period", json!(span), path, value.at)?;
            }
            "ports" => self.ports(out, path, value)?,
            "volumes" => self.volumes(out, path, value)?,
            "networks" => self.networks(out, path, value)?,
            "network_mode" => self.network_mode(out, path, at, value)?,
            "depends_on" => self.depends_on(out, path, value)?,
            "healthcheck" => self.healthcheck(out, path, value)?,
            "logging" => self.logging(out, path, value)?,
            "deploy" => self.deploy(out, path, value)?,
            "secrets" => self.service_secrets(out, path, value)?,
            other => self.left_out(path, at, other, value)?,
        }
        Ok(())
    }

    /// Keys that say nothing to a device, or that it must not hear.
    fn left_out(&mut self, path: &str, at: At, key: &str, value: &Tree) -> Step {
        match key {
            _ if key.starts_with("x-") => self.report.taken(path, at),
            "privileged" if !self.flag(value)? => self.report.taken(path, at),
            "privileged" => {
                let why = "a privileged container is root on the device: name what it needs under `devices` and `cap_add`";
                self.report.unsupported(path, at, why);
            }
            "tty" | "stdin_open" => {
                self.report.decide(
                    path,
                    at,
                    "left out: nobody is at a terminal",
                    "nothing to do, unless the program needs one",
                );
            }
            "platform" => {
                let todo = "look at `platforms` in images/*/image.yaml";
                self.report.decide(path, at, "left out: a release holds every platform of its images", todo);
            }
            "pull_policy" => {
                self.report.decide(path, at, "left out: a device gets its images by digest", "nothing to do");
            }
            "scale" if value.text().as_deref() == Some("1") => self.report.taken(path, at),
            "scale" => self.report.unsupported(path, at, "a service is one container"),
            _ => {
                let others = keys::SERVICE.iter().map(|(name, _)| *name);
                let known: Vec<&str> = SAME.into_iter().chain(OWN).chain(others).collect();
                return Err(self.unknown_key(at, key, &known));
            }
        }
        Ok(())
    }

    /// Taken as it is, a list item by item so that the place of a mistake is its own.
    fn same(&mut self, out: &mut Service, path: &str, key: &Key, value: &Tree) -> Step {
        if let Value::List(items) = &value.value {
            for item in items {
                self.accept(&mut Service::new(), &key.name, json!([plain(item)]), path, item.at)?;
            }
        }
        let mut taken = plain(value);
        if let (Value::Map(entries), "sysctls" | "extra_hosts") = (&value.value, key.name.as_str()) {
            for (name, value) in entries {
                let one = json!({name.name.clone(): plain(value)});
                self.accept(&mut Service::new(), &key.name, one, path, value.at)?;
            }
        }
        if key.name == "cpus" {
            taken = json!(self.scalar(value)?);
        }
        if key.name == "tmpfs" && !matches!(value.value, Value::List(_)) {
            taken = json!([self.scalar(value)?]);
        }
        self.accept(out, &key.name, taken, path, value.at)
    }

    fn labels(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        let mut labels = Map::new();
        match &value.value {
            Value::List(items) => {
                for item in items {
                    let entry = self.scalar(item)?;
                    let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
                    labels.insert(name.to_owned(), json!(value));
                }
            }
            _ => {
                for (name, value) in self.map(value)? {
                    labels.insert(name.name.clone(), json!(self.text_or_nothing(value)?));
                }
            }
        }
        self.accept(out, "labels", Json::Object(labels), path, value.at)
    }

    /// A command as a list: a line is split as Compose does it.
    pub(super) fn words(&self, value: &Tree) -> Step<Json> {
        if let Value::List(items) = &value.value {
            return items.iter().map(|item| Ok(json!(self.scalar(item)?))).collect();
        }
        let line = self.scalar(value)?;
        let words = words::split(&line).map_err(|why| self.bad(value.at, why, None))?;
        Ok(json!(words))
    }

    pub(super) fn size(&self, value: &Tree) -> Step<Json> {
        let text = self.scalar(value)?;
        if text.parse::<Size>().is_ok() {
            return Ok(json!(text));
        }
        let bytes = words::bytes(&text);
        let bytes = bytes.ok_or_else(|| {
            self.bad(value.at, format!("`{text}` is not a size: expected a number and k, m or g"), None)
        })?;
        Ok(json!(format!("{bytes}b")))
    }

    pub(super) fn span(&self, value: &Tree) -> Step<String> {
        let text = self.scalar(value)?;
        let millis = words::millis(&text);
        let millis = millis.ok_or_else(|| {
            let hint = "a number and a unit, such as 500ms, 10s, 1m30s";
            self.bad(value.at, format!("`{text}` is not a length of time"), Some(hint))
        })?;
        Ok(format!("{millis}ms"))
    }

    fn ports(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        let mut all = Vec::new();
        for (index, item) in self.items(value)?.iter().enumerate() {
            let mut entry = plain(item);
            let item_path = format!("{path}[{index}]");
            if let Json::Object(map) = &mut entry {
                for (key, _) in item.entries() {
                    let path = join(&item_path, &key.name);
                    match key.name.as_str() {
                        "mode" | "name" | "app_protocol" => {
                            map.remove(&key.name);
                            self.report.decide(
                                &path,
                                key.at,
                                "left out: it says nothing to an Engine",
                                "nothing to do",
                            );
                        }
                        "target" | "published" | "host_ip" | "protocol" => self.report.taken(&path, key.at),
                        other => {
                            let known = [
                                "target",
                                "published",
                                "host_ip",
                                "protocol",
                                "mode",
                                "name",
                                "app_protocol",
                            ];
                            return Err(self.unknown_key(key.at, other, &known));
                        }
                    }
                }
            }
            self.accept(&mut Service::new(), "ports", json!([entry]), &item_path, item.at)?;
            all.push(entry);
        }
        self.accept(out, "ports", Json::Array(all), path, value.at)
    }

    fn network_mode(&mut self, out: &mut Service, path: &str, at: At, value: &Tree) -> Step {
        match self.scalar(value)?.as_str() {
            mode @ ("host" | "none") => self.accept(out, "network_mode", json!(mode), path, at)?,
            "bridge" => {
                let what = "left out: the stack's own network takes the place of the Engine's default one";
                self.report.decide(path, at, what, "nothing to do");
            }
            _ => {
                let why =
                    "sharing the network of another container is not carried to a device: use `networks`";
                self.report.unsupported(path, at, why);
            }
        }
        Ok(())
    }

    fn networks(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        if let Value::List(items) = &value.value {
            for item in items {
                let name = self.scalar(item)?;
                self.declared(item.at, "network", &name)?;
            }
            return self.accept(out, "networks", plain(value), path, value.at);
        }
        let mut all = Map::new();
        for (name, settings) in self.map(value)? {
            self.declared(name.at, "network", &name.name)?;
            let network = join(path, &name.name);
            let mut kept = Map::new();
            for (key, value) in self.map(settings)? {
                let path = join(&network, &key.name);
                match key.name.as_str() {
                    "aliases" => {
                        kept.insert("aliases".into(), plain(value));
                        self.report.taken(&path, key.at);
                    }
                    "ipv4_address" | "ipv6_address" | "link_local_ips" | "mac_address" => {
                        let why = "a fixed address ties the stack to one machine: use the service's name";
                        self.report.unsupported(&path, key.at, why);
                    }
                    "priority" | "gw_priority" | "interface_name" | "driver_opts" => {
                        self.report.unsupported(
                            &path,
                            key.at,
                            "docker-compose 1.29 refuses it, or an Engine ignores it",
                        );
                    }
                    other => {
                        return Err(self.unknown_key(
                            key.at,
                            other,
                            &["aliases", "ipv4_address", "ipv6_address", "priority"],
                        ));
                    }
                }
            }
            self.report.taken(&network, name.at);
            all.insert(name.name.clone(), Json::Object(kept));
        }
        self.accept(out, "networks", Json::Object(all), path, value.at)
    }

    fn depends_on(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        if let Value::List(items) = &value.value {
            for item in items {
                let name = self.scalar(item)?;
                self.declared(item.at, "service", &name)?;
            }
            return self.accept(out, "depends_on", plain(value), path, value.at);
        }
        let mut all = Map::new();
        for (name, settings) in self.map(value)? {
            self.declared(name.at, "service", &name.name)?;
            let on = join(path, &name.name);
            let mut condition = json!("service_started");
            for (key, value) in self.map(settings)? {
                let path = join(&on, &key.name);
                match (key.name.as_str(), value.text().as_deref()) {
                    ("condition", _) => {
                        condition = plain(value);
                        self.report.taken(&path, key.at);
                    }
                    ("required", Some("true")) | ("restart", Some("false")) => {
                        self.report.taken(&path, key.at);
                    }
                    ("required", _) => {
                        self.report.unsupported(
                            &path,
                            key.at,
                            "a stack holds all its services: leave `depends_on` out",
                        );
                    }
                    ("restart", _) => {
                        self.report.unsupported(
                            &path,
                            key.at,
                            "docker-compose 1.29 refuses it; a restart policy starts each by itself",
                        );
                    }
                    (other, _) => {
                        return Err(self.unknown_key(key.at, other, &["condition", "required", "restart"]));
                    }
                }
            }
            self.report.taken(&on, name.at);
            let one = json!({name.name.clone(): {"condition": condition}});
            self.accept(&mut Service::new(), "depends_on", one, &on, settings.at)?;
            all.insert(name.name.clone(), json!({"condition": condition}));
        }
        self.accept(out, "depends_on", Json::Object(all), path, value.at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use xedge_model::compose::keys::{IMPORTED_KEYS, SERVICE_KEYS};

    use super::{OWN, SAME, keys};

    #[test]
    fn the_table_of_keys_is_what_the_import_reads() {
        let table: BTreeSet<&str> =
            SERVICE_KEYS.iter().chain(&IMPORTED_KEYS).map(|known| known.key).collect();
        let read: BTreeSet<&str> = SAME.into_iter().chain(OWN).collect();
        assert_eq!(read, table);
        let refused: BTreeSet<&str> = keys::SERVICE.iter().map(|(name, _)| *name).collect();
        assert_eq!(refused.intersection(&read).next(), None);
        assert_eq!(refused.len(), keys::SERVICE.len(), "a key is refused twice");
    }
}
