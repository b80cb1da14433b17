//! Rules of the file itself: schema.unknown, conf.*. What the version of the image knows counts; an unknown one is a finding.

use super::finding::Finding;
use super::subject::{Broker, Subject};
use crate::conf::{BrokerVersion, Problem, ProblemKind, deprecated, since};

pub(super) fn check(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    found.extend(broker.problems.iter().map(|problem| unreadable(subject, broker, problem)));
    match subject.image(broker.service.as_deref()).and_then(|image| image.broker) {
        Some(version) if version.is_known() => keys(subject, broker, version, found),
        Some(version) => {
            let message = format!("the image has mosquitto {version}, whose keys are not known here");
            found.push(subject.at_entry("conf.broker", broker, None, message));
        }
        None => {
            let message =
                "it is not known which mosquitto reads this: no package list of its image".to_owned();
            found.push(subject.at_entry("conf.broker", broker, None, message));
        }
    }
}

fn unreadable(subject: &Subject<'_>, broker: &Broker, problem: &Problem) -> Finding {
    let id = match problem.kind {
        ProblemKind::Duplicate => "conf.duplicate",
        _ => "schema.unknown",
    };
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    let place = broker.conf.place_at(problem.file, problem.line, problem.column);
    subject.finding(id, place, problem.key.clone(), format!("{}{hint}", problem.message))
}

fn keys(subject: &Subject<'_>, broker: &Broker, version: BrokerVersion, found: &mut Vec<Finding>) {
    for entry in broker.conf.entries() {
        let seconds = entry.key == "persistent_client_expiration" && entry.value.ends_with('s');
        if let Some(first) = since(&entry.key).filter(|first| *first > version) {
            let message =
                format!("mosquitto {version} of the image has no key `{}`: {first} is the first", entry.key);
            found.push(subject.at_entry("schema.unknown", broker, Some(entry), message));
        } else if seconds && (version.major, version.minor) < (2, 1) {
            let message = format!("mosquitto {version} of the image takes no seconds here: 2.1 is the first");
            found.push(subject.at_entry("schema.unknown", broker, Some(entry), message));
        } else if let Some(end) = deprecated(&entry.key).filter(|end| end.from <= version) {
            let message =
                format!("mosquitto {version} of the image calls `{}` deprecated: {}", entry.key, end.advice);
            found.push(subject.at_entry("conf.version", broker, Some(entry), message));
        }
    }
}
