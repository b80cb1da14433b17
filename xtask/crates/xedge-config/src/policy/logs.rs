//! Rules of the broker's log: log.sink, log.level.

use super::finding::Finding;
use super::service::MountKind;
use super::subject::{Broker, Subject};
use crate::conf::Entry;

pub(super) fn check(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    sinks(subject, broker, found);
    level(subject, broker, found);
}

fn sinks(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    let named: Vec<&Entry> = broker.conf.entries().iter().filter(|entry| entry.key == "log_dest").collect();
    let streams = |entry: &&Entry| matches!(&*entry.value, "stdout" | "stderr");
    if named.is_empty() || named.iter().any(streams) {
        let entry = named.iter().find(|entry| streams(entry)).copied();
        stream(subject, broker, entry, found);
    }
    for entry in named {
        if let Some(path) = entry.value.strip_prefix("file ") {
            found.extend(
                file(subject, broker, path.trim())
                    .map(|message| subject.at_entry("log.sink", broker, Some(entry), message)),
            );
        }
    }
}

fn stream(subject: &Subject<'_>, broker: &Broker, entry: Option<&Entry>, found: &mut Vec<Finding>) {
    let Some(service) = subject.service(broker).filter(|service| !service.logs_are_bounded()) else { return };
    let message = format!(
        "the log goes to the Engine, and nothing bounds it: `logging` of {} has no max-size",
        service.name
    );
    found.push(subject.at_entry("log.sink", broker, entry, message));
}

/// What is wrong with a log file; nothing where it is not known what is mounted.
fn file(subject: &Subject<'_>, broker: &Broker, path: &str) -> Option<String> {
    let service = subject.service(broker)?;
    let rotated = subject.declared().rotates(path);
    match service.mount_of(path) {
        None => Some(format!(
            "{path} is no mounted place: the log goes with the container, and fills it until then"
        )),
        Some(mount) if mount.read_only => Some(format!("{path} is mounted read-only: nothing is logged")),
        Some(mount) if mount.kind == MountKind::Passing => Some(format!(
            "{path} is in memory, or in a volume without a name: the log goes with the container"
        )),
        Some(_) if !rotated => Some(format!("nothing rotates {path}: it grows until the card is full")),
        Some(_) => None,
    }
}

fn level(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    let types = &broker.facts.log_types;
    let has = |level: &str| types.iter().any(|known| known == level || known == "all");
    let missing: Vec<&str> = ["error", "warning", "notice"].into_iter().filter(|level| !has(level)).collect();
    if !missing.is_empty() {
        let message = format!("not logged: {}", missing.join(", "));
        found.push(subject.at_entry("log.level", broker, broker.any("log_type"), message));
    }
    if let Some(entry) = broker.any("connection_messages").filter(|entry| entry.value == "false") {
        let message = "refused logins are logged with connections only, and these are off".to_owned();
        found.push(subject.at_entry("log.level", broker, Some(entry), message));
    }
}
