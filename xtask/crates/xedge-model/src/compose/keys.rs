//! The one table of Compose keys: what each means on a device and in the simulation. Tests hold it against the types.

use std::fmt::Write as _;

/// A key that a stack or an import knows.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    /// The key; parts below it where only those are known.
    pub key: &'static str,
    /// What it means on a device.
    pub device: &'static str,
    /// What it means in the simulation.
    pub simulation: &'static str,
}

const fn key(key: &'static str, device: &'static str, simulation: &'static str) -> KeyInfo {
    KeyInfo { key, device, simulation }
}

const APPLIED: &str = "applied";
const AS_GIVEN: &str = "as given";

/// Keys of a service in a stack's compose.yaml.
pub const SERVICE_KEYS: [KeyInfo; 38] = [
    key("image", "an image of the project, by digest", "the same bytes"),
    key("command", AS_GIVEN, APPLIED),
    key("entrypoint", AS_GIVEN, APPLIED),
    key(
        "environment",
        "as given; `@{NAME}` is the device's own value",
        "applied, with the samples of device values",
    ),
    key("user", AS_GIVEN, APPLIED),
    key("working_dir", AS_GIVEN, APPLIED),
    key("hostname", AS_GIVEN, APPLIED),
    key(
        "container_name",
        AS_GIVEN,
        "listed: runs side by side need names of their own; still found by this one",
    ),
    key("group_add", AS_GIVEN, APPLIED),
    key("init", AS_GIVEN, APPLIED),
    key("restart", AS_GIVEN, APPLIED),
    key(
        "ports",
        "published; ranges and long forms one by one",
        "listed: TCP on a free loopback port, UDP not published",
    ),
    key("expose", "a note: between containers every port is open", "the same"),
    key(
        "volumes",
        "named and anonymous volumes, files of the stack (read-only), absolute paths of the host, memory",
        "fresh volumes, the stack's files, memory; listed: a host folder is an empty volume, a host file is left out, a single file of the stack lies in a volume of its folder",
    ),
    key("tmpfs", AS_GIVEN, APPLIED),
    key(
        "networks",
        "with `aliases`",
        "listed: networks of the run's own, same names; services without a common one are kept apart",
    ),
    key("network_mode", "`host` or `none`", "listed: `host` is in the run's networks; `none` is applied"),
    key("extra_hosts", AS_GIVEN, "applied; listed: `host-gateway` is this machine's"),
    key("depends_on", "with `condition`", APPLIED),
    key("secrets", "files of the device in /run/secrets", "listed: development passwords"),
    key("mem_limit", AS_GIVEN, APPLIED),
    key("mem_reservation", AS_GIVEN, APPLIED),
    key("cpus", AS_GIVEN, APPLIED),
    key("cpu_shares", AS_GIVEN, APPLIED),
    key("pids_limit", AS_GIVEN, APPLIED),
    key("shm_size", AS_GIVEN, APPLIED),
    key("ulimits", AS_GIVEN, "applied; listed where this machine cannot reach them"),
    key("sysctls", AS_GIVEN, "applied; listed where they are the whole machine's"),
    key("read_only", AS_GIVEN, APPLIED),
    key("devices", AS_GIVEN, "listed: each is /dev/null under its name"),
    key("cap_add", AS_GIVEN, "applied; listed where this machine cannot give them"),
    key("cap_drop", AS_GIVEN, APPLIED),
    key("security_opt", AS_GIVEN, APPLIED),
    key(
        "healthcheck",
        "`test` (CMD, CMD-SHELL, NONE), `interval`, `timeout`, `retries`, `start_period`, `disable`",
        "applied; listed: asked by the run itself, about once a second",
    ),
    key("stop_signal", AS_GIVEN, APPLIED),
    key("stop_grace_period", AS_GIVEN, APPLIED),
    key("logging", AS_GIVEN, "listed: the run collects the log itself"),
    key("labels", AS_GIVEN, "listed: notes for people"),
];

/// Further keys of a service that `import compose` reads; none of them is in the stack that it makes.
pub const IMPORTED_KEYS: [KeyInfo; 9] = [
    key(
        "build",
        "`context`, `dockerfile`, `target`, `args`, `platforms` become images/NAME/image.yaml",
        "the same bytes",
    ),
    key("env_file", "taken over into `environment`", "as `environment`"),
    key("deploy", "`resources` becomes the short limits; `replicas: 1`", "as the short limits"),
    key("privileged", "`false` only: a privileged container is root on the device", "–"),
    key("platform", "left out: a release holds every platform of its images", "–"),
    key("pull_policy", "left out: images come by digest", "–"),
    key("scale", "`1` only", "–"),
    key("stdin_open", "left out: nobody is at a terminal", "–"),
    key("tty", "left out: nobody is at a terminal", "–"),
];

/// Keys beside the services.
pub const TOP_KEYS: [KeyInfo; 7] = [
    key("version, name", "read by the import, not in a stack", "–"),
    key("x-*, anchors, `<<`", "written out by the import", "–"),
    key("networks.NAME.driver", "`bridge`", "listed: networks of the run's own"),
    key("networks.NAME.internal", AS_GIVEN, "listed: published ports need a way in"),
    key("volumes.NAME", "no settings; `driver: local` is read by the import", "a fresh volume"),
    key("secrets.NAME.file", "below ../secrets on the device", "a development password"),
    key("`$VAR`, `${VAR:-default}`", "filled in by the import from `.env` or `--env-file`", "–"),
];

/// The tables as Markdown.
pub fn markdown() -> String {
    let mut text = String::new();
    let groups: [(&str, &[KeyInfo]); 3] = [
        ("A service of a stack", &SERVICE_KEYS),
        ("Further keys of a service that the import reads", &IMPORTED_KEYS),
        ("Beside the services", &TOP_KEYS),
    ];
    for (title, keys) in groups {
        let _ = write!(
            text,
            "\n## {title}\n\n| key | on the device | in the simulation |\n| --- | --- | --- |\n"
        );
        for KeyInfo { key, device, simulation } in keys {
            let key = if key.contains(['`', ' ', '*']) { (*key).to_owned() } else { format!("`{key}`") };
            let _ = writeln!(text, "| {key} | {device} | {simulation} |");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SERVICE_KEYS, markdown};
    use crate::Failure;
    use crate::compose::Compose;
    use crate::yaml::Source;

    #[test]
    fn the_table_has_the_keys_that_the_types_have() {
        let file = "services: {a: {image: x, 0000: 1}}";
        let hint = Source::new("c.yaml", file).parse::<Compose>().unwrap_err().hint().unwrap();
        let types: BTreeSet<&str> = hint.strip_prefix("known here: ").unwrap().split(", ").collect();
        let table: BTreeSet<&str> = SERVICE_KEYS.iter().map(|known| known.key).collect();
        assert_eq!(table, types);
        assert_eq!(table.len(), SERVICE_KEYS.len(), "a key is there twice");
    }

    #[test]
    fn the_document_is_the_table() {
        let document = include_str!("../../COMPOSE.md");
        let tables = &document[document.find("\n## ").unwrap()..];
        assert_eq!(tables, markdown(), "write these tables into COMPOSE.md:\n{}", markdown());
    }
}
