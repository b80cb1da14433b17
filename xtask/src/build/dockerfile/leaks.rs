//! What a builder left in an image that the next build of the same files would not repeat. Reads, changes nothing.

use serde_json::Value;
use xedge_oci::import::Imported;

/// What is found, a few words each.
pub(super) fn leaks(config: &Value, imported: &Imported, started: i64) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(created) = config["created"].as_str().filter(|created| !created.starts_with("1970-")) {
        found.push(format!("created {created}"));
    }
    let history = config["history"].as_array().map_or(&[][..], Vec::as_slice);
    let times = history.iter().filter_map(|step| step["created"].as_str());
    let times = times.filter(|time| !time.starts_with("1970-")).count();
    if times > 0 {
        found.push(format!("times of {times} steps"));
    }
    let container = config["container"].as_str().or_else(|| config["container_config"]["Hostname"].as_str());
    if let Some(container) = container.filter(|container| !container.is_empty()) {
        found.push(format!("container {}", container.get(..12).unwrap_or(container)));
    }
    let args = args(history);
    if !args.is_empty() {
        found.push(format!("build arguments {}", args.join(" ")));
    }
    let stamped = imported.layers.iter().filter(|layer| layer.newest >= started).count();
    if stamped > 0 {
        found.push(format!("files of {stamped} layers have the build's time"));
    }
    found
}

/// Names of build arguments whose values the history keeps: `|1 NAME=value /bin/sh -c …`.
fn args(history: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for step in history {
        let Some(text) = step["created_by"].as_str() else { continue };
        let Some(at) = text.find('|').filter(|at| *at == 0 || text[..*at].ends_with("RUN ")) else {
            continue;
        };
        let mut words = text[at + 1..].split(' ');
        let count = words.next().and_then(|count| count.parse().ok()).unwrap_or(0);
        let arguments =
            words.take(count).filter_map(|word| word.split_once('=')).map(|(name, _)| name.to_owned());
        names.extend(arguments);
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use xedge_model::{Digest, Platform};
    use xedge_oci::Descriptor;
    use xedge_oci::import::{Imported, ImportedLayer};

    use super::leaks;

    fn imported(newest: i64) -> Imported {
        let layer = ImportedLayer { diff_id: Digest::of(b""), newest };
        Imported {
            platform: Platform::LinuxAmd64,
            manifest: Descriptor::of("", b""),
            names: Vec::new(),
            created: None,
            layers: vec![layer],
        }
    }

    #[test]
    fn everything_that_names_time_or_builder_is_told() {
        let config = json!({"created": "2026-01-02T03:04:05Z", "container": "0123456789abcdef",
            "history": [{"created": "2026-01-02T03:04:05Z", "created_by": "/bin/sh -c #(nop) ARG A"},
                {"created_by": "|2 A=1 B=x /bin/sh -c make"}, {"created": "1970-01-01T00:00:00Z"}]});
        let wanted = [
            "created 2026-01-02T03:04:05Z",
            "times of 1 steps",
            "container 0123456789ab",
            "build arguments A B",
            "files of 1 layers have the build's time",
        ];
        assert_eq!(leaks(&config, &imported(100), 100), wanted);
        assert_eq!(
            leaks(&json!({"created": "1970-01-01T00:00:00Z"}), &imported(99), 100),
            Vec::<String>::new()
        );
    }
}
