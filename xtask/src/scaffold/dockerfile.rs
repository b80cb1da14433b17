//! What a Dockerfile says about running its image: ports and health check. It builds nothing.

use std::collections::BTreeMap;

/// What the last stage says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Ports as Compose writes them, `8080` or `53/udp`.
    pub(crate) ports: Vec<String>,
    /// Whether a container has a health check.
    pub(crate) healthcheck: bool,
    /// What was not understood, for people.
    pub(crate) notes: Vec<String>,
}

/// Reads a Dockerfile's text.
pub(crate) fn facts(text: &str) -> Facts {
    let mut stages: BTreeMap<String, Facts> = BTreeMap::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let (mut now, mut name) = (Facts::default(), None);
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            "FROM" => {
                let ended = std::mem::take(&mut now);
                stages.extend(name.take().map(|name| (name, ended)));
                let (base, called) = from(rest);
                now = stages.get(&base).cloned().unwrap_or_default();
                name = called;
            }
            "ARG" | "ENV" => values.extend(assignments(rest)),
            "EXPOSE" => rest.split_whitespace().for_each(|port| expose(port, &values, &mut now)),
            "HEALTHCHECK" => now.healthcheck = !rest.eq_ignore_ascii_case("none"),
            _ => {}
        }
    }
    now
}

/// One instruction a line, comments left out.
fn instructions(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_suffix('\\') {
            Some(part) => {
                open.push_str(part);
                open.push(' ');
            }
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines
}

/// The base and the name of a stage.
fn from(rest: &str) -> (String, Option<String>) {
    let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
    let name = match words[..] {
        [_, word, name] if word.eq_ignore_ascii_case("as") => Some(name.to_lowercase()),
        _ => None,
    };
    (words.first().unwrap_or(&"").to_lowercase(), name)
}

/// `NAME=VALUE …`, or the old `NAME VALUE`.
fn assignments(rest: &str) -> Vec<(String, String)> {
    let clean = |value: &str| value.trim_matches(['"', '\'']).to_owned();
    let pairs: Vec<_> = rest.split_whitespace().filter_map(|word| word.split_once('=')).collect();
    match (pairs.is_empty(), rest.split_once(char::is_whitespace)) {
        (true, Some((name, value))) => vec![(name.to_owned(), clean(value.trim()))],
        _ => pairs.into_iter().map(|(name, value)| (name.to_owned(), clean(value))).collect(),
    }
}

fn expose(word: &str, values: &BTreeMap<String, String>, now: &mut Facts) {
    let plain = match word.strip_prefix('$') {
        Some(name) => {
            let (name, protocol) =
                name.split_once('/').map_or((name, ""), |(name, protocol)| (name, protocol));
            let found = values.get(name.trim_start_matches('{').trim_end_matches('}'));
            found.map(|value| if protocol.is_empty() { value.clone() } else { format!("{value}/{protocol}") })
        }
        None => Some(word.to_owned()),
    };
    let Some(port) = plain.as_deref().and_then(port) else {
        now.notes.push(format!("`EXPOSE {word}` was not understood: add the port to the Compose template"));
        return;
    };
    if !now.ports.contains(&port) {
        now.ports.push(port);
    }
}

/// `8080`, `8080/tcp` or `53/udp` in its shortest form.
pub(crate) fn port(text: &str) -> Option<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = number.parse::<u16>().ok().filter(|number| *number > 0)?;
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Some(number.to_string()),
        "udp" => Some(format!("{number}/udp")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::facts;

    #[test]
    fn the_last_stage_counts() {
        let found = facts(
            "FROM golang:1 AS build\nEXPOSE 1\nHEALTHCHECK CMD true\n# EXPOSE 2\nfrom scratch\nARG PORT=8080\n\
             env A=1 MQTT=\"1883\"\nexpose ${PORT} $MQTT/udp \\\n  9000/tcp 9000\nCMD [\"/app\"]\n",
        );
        assert_eq!(found.ports, ["8080", "1883/udp", "9000"]);
        assert!(!found.healthcheck && found.notes.is_empty(), "{found:?}");
    }

    #[test]
    fn a_stage_on_a_stage_has_what_that_one_has() {
        let found =
            facts("FROM x AS Base\nEXPOSE 80\nHEALTHCHECK --interval=5s CMD [\"/x\"]\nFROM base\nENV A 1\n");
        assert_eq!(found.ports, ["80"]);
        assert!(found.healthcheck);
        assert!(!facts("FROM x\nHEALTHCHECK CMD x\nHEALTHCHECK NONE\n").healthcheck);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let found = facts("FROM x\nEXPOSE $UNKNOWN 0 80-90 99999 7/sctp\n");
        assert!(found.ports.is_empty());
        assert_eq!(found.notes.len(), 5, "{found:?}");
    }
}
