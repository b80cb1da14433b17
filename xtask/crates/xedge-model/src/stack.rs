//! `templates/stacks/<name>/stack.yaml`: which templates make up a stack, and which secrets its containers read.
//!
//! Reading and checking only; rendering is the business of xedge-config.

mod config;
mod declare;
mod device;
mod environment;
mod operation;
mod parity;
mod probe;
mod substitute;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use config::{ConfigFile, config_digest};
pub use declare::DeviceValueDef;
pub use device::{BadDeclaration, DEVICE_NAME_RULE, DeviceValue, Unfit, is_device_name};
pub use environment::{CLASS_MARK, DEVICE, DeviceClass, EnvValue, Environment, leaves};
pub use operation::{Operation, ProbeDef};
pub use parity::{Aspect, Extra, Parity, ParityRow};
pub use probe::{Data, MAX_WAIT_S, Probe, SETTLE_S, START_S, board_name, is_board};
pub use substitute::{Placeholder, SubstituteError, check_values, placeholders, samples, substitute};
pub use value::{ValueDef, ValueType};

use crate::duration::Span;
use crate::format;
use crate::image::Mode;
use crate::yaml::{Source, Spanned, YamlError};

/// The format version of stack, environment and parity files that this tool reads.
pub const FORMAT: u32 = 1;

/// One stack: a Compose template, the config files of its services, and what must have passed before a release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackDef {
    /// Format version of the file.
    pub format: Spanned<u32>,
    /// Name; the same as the folder's.
    pub name: Spanned<String>,
    /// Template of the Compose file, below the templates folder.
    pub compose: Spanned<RelPath>,
    /// Config files.
    #[serde(default)]
    pub files: Vec<StackFile>,
    /// What templates can ask for, by dotted name; without it any value of an environment.
    #[serde(default)]
    pub values: Option<Spanned<BTreeMap<String, Spanned<ValueDef>>>>,
    /// Secrets by name; a container finds one at `/run/secrets/NAME`.
    #[serde(default)]
    pub secrets: BTreeMap<String, Spanned<SecretDef>>,
    /// Values that every device gives itself, by name; templates use them as `device.NAME`.
    #[serde(default)]
    pub device_values: BTreeMap<String, Spanned<DeviceValueDef>>,
    /// The boards that it is for; any where there is none.
    #[serde(default)]
    pub boards: Vec<Spanned<String>>,
    /// The version of the data that it writes, and the lowest that a release must write to read it.
    #[serde(default)]
    pub data: Option<Spanned<Data>>,
    /// What a device asks after a start.
    #[serde(default)]
    pub probes: Vec<Spanned<ProbeDef>>,
    /// How long everything must stay well before a release counts as started.
    #[serde(default)]
    pub settle: Option<Spanned<Span>>,
    /// How long a service may take to answer after its start.
    #[serde(default)]
    pub start: Option<Spanned<Span>>,
    /// Names of the scenarios that must have passed.
    pub gate: Spanned<Vec<Spanned<String>>>,
}

/// One config file of a stack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackFile {
    /// Template, below the templates folder.
    pub template: Spanned<RelPath>,
    /// Where it goes, below the rendered folder.
    pub output: Spanned<RelPath>,
    /// Permission bits, in octal.
    pub mode: Spanned<Mode>,
}

/// A secret as the file declares it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDef {
    /// What the file holds.
    pub kind: SecretKind,
    /// The user whose password it is, for `password` and `mosquitto_options`.
    #[serde(default)]
    pub user: Option<Spanned<String>>,
    /// The users that can log in, for `mosquitto_passwd`.
    #[serde(default)]
    pub users: Option<Spanned<Vec<Spanned<String>>>>,
    /// What a `file` holds in a simulation; a random text where there is none. Never what a device gets.
    #[serde(default)]
    pub sample: Option<Spanned<String>>,
    /// Number of the user who owns the file: the one the container runs as.
    pub owner: u32,
}

/// What a secret file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// A password and nothing else.
    Password,
    /// The broker's password file, hashed.
    MosquittoPasswd,
    /// Options of `mosquitto_sub` with user and password.
    MosquittoOptions,
    /// What the user puts there, byte for byte: a key, a token.
    File,
}

/// A secret that a rendered stack refers to: everything about it but its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretReference {
    /// Name; a container finds it at `/run/secrets/NAME`.
    pub name: String,
    /// What the file holds.
    pub kind: SecretKind,
    /// The users whose passwords are in it, ordered, each once.
    pub users: Vec<String>,
    /// Number of the user who owns the file.
    pub owner: u32,
}

impl SecretReference {
    /// Permission bits of every secret file: its owner reads it, nobody writes it.
    pub const MODE: u32 = 0o400;

    /// Where a container finds it.
    pub fn target(&self) -> Utf8PathBuf {
        Utf8Path::new(SECRETS_FOLDER).join(&self.name)
    }
}

/// The folder in which a container finds its secrets (Compose specification, secrets).
pub const SECRETS_FOLDER: &str = "/run/secrets";

impl StackDef {
    /// Reads and checks one stack that lies in the folder `folder` below `stacks/`.
    pub fn parse(source: &Source, folder: &str) -> Result<Self, YamlError> {
        let def: Self = format::parse(source, FORMAT)?;
        if def.name.value != folder {
            let message = format!("the stack's name is `{}`, its folder's `{folder}`", def.name.value);
            return Err(source.error_at(&def.name, message));
        }
        def.check_files(source)?;
        value::check(source, def.values.as_ref())?;
        for (name, secret) in &def.secrets {
            check_secret(source, name, secret)?;
        }
        for (name, value) in &def.device_values {
            declare::check(source, name, value)?;
        }
        def.check_operation(source)?;
        def.check_gate(source)?;
        Ok(def)
    }

