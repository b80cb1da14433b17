//! `policy`: the review of a configuration, and what its rules are. Starts nothing; the probe does.

use serde_json::json;
use xedge_config::policy::{Declared, Finding, RULES, Review, Subject, check, rule};
use xedge_config::{render, with_class};
use xedge_model::yaml::near;

use super::Context;
use crate::cli::{Policy, PolicyCheck};
use crate::error::{Error, Result, read_text};
use crate::policy;

/// Dispatches.
pub(super) fn run(cx: &Context<'_>, command: &Policy) -> Result<()> {
    match command {
        Policy::Check(flags) if flags.files.is_empty() => stack(cx, flags),
        Policy::Check(flags) => files(cx, flags),
        Policy::Explain { rule } => explain(cx, rule.as_deref()),
    }
}

/// Reviews a stack, and writes the record.
fn stack(cx: &Context<'_>, flags: &PolicyCheck) -> Result<()> {
    let stack = cx.project.select_stack(flags.stack.as_deref())?;
    let environment = with_class(&flags.env, flags.class.as_deref());
    let rendered = match render(&cx.project.templates(), &stack, &environment) {
        Ok(rendered) => rendered,
        Err(error) => {
            let Some(finding) = Finding::of_error(&error) else { return Err(error.into()) };
            return print(cx, &Review::of(vec![finding], policy::today(cx)));
        }
    };
    let review = policy::review(cx, &rendered)?;
    let file = policy::write(cx, &rendered, &review)?;
    cx.printer.say(&format!("{}: written", cx.project.relative(&file)));
    print(cx, &review)
}

/// Reviews files of others; nothing is accepted here, since waivers are about stacks.
fn files(cx: &Context<'_>, flags: &PolicyCheck) -> Result<()> {
    let folder = cx.environment.folder()?;
    let mut texts = Vec::new();
    for file in &flags.files {
        texts.push((file.to_string(), read_text(&folder.join(file))?));
    }
    let declared = Declared::read(&cx.project.templates())?;
    let image = flags.image.as_deref().map(|called| policy::of_image(cx, called)).transpose()?;
    let findings = check(&Subject::of_files(texts, image, &declared)?);
    print(cx, &Review::of(findings, policy::today(cx)))
}

/// Findings are data: a line of JSON each, or text.
fn print(cx: &Context<'_>, review: &Review) -> Result<()> {
    for finding in &review.findings {
        if cx.printer.is_json() {
            cx.printer.json(&json!(finding))?;
        } else {
            cx.printer.data(&finding.to_string())?;
        }
    }
    for accepted in &review.accepted {
        let (finding, reason) = (accepted.finding.brief(), &accepted.reason);
        let (owner, expires) = (&accepted.owner, accepted.expires);
        cx.printer.say(&format!("accepted until {expires} by {owner}: {finding}: {reason}"));
    }
    policy::annotate(cx, &review.findings);
    let counts = (review.rules, review.errors(), review.warnings(), review.accepted.len());
    let (rules, errors, warnings, accepted) = counts;
    cx.printer.say(&format!("{rules} rules: {errors} errors, {warnings} warnings, {accepted} accepted"));
    policy::conclude(review)
}

fn explain(cx: &Context<'_>, id: Option<&str>) -> Result<()> {
    let Some(id) = id else {
        for rule in RULES {
            let line = json!({"rule": rule.id, "severity": rule.severity, "asks": rule.asks});
            if cx.printer.is_json() {
                cx.printer.json(&line)?;
            } else {
                cx.printer.data(&format!("{:16} {:8} {}", rule.id, rule.severity.to_string(), rule.asks))?;
            }
        }
        return Ok(());
    };
    let Some(rule) = rule(id) else {
        let hint = near(id, RULES.iter().map(|rule| rule.id)).map_or_else(
            || "list them: `cargo xtask policy explain`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Error::Unknown { what: "the rule", name: id.to_owned(), hint }.into());
    };
    if cx.printer.is_json() {
        let page = json!({"rule": rule.id, "severity": rule.severity, "asks": rule.asks, "risk": rule.risk,
            "fix": rule.fix});
        return cx.printer.json(&page);
    }
    cx.printer.data(&rule.page())
}
