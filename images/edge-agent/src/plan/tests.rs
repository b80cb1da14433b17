//! Plans of whole stacks: what becomes of each key, what changes a container and what does not, what is refused.

mod edge;
mod keys;
mod refused;
mod written;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::{Value, json};
use xedge_bundle::Manifest;
use xedge_model::{Digest, Platform};

use super::{Bounds, Input, ReleasePlan, plan};
use crate::home::{Home, StackHome};

/// Everything that a plan follows from, to be changed by a test.
struct Case {
    stack: String,
    files: Vec<(String, String, Vec<u8>)>,
    services: Vec<String>,
    device_values: Value,
    images: BTreeMap<String, Vec<u8>>,
    bounds: Bounds,
    values: BTreeMap<String, String>,
    secrets: BTreeMap<String, u64>,
    adopted: BTreeMap<String, String>,
    home: StackHome,
}

impl Case {
    /// The stack `edge` of this Compose file, whose images run as 1883:7.
    fn new(compose: &str) -> Self {
        let parsed = xedge_model::yaml::Source::new("compose.yaml", compose);
        let parsed = xedge_model::compose::Compose::parse(&parsed).expect("a good file");
        let services: Vec<String> = parsed.services.keys().cloned().collect();
        let config = br#"{"config": {"User": "1883:7"}}"#.to_vec();
        Self {
            stack: "edge".into(),
            files: vec![("compose.yaml".into(), "0644".into(), compose.into())],
            images: services.iter().map(|name| (name.clone(), config.clone())).collect(),
            services,
            device_values: json!([]),
            bounds: Bounds::default(),
            values: BTreeMap::new(),
            secrets: BTreeMap::new(),
            adopted: BTreeMap::new(),
            home: Home::new("/var/lib/xedge").stack("edge"),
        }
    }

    fn file(mut self, path: &str, mode: &str, bytes: &str) -> Self {
        self.files.push((path.into(), mode.into(), bytes.into()));
        self
    }

    fn manifest(&self) -> Manifest {
        let digest = Digest::of(b"any");
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|(path, mode, bytes)| json!({"path": path, "mode": mode, "digest": Digest::of(bytes)}))
            .collect();
        let services: Vec<Value> = self
            .services
            .iter()
            .map(|name| {
                let manifests = json!({"linux/amd64": Digest::of(name.as_bytes())});
                json!({"name": name, "image": format!("x/{name}"), "index": digest, "manifests": manifests})
            })
            .collect();
        let manifest = json!({
            "format": 1, "stack": self.stack, "seq": 1, "version": "1", "keyStatus": "development", "tool": "0.1.0",
            "compatibility": {"platforms": ["linux/amd64"], "boards": [], "agent": "0.1.0", "engineApi": "1.41"},
            "data": {"version": 1, "floor": 1},
            "services": services,
            "config": {
                "digest": digest, "environment": "production", "files": files, "secrets": [],
                "deviceValues": self.device_values,
            },
            "gate": {"scenarios": [], "emulated": "accepted", "evidence": []},
            "locks": [], "sboms": [], "probes": [], "settleS": 10, "startS": 60,
        });
        serde_json::from_value(manifest).expect("a manifest")
    }

    fn plan(&self) -> crate::Result<ReleasePlan> {
        let manifest = self.manifest();
        let files: BTreeMap<Utf8PathBuf, Vec<u8>> =
            self.files.iter().map(|(path, _, bytes)| (path.into(), bytes.clone())).collect();
        plan(&Input {
            manifest: &manifest,
            platform: Platform::LinuxAmd64,
            files: &files,
            images: &self.images,
            home: &self.home,
            bounds: self.bounds.clone(),
            values: &self.values,
            secrets: &self.secrets,
            adopted: &self.adopted,
        })
    }

    #[track_caller]
    fn planned(&self) -> ReleasePlan {
        self.plan().expect("a good release")
    }

    /// The digest of what the container of this service is made of.
    #[track_caller]
    fn digest(&self, service: &str) -> Digest {
        self.planned().services[service].spec.digest()
    }
}
