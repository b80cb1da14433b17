//! Tests of what a container of the simulation gets in place of a device's values.

use camino::Utf8Path;
use xedge_config::{Rendered, render};

use super::volumes::volumes;
use super::{differences, with_samples};

fn rendered() -> Rendered {
    let templates = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    render(&templates, "edge", "production").unwrap()
}

#[test]
fn mounted_files_hold_the_samples() {
    let rendered = rendered();
    let service = rendered.compose().service("gateway").unwrap();
    let mounted = volumes(&rendered, service).unwrap();
    let file = &mounted[0].files[0];
    assert_eq!((file.path.as_str(), mounted[0].files.len()), ("gateway.toml", 1));
    let text = std::str::from_utf8(&file.bytes).unwrap();
    assert!(text.contains("upstream = \"upstream/lab-1-{id}\"\n"), "{text}");
    assert_eq!(with_samples(&rendered, b"A=@{site_id}").unwrap(), b"A=lab-1");
    assert!(with_samples(&rendered, b"A=@{site}").is_err());
}

#[test]
fn only_a_service_that_gets_samples_differs_by_them() {
    let rendered = rendered();
    let differs = |name: &str| {
        let service = rendered.compose().service(name).unwrap();
        let all = differences(&rendered, name, service, &[]);
        all.iter().any(|difference| difference.setting == "device_values")
    };
    assert!(differs("gateway") && !differs("mosquitto"));
}
