//! What a review comes to: what is open, and what was accepted, by whom and until when. A record, for people and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use xedge_model::Digest;
use xedge_model::yaml::Spanned;

use super::declared::{Date, Declared, Waiver};
use super::finding::Finding;
use super::rules::{RULES, Severity, WAIVER, rule};
use crate::parity::matches;
use crate::split_class;

/// The format version of the record.
const FORMAT: u32 = 1;

/// The review of one stack, or of files.
#[derive(Clone, Debug, Serialize)]
pub struct Review {
    /// Format version of the record.
    pub format: u32,
    /// The stack; `None` for files of others.
    pub stack: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// Digest of the rendered configuration.
    pub config: Option<Digest>,
    /// The day on which waivers were judged.
    pub day: Date,
    /// The version of mosquitto in the image of each service that has one.
    pub brokers: BTreeMap<String, String>,
    /// How many rules there are.
    pub rules: usize,
    /// What is open, by place.
    pub findings: Vec<Finding>,
    /// What is accepted.
    pub accepted: Vec<Accepted>,
}

/// A finding that a waiver accepts.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// The finding.
    pub finding: Finding,
    /// Why it is no harm.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it counts.
    pub expires: Date,
}

impl Review {
    /// Of findings that no waiver covers.
    pub fn of(findings: Vec<Finding>, day: Date) -> Self {
        let (stack, environment, config) = (None, None, None);
        let (brokers, accepted) = (BTreeMap::new(), Vec::new());
        Self {
            format: FORMAT,
            stack,
            environment,
            config,
            day,
            brokers,
            rules: RULES.len(),
            findings,
            accepted,
        }
    }

    /// Of a stack's findings, with what is declared. `others` are the findings in other stacks of the same environment: a
    /// waiver that only one of these needs is needed.
    #[must_use]
    pub fn with_waivers(
        self,
        declared: &Declared,
        stack: &str,
        environment: &str,
        others: &[(String, Vec<Finding>)],
    ) -> Self {
        let (environment_name, _class) = split_class(environment);
        let meant = |waiver: &Waiver| waiver.environment == environment_name;
        let waivers: Vec<&Spanned<Waiver>> =
            declared.waivers.iter().filter(|waiver| meant(&waiver.value)).collect();
        let mut review = Self {
            stack: Some(stack.to_owned()),
            environment: Some(environment.to_owned()),
            findings: Vec::new(),
            ..self.clone()
        };
        for finding in &self.findings {
            let fits = |waiver: &&&Spanned<Waiver>| {
                waiver.value.expires >= self.day && covers(&waiver.value, stack, finding)
            };
            match waivers.iter().find(fits) {
                Some(waiver) => review.accepted.push(accepted(&waiver.value, finding)),
                None => review.findings.push(finding.clone()),
            }
        }
        let anywhere = |waiver: &Waiver| {
            self.findings.iter().any(|finding| covers(waiver, stack, finding))
                || others.iter().any(|(stack, all)| all.iter().any(|finding| covers(waiver, stack, finding)))
        };
        for waiver in waivers {
            let Waiver { rule, owner, expires, .. } = &waiver.value;
            let message = if waiver.value.expires < self.day {
                format!("the waiver of `{rule}` expired on {expires}; {owner} answers for it")
            } else if !anywhere(&waiver.value) {
                format!("nothing needs the waiver of `{rule}`: take it out")
            } else {
                continue;
            };
            review.findings.push(about(declared, waiver, message));
        }
        review
    }

    /// The open findings that stop a release.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// The open findings that do not.
    pub fn warnings(&self) -> usize {
        self.findings.len() - self.errors()
    }

    /// The record as JSON, with a final line break.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a review has string keys only");
        text.push('\n');
        text
    }
}

fn about(declared: &Declared, waiver: &Spanned<Waiver>, message: String) -> Finding {
    let rule = rule(WAIVER).expect("a rule of the table");
    let (place, setting) = (declared.place(waiver), format!("waivers.{}", waiver.value.rule));
    Finding { rule, severity: rule.severity, place, setting, message, origin: None }
}

fn covers(waiver: &Waiver, stack: &str, finding: &Finding) -> bool {
    let place = waiver.place.as_deref();
    waiver.rule == finding.rule.id
        && waiver.stack.as_deref().is_none_or(|named| named == stack)
        && place.is_none_or(|place| place == finding.place.file || matches(place, &finding.subject()))
}

fn accepted(waiver: &Waiver, finding: &Finding) -> Accepted {
    let Waiver { reason, owner, expires, .. } = waiver;
    Accepted { finding: finding.clone(), reason: reason.clone(), owner: owner.clone(), expires: *expires }
}