    /// The secrets as references, ordered by name.
    pub fn references(&self) -> Vec<SecretReference> {
        self.secrets.iter().map(|(name, secret)| secret.value.reference(name)).collect()
    }

    /// The values that every device gives itself, ordered by name.
    pub fn device_values(&self) -> Vec<DeviceValue> {
        self.device_values.iter().map(|(name, value)| value.value.declared(name)).collect()
    }

    fn check_files(&self, source: &Source) -> Result<(), YamlError> {
        let mut seen: BTreeMap<&RelPath, u64> = BTreeMap::new();
        for file in &self.files {
            let output = &file.output;
            if RESERVED.contains(&output.value.as_str()) {
                let message = format!("`{}` is a file that rendering makes itself", output.value);
                return Err(source.error_at(output, message));
            }
            if file.mode.value.0 & 0o7022 != 0 {
                let message = "a config file must not be writable by others nor carry special bits";
                return Err(source.error_at(&file.mode, message));
            }
            for (other, line) in &seen {
                if other.overlaps(&output.value) {
                    let message =
                        format!("`{}` and `{other}` on line {line} are in each other's way", output.value);
                    return Err(source.error_at(output, message));
                }
            }
            seen.insert(&output.value, output.referenced.line());
        }
        Ok(())
    }

    fn check_gate(&self, source: &Source) -> Result<(), YamlError> {
        if self.gate.value.is_empty() {
            let message = "`gate` is empty: a stack needs at least one scenario that must have passed";
            return Err(source.error_at(&self.gate, message));
        }
        match self.gate.value.iter().find(|scenario| !is_name(&scenario.value)) {
            Some(bad) => {
                let message = format!("`{}` is no name of a scenario: {NAME_RULE}", bad.value);
                Err(source.error_at(bad, message))
            }
            None => Ok(()),
        }
    }
}

/// File names in the rendered folder that no config file may have.
const RESERVED: [&str; 2] = ["compose.yaml", "rendered.json"];

/// What [`is_name`] demands, for people.
pub const NAME_RULE: &str = "up to 63 letters, digits, `-` and `_`, the first a letter or digit";

/// Whether this can name a stack, an environment, a scenario or a secret: safe as a file name everywhere.
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits)
}

fn check_secret(source: &Source, name: &str, secret: &Spanned<SecretDef>) -> Result<(), YamlError> {
    if !is_name(name) {
        let message = format!("`{name}` is no name of a secret: {NAME_RULE}");
        return Err(source.error_at(secret, message));
    }
    let SecretDef { kind, user, users, sample, owner: _ } = &secret.value;
    if let Some(sample) = sample.as_ref().filter(|_| *kind != SecretKind::File) {
        return Err(source.error_at(sample, "`sample` is for secrets of the kind `file`"));
    }
    if let Some(empty) = sample.as_ref().filter(|sample| sample.value.is_empty()) {
        return Err(source.error_at(empty, "`sample` is empty"));
    }
    match (kind, user, users) {
        (SecretKind::File, None, None) => Ok(()),
        (SecretKind::File, ..) => {
            Err(source.error_at(secret, "a `file` secret has no `user` and no `users`"))
        }
        (SecretKind::MosquittoPasswd, None, Some(users)) if !users.value.is_empty() => {
            check_users(source, &users.value)
        }
        (SecretKind::MosquittoPasswd, ..) => {
            Err(source.error_at(secret, "a `mosquitto_passwd` secret needs `users`, and only that"))
        }
        (_, Some(user), None) => check_user(source, user),
        _ => Err(source.error_at(secret, "this kind of secret needs `user`, and only that")),
    }
}

fn check_users(source: &Source, users: &[Spanned<String>]) -> Result<(), YamlError> {
    for (index, user) in users.iter().enumerate() {
        check_user(source, user)?;
        if users[..index].iter().any(|earlier| earlier.value == user.value) {
            return Err(source.error_at(user, format!("user `{}` is there twice", user.value)));
        }
    }
    Ok(())
}

/// A user's name goes into password and option files, where `:`, spaces and quotes mean something.
fn check_user(source: &Source, user: &Spanned<String>) -> Result<(), YamlError> {
    if is_name(&user.value) {
        return Ok(());
    }
    Err(source.error_at(user, format!("`{}` is no name of a user: {NAME_RULE}", user.value)))
}

impl SecretDef {
    fn reference(&self, name: &str) -> SecretReference {
        let many = self.users.iter().flat_map(|users| &users.value);
        let mut users: Vec<String> = self.user.iter().chain(many).map(|user| user.value.clone()).collect();
        users.sort();
        SecretReference { name: name.to_owned(), kind: self.kind, users, owner: self.owner }
    }
}

/// A relative path that stays below its folder: plain components only, separated by single slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelPath(Utf8PathBuf);

/// Text that is not such a path.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is not a path below its folder: expected plain parts such as `mosquitto/mosquitto.conf`", .0.escape_debug())]
pub struct NotBelow(String);

impl RelPath {
    /// The path.
    pub fn as_path(&self) -> &Utf8Path {
        &self.0
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether both cannot be files at the same time: equal, or one would have to be the other's folder.
    fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl FromStr for RelPath {
    type Err = NotBelow;

    fn from_str(text: &str) -> Result<Self, NotBelow> {
        let path = Utf8Path::new(text);
        let plain = path.components().all(|part| matches!(part, Utf8Component::Normal(_)));
        let rebuilt: Utf8PathBuf = path.components().collect();
        let clean = !text.contains(|c: char| c.is_control() || c == '\\' || c == ':');
        if plain && clean && !text.is_empty() && rebuilt.as_str() == text {
            Ok(Self(rebuilt))
        } else {
            Err(NotBelow(text.to_owned()))
        }
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
