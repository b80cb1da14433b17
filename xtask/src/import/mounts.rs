//! Mounts of an imported service: named volumes stay, text files beside the Compose file become part of the stack, writable
//! folders become volumes, and paths of the host are said to be facts of the machine.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value as Json, json};
use xedge_model::stack::is_name;
use xedge_model::tree::{At, Tree, Value, join};

use super::files::{self, Unfit};
use super::walk::{Step, Walk};
use super::words;

/// One mount in parts.
struct Parts {
    source: Option<String>,
    target: String,
    read_only: bool,
    /// How host mounts spread.
    propagation: Option<String>,
}

impl Walk<'_> {
    pub(super) fn volumes(&mut self, out: &mut Map<String, Json>, path: &str, value: &Tree) -> Step {
        let mut all = Vec::new();
        for (index, item) in self.items(value)?.iter().enumerate() {
            let at = format!("{path}[{index}]");
            let mount = match item.value {
                Value::Map(_) => self.long_mount(&at, item)?,
                _ => self.short_mount(&at, item)?,
            };
            if let Some(mount) = mount {
                self.accept(&mut Map::new(), "volumes", json!([mount]), &at, item.at)?;
                all.push(mount);
            }
        }
        self.accept(out, "volumes", Json::Array(all), path, value.at)
    }

    fn short_mount(&mut self, path: &str, item: &Tree) -> Step<Option<Json>> {
        let text = self.scalar(item)?;
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => {
                let message = format!("`{text}` is not a mount");
                return Err(self.bad(item.at, message, Some("`./FOLDER:/TARGET:ro` or `VOLUME:/TARGET`")));
            }
        };
        let (source, target) = (source.map(str::to_owned), target.to_owned());
        let mut parts = Parts { source, target, read_only: false, propagation: None };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "rw" => {}
                "ro" => parts.read_only = true,
                "z" | "Z" | "cached" | "delegated" | "consistent" | "nocopy" => {
                    let what = format!("the option `{option}` is left out: it is a matter of the machine");
                    self.report.decide(path, item.at, what, "nothing to do, unless the devices run SELinux");
                }
                other => parts.propagation = Some(other.to_owned()),
            }
        }
        self.mount(path, item.at, &parts)
    }

    fn long_mount(&mut self, path: &str, item: &Tree) -> Step<Option<Json>> {
        const KNOWN: [&str; 8] =
            ["type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency"];
        for (key, value) in item.entries() {
            let at = join(path, &key.name);
            match key.name.as_str() {
                "type" | "source" | "target" | "read_only" | "tmpfs" => self.report.taken(&at, key.at),
                "bind" | "volume" => {
                    for (key, _) in self.map(value)? {
                        let at = join(&at, &key.name);
                        match key.name.as_str() {
                            "propagation" => self.report.taken(&at, key.at),
                            "create_host_path" | "nocopy" | "selinux" => {
                                self.report.decide(
                                    &at,
                                    key.at,
                                    "left out: it is a matter of the machine",
                                    "nothing to do",
                                );
                            }
                            "subpath" => {
                                self.report.unsupported(&at, key.at, "docker-compose 1.29 refuses it");
                            }
                            other => {
                                let known =
                                    ["propagation", "create_host_path", "selinux", "nocopy", "subpath"];
                                return Err(self.unknown_key(key.at, other, &known));
                            }
                        }
                    }
                    self.report.taken(&at, key.at);
                }
                "consistency" => self.report.decide(
                    &at,
                    key.at,
                    "left out: it is a matter of the machine",
                    "nothing to do",
                ),
                other => return Err(self.unknown_key(key.at, other, &KNOWN)),
            }
        }
        let target = item.get("target").map(|target| self.scalar(target)).transpose()?;
        let target = target.ok_or_else(|| self.bad(item.at, "a mount needs a `target`", None))?;
        let source = item.get("source").map(|source| self.scalar(source)).transpose()?;
        let read_only = item.get("read_only").map(|flag| self.flag(flag)).transpose()?.unwrap_or(false);
        let propagation = item.get("bind").and_then(|bind| bind.get("propagation")).and_then(Tree::text);
        let parts = Parts { source, target, read_only, propagation };
        match item.get("type").and_then(Tree::text).as_deref() {
            Some("tmpfs") => self.memory(item, &parts).map(Some),
            Some("bind") => self.bind(path, item.at, &parts),
            Some("volume") => self.mount(path, item.at, &parts),
            Some(other) => {
                self.report.unsupported(
                    path,
                    item.at,
                    format!("a mount of type `{other}` is not carried to a device"),
                );
                Ok(None)
            }
            None => Err(self.bad(item.at, "a mount needs a `type`: volume, bind or tmpfs", None)),
        }
    }

    fn memory(&self, item: &Tree, parts: &Parts) -> Step<Json> {
        let mut settings = Map::new();
        let written = item.get("tmpfs");
        if let Some(size) = written.and_then(|tmpfs| tmpfs.get("size")) {
            let text = self.scalar(size)?;
            let bytes = words::bytes(&text)
                .ok_or_else(|| self.bad(size.at, format!("`{text}` is not a size"), None))?;
            settings.insert("size".into(), json!(bytes));
        }
        if let Some(mode) = written.and_then(|tmpfs| tmpfs.get("mode")) {
            let text = self.scalar(mode)?;
            // `0755` is octal to a YAML 1.1 reader, `0o755` to a 1.2 one.
            let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
            let bits = octal.map_or_else(|| text.parse().ok(), |octal| u32::from_str_radix(octal, 8).ok());
            let bits = bits.ok_or_else(|| self.bad(mode.at, format!("`{text}` is no mode"), None))?;
            settings.insert("mode".into(), json!(bits));
        }
        let mut mount = json!({"type": "tmpfs", "target": parts.target, "tmpfs": settings});
        if parts.read_only {
            mount["read_only"] = json!(true);
        }
        Ok(mount)
    }

    fn mount(&mut self, path: &str, at: At, parts: &Parts) -> Step<Option<Json>> {
        match parts.source.as_deref() {
            None => {
                let what = "a volume without a name: it ends with the container, at every update";
                self.report.decide(path, at, what, "give it a name if the data must stay");
                Ok(Some(json!(parts.target)))
            }
            Some(source) if is_name(source) => {
                self.declared(at, "volume", source)?;
                Ok(Some(json!(short(source, parts))))
            }
            Some(_) => self.bind(path, at, parts),
        }
    }

    fn bind(&mut self, path: &str, at: At, parts: &Parts) -> Step<Option<Json>> {
        let source = parts.source.clone().unwrap_or_default();
        if source.is_empty() {
            return Err(self.bad(at, "a bind mount needs a source", None));
        }
        if source.starts_with('/') {
            return Ok(Some(self.host(path, at, &source, parts)));
        }
        if source.starts_with('~') {
            let why = "a home folder differs from machine to machine: put the file beside the Compose file, or name an absolute path";
            self.report.unsupported(path, at, why);
            return Ok(None);
        }
        let output = files::output(Utf8Path::new(&source));
        if output.as_str().is_empty() || output == "above" {
            self.report.unsupported(
                path,
                at,
                "the whole folder is no configuration: put what is needed into the image",
            );
            return Ok(None);
        }
        let from = self.folder.join(&source);
        if from.exists() {
            self.beside(path, at, &from, &output, parts).map(Some)
        } else {
            self.missing(path, at, &output, parts)
        }
    }

    fn host(&mut self, path: &str, at: At, source: &str, parts: &Parts) -> Json {
        if source.ends_with("docker.sock") {
            let what =
                "the Engine's socket: whoever has it is root on the device, and can replace what was signed";
            self.report.decide(
                path,
                at,
                what,
                "leave it out with `--without` unless the service is an agent that must have it",
            );
        } else {
            let what = format!(
                "`{source}` is a path of the machine: it is no part of what is signed, and empty or absent in the simulation"
            );
            self.report.decide(path, at, what, "make sure that every device has it");
        }
        let mount = Parts {
            source: None,
            target: parts.target.clone(),
            read_only: parts.read_only,
            propagation: parts.propagation.clone(),
        };
        let clean = if source == "/" { source } else { source.trim_end_matches('/') };
        json!(short(clean, &mount))
    }

    /// What is there and is text becomes part of the stack, read-only; data does not.
    fn beside(
        &mut self,
        path: &str,
        at: At,
        from: &Utf8Path,
        output: &Utf8Path,
        parts: &Parts,
    ) -> Step<Json> {
        match self.copies.add(from, output) {
            Ok(()) if self.copies.0.keys().any(|known| known.starts_with(output)) => {}
            Ok(()) if parts.read_only => {
                return Err(self.bad(
                    at,
                    format!("the folder `{from}` is empty"),
                    Some("put the files there that the service reads"),
                ));
            }
            Ok(()) => return Ok(self.volume_instead(path, at, output, parts, "is empty")),
            Err(Unfit::Bad(why)) => return Err(self.bad(at, why, None)),
            Err(Unfit::Data(why)) if parts.read_only || from.is_file() => {
                return Err(self.bad(at, why, Some("put it into an image: `files` in image.yaml")));
            }
            Err(Unfit::Data(why)) => {
                return Ok(self.volume_instead(path, at, output, parts, &format!("holds data ({why})")));
            }
        }
        self.secret_files(path, at, output);
        if !parts.read_only {
            let what = "mounted read-only: what is signed must not change on the device";
            let todo = "if the service writes there, give it a named volume for its data";
            self.report.decide(path, at, what, todo);
        }
        Ok(json!(format!("./{output}:{}:ro", parts.target)))
    }

    fn secret_files(&mut self, path: &str, at: At, output: &Utf8Path) {
        let found = self
            .copies
            .0
            .iter()
            .filter(|(path, copy)| path.starts_with(output) && files::is_secret(path, &copy.text));
        let found: Vec<Utf8PathBuf> = found.map(|(path, _)| path.clone()).collect();
        for file in found {
            let what = format!(
                "`{file}` looks like a secret, and would be part of the repository and of every bundle"
            );
            let todo = "declare it under `secrets` instead: a device has its own";
            self.report.unsupported(path, at, format!("{what}: {todo}"));
        }
    }

    fn missing(&mut self, path: &str, at: At, output: &Utf8Path, parts: &Parts) -> Step<Option<Json>> {
        if parts.read_only || output.extension().is_some() {
            let message = format!(
                "the bind mount's source `{}` is not there",
                parts.source.as_deref().unwrap_or_default()
            );
            return Err(self.bad(
                at,
                message,
                Some("make it beside the Compose file, or leave the mount out with `--without`"),
            ));
        }
        Ok(Some(self.volume_instead(path, at, output, parts, "is not there")))
    }

    /// A rendered folder is replaced as a whole: what a container writes belongs in a volume.
    fn volume_instead(&mut self, path: &str, at: At, output: &Utf8Path, parts: &Parts, why: &str) -> Json {
        let known = self.folders.get(output).cloned();
        let name = known.unwrap_or_else(|| {
            let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
            let mut name: String = output.as_str().chars().map(plain).take(50).collect();
            name = name.trim_start_matches(['-', '_']).to_owned();
            while name.is_empty() || self.names.volumes.contains(&name) {
                name.push_str("-data");
            }
            self.names.volumes.push(name.clone());
            self.folders.insert(output.to_owned(), name.clone());
            name
        });
        self.names.used.insert(("volume", name.clone()));
        let what = format!(
            "the folder `./{output}` {why}: the volume `{name}` takes its place, and starts with what the image has"
        );
        self.report.decide(
            path,
            at,
            what,
            "nothing to do, or put the files there and import again if they are configuration",
        );
        json!(short(&name, parts))
    }
}

fn short(source: &str, parts: &Parts) -> String {
    let read_only = parts.read_only.then_some("ro");
    let options: Vec<&str> = read_only.into_iter().chain(parts.propagation.as_deref()).collect();
    let colon = if options.is_empty() { "" } else { ":" };
    format!("{source}:{}{colon}{}", parts.target, options.join(","))
}
