//! The image config (image-spec, config.md) with Docker's health check, as canonical JSON. Reads no blobs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xedge_model::duration::Span;
use xedge_model::image::{Healthcheck, RunConfig};
use xedge_model::{Digest, Platform};

/// A whole image config; the order of the fields is the order in the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The architecture by its name in Go.
    pub architecture: String,
    /// The operating system by its name in Go.
    pub os: String,
    /// The variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How a container runs.
    #[serde(default)]
    pub config: Option<Execution>,
    /// The layers by their uncompressed digests.
    pub rootfs: RootFs,
    /// How each layer came to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<History>>,
}

/// How a container of the image runs. Absent and `null` mean the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// `uid:gid` or names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Ports such as `1883/tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<NameSet>,
    /// Environment variables, `NAME=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// The program and its fixed arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Docker's health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Paths that are always volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<NameSet>,
    /// Working folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that stops a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Docker's shell, which runs health checks that are one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Instructions for a Dockerfile that stands on this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
}

/// A set of names, which the config's JSON writes as an object of empty objects (Go's sets).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet(pub BTreeSet<String>);

impl Serialize for NameSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|name| (name, Empty {})))
    }
}

impl<'de> Deserialize<'de> for NameSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        Ok(Self(members.into_keys().collect()))
    }
}

#[derive(Serialize)]
struct Empty {}

/// Docker's health check; times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `CMD` and the command, run without a shell; foreign images may have `CMD-SHELL` or `NONE`.
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: u64,
    /// Time after which a check has failed.
    pub timeout: u64,
    /// Time after the start in which failures do not count.
    pub start_period: u64,
    /// Failures in a row until the container is unhealthy.
    pub retries: u32,
    /// Time between two checks during the start; since Engine 25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<u64>,
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// How one layer came to be, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether this step made no layer.
    #[serde(skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl History {
    /// One step that made one layer.
    pub fn step(created: &str, created_by: &str) -> Self {
        Self { created: Some(created.to_owned()), created_by: Some(created_by.to_owned()), ..Self::default() }
    }
}

/// The config of an image for one platform, as the bytes that its digest is of. `created` is RFC 3339; `history` has
/// one step per layer, lowest first.
pub fn image_config(
    def: &RunConfig,
    platform: Platform,
    diff_ids: &[Digest],
    created: &str,
    history: &[History],
) -> Vec<u8> {
    let config = ImageConfig {
        created: Some(created.to_owned()),
        author: None,
        architecture: platform.oci_architecture().to_owned(),
        os: "linux".to_owned(),
        variant: platform.oci_variant().map(str::to_owned),
        config: Some(Execution::from(def)),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: diff_ids.to_vec() },
        history: (!history.is_empty()).then(|| history.to_vec()),
    };
    crate::manifest::to_json(&config)
}

impl From<&RunConfig> for Execution {
    fn from(def: &RunConfig) -> Self {
        let list = |items: &[String]| (!items.is_empty()).then(|| items.to_vec());
        let volumes: Vec<String> = def.volumes.iter().map(ToString::to_string).collect();
        let env: Vec<String> = def.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self {
            user: def.user.clone(),
            exposed_ports: set(&def.expose),
            env: list(&env),
            entrypoint: list(&def.entrypoint),
            cmd: list(&def.command),
            healthcheck: def.healthcheck.as_ref().map(HealthConfig::from),
            volumes: set(&volumes),
            working_dir: def.workdir.as_ref().map(ToString::to_string),
            labels: (!def.labels.is_empty()).then(|| def.labels.clone()),
            stop_signal: def.stop_signal.clone(),
            shell: None,
            on_build: None,
        }
    }
}

impl From<&Healthcheck> for HealthConfig {
    fn from(check: &Healthcheck) -> Self {
        let command = std::iter::once("CMD".to_owned()).chain(check.command.iter().cloned());
        Self {
            test: command.collect(),
            interval: nanoseconds(check.interval),
            timeout: nanoseconds(check.timeout),
            start_period: nanoseconds(check.start_period),
            retries: check.retries,
            start_interval: None,
        }
    }
}

