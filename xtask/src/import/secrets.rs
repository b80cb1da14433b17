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
pub(super) const LEAST: usize = 6;

/// Puts the names of device values in place of secrets, and gives the names of those that are used.
///
/// A secret that is an ordinary word, as many defaults are, is put into its own variable only: elsewhere the same word may
/// mean something else.
pub(super) fn hide(walk: &mut Walk<'_>, services: &mut Map<String, Json>) -> Vec<String> {
    let secrets = find(walk, services);
    for variable in &walk.variables {
        let Some(value) = services.get_mut(&variable.service).and_then(|s| s.get_mut("environment")) else {
            continue;
        };
        let Some(Json::String(text)) = value.get_mut(&variable.name) else { continue };
        let hidden = hidden(&variable.name, text, &secrets);
        if hidden == *text {
            let same = secrets.iter().filter(|(value, _)| stands_in(text, value));
            for (_, name) in same {
                let what = format!("the value of `{name}` is an ordinary word, and it stands here as well");
                walk.report.decide(&variable.path, variable.at, what, "let every device choose another one");
            }
        } else {
            *text = hidden;
            let what = format!("`{}` holds a secret: each device fills in its own", variable.name);
            walk.report.decide(&variable.path, variable.at, what, sample_hint(walk.stack));
        }
    }
    in_files(walk, &secrets);
    in_clear(walk, services, &secrets);
    let marked = |name: &String| {
        let mark = mark(name);
        walk.copies.0.values().any(|copy| copy.text.contains(&mark))
            || services.values().any(|service| strings(service).iter().any(|text| text.contains(&mark)))
    };
    let mut names: Vec<String> = secrets.values().filter(|name| marked(name)).cloned().collect();
    names.sort();
    names
}

fn sample_hint(stack: &str) -> String {
    format!(
        "look at `device_values` in templates/stacks/{stack}/stack.yaml: the gate runs with the sample there"
    )
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
    for (name, found) in &walk.filled {
        if names_secret(name) && is_worth(found) {
            add(&mut secrets, found, "stack", name);
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

fn mark(name: &str) -> String {
    format!("{OPEN}{name}{CLOSE}")
}

/// A variable's value without the secrets in it.
fn hidden(variable: &str, text: &str, secrets: &BTreeMap<String, String>) -> String {
    if let Some(name) = secrets.get(text).filter(|_| names_secret(variable) || !is_ordinary(text)) {
        return mark(name);
    }
    if let Some((password, name)) = password_of_url(text).and_then(|password| secrets.get_key_value(password))
    {
        return text.replacen(&format!(":{password}@"), &format!(":{}@", mark(name)), 1);
    }
    replaced(text, secrets)
}

/// Text with the names of secrets in their places, of those that are no ordinary words.
fn replaced(text: &str, secrets: &BTreeMap<String, String>) -> String {
    let mut known: Vec<(&String, &String)> =
        secrets.iter().filter(|(value, _)| !is_ordinary(value) && stands_in(text, value)).collect();
    // Longer ones first: one may hold the other.
    known.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    known.iter().fold(text.to_owned(), |text, (value, name)| text.replace(value.as_str(), &mark(name)))
}

/// A word in small letters or a number: too common to be taken for the secret wherever it stands.
fn is_ordinary(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_lowercase()) || value.chars().all(|c| c.is_ascii_digit())
}

/// Whether a value stands in a text: a short one only as a word of its own.
fn stands_in(text: &str, value: &str) -> bool {
    let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(value).any(|(at, _)| {
        value.len() >= LEAST
            || apart(text[..at].chars().next_back()) && apart(text[at + value.len()..].chars().next())
    })
}

/// Secrets that stand in a config file: there, too, a device fills in its own.
fn in_files(walk: &mut Walk<'_>, secrets: &BTreeMap<String, String>) {
    let mut touched = Vec::new();
    for (path, copy) in &mut walk.copies.0 {
        let hidden = replaced(&copy.text, secrets);
        if hidden != copy.text {
            copy.text = hidden;
            touched.push(path.clone());
        }
    }
    for path in touched {
        let what = format!("the mounted file {path} holds a secret: each device fills in its own");
        walk.report.decide("services", At::default(), what, sample_hint(walk.stack));
    }
}

/// Secrets that stand in a command or a label: there a device cannot fill in its own, so they are not taken.
fn in_clear(walk: &mut Walk<'_>, services: &Map<String, Json>, secrets: &BTreeMap<String, String>) {
    for (service, settings) in services {
        let others = settings.as_object().into_iter().flatten().filter(|(key, _)| *key != "environment");
        for (key, value) in others {
            let texts = strings(value);
            let found = secrets
                .iter()
                .find(|(value, _)| !is_ordinary(value) && texts.iter().any(|text| stands_in(text, value)));
            if let Some((_, name)) = found {
                let why = format!(
                    "it holds the value of `{name}` in clear, which would be signed and shipped: let the program \
                     read it from a variable of `environment`, in a shell as `$$NAME`"
                );
                walk.report.unsupported(&format!("services.{service}.{key}"), At::default(), why);
            }
        }
    }
}

/// Every text in a value, names included.
fn strings(value: &Json) -> Vec<&str> {
    match value {
        Json::String(text) => vec![text],
        Json::Array(all) => all.iter().flat_map(strings).collect(),
        Json::Object(all) => {
            all.iter().flat_map(|(name, value)| [vec![name.as_str()], strings(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{hidden, names_secret, password_of_url, stands_in};

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
        assert_eq!(hidden("URL", "a://u:pw@pw", &secrets), "a://u:\u{F8FE}db\u{F8FF}@pw");
        assert_eq!(hidden("X", "x long-one y", &secrets), "x \u{F8FE}n\u{F8FF} y");
        assert_eq!(hidden("X", "pwx", &secrets), "pwx");
    }

    #[test]
    fn an_ordinary_word_is_hidden_in_its_own_variable_only() {
        let secrets = [("postgres".to_owned(), "p".to_owned())].into();
        assert_eq!(hidden("POSTGRES_PASSWORD", "postgres", &secrets), "\u{F8FE}p\u{F8FF}");
        for (name, text) in [("POSTGRES_DB", "postgres"), ("KC_DB_URL", "jdbc:postgresql://db:5432/postgres")]
        {
            assert_eq!(hidden(name, text, &secrets), text, "{name}");
        }
    }

    #[test]
    fn a_short_value_is_found_as_a_word_only() {
        assert!(stands_in("--token=abc12 x", "abc12") && stands_in("abc12", "abc12"));
        assert!(!stands_in("xabc12", "abc12") && !stands_in("abc123", "abc12"));
        assert!(stands_in("xabc123", "abc123"));
    }
}
