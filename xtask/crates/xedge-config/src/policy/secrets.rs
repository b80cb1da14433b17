//! The rule secret.plain: what looks like a secret stands in no file and no environment variable. Never shows what it found.

use camino::Utf8Path;
use std::collections::BTreeMap;

use super::finding::Finding;
use super::subject::Subject;
use crate::Place;

/// Parts of names whose values are secret.
const WORDS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "private_key"];
/// How tokens of well-known services begin.
const PREFIXES: [&str; 6] = ["ghp_", "github_pat_", "glpat-", "AKIA", "xoxb-", "sk_live_"];
/// Keys of mosquitto.conf that hold one.
const CONF_KEYS: [&str; 5] =
    ["password", "remote_password", "local_password", "bridge_psk", "tls_engine_kpass_sha1"];

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Finding>) {
    environment(subject, found);
    for broker in subject.brokers() {
        for entry in broker.conf.entries() {
            let option = entry.key.starts_with("plugin_opt_") || entry.key.starts_with("auth_opt_");
            if CONF_KEYS.contains(&entry.key.as_str()) || option && is_secret_name(&entry.key) {
                let message = format!("the value of `{}` is a secret", entry.key);
                found.push(hidden(subject.at_entry("secret.plain", broker, Some(entry), message)));
            }
        }
    }
    for (name, text) in subject.files() {
        for (index, line) in text.lines().enumerate() {
            if let Some(message) = secret_of(subject, name, line) {
                let place = Place { line: index + 1, ..Place::start(name) };
                found.push(subject.finding("secret.plain", place, String::new(), message));
            }
        }
    }
}

/// A finding without the line that it is about.
fn hidden(finding: Finding) -> Finding {
    let Place { line, column, .. } = finding.place;
    Finding { place: Place { line, column, ..Place::start(&finding.place.file) }, ..finding }
}

fn environment(subject: &Subject<'_>, found: &mut Vec<Finding>) {
    for service in subject.services() {
        for (name, value, at) in service.environment() {
            let Some(value) = value.filter(|value| is_literal(value)) else { continue };
            let setting = service.setting(&format!("environment.{name}"));
            if is_secret_name(&name) || has_token(&value) {
                let message = format!("the variable `{name}` holds a secret");
                found.push(hidden(subject.at_setting("secret.plain", at, setting, message)));
            } else if is_random(&value) {
                let message =
                    format!("the variable `{name}` holds what looks like a key: it is as random as one");
                found.push(hidden(subject.at_setting("secret.plain", at, setting, message)).warning());
            }
        }
    }
}

/// What is secret in a line of any file.
fn secret_of(subject: &Subject<'_>, file: &str, line: &str) -> Option<String> {
    if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
        return Some("a private key stands here".into());
    }
    if has_token(line) {
        return Some("a token of a well-known service stands here".into());
    }
    let hashed = [":$7$", ":$6$", ":$argon2"].iter().any(|mark| line.contains(mark));
    if subject.is_stack() && hashed {
        return Some(
            "a line of a password file stands here: it is guessed at leisure from any bundle".into(),
        );
    }
    let table = matches!(Utf8Path::new(file).extension(), Some("toml" | "ini" | "env"));
    let (key, value) = line.split_once('=').filter(|_| table && !line.trim_start().starts_with('#'))?;
    let value = value.trim().trim_matches('"');
    (is_secret_name(key.trim()) && is_literal(value)).then(|| format!("`{}` holds a secret", key.trim()))
}

/// Whether a name promises a secret, and not where one is.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let elsewhere = ["_file", "_path", "_name", "_dir"].iter().any(|end| name.ends_with(end));
    !elsewhere && WORDS.iter().any(|word| name.contains(word))
}

/// Whether a value is itself the secret: not empty, no path to it and no reference.
fn is_literal(value: &str) -> bool {
    !value.is_empty() && !value.starts_with('/') && !value.starts_with('$') && !value.starts_with("@{")
}

fn has_token(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| {
        text.match_indices(prefix).any(|(at, _)| {
            let rest = text[at + prefix.len()..].chars();
            rest.take_while(|c| c.is_ascii_alphanumeric() || *c == '_').count() >= 16
        })
    })
}

/// Whether text is as mixed as a key in hexadecimal or base64: long, one word, and of many different characters.
fn is_random(text: &str) -> bool {
    let word = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-'));
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if text.len() < 32 || !word || digits < 4 {
        return false;
    }
    let mut counts: BTreeMap<char, f64> = BTreeMap::new();
    for c in text.chars() {
        *counts.entry(c).or_default() += 1.0;
    }
    let length = text.chars().map(|_| 1.0).sum::<f64>();
    let bits: f64 = counts.values().map(|count| -(count / length) * (count / length).log2()).sum();
    bits > 3.4
}
