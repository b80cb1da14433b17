//! What an imported file says beside its services: networks, volumes, secrets, notes.

use serde_json::{Map, Value as Json, json};
use xedge_model::tree::{Key, Tree, join};

use super::keys;
use super::walk::{Step, Walk};

const NETWORK: [&str; 10] = [
    "attachable",
    "driver",
    "driver_opts",
    "enable_ipv4",
    "enable_ipv6",
    "external",
    "internal",
    "ipam",
    "labels",
    "name",
];
const VOLUME: [&str; 5] = ["driver", "driver_opts", "external", "labels", "name"];
const SECRET: [&str; 5] = ["environment", "external", "file", "labels", "name"];
const KNOWN: [&str; 9] =
    ["configs", "include", "models", "name", "networks", "secrets", "services", "version", "volumes"];

impl Walk<'_> {
    /// Refuses keys at the top that Compose does not have: what they hold would be missed by everything else.
    pub(super) fn top_keys(&self, tree: &Tree) -> Step {
        let unknown = |name: &str| !KNOWN.contains(&name) && !name.starts_with("x-");
        match tree.entries().iter().find(|(key, _)| unknown(&key.name)) {
            Some((key, _)) => Err(self.unknown_key(key.at, &key.name, &KNOWN)),
            None => Ok(()),
        }
    }

    /// The keys at the top but `services`; networks, volumes and secrets that no service uses are left out.
    pub(super) fn top(&mut self, tree: &Tree) -> Step<Map<String, Json>> {
        let mut out = Map::new();
        for (key, value) in tree.entries() {
            match key.name.as_str() {
                "services" => {}
                "version" | "name" => self.report.taken(&key.name, key.at),
                note if note.starts_with("x-") => self.report.taken(note, key.at),
                "networks" => self.declarations(&mut out, key, value, "network", Self::network)?,
                "volumes" => self.declarations(&mut out, key, value, "volume", Self::volume)?,
                "secrets" => self.declarations(&mut out, key, value, "secret", Self::secret)?,
                other => match keys::reason(&keys::TOP, other) {
                    Some(why) => self.report.unsupported(other, key.at, why),
                    None => return Err(self.unknown_key(key.at, other, &KNOWN)),
                },
            }
        }
        let instead = self.folders.values().map(|name| (name.clone(), json!({})));
        let instead: Vec<(String, Json)> = instead.collect();
        if !instead.is_empty() {
            let volumes = out.entry("volumes").or_insert_with(|| json!({}));
            if let Json::Object(volumes) = volumes {
                volumes.extend(instead);
            }
        }
        Ok(out)
    }

    fn declarations(
        &mut self,
        out: &mut Map<String, Json>,
        key: &Key,
        value: &Tree,
        what: &'static str,
        one: fn(&mut Self, &str, &Key, &Tree) -> Step<Json>,
    ) -> Step {
        let mut all = Map::new();
        for (name, settings) in self.map(value)? {
            let path = join(&key.name, &name.name);
            let made = one(self, &path, name, settings)?;
            let used = self.names.used.contains(&(what, name.name.clone())) || name.name == "default";
            if used {
                self.report.taken(&path, name.at);
                all.insert(name.name.clone(), made);
            } else {
                self.report.decide(
                    &path,
                    name.at,
                    format!("left out: no service uses this {what}"),
                    "nothing to do",
                );
            }
        }
        self.report.taken(&key.name, key.at);
        if !all.is_empty() {
            out.insert(key.name.clone(), Json::Object(all));
        }
        Ok(())
    }

    fn network(&mut self, path: &str, _: &Key, settings: &Tree) -> Step<Json> {
        let mut kept = Map::new();
        for (key, value) in self.map(settings)? {
            let at = join(path, &key.name);
            match (key.name.as_str(), value.text().as_deref()) {
                ("driver", Some("bridge")) => {
                    kept.insert("driver".into(), json!("bridge"));
                    self.report.taken(&at, key.at);
                }
                ("driver", _) => {
                    self.report.unsupported(
                        &at,
                        key.at,
                        "only bridges are carried to a device: `network_mode: host` is on the service",
                    );
                }
                ("internal", _) => {
                    kept.insert("internal".into(), json!(self.flag(value)?));
                    self.report.taken(&at, key.at);
                }
                ("external" | "attachable" | "enable_ipv6", Some("false")) => self.report.taken(&at, key.at),
                ("external", _) => {
                    self.report.unsupported(&at, key.at, "a network of another stack is no part of what is proved; without this key it is the stack's own");
                }
                ("name", _) => {
                    self.report.decide(
                        &at,
                        key.at,
                        "left out: networks carry the name of the stack",
                        "nothing to do, unless others join it",
                    );
                }
                ("ipam", _) => {
                    self.report.unsupported(
                        &at,
                        key.at,
                        "fixed addresses tie the stack to one machine: the Engine chooses",
                    );
                }
                (known, _) if NETWORK.contains(&known) => {
                    self.report.unsupported(
                        &at,
                        key.at,
                        "settings of a network's driver are not carried to a device",
                    );
                }
                (other, _) => return Err(self.unknown_key(key.at, other, &NETWORK)),
            }
        }
        Ok(Json::Object(kept))
    }

    fn volume(&mut self, path: &str, _: &Key, settings: &Tree) -> Step<Json> {
        for (key, value) in self.map(settings)? {
            let at = join(path, &key.name);
            match (key.name.as_str(), value.text().as_deref()) {
                ("driver", Some("local")) | ("external", Some("false")) => self.report.taken(&at, key.at),
                ("external", _) => {
                    self.report.unsupported(&at, key.at, "a device has no volume of yours yet; without this key it is the stack's own, and empty");
                }
                ("name", _) => {
                    let todo = "data of an existing volume does not move by itself: copy it on the device";
                    self.report.decide(&at, key.at, "left out: volumes carry the name of the stack", todo);
                }
                (known, _) if VOLUME.contains(&known) => {
                    self.report.unsupported(
                        &at,
                        key.at,
                        "settings of a volume's driver are not carried to a device",
                    );
                }
                (other, _) => return Err(self.unknown_key(key.at, other, &VOLUME)),
            }
        }
        Ok(json!({}))
    }

    fn secret(&mut self, path: &str, name: &Key, settings: &Tree) -> Step<Json> {
        for (key, value) in self.map(settings)? {
            let at = join(path, &key.name);
            match (key.name.as_str(), value.text().as_deref()) {
                ("file", _) => {
                    let todo = format!(
                        "give the device its own: `cargo xtask secrets set {} --env production --file FILE`; its owner is in stack.yaml",
                        name.name
                    );
                    self.report.decide(
                        &at,
                        key.at,
                        "the file is not taken along: a secret is never part of a bundle",
                        todo,
                    );
                }
                (known, _) if SECRET.contains(&known) => {
                    self.report.unsupported(&at, key.at, "a secret is a file on the device: write `file:`");
                }
                (other, _) => return Err(self.unknown_key(key.at, other, &SECRET)),
            }
        }
        Ok(json!({"file": format!("../secrets/{}", name.name)}))
    }
}