/// The Engine reads a signed 64-bit number; 292 years are as good as for ever.
fn nanoseconds(span: Span) -> u64 {
    u64::try_from(span.0.as_nanos()).map_or(i64::MAX.unsigned_abs(), |n| n.min(i64::MAX.unsigned_abs()))
}

fn set(items: &[String]) -> Option<NameSet> {
    (!items.is_empty()).then(|| NameSet(items.iter().cloned().collect()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xedge_model::duration::Span;
    use xedge_model::image::{Healthcheck, RunConfig};
    use xedge_model::{Digest, Platform};

    use super::{Execution, History, ImageConfig, NameSet, image_config};

    fn sample() -> RunConfig {
        let span = |ms| Span(Duration::from_millis(ms));
        RunConfig {
            user: Some("1883:1883".into()),
            entrypoint: vec!["/usr/sbin/mosquitto".into()],
            command: vec!["-c".into(), "/etc/mosquitto.conf".into()],
            env: [("TZ".into(), "UTC".into()), ("LANG".into(), "C.UTF-8".into())].into(),
            expose: vec!["8883/tcp".into(), "1883/tcp".into()],
            volumes: vec!["/data".into()],
            stop_signal: Some("SIGTERM".into()),
            healthcheck: Some(Healthcheck {
                command: vec!["/probe".into(), "mqtt".into()],
                interval: span(30_000),
                timeout: span(1_500),
                start_period: span(0),
                retries: 3,
            }),
            ..RunConfig::default()
        }
    }

    #[test]
    fn the_json_is_canonical() {
        let layer = Digest::of(b"layer");
        let history = [History::step("1970-01-01T00:00:00Z", "xedge: files")];
        let bytes = image_config(
            &sample(),
            Platform::LinuxArm64,
            std::slice::from_ref(&layer),
            "2024-01-01T00:00:00Z",
            &history,
        );
        let expected = format!(
            concat!(
                r#"{{"created":"2024-01-01T00:00:00Z","architecture":"arm64","os":"linux","variant":"v8","#,
                r#""config":{{"User":"1883:1883","ExposedPorts":{{"1883/tcp":{{}},"8883/tcp":{{}}}},"#,
                r#""Env":["LANG=C.UTF-8","TZ=UTC"],"Entrypoint":["/usr/sbin/mosquitto"],"#,
                r#""Cmd":["-c","/etc/mosquitto.conf"],"Healthcheck":{{"Test":["CMD","/probe","mqtt"],"#,
                r#""Interval":30000000000,"Timeout":1500000000,"StartPeriod":0,"Retries":3}},"#,
                r#""Volumes":{{"/data":{{}}}},"StopSignal":"SIGTERM"}},"#,
                r#""rootfs":{{"type":"layers","diff_ids":["{layer}"]}},"#,
                r#""history":[{{"created":"1970-01-01T00:00:00Z","created_by":"xedge: files"}}]}}"#,
            ),
            layer = layer
        );
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn nothing_set_is_nothing_written() {
        let bytes =
            image_config(&RunConfig::default(), Platform::LinuxAmd64, &[], "2024-01-01T00:00:00Z", &[]);
        let expected = concat!(
            r#"{"created":"2024-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{},"#,
            r#""rootfs":{"type":"layers","diff_ids":[]}}"#
        );
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn configs_of_other_tools_are_read() {
        let text = r#"{"architecture":"amd64","os":"linux","container":"x","config":{"Hostname":"","Env":null,
            "Entrypoint":null,"Cmd":["sh"],"Volumes":null,"ExposedPorts":{"80/tcp":{}},"Labels":null,"Healthcheck":{"Test":["NONE"]}},
            "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x","empty_layer":true}]}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        let run = config.config.unwrap();
        assert_eq!(run.cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(run.exposed_ports, Some(NameSet(["80/tcp".to_owned()].into())));
        assert!(config.history.unwrap()[0].empty_layer);
    }

    #[test]
    fn times_beyond_the_engines_range_are_cut() {
        let mut def = sample();
        if let Some(check) = &mut def.healthcheck {
            check.interval = Span(Duration::MAX);
        }
        assert_eq!(Execution::from(&def).healthcheck.unwrap().interval, 9_223_372_036_854_775_807);
    }
}
