//! What goes wrong: releases that do not work, kills and power cuts at random moments, a full disk, a dying Engine. Whatever
//! it is, the device runs one release wholly afterwards, and no data is lost.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Device;
use super::pair::Shelf;
use super::stand::Board;

#[test]
fn bad_releases_go_back_by_themselves() {
    let shelf = Shelf::get();
    let device = Device::with_first(&Board::default());
    device.retain("kept");
    for (bundle, more, reason) in [
        (&shelf.ends, &[][..], "side"),
        (&shelf.refuses, &[], "hub"),
        (&shelf.unwell, &["--set", "address=127.0.0.2"], "hub"),
    ] {
        let before = device.container("hub");
        let ran = device.deploy(bundle, more).expect(2).says(reason);
        assert_eq!(device.runs_wholly(), 1, "{}", ran.stderr);
        if reason == "side" {
            assert_eq!(device.container("hub"), before, "a service that did not change was touched");
        }
        device.assert_retained("kept");
        assert_eq!(device.run("docker ps -aq | wc -l"), "2\n", "containers of a bad release were left");
    }
    // A device is not locked out by it: the next good one goes in.
    device.deploy(&shelf.last, &[]).expect(0);
    assert_eq!(device.runs_wholly(), 6);
}

/// `XEDGE_TEST_KILLS` says how many; CI asks for 20, and for 200 in a job of its own.
#[test]
fn kills_at_random_moments_leave_one_release_whole() {
    let kills: u32 = std::env::var("XEDGE_TEST_KILLS").map_or(20, |text| text.parse().unwrap());
    let shelf = Shelf::get();
    let device = Device::with_first(&Board::default());
    device.retain("kept");
    let second = device.bring(&shelf.second);
    let start = Instant::now();
    device.run(&format!("xedge-agent apply {second}"));
    let whole = start.elapsed();
    let mut random = Random(0x5eed);
    let (mut seen, mut confused) = ([0, 0], 0);
    for kill in 1..=kills {
        if device.runs_wholly() == 2 {
            device.run("xedge-agent rollback pair");
        }
        assert_eq!(device.runs_wholly(), 1);
        let mut apply = device.ssh("root");
        apply.arg(format!("exec xedge-agent apply {second}")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut apply = apply.spawn().unwrap();
        let after = whole.mul_f64(random.next());
        sleep(after);
        // Now and then all of the device goes, not only the agent.
        let power = kill % 5 == 0;
        if power {
            device.cut_power();
            device.boot();
            device.run("touch /run/no-agent; pkill xedge-agent || true");
        } else {
            device.run("killall -q -9 xedge-agent || true");
        }
        apply.wait().unwrap();
        let restarted = device.mend();
        assert!(power || !restarted, "kill {kill} after {after:?}: only a power cut confuses the Engine");
        confused += u32::from(restarted);
        let seq = device.runs_wholly();
        assert!(seq == 1 || seq == 2, "kill {kill} after {after:?}: release {seq} runs");
        seen[usize::try_from(seq).unwrap() - 1] += 1;
        device.assert_retained("kept");
        assert_eq!(device.run("ls /var/lib/xedge/stacks/pair/journal.json 2>/dev/null | wc -l"), "0\n");
    }
    eprintln!(
        "{kills} kills within {whole:.1?}: release 1 ran {} times after it, release 2 {} times; the Engine had to be \
         restarted {confused} times",
        seen[0], seen[1]
    );
    device.run(&format!("xedge-agent apply {second}"));
    assert_eq!(device.runs_wholly(), 2, "the other release can still be had");
}

#[test]
fn a_full_disk_is_refused_and_harms_nothing() {
    let shelf = Shelf::get();
    let device = Device::with_first(&Board { disk_mib: Some(400), ..Board::default() });
    device.retain("kept");
    let second = device.bring(&shelf.second);
    let free = device.run("df --output=avail -B1 /var/lib/xedge | tail -1");
    let free = free.trim().parse::<u64>().unwrap();
    let full = device.try_run(&format!("fallocate -l {} /var/lib/docker/big", free + (1 << 20)));
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left"), "{full:?}");
    device.run("rm -f /var/lib/docker/big");
    device.run(&format!("fallocate -l {} /var/lib/xedge/big", free - (300 << 10)));
    let before = device.picture();
    let error = device.agent_fails(&format!("apply {second}"), 1);
    assert_eq!(error["code"], "no-space", "{error}");
    assert_eq!((device.runs_wholly(), device.picture()), (1, before), "a refusal changed something");
    // The disk is a file on the host, and outlives a power cut as one does.
    device.run("sync");
    device.cut_power();
    device.boot();
    device.run("touch /run/no-agent; rm /var/lib/xedge/big");
    device.mend();
    assert_eq!(device.runs_wholly(), 1);
    device.run(&format!("xedge-agent apply {second}"));
    assert_eq!(device.runs_wholly(), 2);
    device.assert_retained("kept");
}

#[test]
fn an_engine_that_dies_on_the_way_leaves_one_release_whole() {
    let shelf = Shelf::get();
    let device = Device::with_first(&Board::default());
    device.retain("kept");
    let second = device.bring(&shelf.second);
    for after in [200, 800, 1600, 3000] {
        if device.runs_wholly() == 2 {
            device.run("xedge-agent rollback pair");
        }
        let mut apply = device.ssh("root");
        apply.arg(format!("xedge-agent apply {second}")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut apply = apply.spawn().unwrap();
        sleep(Duration::from_millis(after));
        device.run("killall -9 dockerd");
        apply.wait().unwrap();
        device.wait_for_engine();
        // Docker's Engine (20.10) may keep the port of a container that went while it was dead, until it is started in order.
        device.run("killall -q -w dockerd; sleep 1");
        device.wait_for_engine();
        device.mend();
        device.runs_wholly();
        device.assert_retained("kept");
    }
    device.run(&format!("xedge-agent apply {second}"));
    assert_eq!(device.runs_wholly(), 2);
}

/// Numbers from 0 to 1, the same in each run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let upper = u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("half of it");
        f64::from(upper) / f64::from(u32::MAX)
    }
}
