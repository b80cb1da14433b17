//! What a rule found: where, what can go wrong, and what to do. Data and its text.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use serde_json::json;
use xedge_model::Failure;

use super::rules::{Rule, Severity, rule};
use crate::error::Place;
use crate::{Error, Origin};

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is; mostly the rule's own.
    pub severity: Severity,
    /// Where: in a rendered file, or in a file as it was given.
    pub place: Place,
    /// The setting, such as `listener.0` or `services.gateway.restart`; empty for a file as a whole.
    pub setting: String,
    /// What is wrong here.
    pub message: String,
    /// What to edit, where the file was rendered.
    pub origin: Option<Origin>,
}

impl Finding {
    /// What a configuration that cannot even be rendered comes to; `None` where the error is none of the configuration's.
    pub fn of_error(error: &Error) -> Option<Self> {
        let (problem, origin) = match error {
            Error::Traced { problem, origin } => (&**problem, Some((**origin).clone())),
            other => (other, None),
        };
        let (id, place, message) = match problem {
            Error::Template { place, message, .. } => ("render.strict", (**place).clone(), message.clone()),
            Error::Conf { place, message, .. } if message.contains("already given") => {
                ("conf.duplicate", (**place).clone(), message.clone())
            }
            Error::Conf { place, message, .. } | Error::Malformed { place, message } => {
                ("schema.unknown", (**place).clone(), message.clone())
            }
            Error::Placeholder { place, message, .. } => {
                ("render.strict", (**place).clone(), message.clone())
            }
            Error::Yaml(error) => {
                let inject = error.message().contains("control character");
                let id = if inject { "render.inject" } else { "schema.unknown" };
                (id, Place::of_error(error), error.message().to_owned())
            }
            Error::Compose { template, source, .. } => {
                let place = Place { file: template.to_string(), ..Place::of_error(source) };
                ("schema.unknown", place, source.message().to_owned())
            }
            Error::Unused { .. } | Error::Unexplained { .. } => {
                ("parity.diff", Place::start("parity.yaml"), problem.to_string())
            }
            _ => return None,
        };
        let hint = problem.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        let rule = rule(id).expect("a rule of the table");
        let (severity, message) = (rule.severity, format!("{message}{hint}"));
        Some(Self { rule, severity, place, setting: String::new(), message, origin })
    }

    /// One line.
    pub fn brief(&self) -> String {
        format!("{}: {}: [{}] {}", self.place, self.severity, self.rule.id, self.message)
    }

    /// File and setting, as waivers name them.
    pub fn subject(&self) -> String {
        format!("{} {}", self.place.file, self.setting).trim_end().to_owned()
    }

    pub(super) fn order(&self) -> (&str, usize, usize, &str) {
        (&self.place.file, self.place.line, self.place.column, self.rule.id)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.brief(), self.place.snippet())?;
        if let Some(origin) = &self.origin {
            write!(f, "\n  comes from {origin}")?;
        }
        write!(f, "\n  risk: {}\n  fix: {}", self.rule.risk, self.rule.fix)
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let origin = self.origin.as_ref().map(|origin| {
            let values = origin.values.iter();
            let values: Vec<_> =
                values.map(|(name, place)| json!({"name": name, "place": place.to_string()})).collect();
            json!({"template": origin.template.to_string(), "values": values})
        });
        let mut all = serializer.serialize_struct("Finding", 9)?;
        all.serialize_field("rule", self.rule.id)?;
        all.serialize_field("severity", &self.severity)?;
        all.serialize_field("file", &self.place.file)?;
        all.serialize_field("line", &self.place.line)?;
        all.serialize_field("column", &self.place.column)?;
        all.serialize_field("setting", &self.setting)?;
        all.serialize_field("message", &self.message)?;
        all.serialize_field("fix", self.rule.fix)?;
        all.serialize_field("origin", &origin)?;
        all.end()
    }
}
