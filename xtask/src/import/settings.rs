//! Settings of an imported service that have keys of their own: health check, logging, limits, secrets.

use serde_json::{Map, Value as Json, json};
use xedge_model::tree::{Tree, join};

use super::walk::{Step, Walk, plain};

type Service = Map<String, Json>;

impl Walk<'_> {
    pub(super) fn healthcheck(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        let mut kept = Map::new();
        for (key, value) in self.map(value)? {
            let at = join(path, &key.name);
            match key.name.as_str() {
                "test" => {
                    self.accept(
                        &mut Service::new(),
                        "healthcheck",
                        json!({"test": plain(value)}),
                        &at,
                        value.at,
                    )?;
                    kept.insert("test".into(), plain(value));
                }
                "interval" | "timeout" | "start_period" => {
                    kept.insert(key.name.clone(), json!(self.span(value)?));
                    self.report.taken(&at, key.at);
                }
                "retries" => {
                    self.accept(
                        &mut Service::new(),
                        "healthcheck",
                        json!({"retries": plain(value)}),
                        &at,
                        value.at,
                    )?;
                    kept.insert("retries".into(), plain(value));
                }
                "disable" => {
                    kept.insert("disable".into(), json!(self.flag(value)?));
                    self.report.taken(&at, key.at);
                }
                "start_interval" => {
                    self.report.unsupported(
                        &at,
                        key.at,
                        "docker-compose 1.29 and Engines before 25 refuse it",
                    );
                }
                other => {
                    let known = [
                        "test",
                        "interval",
                        "timeout",
                        "retries",
                        "start_period",
                        "start_interval",
                        "disable",
                    ];
                    return Err(self.unknown_key(key.at, other, &known));
                }
            }
        }
        self.accept(out, "healthcheck", Json::Object(kept), path, value.at)
    }

    pub(super) fn logging(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        let mut kept = Map::new();
        for (key, value) in self.map(value)? {
            match key.name.as_str() {
                "driver" => kept.insert("driver".into(), plain(value)),
                "options" => {
                    let mut options = Map::new();
                    for (name, value) in self.map(value)? {
                        options.insert(name.name.clone(), json!(self.text_or_nothing(value)?));
                    }
                    kept.insert("options".into(), Json::Object(options))
                }
                other => return Err(self.unknown_key(key.at, other, &["driver", "options"])),
            };
        }
        self.accept(out, "logging", Json::Object(kept), path, value.at)
    }

    /// Of what is meant for a swarm only the limits mean something on one machine.
    pub(super) fn deploy(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        const KNOWN: [&str; 9] = [
            "resources",
            "replicas",
            "mode",
            "restart_policy",
            "placement",
            "update_config",
            "rollback_config",
            "labels",
            "endpoint_mode",
        ];
        for (key, value) in self.map(value)? {
            let at = join(path, &key.name);
            match (key.name.as_str(), value.text().as_deref()) {
                ("resources", _) => self.resources(out, &at, value)?,
                ("replicas", Some("1")) | ("mode", Some("replicated")) => self.report.taken(&at, key.at),
                ("restart_policy", _) => {
                    self.report.unsupported(&at, key.at, "write `restart: unless-stopped`");
                }
                (known, _) if KNOWN.contains(&known) => {
                    self.report.unsupported(&at, key.at, "only a swarm knows it: a stack runs on one device");
                }
                (other, _) => return Err(self.unknown_key(key.at, other, &KNOWN)),
            }
        }
        self.report.taken(path, value.at);
        Ok(())
    }

    fn resources(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        for (kind, value) in self.map(value)? {
            let above = join(path, &kind.name);
            for (key, value) in self.map(value)? {
                let at = join(&above, &key.name);
                let short = match (kind.name.as_str(), key.name.as_str()) {
                    ("limits", "cpus") => "cpus",
                    ("limits", "memory") => "mem_limit",
                    ("limits", "pids") => "pids_limit",
                    ("reservations", "memory") => "mem_reservation",
                    ("reservations", "cpus") => {
                        self.report.unsupported(
                            &at,
                            key.at,
                            "only a swarm reserves processors: write `cpu_shares`",
                        );
                        continue;
                    }
                    ("reservations", "devices" | "generic_resources") => {
                        self.report.unsupported(&at, key.at, "name the device files under `devices`");
                        continue;
                    }
                    (_, other) => return Err(self.unknown_key(key.at, other, &["cpus", "memory", "pids"])),
                };
                if out.contains_key(short) {
                    let hint = Some("keep one of them");
                    return Err(self.bad(
                        key.at,
                        format!("`{short}` and its long form say the same twice"),
                        hint,
                    ));
                }
                let limit = match short {
                    "mem_limit" | "mem_reservation" => self.size(value)?,
                    "cpus" => json!(self.scalar(value)?),
                    _ => plain(value),
                };
                self.accept(out, short, limit, &at, value.at)?;
            }
        }
        self.report.taken(path, value.at);
        Ok(())
    }

    pub(super) fn service_secrets(&mut self, out: &mut Service, path: &str, value: &Tree) -> Step {
        let mut all = Vec::new();
        for (index, item) in self.items(value)?.iter().enumerate() {
            let at = format!("{path}[{index}]");
            let name = match item.get("source") {
                Some(source) => self.scalar(source)?,
                None => self.scalar(item)?,
            };
            self.declared(item.at, "secret", &name)?;
            for (key, value) in item.entries() {
                let at = join(&at, &key.name);
                match (key.name.as_str(), value.text()) {
                    ("source", _) => self.report.taken(&at, key.at),
                    ("target", Some(target))
                        if target == name || target == format!("/run/secrets/{name}") =>
                    {
                        self.report.taken(&at, key.at);
                    }
                    ("target", _) => {
                        self.report.unsupported(
                            &at,
                            key.at,
                            "a container finds a secret at /run/secrets/NAME",
                        );
                    }
                    ("uid" | "gid" | "mode", _) => {
                        let todo = "set the owner in stack.yaml: `secrets.NAME.owner`";
                        self.report.decide(
                            &at,
                            key.at,
                            "left out: a secret's file belongs to one user and has mode 0400",
                            todo,
                        );
                    }
                    (other, _) => {
                        return Err(self.unknown_key(
                            key.at,
                            other,
                            &["source", "target", "uid", "gid", "mode"],
                        ));
                    }
                }
            }
            self.report.taken(&at, item.at);
            all.push(json!(name));
        }
        self.accept(out, "secrets", Json::Array(all), path, value.at)
    }
}
