//! `templates/policy.yaml`: what this project promises, who watches it, and where it does otherwise for a time, why, and who
//! answers for that. Reading and checking only; which day it is, the caller says.

use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;

use camino::Utf8Path;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xedge_model::format::{advice, of};
use xedge_model::tree::At;
use xedge_model::yaml::{Source, Spanned, YamlError};

use super::rules::{RULES, WAIVER, rule};
use crate::Error;
use crate::error::Place;

/// The file's name below the templates folder.
pub const FILE: &str = "policy.yaml";

/// The format version that this tool reads.
const FORMAT: u32 = 1;

/// What a project declares.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Format version of the file.
    pub format: u32,
    /// What is promised.
    #[serde(default)]
    pub budgets: Budgets,
    /// What watches the stacks.
    #[serde(default)]
    pub monitoring: Vec<Monitoring>,
    /// Mounted folders of logs that somebody rotates.
    #[serde(default)]
    pub rotated: Vec<Rotated>,
    /// Findings that are accepted for a time.
    #[serde(default)]
    pub waivers: Vec<Spanned<Waiver>>,
    /// The file, for places in it.
    #[serde(skip)]
    source: Option<(String, String)>,
}

/// What is promised.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budgets {
    /// The most seconds of acknowledged messages that a power cut may take.
    pub loss_s: u64,
    /// The most seconds that it may take until all clients are back after a power cut.
    pub reconnect_s: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { loss_s: 60, reconnect_s: 60 }
    }
}

/// What watches a stack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// The stack.
    pub stack: String,
    /// What watches it, for people.
    pub target: String,
}

/// A folder whose files are rotated.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotated {
    /// The folder, as the container sees it.
    pub path: String,
    /// Who does it, for people.
    pub by: String,
}

/// A finding that is accepted for a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The rule.
    pub rule: String,
    /// File and setting, or a file; `*` stands for one part between dots. Every place where there is none.
    #[serde(default)]
    pub place: Option<String>,
    /// The stack; every one where there is none.
    #[serde(default)]
    pub stack: Option<String>,
    /// The environment.
    #[serde(default = "production")]
    pub environment: String,
    /// Why it is no harm.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it counts.
    pub expires: Date,
}

fn production() -> String {
    "production".to_owned()
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            format: FORMAT,
            budgets: Budgets::default(),
            monitoring: Vec::new(),
            rotated: Vec::new(),
            waivers: Vec::new(),
            source: None,
        }
    }
}

impl Declared {
    /// Reads the file of a templates folder; without one nothing is declared.
    pub fn read(root: &Utf8Path) -> Result<Self, Error> {
        let path = root.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&Source::new(path.as_str(), text))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Reads and checks one file.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        if let Some(found) = of(source).filter(|found| *found != FORMAT) {
            let message = format!("the file has the format {found}, this xedge reads {FORMAT}");
            return Err(source.error(message).with_hint(advice(found, FORMAT)));
        }
        let declared: Self = source.parse()?;
        for waiver in &declared.waivers {
            check(source, waiver)?;
        }
        Ok(Self { source: Some((source.file().to_owned(), source.text().to_owned())), ..declared })
    }

    /// Whether something watches a stack.
    pub(super) fn watches(&self, stack: &str) -> bool {
        self.monitoring.iter().any(|entry| entry.stack == stack && !entry.target.trim().is_empty())
    }

    /// Whether somebody rotates a file.
    pub(super) fn rotates(&self, path: &str) -> bool {
        self.rotated
            .iter()
            .any(|entry| Utf8Path::new(path).starts_with(&entry.path) && !entry.by.trim().is_empty())
    }

    pub(super) fn place(&self, waiver: &Spanned<Waiver>) -> Place {
        let (file, text) = self.source.as_ref().map_or((FILE, ""), |(file, text)| (file, text));
        Place::of(&Source::new(file, text), At::from(waiver))
    }
}

fn check(source: &Source, waiver: &Spanned<Waiver>) -> Result<(), YamlError> {
    let Waiver { rule: id, reason, owner, .. } = &waiver.value;
    match rule(id) {
        None => {
            let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
            return Err(source.unknown_name(waiver, "rule", id, &known));
        }
        Some(rule) if rule.id == WAIVER => {
            return Err(source.error_at(waiver, format!("`{id}` cannot be waived")));
        }
        Some(_) => {}
    }
    for (key, text) in [("reason", reason), ("owner", owner)] {
        if text.trim().is_empty() {
            return Err(source.error_at(waiver, format!("`{key}` of the waiver of `{id}` is empty")));
        }
    }
    Ok(())
}

/// A day, `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: i64,
    month: i64,
    day: i64,
}

/// Text that is no day.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no day: write it as 2027-03-31")]
pub struct NotADate(String);

impl Date {
    /// The day of a Unix time, in UTC.
    pub fn of_unix(seconds: i64) -> Self {
        // Days since 0000-03-01, in years that start in March, so that the leap day comes last.
        let days = seconds.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Self { year: era * 400 + year + later, month, day }
    }
}

impl FromStr for Date {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let wrong = || NotADate(text.escape_debug().to_string());
        let parts: Vec<&str> = text.split('-').collect();
        let number = |part: &str, length: usize| {
            let plain = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<i64>().ok().filter(|_| plain).ok_or_else(wrong)
        };
        let [year, month, day] = parts[..] else { return Err(wrong()) };
        let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        if (1..=last).contains(&day) { Ok(Self { year, month, day }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
