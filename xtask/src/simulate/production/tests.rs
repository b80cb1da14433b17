//! Tests of what a container of the simulation gets in place of a device's values.

use camino::Utf8Path;
use xedge_config::{Rendered, render};
use xedge_sim::EngineKind;

use super::differences::is_withheld;
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
        let all = differences(&rendered, name, service, &[], EngineKind::Docker);
        all.iter().any(|difference| difference.setting == "device_values")
    };
    assert!(differs("gateway") && !differs("mosquitto"));
}

#[test]
fn what_an_engine_lacks_is_told_and_what_it_has_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap();
    for (path, text) in [
        ("environments/production.yaml", "format: 1\nvalues: {}\n"),
        (
            "stacks/edge/stack.yaml",
            "format: 1\nname: edge\ncompose: stacks/edge/compose.yaml.j2\nfiles: []\ngate: [x]\n",
        ),
        (
            "stacks/edge/compose.yaml.j2",
            "services: {a: {image: x/a, networks: [in]}}\nnetworks: {in: {internal: true}}\n",
        ),
    ] {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let rendered = render(root, "edge", "production").unwrap();
    let told = |engine| {
        let services = rendered.compose().start_order();
        let all = services.iter().map(|(name, service)| differences(&rendered, name, service, &[], engine));
        all.map(|of_one| format!("{of_one:?}")).collect::<Vec<_>>()
    };
    for engine in [EngineKind::Docker, EngineKind::Podman] {
        assert!(told(engine).concat().contains("has a way to the outside"));
        assert!(!told(engine).concat().contains("seccomp"));
    }
    for service in told(EngineKind::Embedded) {
        assert!(!service.contains("has a way to the outside"), "{service}");
        for lack in ["no way to the outside and no name server", "no seccomp filter"] {
            assert!(service.contains(lack), "{service}");
        }
    }
    assert!(is_withheld("cap_sys_resource") && is_withheld("ALL") && !is_withheld("NET_RAW"));
}
