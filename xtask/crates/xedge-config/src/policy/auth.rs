//! Rules of who gets in and what they may do: auth.*, authz.acl, tls.listener, net.bind.

use camino::Utf8Path;
use xedge_model::stack::{SECRETS_FOLDER, SecretKind};

use super::finding::Finding;
use super::subject::{Broker, Reach, Subject};
use crate::conf::{BrokerVersion, Entry, Listener, Scope};
use crate::passwd::ROUNDS;

/// What one login costs a broker, in microseconds a round of PBKDF2 (measured: 1,000 rounds about a millisecond).
const ROUND_US: u64 = 1;
/// What a login with argon2id at mosquitto's parameters costs, in microseconds (measured).
const ARGON_US: u64 = 80_000;
/// Clients that reconnect where nothing bounds them.
const UNBOUNDED_CLIENTS: u64 = 1_000;

pub(super) fn check(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    for listener in &broker.facts.listeners {
        let reach = subject.reach(broker, listener);
        if reach == Reach::Loopback {
            continue;
        }
        anonymous(subject, broker, listener, found);
        tls(subject, broker, listener, reach, found);
        bind(subject, broker, listener, found);
        if !listener.anonymous {
            users(subject, broker, listener, found);
        }
        acl(subject, broker, listener, found);
    }
    ports(subject, broker, found);
}

fn anonymous(subject: &Subject<'_>, broker: &Broker, listener: &Listener, found: &mut Vec<Finding>) {
    if listener.anonymous {
        let entry = broker
            .entry(listener.scope, "listener_allow_anonymous")
            .or_else(|| security(broker, listener, "allow_anonymous"))
            .or_else(|| broker.opening(listener));
        let message = format!("the listener on port {} lets anyone in", listener.port);
        found.push(subject.at_entry("auth.anonymous", broker, entry, message));
    }
}

/// An entry of authentication that counts for a listener.
fn security<'b>(broker: &'b Broker, listener: &Listener, key: &str) -> Option<&'b Entry> {
    broker.entry(listener.scope, key).or_else(|| broker.entry(Scope::Broker, key))
}

fn users(subject: &Subject<'_>, broker: &Broker, listener: &Listener, found: &mut Vec<Finding>) {
    let by_other_means = broker.plugins().next().is_some()
        || security(broker, listener, "psk_file").is_some()
        || broker.entry(listener.scope, "require_certificate").is_some_and(|entry| entry.value == "true");
    let Some(file) = security(broker, listener, "password_file") else {
        if !by_other_means {
            let message = format!("the listener on port {} has no users: nobody can log in", listener.port);
            found.push(subject.at_entry("auth.users", broker, broker.opening(listener), message));
        }
        return;
    };
    let mut wrong = |message: String| found.push(subject.at_entry("auth.users", broker, Some(file), message));
    let path = &file.value;
    if let Ok(name) = Utf8Path::new(path).strip_prefix(SECRETS_FOLDER) {
        let mounted = subject
            .service(broker)
            .is_some_and(|service| service.list("secrets").iter().any(|secret| secret == name.as_str()));
        match subject.secret(name.as_str()) {
            _ if !mounted => {
                wrong(format!("the service does not get the secret `{name}`: {path} is not there"));
            }
            Some(secret) if secret.kind == SecretKind::MosquittoPasswd => {
                cost(subject, broker, file, u64::from(ROUNDS) * ROUND_US, found);
            }
            Some(secret) if secret.kind == SecretKind::File => {}
            Some(_) => wrong(format!("the secret `{name}` is no password file: its kind is another")),
            None => {}
        }
        return;
    }
    match subject.file_at(broker, path).and_then(|name| Some((name, subject.text(name)?))) {
        Some((name, text)) => listed(subject, broker, (file, name, text), found),
        None => wrong(format!("nothing here makes {path}: it is not among the files")),
    }
}

/// A password file that is there to read.
fn listed(
    subject: &Subject<'_>,
    broker: &Broker,
    (entry, name, text): (&Entry, &str, &str),
    found: &mut Vec<Finding>,
) {
    let version = subject.image(broker.service.as_deref()).and_then(|image| image.broker);
    let mut dearest = 0;
    let mut users = 0;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (user, hash) = line.split_once(':').unwrap_or((line, ""));
        users += 1;
        let wrong = match price(hash, version) {
            Ok(price) => {
                dearest = dearest.max(price);
                continue;
            }
            Err(wrong) => wrong,
        };
        // The line itself is never shown: it may hold a password.
        let place = crate::Place { line: index + 1, ..crate::Place::start(name) };
        found.push(subject.finding("auth.users", place, String::new(), format!("the user `{user}` {wrong}")));
    }
    if users == 0 {
        let message = format!("{name} has no users: nobody can log in");
        found.push(subject.at_entry("auth.users", broker, Some(entry), message));
    }
    cost(subject, broker, entry, dearest, found);
}

