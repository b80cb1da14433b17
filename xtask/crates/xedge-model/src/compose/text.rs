//! A Compose file as plain text in fixed order, and flat for comparisons.
//!
//! Text is quoted wherever a YAML 1.1 reader (docker-compose 1.29 has one) might take it for something else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{
    Compose, Healthcheck, Logging, Mount, MountSource, NetworkDef, Service, Test, Text, Ulimit, Variables,
    Words,
};

/// A tree whose order is fixed by how it was made.
enum Node {
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(String),
    /// A number or boolean, written as it is.
    Plain(String),
}

pub(super) fn emit(compose: &Compose) -> String {
    let mut text = String::new();
    write(&mut text, &root(compose), 0);
    text
}

pub(super) fn flatten(compose: &Compose) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    collect(String::new(), &root(compose), &mut all);
    all
}

fn collect(path: String, node: &Node, all: &mut BTreeMap<String, String>) {
    match node {
        Node::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(path, value, all);
            }
        }
        leaf => {
            all.insert(path, inline(leaf));
        }
    }
}

fn inline(node: &Node) -> String {
    match node {
        Node::Map(entries) => {
            let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{k}: {}", inline(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Node::List(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Node::Text(text) | Node::Plain(text) => text.clone(),
    }
}

fn root(compose: &Compose) -> Node {
    let services = compose.services.iter().map(|(name, s)| (name.clone(), service(&s.value)));
    let networks = compose.networks.iter().map(|(name, def)| (name.clone(), network(def.value.as_ref())));
    let volumes = compose.volumes.keys().map(|name| (name.clone(), Node::Map(Vec::new())));
    let secrets = compose
        .secrets
        .iter()
        .map(|(name, secret)| (name.clone(), Node::Map(entries([("file", Some(text(&secret.value.file)))]))));
    Node::Map(entries([
        ("services", filled(services.collect())),
        ("networks", filled(networks.collect())),
        ("volumes", filled(volumes.collect())),
        ("secrets", filled(secrets.collect())),
    ]))
}

fn network(def: Option<&NetworkDef>) -> Node {
    let driver = def.and_then(|def| def.driver.as_ref());
    let internal = def.and_then(|def| def.internal);
    Node::Map(entries([("driver", driver.map(text)), ("internal", internal.map(plain))]))
}

fn service(s: &Service) -> Node {
    Node::Map(entries([
        ("image", Some(text(&s.image.value))),
        ("container_name", s.container_name.as_ref().map(text)),
        ("hostname", s.hostname.as_ref().map(text)),
        ("entrypoint", s.entrypoint.as_ref().map(words)),
        ("command", s.command.as_ref().map(words)),
        ("user", s.user.as_ref().map(text)),
        ("working_dir", s.working_dir.as_ref().map(text)),
        ("group_add", list(s.group_add.iter().map(text))),
        ("init", s.init.map(plain)),
        ("restart", s.restart.map(shown)),
        ("ports", list(s.ports.0.iter().map(shown))),
        ("expose", list(s.expose.0.iter().map(shown))),
        ("volumes", list(s.volumes.iter().map(|mount| self::mount(&mount.value)))),
        ("networks", networks(s)),
        ("network_mode", s.network_mode.map(shown)),
        (
            "extra_hosts",
            list(s.extra_hosts.0.iter().map(|(name, address)| shown(format!("{name}:{address}")))),
        ),
        ("depends_on", depends_on(s)),
        ("environment", variables(&s.environment)),
        ("secrets", list(s.secrets.iter().map(|name| text(&name.value)))),
        ("mem_limit", s.mem_limit.map(shown)),
        ("mem_reservation", s.mem_reservation.map(shown)),
        ("cpus", s.cpus.map(plain)),
        ("cpu_shares", s.cpu_shares.map(plain)),
        ("pids_limit", s.pids_limit.map(plain)),
        ("shm_size", s.shm_size.map(shown)),
        ("ulimits", filled(s.ulimits.0.iter().map(|(name, limit)| (name.clone(), ulimit(*limit))).collect())),
        ("sysctls", variables(&s.sysctls)),
        ("read_only", s.read_only.map(plain)),
        ("tmpfs", list(s.tmpfs.0.iter().map(text))),
        ("devices", list(s.devices.iter().map(shown))),
        ("cap_add", list(s.cap_add.iter().map(text))),
        ("cap_drop", list(s.cap_drop.iter().map(text))),
        ("security_opt", list(s.security_opt.iter().map(text))),
        ("healthcheck", s.healthcheck.as_ref().map(healthcheck)),
        ("stop_signal", s.stop_signal.as_ref().map(text)),
        ("stop_grace_period", s.stop_grace_period.map(shown)),
        ("logging", s.logging.as_ref().map(logging)),
        ("labels", variables(&s.labels)),
    ]))
}

fn words(words: &Words) -> Node {
    Node::List(words.0.iter().map(text).collect())
}

/// A list where no name has settings: the form that most people write.
fn networks(s: &Service) -> Option<Node> {
    let all = &s.networks.0;
    if all.iter().all(|network| network.value.aliases.is_empty()) {
        return list(all.iter().map(|network| text(&network.value.name)));
    }
    let settings = all.iter().map(|network| {
        let aliases = list(network.value.aliases.iter().map(text));
        (network.value.name.to_string(), Node::Map(entries([("aliases", aliases)])))
    });
    filled(settings.collect())
}

/// The short form, but for a folder in memory, which has none.
fn mount(mount: &Mount) -> Node {
    let MountSource::Tmpfs { size, mode } = mount.source else { return shown(mount) };
    let settings = entries([("size", size.map(|size| plain(size.0))), ("mode", mode.map(plain))]);
    Node::Map(entries([
        ("type", Some(shown("tmpfs"))),
        ("target", Some(shown(&mount.target))),
        ("read_only", mount.read_only.then(|| plain(true))),
        ("tmpfs", filled(settings)),
    ]))
}

fn ulimit(limit: Ulimit) -> Node {
    let Ulimit { soft, hard } = limit;
    Node::Map(entries([("soft", Some(plain(soft))), ("hard", Some(plain(hard)))]))
}

fn depends_on(s: &Service) -> Option<Node> {
    let all = s.depends_on.0.iter().map(|(name, condition)| {
        let condition = Node::Text(condition.value.name().to_owned());
        (name.clone(), Node::Map(entries([("condition", Some(condition))])))
    });
    filled(all.collect())
}

fn healthcheck(check: &Healthcheck) -> Node {
    let words = |first: &str, rest: &[Text]| {
        let first = Node::Text(first.to_owned());
        Node::List(std::iter::once(first).chain(rest.iter().map(text)).collect())
    };
    let test = check.test.as_ref().map(|test| match test {
        Test::Disabled => words("NONE", &[]),
        Test::Exec(rest) => words("CMD", rest),
        Test::Shell(line) => words("CMD-SHELL", std::slice::from_ref(line)),
    });
    Node::Map(entries([
        ("test", test),
        ("interval", check.interval.map(shown)),
        ("timeout", check.timeout.map(shown)),
        ("retries", check.retries.map(plain)),
        ("start_period", check.start_period.map(shown)),
    ]))
}

fn logging(logging: &Logging) -> Node {
    Node::Map(entries([
        ("driver", logging.driver.as_ref().map(text)),
        ("options", variables(&logging.options)),
    ]))
}

fn variables(variables: &Variables) -> Option<Node> {
    filled(variables.0.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

fn entries<const N: usize>(all: [(&str, Option<Node>); N]) -> Vec<(String, Node)> {
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn filled(map: Vec<(String, Node)>) -> Option<Node> {
    (!map.is_empty()).then_some(Node::Map(map))
}

fn list(items: impl Iterator<Item = Node>) -> Option<Node> {
    let items: Vec<Node> = items.collect();
    (!items.is_empty()).then_some(Node::List(items))
}

fn text(text: &Text) -> Node {
    Node::Text(text.written())
}

fn shown(value: impl std::fmt::Display) -> Node {
    Node::Text(value.to_string())
}

fn plain(value: impl std::fmt::Display) -> Node {
    Node::Plain(value.to_string())
}

/// Writes what stands after `key:`, or the whole document at depth 0.
fn write(out: &mut String, node: &Node, depth: usize) {
    match node {
        Node::Map(map) if map.is_empty() => out.push_str(" {}\n"),
        Node::List(list) if list.is_empty() => out.push_str(" []\n"),
        Node::Map(map) => {
            if depth > 0 {
                out.push('\n');
            }
            for (key, value) in map {
                let _ = write!(out, "{:1$}{2}:", "", depth * 2, quoted(key));
                write(out, value, depth + 1);
            }
        }
        Node::List(list) => {
            out.push('\n');
            for item in list {
                item_of_list(out, item, depth);
            }
        }
        leaf => {
            let _ = writeln!(out, " {}", scalar(leaf));
        }
    }
}

/// An item that is a map starts on the line of its dash.
fn item_of_list(out: &mut String, item: &Node, depth: usize) {
    let Node::Map(map) = item else {
        let _ = writeln!(out, "{:1$}- {2}", "", depth * 2, scalar(item));
        return;
    };
    for (index, (key, value)) in map.iter().enumerate() {
        let dash = if index == 0 { "- " } else { "  " };
        let _ = write!(out, "{:1$}{dash}{2}:", "", depth * 2, quoted(key));
        write(out, value, depth + 2);
    }
}

fn scalar(node: &Node) -> String {
    match node {
        Node::Text(text) => quoted(text),
        Node::Plain(text) => text.clone(),
        nested => quoted(&inline(nested)),
    }
}

fn quoted(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.'));
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if first && rest && !words.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    serde_json::to_string(text).expect("text is always JSON")
}
