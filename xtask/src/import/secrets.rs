//! Values that look like secrets: they do not go into a template. Each device fills in its own, and the gate runs with a
//! sample; one value that is used twice stays one.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use xedge_model::tree::At;

use super::walk::Walk;

/// Around the name of a device value until the template is written; files that hold them are refused.
pub(super) const OPEN: char = '\u{F8FE}';
pub(super) const CLOSE: char = '\u{F8FF}';

/// The least bytes that are looked for inside of other text.
const LEAST: usize = 6;

/// Puts the names of device values in place of secrets, and gives the names.
pub(super) fn hide(walk: &mut Walk<'_>, services: &mut Map<String, Json>) -> Vec<String> {
    let secrets = find(walk, services);
    for variable in &walk.variables {
        let Some(value) = services.get_mut(&variable.service).and_then(|s| s.get_mut("environment")) else {
            continue;
        };
        let Some(Json::String(text)) = value.get_mut(&variable.name) else { continue };
        let hidden = replaced(text, &secrets);
        if hidden != *text {
            *text = hidden;
            let what = format!(
                "`{}` looks like a secret: it is a value that each device fills in itself",
                variable.name
            );
            let todo = format!(
                "look at `device_values` in templates/stacks/{}/stack.yaml: the gate runs with the sample there",
                walk.stack
            );
            walk.report.decide(&variable.path, variable.at, what, todo);
        }
    }
    in_clear(walk, services, &secrets);
    let mut names: Vec<String> = secrets.into_values().collect();
    names.sort();
    names
}

/// Secrets by value.
fn find(walk: &Walk<'_>, services: &Map<String, Json>) -> BTreeMap<String, String> {
    let mut secrets: BTreeMap<String, String> = BTreeMap::new();
    let value = |service: &str, name: &str| services.get(service)?.get("environment")?.get(name)?.as_str();
    let named =
        |secret: bool| walk.variables.iter().filter(move |variable| names_secret(&variable.name) == secret);
    for variable in named(true) {
        let found = value(&variable.service, &variable.name).filter(|found| is_worth(found));
        if let Some(found) = found {
            add(&mut secrets, found, &variable.service, &variable.name);
        }
    }
    for variable in named(false) {
        if let Some(password) = value(&variable.service, &variable.name).and_then(password_of_url) {
            add(&mut secrets, password, &variable.service, &format!("{}_password", variable.name));
        }
    }
    secrets
}

fn add(secrets: &mut BTreeMap<String, String>, value: &str, service: &str, variable: &str) {
    if secrets.contains_key(value) {
        return;
    }
    let mut name = device_name(variable);
    if secrets.values().any(|known| *known == name) {
        name = device_name(&format!("{service}_{variable}"));
    }
    while secrets.values().any(|known| *known == name) {
        name.push('x');
    }
    secrets.insert(value.to_owned(), name);
}

fn device_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = text.chars().map(plain).take(60).collect();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("v{name}") }
}

/// Whether a variable of this name usually holds a secret: by whole words, and not where the last says that it is a file.
pub(super) fn names_secret(name: &str) -> bool {
    const WORDS: [&str; 15] = [
        "PASSWORD",
        "PASSWD",
        "PASS",
        "PASSPHRASE",
        "PWD",
        "TOKEN",
        "SECRET",
        "SECRETS",
        "KEY",
        "APIKEY",
        "CREDENTIAL",
        "CREDENTIALS",
        "PSK",
        "PW",
        "AUTH",
    ];
    const PLACES: [&str; 8] = ["FILE", "PATH", "DIR", "NAME", "TYPE", "METHOD", "URL", "ID"];
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let glued = ["PASSWORD", "PASSWD", "SECRET", "TOKEN"];
    let is_place = words.last().is_some_and(|last| PLACES.contains(last));
    let is_public = words.contains(&"PUBLIC");
    let secret = |word: &str| WORDS.contains(&word) || glued.iter().any(|end| word.ends_with(end));
    !is_place && !is_public && words.iter().any(|word| secret(word))
}

/// A switch is no secret, whatever its name.
fn is_worth(value: &str) -> bool {
    let switches = ["", "0", "1", "true", "false", "yes", "no", "on", "off", "none"];
    !switches.contains(&value.to_ascii_lowercase().as_str())
}

/// The password of `scheme://user:password@host`.
fn password_of_url(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (login, _) = authority.rsplit_once('@')?;
    let (_, password) = login.split_once(':')?;
    Some(password).filter(|password| !password.is_empty())
}

fn replaced(text: &str, secrets: &BTreeMap<String, String>) -> String {
    let mark = |name: &str| format!("{OPEN}{name}{CLOSE}");
    if let Some(name) = secrets.get(text) {
        return mark(name);
    }
    if let Some((password, name)) = password_of_url(text).and_then(|password| secrets.get_key_value(password))
    {
        return text.replacen(&format!(":{password}@"), &format!(":{}@", mark(name)), 1);
    }
    // Longer ones first: one may hold the other.
    let mut known: Vec<(&String, &String)> =
        secrets.iter().filter(|(value, _)| value.len() >= LEAST).collect();
    known.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    known.iter().fold(text.to_owned(), |text, (value, name)| text.replace(value.as_str(), &mark(name)))
}

/// Secrets that stand in a command or a label too: there a device cannot fill in its own.
fn in_clear(walk: &mut Walk<'_>, services: &Map<String, Json>, secrets: &BTreeMap<String, String>) {
    for (service, settings) in services {
        let others = settings.as_object().into_iter().flatten().filter(|(key, _)| *key != "environment");
        for (key, value) in others {
            let text = value.to_string();
            for (_, name) in
                secrets.iter().filter(|(value, _)| value.len() >= LEAST && text.contains(value.as_str()))
            {
                let what =
                    format!("it holds the value of `{name}` in clear, which would be signed and shipped");
                let todo = "let the program read it from the variable, in a shell as `$$NAME`";
                walk.report.decide(&format!("services.{service}.{key}"), At::default(), what, todo);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{names_secret, password_of_url, replaced};

    #[test]
    fn names_of_secrets_are_whole_words() {
        for name in [
            "POSTGRES_PASSWORD",
            "api_key",
            "GF_SECURITY_ADMIN_PASSWORD",
            "INFLUX_TOKEN",
            "DBPASSWORD",
            "MQTT-SECRET",
        ] {
            assert!(names_secret(name), "{name}");
        }
        for name in
            ["MONKEY", "POSTGRES_PASSWORD_FILE", "KEYBOARD", "SSH_KEY_PATH", "PASSAGE", "PUBLIC_KEY", "TZ"]
        {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn a_password_inside_of_an_address_is_found() {
        assert_eq!(password_of_url("postgres://u:p%40ss@db:5432/x"), Some("p%40ss"));
        for text in ["http://host:80/x@y", "u:p@h", "https://h", "mqtt://u@h"] {
            assert_eq!(password_of_url(text), None, "{text}");
        }
        let secrets = [("pw".to_owned(), "db".to_owned()), ("long-one".to_owned(), "n".to_owned())].into();
        assert_eq!(replaced("a://u:pw@pw", &secrets), "a://u:\u{F8FE}db\u{F8FF}@pw");
        assert_eq!(replaced("x long-one y", &secrets), "x \u{F8FE}n\u{F8FF} y");
        assert_eq!(replaced("pwx", &secrets), "pwx");
    }
}
