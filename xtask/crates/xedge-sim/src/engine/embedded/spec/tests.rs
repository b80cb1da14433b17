//! What the runtime is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use xedge_model::scenario::Role;

use super::{Bind, Parts, config, process};
use crate::engine::embedded::store::Settings;
use crate::engine::embedded::user::User;
use crate::plan::ContainerPlan;

fn plan() -> ContainerPlan {
    let mut plan = ContainerPlan::sample("broker", Role::Broker);
    plan.env = BTreeMap::from([("A".into(), "plan".into())]);
    plan
}

fn image() -> Settings {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    Settings {
        env: words(&["A=image", "B=image"]),
        entrypoint: words(&["/bin/broker"]),
        cmd: words(&["-c", "file"]),
        working_dir: Some("/data".into()),
        ..Settings::default()
    }
}

fn made(
    plan: &ContainerPlan,
    image: &Settings,
    cgroup: Option<&str>,
    binds: &[Bind],
) -> Result<Value, String> {
    let user = User { uid: 100, gid: 101, groups: vec![107], home: "/home/x".into() };
    config(&Parts { image, plan, user: &user, rootfs: "/r", network: "/n", binds, cgroup, init: None })
}

fn capabilities(value: &Value) -> Vec<&str> {
    let sets = &value["process"]["capabilities"];
    assert_eq!(sets["bounding"], sets["permitted"]);
    assert_eq!(sets["inheritable"], json!([]));
    sets["bounding"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn defaults_are_the_images_and_dockers() {
    let made = made(&plan(), &image(), None, &[]).unwrap();
    let process = &made["process"];
    assert_eq!(process["args"], json!(["/bin/broker", "-c", "file"]));
    assert_eq!(process["user"], json!({"uid": 100, "gid": 101, "additionalGids": [107]}));
    assert_eq!(process["cwd"], "/data");
    assert_eq!(process["noNewPrivileges"], false);
    let env: Vec<&str> = process["env"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert!(env[0].starts_with("PATH=/usr/local/sbin:"));
    assert_eq!(env[1..], ["HOSTNAME=broker", "A=plan", "B=image", "HOME=/home/x"]);
    assert_eq!(capabilities(&made).len(), 13);
    assert_eq!(made["root"], json!({"path": "/r", "readonly": false}));
    assert_eq!(made["linux"]["namespaces"][4], json!({"type": "network", "path": "/n"}));
    assert_eq!(made["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"], "0");
    assert_eq!(made["linux"]["resources"], Value::Null, "no limits where there are no control groups");
}

#[test]
fn the_plan_replaces_program_arguments_and_folder() {
    let mut plan = plan();
    plan.command = Some(vec!["-v".into()]);
    let args = |plan: &ContainerPlan| made(plan, &image(), None, &[]).unwrap()["process"]["args"].clone();
    assert_eq!(args(&plan), json!(["/bin/broker", "-v"]));
    plan.extras.entrypoint = Some(vec!["/bin/other".into()]);
    assert_eq!(args(&plan), json!(["/bin/other", "-v"]));
    plan.command = None;
    assert_eq!(args(&plan), json!(["/bin/other"]), "another program does not get the image's arguments");
    plan.extras.workdir = Some("/elsewhere".into());
    assert_eq!(made(&plan, &image(), None, &[]).unwrap()["process"]["cwd"], "/elsewhere");
    let error = made(&self::plan(), &Settings::default(), None, &[]).unwrap_err();
    assert!(error.contains("names no program"), "{error}");
}

#[test]
fn rights_are_taken_and_given() {
    let mut plan = plan();
    plan.cap_drop = vec!["net_raw".into(), "CAP_MKNOD".into()];
    plan.extras.cap_add = vec!["SYS_TIME".into(), "SYS_RESOURCE".into()];
    plan.security_opt = vec!["no-new-privileges:true".into()];
    plan.read_only = true;
    let given = made(&plan, &image(), None, &[]).unwrap();
    let names = capabilities(&given);
    assert!(names.contains(&"CAP_SYS_TIME") && names.contains(&"CAP_CHOWN"));
    assert!(!names.iter().any(|n| ["CAP_NET_RAW", "CAP_MKNOD", "CAP_SYS_RESOURCE"].contains(n)), "{names:?}");
    assert_eq!(given["process"]["noNewPrivileges"], true);
    assert_eq!(given["root"]["readonly"], true);
    plan.cap_drop = vec!["ALL".into()];
    plan.extras.cap_add = vec!["CHOWN".into()];
    assert_eq!(capabilities(&made(&plan, &image(), None, &[]).unwrap()), ["CAP_CHOWN"]);
}

#[test]
fn without_control_groups_nobody_makes_devices() {
    let mut plan = plan();
    plan.extras.cap_add = vec!["CAP_MKNOD".into()];
    let has = |cgroup| capabilities(&made(&plan, &image(), cgroup, &[]).unwrap()).contains(&"CAP_MKNOD");
    assert!(has(Some("/xedge/broker")) && !has(None));
}

#[test]
fn limits_are_units_of_the_kernel_and_never_above_our_own() {
    let mut plan = plan();
    plan.memory_bytes = Some(64 << 20);
    plan.nano_cpus = Some(1_500_000_000);
    plan.pids_limit = Some(30);
    plan.extras.memory_reservation = Some(32 << 20);
    plan.extras.cpu_shares = Some(512);
    plan.extras.ulimits = BTreeMap::from([
        ("nofile".into(), (64, i64::MAX)),
        ("core".into(), (-1, -1)),
        ("odd".into(), (1, 1)),
    ]);
    let made = made(&plan, &image(), Some("/xedge-r-broker"), &[]).unwrap();
    assert_eq!(made["linux"]["cgroupsPath"], "/xedge-r-broker");
    let resources = &made["linux"]["resources"];
    assert_eq!(resources["memory"], json!({"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20}));
    assert_eq!(resources["cpu"], json!({"period": 100_000, "quota": 150_000, "shares": 512}));
    assert_eq!(resources["pids"], json!({"limit": 30}));
    let limits = made["process"]["rlimits"].as_array().unwrap();
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    assert_eq!(limits.len(), 2);
    assert_eq!(limits[1], json!({"type": "RLIMIT_NOFILE", "soft": 64, "hard": most.min(i64::MAX as u64)}));
}

#[test]
fn mounts_on_top_of_others_come_later() {
    let mut plan = plan();
    plan.tmpfs = BTreeMap::from([("/run".into(), "size=1m,exec".into())]);
    plan.extras.device_stubs = vec!["/dev/ttyUSB0".into()];
    plan.extras.shm_bytes = Some(4096);
    let bind = |target: &str, read_only| Bind { source: "/s".into(), target: target.into(), read_only };
    let binds = [bind("/run/secrets/a", true), bind("/data", false)];
    let made = made(&plan, &image(), None, &binds).unwrap();
    let mounts = made["mounts"].as_array().unwrap();
    let place = |target: &str| mounts.iter().position(|mount| mount["destination"] == target).unwrap();
    assert!(place("/run") < place("/run/secrets/a"));
    assert_eq!(mounts[place("/run")]["options"], json!(["nosuid", "nodev", "size=1m", "exec"]));
    assert_eq!(mounts[place("/run/secrets/a")]["options"], json!(["rbind", "rprivate", "ro"]));
    assert_eq!(mounts[place("/data")]["options"], json!(["rbind", "rprivate", "rw"]));
    assert!(mounts[place("/dev/shm")]["options"].as_array().unwrap().contains(&json!("size=4096")));
    assert_eq!(made["linux"]["devices"][0]["path"], "/dev/ttyUSB0");
}

#[test]
fn a_command_beside_the_program_has_its_user_and_environment() {
    let (plan, image) = (plan(), image());
    let user = User { uid: 1, gid: 2, groups: vec![], home: "/".into() };
    let parts = Parts {
        image: &image,
        plan: &plan,
        user: &user,
        rootfs: "/r",
        network: "/n",
        binds: &[],
        cgroup: None,
        init: Some("/usr/bin/docker-init"),
    };
    let beside = process(&parts, &["/check".into()]);
    assert_eq!(beside["args"], json!(["/check"]));
    assert_eq!(beside["user"]["uid"], 1);
    let main = config(&parts).unwrap();
    assert_eq!(main["process"]["args"], json!(["/sbin/docker-init", "--", "/bin/broker", "-c", "file"]));
    assert_eq!(main["process"]["env"], beside["env"]);
}
