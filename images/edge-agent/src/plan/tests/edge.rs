//! The project's own stack, as it is released.

use camino::Utf8Path;
use serde_json::json;

use super::Case;
use crate::engine::{Restart, Source};

#[test]
fn the_edge_stack_as_a_device_runs_it() {
    let templates = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
    let rendered = xedge_config::render(&templates, "edge", "production").expect("it renders");
    let file = |path: &str| rendered.files().iter().find(|file| file.path() == path).expect("a file").bytes();
    let mut case = Case::new(std::str::from_utf8(file("compose.yaml")).expect("text"));
    for file in rendered.files().iter().filter(|file| file.path() != "compose.yaml") {
        let text = std::str::from_utf8(file.bytes()).expect("text");
        case = case.file(file.path().as_str(), &format!("{:04o}", file.mode()), text);
    }
    case.device_values = json!(rendered.device_values());
    case.values = xedge_model::stack::samples(rendered.device_values());
    case.secrets = rendered.secrets().iter().map(|secret| (secret.name.clone(), 1)).collect();
    let plan = case.planned();
    assert_eq!(plan.order, ["mosquitto", "gateway"]);
    let broker = &plan.services["mosquitto"];
    assert_eq!((&*broker.name, broker.spec.restart), ("mosquitto", Restart::UnlessStopped));
    assert_eq!(broker.spec.ports[0].host, 1883);
    assert!(broker.spec.limits.read_only && broker.spec.limits.memory.is_some());
    assert_eq!(broker.stop_grace.as_secs(), 30);
    let source =
        |target: &str| &broker.spec.mounts.iter().find(|m| m.target == target).expect("a mount").source;
    assert_eq!(*source("/mosquitto/data"), Source::Volume("edge_mosquitto-data".into()));
    assert!(matches!(source("/run/secrets/mosquitto-passwd"), Source::Secret { version: 1, .. }));
    let conf = plan.mounts.iter().flat_map(|folder| &folder.files).find(|file| file.path == "mosquitto.conf");
    assert!(!conf.expect("its configuration").bytes.is_empty());
    assert_eq!(plan.networks[0].name, "edge_edge");
}
