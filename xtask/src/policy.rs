//! The policy's review of a stack of this project: its rendered files, what its images are known to hold, and what the project
//! accepts. Starts nothing.

mod images;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_config::parity::{compare_among, reasons};
use xedge_config::policy::{Date, Declared, Finding, ImageFacts, Review, Severity, Subject, check};
use xedge_config::{Rendered, environments, render, split_class};
use xedge_model::atomic;

pub(crate) use images::of_image;

use crate::commands::Context;
use crate::error::{Error, Result};
use crate::evidence::PRODUCTION;
use crate::github::{Github, Note};

/// The environment that others are compared with.
const SIMULATION: &str = "simulation";

/// Reviews a rendered stack.
pub(crate) fn review(cx: &Context<'_>, rendered: &Rendered) -> Result<Review> {
    let declared = Declared::read(&cx.project.templates())?;
    let images = images::of_services(cx, rendered)?;
    let brokers = images.iter().filter_map(|(service, facts)| Some((service, facts.broker?)));
    let brokers: BTreeMap<String, String> =
        brokers.map(|(service, version)| (service.clone(), version.to_string())).collect();
    let mut findings = check(&Subject::of_rendered(rendered, images, &declared)?);
    findings.extend(parity(cx, rendered)?);
    let (stack, environment) = (rendered.stack(), rendered.environment());
    let others = if declared.waivers.is_empty() { Vec::new() } else { others(cx, rendered, &declared)? };
    let review = Review::of(findings, today(cx)).with_waivers(&declared, stack, environment, &others);
    Ok(named(cx, Review { brokers, config: Some(rendered.digest().clone()), ..review }))
}

/// The day on which waivers are judged.
pub(crate) fn today(cx: &Context<'_>) -> Date {
    Date::of_unix(cx.environment.now_unix())
}

/// What the other stacks need waivers for; one that cannot be rendered needs none.
fn others(cx: &Context<'_>, rendered: &Rendered, declared: &Declared) -> Result<Vec<(String, Vec<Finding>)>> {
    let mut all = Vec::new();
    for stack in cx.project.stacks()?.into_iter().filter(|stack| stack != rendered.stack()) {
        let Ok(other) = render(&cx.project.templates(), &stack, rendered.environment()) else { continue };
        let images = images::of_services(cx, &other)?;
        all.push((stack, check(&Subject::of_rendered(&other, images, declared)?)));
    }
    Ok(all)
}

/// Differences from the simulation that nothing explains.
fn parity(cx: &Context<'_>, rendered: &Rendered) -> Result<Option<Finding>> {
    let templates = cx.project.templates();
    let compared = split_class(rendered.environment()).0 == PRODUCTION;
    if !compared || !environments(&templates)?.iter().any(|name| name == SIMULATION) {
        return Ok(None);
    }
    let mut others = Vec::new();
    for stack in cx.project.stacks()?.iter().filter(|stack| *stack != rendered.stack()) {
        let of = |environment: &str| render(&templates, stack, environment);
        if let (Ok(from), Ok(to)) = (of(SIMULATION), of(rendered.environment())) {
            others.push((from, to));
        }
    }
    let reasons = reasons(&templates)?;
    let compared = render(&templates, rendered.stack(), SIMULATION)
        .and_then(|from| compare_among(&from, rendered, &reasons, &others));
    match compared.and_then(|table| table.check()) {
        Ok(()) => Ok(None),
        Err(error) => Finding::of_error(&error).map(Some).ok_or_else(|| error.into()),
    }
}

/// Names files from the project's folder, so that the record says nothing about this machine.
fn named(cx: &Context<'_>, mut review: Review) -> Review {
    let short = |file: &mut String| *file = cx.project.relative(Utf8Path::new(&*file)).to_string();
    let accepted = review.accepted.iter_mut().map(|accepted| &mut accepted.finding);
    for finding in review.findings.iter_mut().chain(accepted) {
        short(&mut finding.place.file);
        if let Some(origin) = &mut finding.origin {
            short(&mut origin.template.file);
            origin
                .values
                .iter_mut()
                .chain(&mut origin.conditions)
                .for_each(|(_, place)| short(&mut place.file));
        }
    }
    review
}

/// Where the record of a stack's review lies.
fn file(cx: &Context<'_>, stack: &str, environment: &str) -> Utf8PathBuf {
    cx.project.output("policy").join(format!("{stack}.{environment}.json"))
}

/// Writes the record of a review of a stack.
pub(crate) fn write(cx: &Context<'_>, rendered: &Rendered, review: &Review) -> Result<Utf8PathBuf> {
    let file = file(cx, rendered.stack(), rendered.environment());
    atomic::write(&file, review.to_json().as_bytes(), 0o644)?;
    Ok(file)
}

/// Says on stderr what a review finds before a gate is run, and keeps its record. It refuses nothing: `policy check` does. A
/// `dry_run` writes nothing.
pub(crate) fn advise(cx: &Context<'_>, rendered: &Rendered, dry_run: bool) -> Result<()> {
    let review = review(cx, rendered)?;
    tell(cx, &review);
    if !dry_run {
        write(cx, rendered, &review)?;
    }
    Ok(())
}

/// Says a review on stderr, and to GitHub.
fn tell(cx: &Context<'_>, review: &Review) {
    for finding in &review.findings {
        match finding.severity {
            Severity::Error => cx.printer.bad("policy:", &finding.to_string()),
            Severity::Warning => cx.printer.warn(&format!("policy: {}", finding.brief())),
        }
    }
    for accepted in &review.accepted {
        let (finding, owner, expires) = (accepted.finding.brief(), &accepted.owner, accepted.expires);
        cx.printer.say(&format!("policy: accepted until {expires} by {owner}: {finding}"));
    }
    annotate(cx, &review.findings);
}

/// Annotates the lines to edit, in a workflow of GitHub.
pub(crate) fn annotate(cx: &Context<'_>, findings: &[Finding]) {
    let Some(github) = Github::of(&cx.environment) else { return };
    let note = |finding: &Finding| {
        let place = finding.origin.as_ref().map_or(&finding.place, |origin| &origin.template);
        let full = cx.project.root().join(&place.file);
        Note {
            is_error: finding.severity == Severity::Error,
            file: github.file_name(&full, Utf8Path::new(&place.file)),
            line: place.line,
            title: finding.rule.id.to_owned(),
            message: format!("{}. Risk: {}. Fix: {}", finding.message, finding.rule.risk, finding.rule.fix),
        }
    };
    Github::annotate(cx.printer, findings.iter().map(note).collect());
}

/// The error of a review with open errors.
pub(crate) fn conclude(review: &Review) -> Result<()> {
    let mut rules: Vec<&str> = review
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.rule.id)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    if rules.is_empty() {
        return Ok(());
    }
    let (count, rules) = (review.errors(), rules.iter().map(|&id| id.to_owned()).collect());
    Err(Error::Policy { count, rules }.into())
}

/// What is known of images, by service.
type Images = BTreeMap<String, ImageFacts>;
