//! What rendering gives: files, the typed Compose file, references to secrets, and one digest over all of it.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use xedge_model::Digest;
use xedge_model::compose::Compose;
use xedge_model::image::Mode;
use xedge_model::stack::{ConfigFile, DeviceValue, SecretReference, config_digest};

use crate::conf::Conf;
use crate::origin::Origin;

/// The name of the Compose file among the rendered files.
pub const COMPOSE_FILE: &str = "compose.yaml";

/// The format version of rendered.json.
pub(crate) const FORMAT: u32 = 1;

/// A rendered and checked stack; only [`crate::render()`] makes one.
#[derive(Clone, Debug)]
#[must_use]
pub struct Rendered {
    stack: String,
    environment: String,
    files: Vec<RenderedFile>,
    compose: Compose,
    secrets: Vec<SecretReference>,
    device_values: Vec<DeviceValue>,
    digest: Digest,
}

/// One rendered file.
#[derive(Clone, Debug)]
pub struct RenderedFile {
    path: Utf8PathBuf,
    mode: u32,
    bytes: Vec<u8>,
    digest: Digest,
    content: Content,
    origins: Vec<Origin>,
}

/// A file's content as far as it is understood.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Conf(Conf),
    Toml(toml::Table),
    Compose,
    Other,
}

/// rendered.json: what a folder of rendered files holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Format version of the file.
    pub format: u32,
    /// The stack.
    pub stack: String,
    /// The environment.
    pub environment: String,
    /// Digest of all of it but the environment's name.
    pub digest: Digest,
    /// The files, ordered by path.
    pub files: Vec<ConfigFile>,
    /// The references to secrets, ordered by name.
    pub secrets: Vec<SecretReference>,
    /// What every device fills in itself, ordered by name.
    #[serde(rename = "deviceValues", default, skip_serializing_if = "Vec::is_empty")]
    pub device_values: Vec<DeviceValue>,
}

impl Rendered {
    pub(crate) fn new(
        stack: &str,
        environment: &str,
        mut files: Vec<RenderedFile>,
        compose: Compose,
        mut secrets: Vec<SecretReference>,
        mut device_values: Vec<DeviceValue>,
    ) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        secrets.sort();
        device_values.sort();
        let listed: Vec<ConfigFile> = files.iter().map(RenderedFile::listed).collect();
        let digest = config_digest(stack, &listed, &secrets, &device_values);
        let (stack, environment) = (stack.to_owned(), environment.to_owned());
        Self { stack, environment, files, compose, secrets, device_values, digest }
    }

    /// The stack's name.
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// The environment's name.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The files, the Compose file among them, ordered by path.
    pub fn files(&self) -> &[RenderedFile] {
        &self.files
    }

    /// The typed Compose file.
    pub fn compose(&self) -> &Compose {
        &self.compose
    }

    /// The secrets that the Compose file refers to, ordered by name.
    pub fn secrets(&self) -> &[SecretReference] {
        &self.secrets
    }

    /// What every device fills in itself and the files ask for, ordered by name.
    pub fn device_values(&self) -> &[DeviceValue] {
        &self.device_values
    }

    /// See [`config_digest`]. It depends neither on folders nor on image digests nor on the values of secrets or devices.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What rendered.json says.
    pub fn record(&self) -> Record {
        Record {
            format: FORMAT,
            stack: self.stack.clone(),
            environment: self.environment.clone(),
            digest: self.digest.clone(),
            files: self.files.iter().map(RenderedFile::listed).collect(),
            secrets: self.secrets.clone(),
            device_values: self.device_values.clone(),
        }
    }

    /// Every mosquitto.conf of the stack with its path, ordered.
    pub fn confs(&self) -> impl Iterator<Item = (&Utf8Path, &Conf)> {
        self.files.iter().filter_map(|file| match &file.content {
            Content::Conf(conf) => Some((file.path(), conf)),
            _ => None,
        })
    }

    /// Every setting of every file, by `FILE SETTING`; a file of another kind is one setting, its digest.
    pub(crate) fn flatten(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for file in &self.files {
            let settings = match &file.content {
                Content::Conf(conf) => conf.flatten(),
                Content::Toml(table) => flatten_toml(table),
                Content::Compose => self.compose.flatten(),
                Content::Other => BTreeMap::from([("content".to_owned(), file.digest.to_string())]),
            };
            all.insert(format!("{} mode", file.path), format!("{:04o}", file.mode));
            all.extend(settings.into_iter().map(|(path, value)| (format!("{} {path}", file.path), value)));
        }
        for secret in &self.secrets {
            let json = serde_json::to_string(secret).expect("a reference has string keys only");
            all.insert(format!("stack.yaml secrets.{}", secret.name), json);
        }
        for value in &self.device_values {
            let json = serde_json::to_string(value).expect("a declaration has string keys only");
            all.insert(format!("stack.yaml device_values.{}", value.name), json);
        }
        all
    }
}

impl RenderedFile {
    /// `origins` says what each line comes from; it has no part in the digest.
    pub(crate) fn new(path: &str, mode: u32, text: String, content: Content, origins: Vec<Origin>) -> Self {
        let bytes = text.into_bytes();
        let digest = Digest::of(&bytes);
        Self { path: path.into(), mode, bytes, digest, content, origins }
    }

    pub(crate) fn origins(&self) -> &[Origin] {
        &self.origins
    }

    fn listed(&self) -> ConfigFile {
        ConfigFile { path: self.path.clone(), mode: Mode(self.mode), digest: self.digest.clone() }
    }

    /// Path below the rendered folder.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Permission bits.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

fn flatten_toml(table: &toml::Table) -> BTreeMap<String, String> {
    fn collect(prefix: &str, table: &toml::Table, all: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) => collect(&path, inner, all),
                toml::Value::String(text) => {
                    all.insert(path, text.clone());
                }
                other => {
                    all.insert(
                        path,
                        serde_json::to_string(other).expect("TOML values have string keys only"),
                    );
                }
            }
        }
    }
    let mut all = BTreeMap::new();
    collect("", table, &mut all);
    all
}