/// What a login with this hash costs, in microseconds.
fn price(hash: &str, version: Option<BrokerVersion>) -> Result<u64, &'static str> {
    if let Some(rest) = hash.strip_prefix("$7$") {
        let rounds = rest.split('$').next().and_then(|rounds| rounds.parse::<u64>().ok());
        return rounds.map(|rounds| rounds * ROUND_US).ok_or("has a hash without a number of rounds");
    }
    if hash.starts_with("$argon2id$") {
        return match version {
            Some(version) if (version.major, version.minor) < (2, 1) => {
                Err("has an argon2id hash, which mosquitto knows from 2.1 on")
            }
            _ => Ok(ARGON_US),
        };
    }
    if hash.starts_with("$6$") {
        return Ok(ROUND_US);
    }
    Err("has no hash: mosquitto drops the line, or takes a plain password for a damaged one")
}

fn cost(subject: &Subject<'_>, broker: &Broker, entry: &Entry, price_us: u64, found: &mut Vec<Finding>) {
    let limits = broker.facts.listeners.iter().map(|listener| {
        let entry = broker.entry(listener.scope, "max_connections")?;
        entry.value.parse::<u64>().ok()
    });
    let clients = limits.sum::<Option<u64>>().unwrap_or(UNBOUNDED_CLIENTS);
    let (needed_s, budget_s) = (price_us * clients / 1_000_000, subject.declared().budgets.reconnect_s);
    if needed_s > budget_s {
        let message = format!(
            "{clients} clients need about {needed_s} s of the broker's one thread to log in again; the budget is {budget_s} s"
        );
        found.push(subject.at_entry("auth.cost", broker, Some(entry), message));
    }
}

fn acl(subject: &Subject<'_>, broker: &Broker, listener: &Listener, found: &mut Vec<Finding>) {
    let Some(file) = security(broker, listener, "acl_file") else {
        if broker.plugins().next().is_none() {
            let message = format!(
                "the listener on port {} has no access list: every user may do everything",
                listener.port
            );
            found.push(subject.at_entry("authz.acl", broker, broker.opening(listener), message));
        }
        return;
    };
    let Some(name) = subject.file_at(broker, &file.value) else { return };
    for (index, line) in subject.text(name).unwrap_or_default().lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let writes_all = matches!(
            words[..],
            ["topic" | "pattern", "readwrite" | "write", "#"] | ["topic" | "pattern", "#"]
        );
        if writes_all {
            let place = crate::Place::new(name, subject.text(name).unwrap_or_default(), index + 1, 1);
            let message = "this line lets a user write every topic".to_owned();
            found.push(subject.finding("authz.acl", place, "topic".into(), message));
        }
    }
}

fn tls(subject: &Subject<'_>, broker: &Broker, listener: &Listener, reach: Reach, found: &mut Vec<Finding>) {
    if !listener.tls && reach == Reach::Outside {
        let message = format!("other machines reach port {} without TLS", listener.port);
        found.push(subject.at_entry("tls.listener", broker, broker.opening(listener), message));
    }
    if let Some(entry) = broker.entry(listener.scope, "tls_version").filter(|entry| entry.value == "tlsv1.1")
    {
        let message = "TLS 1.1 has known weaknesses, and clients of 2.1 do not speak it".to_owned();
        found.push(subject.at_entry("tls.listener", broker, Some(entry), message));
    }
}

fn bind(subject: &Subject<'_>, broker: &Broker, listener: &Listener, found: &mut Vec<Finding>) {
    let Some(service) = subject.service(broker) else { return };
    let everywhere = matches!(listener.address.as_deref(), None | Some("0.0.0.0" | "::"));
    if everywhere && service.text("network_mode").as_deref() == Some("host") {
        let message = format!("port {} is open on every address of the device", listener.port);
        found.push(subject.at_entry("net.bind", broker, broker.opening(listener), message));
    }
}

/// Published ports at which the broker does not listen.
fn ports(subject: &Subject<'_>, broker: &Broker, found: &mut Vec<Finding>) {
    let Some(service) = subject.service(broker) else { return };
    for (index, port) in service.ports().into_iter().enumerate() {
        let known = |number: u16| broker.facts.listeners.iter().any(|listener| listener.port == number);
        if port.container.is_some_and(|number| !known(number)) {
            let setting = service.setting(&format!("ports.{index}"));
            let message = format!("`{}` is published, and the broker does not listen there", port.text);
            found.push(subject.at_setting("net.bind", port.at, setting, message));
        }
    }
}
