//! The project's own stack on a device: where only the gateway's program changes, little else than it travels.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use xedge_bundle::member;
use xedge_model::Platform;

use super::agent;
use super::pair::{ALL_PLATFORMS, platforms};
use super::remade::Remade;
use super::stand::Board;
use super::{Device, operate::lines};
use crate::sim::bench::Bench;
use crate::support::{edit, here, root};

#[test]
fn of_a_changed_program_its_layer_and_little_else_travels() {
    let bench = edge();
    let first = release(&bench);
    let gateway = bench.project().join(PROGRAM);
    let mut program = fs::read(&gateway).unwrap();
    program.push(b'\n');
    fs::write(&gateway, program).unwrap();
    let second = release(&bench);

    let device = Device::start(&Board::default());
    device.run("touch /run/no-agent");
    let deploy = |bundle: &PathBuf, more: &[&str]| {
        let mut command = bench.command(&["deploy", "--host", "device", "--format", "json"]);
        command.arg("--ssh-config").arg(device.folder().join("config")).arg("--bundle").arg(bundle);
        let ran = crate::support::finish({
            command.args(more);
            command
        });
        lines(&ran.expect(0)).remove(0)
    };
    deploy(&first, &["--agent", agent().to_str().unwrap(), "--set", "site_id=kitchen"]);
    let started =
        |name: &str| device.run(&format!("docker inspect {name} --format '{{{{.State.StartedAt}}}}'"));
    let broker = started("mosquitto");
    let images = "docker inspect mosquitto gateway --format '{{.Image}}'";
    let whole = device.run(&format!("docker save $({images}) | wc -c")).trim().parse::<u64>().unwrap();

    let plan = deploy(&second, &["--dry-run"]);
    let report = deploy(&second, &[]);
    assert_eq!((&report["kept"], started("mosquitto")), (&serde_json::json!(["mosquitto"]), broker));
    assert_eq!(report["sentBytes"], plan["travels"], "{plan}\n{report}");
    let sent = report["sentBytes"].as_u64().unwrap();
    eprintln!("a changed program: {sent} bytes; `docker save` of the stack: {whole}");
    assert!(sent * 20 <= whole, "{sent} of {whole} bytes are more than 5 %: {plan}");
    only_what_changed(&plan, &Remade::of(&first), &Remade::of(&second));
}

/// One layer, and what names it: evidence, manifests and configurations of images; nothing that was there before.
fn only_what_changed(plan: &Value, first: &Remade, second: &Remade) {
    let new: Vec<(&str, u64)> =
        second.members().filter(|(name, _)| !first.has(name, second.bytes(name))).collect();
    let layers: Vec<&Value> = plan["lines"].as_array().unwrap().iter().skip(2).collect();
    let travels: Vec<&&Value> = layers.iter().filter(|line| line["travels"] != 0).collect();
    let [layer] = travels[..] else { panic!("not one layer: {plan:#}") };
    assert!(layer["what"].as_str().unwrap().starts_with("xedgesim/gateway: "), "{layer}");
    let digest = layer["digest"].as_str().unwrap().parse().unwrap();
    let small = new.iter().filter(|(name, _)| *name != member::BUNDLE && *name != member::blob(&digest));
    let small: u64 = small.map(|(_, length)| length).sum();
    assert_eq!(plan["lines"][1]["travels"], small, "{plan:#}\n{new:#?}");
}

/// Where the gateway's program is in the copy: a file like any other, so that nothing is compiled there.
const PROGRAM: &str = "images/gateway/rootfs/usr/bin/gateway";

/// A copy of the project for this machine's platform, whose scenario is a short one: the gate is not what is tried.
fn edge() -> Bench {
    let native = Platform::of_machine(std::env::consts::ARCH).unwrap();
    here(&["build", "gateway", "--platform", native.as_str()]).expect(0);
    let bench = Bench::new();
    let built = root().join("target/xedge/payload").join(native.file_stem()).join(native.rust_target());
    let program = bench.project().join(PROGRAM);
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(built.join("payload/gateway"), &program).unwrap();
    let payload = "payloads:\n  - {package: gateway, bin: gateway, path: /usr/bin/gateway}\n";
    edit(&bench.project().join("images/gateway/image.yaml"), payload, "");
    for image in ["gateway", "mqtt-broker"] {
        let file = bench.project().join(format!("images/{image}/image.yaml"));
        edit(&file, ALL_PLATFORMS, &platforms(native));
    }
    edit(&bench.project().join("scenarios/production_parity.yaml"), "duration_s: 15", "duration_s: 3");
    bench.run(&["secrets", "gen", "--env", "production"]).expect(0);
    bench
}

fn release(bench: &Bench) -> PathBuf {
    let printed = bench.run(&["release", "--stack", "edge"]).expect(0).stdout;
    let bundle = printed.lines().last().unwrap();
    bench.project().join(bundle)
}
