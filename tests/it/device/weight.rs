//! What the agent weighs, as it is deployed: its file, and its memory while it installs a large release. It compiles the agent and
//! makes half a gigabyte, so it is no part of `ci device`: `cargo xtask ci device-faults`.

use std::fs::{self, File};
use std::io::{self, Read as _};

use xedge_model::Platform;

use super::Device;
use super::operate::lines;
use super::pair::{ALL_PLATFORMS, platforms};
use super::stand::{Board, HOST};
use crate::sim::bench::Bench;
use crate::support::{command, edit, finish, root};

/// What a program may have, in bytes.
const FILE: u64 = 15 << 20;
/// What it may have in memory, in kB.
const MEMORY: u64 = 30 << 10;
/// How large the release is, in bytes.
const RELEASE: u64 = 500 << 20;

#[test]
fn the_agent_is_small_on_disk_and_in_memory() {
    let (bench, image) = large();
    let flags = ["release", "--image", &image, "--name", "large", "--port", "18839"];
    let printed = bench.run(&flags).expect(0).stdout;
    let bundle = bench.project().join(printed.lines().last().unwrap());
    assert!(fs::metadata(&bundle).unwrap().len() >= RELEASE);

    let device = Device::start(&Board::default());
    device.run("touch /run/no-agent");
    // Without `--agent`, as for anybody: the program that is built for devices. Not in the copy, which would compile it anew.
    let mut deploy = command(&root(), &["deploy", "--host", HOST, "--format", "json", "--bundle"]);
    deploy.arg(&bundle).arg("--ssh-config").arg(device.folder().join("config"));
    deploy.env("XEDGE_HOME", bench.home());
    Watch::start(&device);
    let report = lines(&finish(deploy).expect(0)).remove(0);
    let deployed = Watch::peak(&device);
    assert!(report["sentBytes"].as_u64() >= Some(RELEASE), "{report}");

    let file = device.run("stat --dereference --format %s /usr/local/bin/xedge-agent");
    let file = file.trim().parse::<u64>().unwrap();
    assert!(file < FILE, "the agent has {file} bytes");

    // The same from a stick, into an Engine that has nothing of it any more.
    device.run("xedge-agent remove large && xedge-agent gc && docker image prune --all --force");
    let stick = device.bring(&bundle);
    Watch::start(&device);
    device.run(&format!("xedge-agent apply {stick}"));
    let applied = Watch::peak(&device);
    eprintln!(
        "the agent: {file} bytes; {deployed} kB while it is deployed to, {applied} kB while it applies a file"
    );
    assert!(deployed.max(applied) < MEMORY, "{deployed} and {applied} kB of memory");
}

/// A project whose broker has half a gigabyte in it that does not get smaller.
fn large() -> (Bench, String) {
    let mut bench = Bench::new();
    let name = format!("it-weight/large-{}", std::process::id());
    bench.own_broker(&name, "listener", "# large\nlistener");
    let folder = bench.project().join("images/mqtt-broker");
    let native = Platform::of_machine(std::env::consts::ARCH).unwrap();
    edit(&folder.join("image.yaml"), ALL_PLATFORMS, &platforms(native));
    let mut random = File::open("/dev/urandom").unwrap().take(RELEASE);
    io::copy(&mut random, &mut File::create(folder.join("rootfs/large")).unwrap()).unwrap();
    (bench, name)
}

/// Notes on the device how much memory each process of the agent has had at most, until it is asked.
struct Watch;

impl Watch {
    fn start(device: &Device) {
        let noting = "while [ -e /run/noting ]; do for pid in $(pgrep -x xedge-agent); do \
                      sed -n 's/^VmHWM:[^0-9]*//p' /proc/$pid/status; done >>/run/noted; sleep 0.05; done";
        device.run(&format!(
            "touch /run/noting; : >/run/noted; sh -c {} </dev/null >/dev/null 2>&1 &",
            quoted(noting)
        ));
    }

    /// In kB.
    fn peak(device: &Device) -> u64 {
        let most = device.run("rm /run/noting; sort -n /run/noted | tail -n 1 | sed 's/ kB//'");
        most.trim().parse().unwrap_or_else(|_| panic!("nothing was noted: {most}"))
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
