//! Rules of what survives and what is bounded: data.*.

use super::finding::Finding;
use super::service::MountKind;
use super::subject::{Broker, Reach, Subject};
use crate::conf::{Listener, Scope};

pub(super) fn check(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    persist(subject, broker, found);
    loss(subject, broker, found);
    bounds(subject, broker, found);
}

/// Whether a plugin keeps everything in a database.
fn has_store(broker: &Broker) -> bool {
    broker.plugins().any(|entry| entry.value.contains("persist") && entry.value.contains("sqlite"))
}

fn persist(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    let mut wrong = |key: &str, message: String| {
        let entry = broker.entry(Scope::Broker, key);
        found.push(subject.at_entry("data.persist", broker, entry, message));
    };
    let location = broker.entry(Scope::Broker, "persistence_location");
    if broker.facts.saving.is_none() && !has_store(broker) {
        return wrong("persistence", "nothing is saved".into());
    }
    let Some(location) = location else {
        return wrong(
            "persistence",
            "`persistence_location` is not given: it is saved into the working folder".into(),
        );
    };
    let Some(service) = subject.service(broker) else { return };
    let path = &location.value;
    let problem = match service.mount_of(path) {
        None => format!("{path} is no mounted place: it goes with the container"),
        Some(mount) if mount.read_only => format!("{path} is mounted read-only: nothing is saved"),
        Some(mount) if mount.kind == MountKind::Passing => {
            format!("{path} is in memory, or in a volume without a name: it goes with the container")
        }
        Some(_) => return,
    };
    wrong("persistence_location", problem);
}

fn loss(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    let Some(saving) = broker.facts.saving.as_ref().filter(|_| !has_store(broker)) else { return };
    let budget = subject.declared().budgets.loss_s;
    let message = match (saving.interval, saving.on_changes) {
        (0, _) => "it is saved at the end of the process only, and a power cut has none".to_owned(),
        (1, true) => return,
        (changes, true) => format!(
            "it is saved after {changes} changes: while fewer come, they stay unsaved, and the budget is {budget} s"
        ),
        (seconds, false) if seconds > budget => {
            format!("up to {seconds} s of what was acknowledged are lost, and the budget is {budget} s")
        }
        _ => return,
    };
    let entry = broker
        .entry(Scope::Broker, "autosave_interval")
        .or_else(|| broker.entry(Scope::Broker, "persistence"));
    found.push(subject.at_entry("data.rpo", broker, entry, message));
}

fn bounds(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    let reachable = |listener: &&Listener| subject.reach(broker, listener) != Reach::Loopback;
    let Some(listener) = broker.facts.listeners.iter().find(reachable) else { return };
    let connections = number(broker, listener.scope, "max_connections")
        .or_else(|| number(broker, Scope::Broker, "global_max_connections"));
    let of = |key| number(broker, Scope::Broker, key);
    let queue = of("max_queued_bytes").filter(|bytes| *bytes > 0);
    let mut missing: Vec<&str> = Vec::new();
    missing.extend(connections.is_none().then_some("max_connections"));
    missing.extend(queue.is_none().then_some("max_queued_bytes"));
    missing.extend(of("max_queued_messages").is_none().then_some("max_queued_messages"));
    missing.extend(of("max_packet_size").is_none().then_some("max_packet_size"));
    missing.extend(
        broker.any("persistent_client_expiration").is_none().then_some("persistent_client_expiration"),
    );
    let entry = broker.opening(listener);
    if !missing.is_empty() {
        let message = format!("nothing bounds {}", missing.join(", "));
        found.push(subject.at_entry("data.bounds", broker, entry, message));
    }
    let container = subject.service(broker).and_then(|service| size(&service.limit("mem_limit", "memory")?));
    let Some(limit) = of("memory_limit").filter(|limit| *limit > 0).or(container) else { return };
    if let (Some(connections), Some(queue)) = (connections, queue)
        && connections.saturating_mul(queue) > limit
    {
        let message = format!(
            "{connections} clients with {queue} bytes waiting each are more than the memory limit of {limit} bytes"
        );
        found.push(subject.at_entry("data.bounds", broker, broker.any("max_queued_bytes"), message));
    }
    if container.is_some_and(|container| container <= limit) && of("memory_limit").is_some() {
        let message =
            "`memory_limit` is not below the container's: the kernel kills the broker before it refuses"
                .to_owned();
        found.push(subject.at_entry("data.bounds", broker, broker.any("memory_limit"), message));
    }
}

/// A count that is a bound; negative numbers are none.
fn number(broker: &Broker, scope: Scope, key: &str) -> Option<u64> {
    broker.entry(scope, key).and_then(|entry| entry.value.parse().ok())
}

/// A size of Compose, such as `160m`.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok().map(|number| number << shift)
}
