//! The parts of a service that can be written in more than one way, brought into one form each.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::scalars::{BadValue, Text};
use crate::duration::Span;
use crate::yaml::Spanned;

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restart {
    /// It stays as it is.
    No,
    /// It is started again, also after it was stopped by hand and the Engine restarted.
    Always,
    /// It is started again, unless it was stopped by hand.
    UnlessStopped,
    /// It is started again when it failed, at most so often.
    OnFailure(Option<u32>),
}

impl FromStr for Restart {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let tries = || text.strip_prefix("on-failure:")?.parse().ok();
        match text {
            "no" => Ok(Self::No),
            "always" => Ok(Self::Always),
            "unless-stopped" => Ok(Self::UnlessStopped),
            "on-failure" => Ok(Self::OnFailure(None)),
            _ => tries().map(|n| Self::OnFailure(Some(n))).ok_or_else(|| {
                BadValue(format!(
                    "`{text}` is not a restart policy: expected no, always, unless-stopped, on-failure or on-failure:N"
                ))
            }),
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(tries)) => write!(f, "on-failure:{tries}"),
        }
    }
}

impl<'de> Deserialize<'de> for Restart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

/// What a service waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Condition {
    /// The other container runs.
    #[serde(rename = "service_started")]
    Started,
    /// The other container's health check passes.
    #[serde(rename = "service_healthy")]
    Healthy,
    /// The other container ended with 0.
    #[serde(rename = "service_completed_successfully")]
    Completed,
}

impl Condition {
    /// The name in a Compose file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::Completed => "service_completed_successfully",
        }
    }
}

/// The services that one depends on, written as a list or as a map with conditions.
#[derive(Clone, Debug, Default)]
pub struct DependsOn(pub BTreeMap<String, Spanned<Condition>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    condition: Condition,
}

impl<'de> Deserialize<'de> for DependsOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DependsOnVisitor)
    }
}

struct DependsOnVisitor;

impl<'de> Visitor<'de> for DependsOnVisitor {
    type Value = DependsOn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of services, or a map of services to `condition: service_healthy`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<DependsOn, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(name) = seq.next_element::<Spanned<String>>()? {
            let condition = Spanned::new(Condition::Started, name.referenced, name.defined);
            insert(&mut all, &name.value, condition)?;
        }
        Ok(DependsOn(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DependsOn, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, dependency)) = map.next_entry::<String, Spanned<Dependency>>()? {
            let condition =
                Spanned::new(dependency.value.condition, dependency.referenced, dependency.defined);
            insert(&mut all, &name, condition)?;
        }
        Ok(DependsOn(all))
    }
}

fn insert<T, E: Error>(all: &mut BTreeMap<String, T>, name: &str, value: T) -> Result<(), E> {
    match all.insert(name.to_owned(), value) {
        Some(_) => Err(E::custom(format!("`{name}` is there twice"))),
        None => Ok(()),
    }
}

/// Names and values, written as a map or as a list of `NAME=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, Text>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VariablesVisitor)
    }
}

struct VariablesVisitor;

impl<'de> Visitor<'de> for VariablesVisitor {
    type Value = Variables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of names to text, or a list of NAME=value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Variables, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(entry) = seq.next_element::<Text>()? {
            let (name, value) = entry.split_once('=').ok_or_else(|| {
                A::Error::custom(format!(
                    "`{entry}` has no value: it would be the machine's, write NAME=value"
                ))
            })?;
            insert(&mut all, variable_name(name)?, Text::literal(value).map_err(A::Error::custom)?)?;
        }
        Ok(Variables(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<Text, Text>()? {
            insert(&mut all, variable_name(&name)?, value)?;
        }
        Ok(Variables(all))
    }
}

fn variable_name<E: Error>(name: &str) -> Result<&str, E> {
    if name.is_empty() || name.contains(['=', ' ']) {
        return Err(E::custom(format!("`{name}` is not a name: not empty, without `=` and spaces")));
    }
    Ok(name)
}

/// Several words, written as a list or as one string that is split at spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<Text>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let split = |line: &str| {
            if line.contains(['"', '\'', '\\']) {
                return Err(BadValue("quotes and backslashes need the form of a list".into()));
            }
            line.split_whitespace().map(str::parse).collect()
        };
        deserializer.deserialize_any(StringOrList(split, PhantomData)).map(Self)
    }
}

/// A string, given to the function, or a list of texts.
struct StringOrList<F, T>(F, PhantomData<T>);

impl<'de, F: FnOnce(&str) -> Result<Vec<Text>, BadValue>> Visitor<'de> for StringOrList<F, Text> {
    type Value = Vec<Text>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a list of texts")
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<Vec<Text>, E> {
        (self.0)(line).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Text>, A::Error> {
        let mut all = Vec::new();
        while let Some(word) = seq.next_element()? {
            all.push(word);
        }
        Ok(all)
    }
}

/// What a health check runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Nothing: the image's check is switched off.
    Disabled,
    /// A program with arguments.
    Exec(Vec<Text>),
    /// A line for the image's shell.
    Shell(Text),
}

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shell = |line: &str| Ok(vec![Text::literal("CMD-SHELL")?, line.parse()?]);
        let words = deserializer.deserialize_any(StringOrList(shell, PhantomData))?;
        let (first, rest) = words.split_first().map_or(("", &[][..]), |(first, rest)| (&**first, rest));
        match (first, rest) {
            ("NONE", []) => Ok(Self::Disabled),
            ("CMD", [_, ..]) => Ok(Self::Exec(rest.to_vec())),
            ("CMD-SHELL", [line]) => Ok(Self::Shell(line.clone())),
            _ => Err(Error::custom("`test` must be [NONE], [CMD, program, …] or [CMD-SHELL, line]")),
        }
    }
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenCheck")]
pub struct Healthcheck {
    /// What runs; absent means the image's.
    pub test: Option<Test>,
    /// Time between two checks.
    pub interval: Option<Span>,
    /// Time after which a check has failed.
    pub timeout: Option<Span>,
    /// Failures in a row until the container is unhealthy.
    pub retries: Option<u32>,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Span>,
}

/// As it stands in a file: `disable: true` is another word for `test: [NONE]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCheck {
    #[serde(default)]
    test: Option<Test>,
    #[serde(default)]
    interval: Option<Span>,
    #[serde(default)]
    timeout: Option<Span>,
    #[serde(default)]
    retries: Option<u32>,
    #[serde(default)]
    start_period: Option<Span>,
    #[serde(default)]
    disable: bool,
}

impl TryFrom<WrittenCheck> for Healthcheck {
    type Error = BadValue;

    fn try_from(written: WrittenCheck) -> Result<Self, BadValue> {
        let WrittenCheck { test, interval, timeout, retries, start_period, disable } = written;
        let test = match (disable, test) {
            (false, test) => test,
            (true, None | Some(Test::Disabled)) => Some(Test::Disabled),
            (true, Some(_)) => return Err(BadValue("`disable: true` and `test` exclude each other".into())),
        };
        Ok(Self { test, interval, timeout, retries, start_period })
    }
}

/// What happens to stdout and stderr.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// Driver; absent means the Engine's.
    #[serde(default)]
    pub driver: Option<Text>,
    /// Its options.
    #[serde(default)]
    pub options: Variables,
}
