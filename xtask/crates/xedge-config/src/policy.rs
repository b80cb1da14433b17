//! The review of a production configuration as rules: authentication, persistence, logging, limits, secrets. Reads what was
//! rendered, or files of others; starts nothing and changes nothing.

mod auth;
mod broker;
mod containers;
mod data;
mod declared;
mod finding;
mod logs;
mod review;
mod rules;
mod secrets;
mod service;
mod subject;

pub use declared::{Budgets, Date, Declared, FILE, Monitoring, Rotated, Waiver};
pub use finding::Finding;
pub use review::{Accepted, Review};
pub use rules::{RULES, Rule, Severity, rule};
pub use subject::{ImageFacts, Subject};

/// Every finding of the rules that files can decide, by place.
pub fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for broker in subject.brokers() {
        broker::check(subject, broker, &mut found);
        auth::check(subject, broker, &mut found);
        data::check(subject, broker, &mut found);
        logs::check(subject, broker, &mut found);
    }
    containers::check(subject, &mut found);
    secrets::check(subject, &mut found);
    found.extend(subject.unwatched());
    found.sort_by(|a, b| a.order().cmp(&b.order()));
    found.dedup_by(|a, b| a.order() == b.order() && a.message == b.message);
    found
}

#[cfg(test)]
mod tests;
