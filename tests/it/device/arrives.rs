//! What goes well: the first contact, an update that touches one service, and everything after a power cut.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::pair::{HUB_PORT, SIDE_PORT, Shelf};
use super::stand::Board;
use super::{Device, agent};

#[test]
fn two_services_arrive_and_one_of_them_changes() {
    let shelf = Shelf::get();
    agent();
    let device = Device::start(&Board { ports: vec![HUB_PORT, SIDE_PORT], ..Board::default() });

    let start = Instant::now();
    let report = said(&device.first_contact(&shelf.first).expect(0).stdout);
    let took = start.elapsed();
    eprintln!("first deployment: {took:.1?}, {} bytes in {} ms", report["sentBytes"], report["sendingMs"]);
    assert_eq!((&report["agentInstalled"], &report["enrolled"]), (&true.into(), &true.into()), "{report}");
    assert_eq!(device.runs_wholly(), 1);
    device.retain("before");

    let hub = device.container("hub");
    let away = Away::of(device.port(SIDE_PORT));
    let untouched = Away::of(device.port(HUB_PORT));
    let report = said(&device.deploy(&shelf.second, &[]).expect(0).stdout);
    let (away, untouched) = (away.longest(), untouched.longest());
    eprintln!(
        "update: `side` was away for {away:.1?}, {} bytes in {} ms",
        report["sentBytes"], report["sendingMs"]
    );
    assert_eq!(report["kept"], serde_json::json!(["hub"]), "{report}");
    assert_eq!(device.container("hub"), hub, "a service that did not change was touched");
    assert!(untouched < Duration::from_secs(1), "`hub` was away for {untouched:?}");
    assert!(away < Duration::from_secs(2), "`side` was away for {away:?}");
    assert_eq!(device.runs_wholly(), 2);
    assert!(report["sentBytes"].as_u64() < Some(1 << 20), "layers travelled again: {report}");

    compare(&device, &report);

    let report = said(&device.deploy(&shelf.second, &[]).expect(0).stdout);
    assert_eq!(report["unchanged"], true, "{report}");

    device.cut_power();
    device.boot();
    device.assert_retained("before");
    assert_eq!(device.runs_wholly(), 2);
}

/// Prints how the usual way compares, with an image of 340 MB. How long it takes is not what is tested.
fn compare(device: &Device, update: &Value) {
    let start = Instant::now();
    let ssh =
        format!("docker save xedge-test/board | {}/bin/ssh device docker load", device.folder().display());
    let status = Command::new("sh").args(["-c", &ssh]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    let usual = start.elapsed();
    let sending = Duration::from_millis(update["sendingMs"].as_u64().unwrap());
    let ratio = usual.as_secs_f64() / sending.as_secs_f64().max(0.001);
    let line = format!(
        "`docker save | ssh docker load`: {usual:.1?}; the update was sent in {sending:.1?}: {ratio:.0} times faster\n"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The last line on stdout, where the report is.
#[track_caller]
fn said(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{stdout}"))
}

/// Asks a broker for a login again and again: the Engine's proxy takes connections whether or not something answers.
struct Away {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Away {
    fn of(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                if lets_in(port) {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                sleep(Duration::from_millis(10));
            }
            longest.max(last.elapsed())
        });
        Self { stop, thread }
    }

    /// The longest time between two logins.
    fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn lets_in(port: u16) -> bool {
    let answer = || -> std::io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    answer().is_ok_and(|bytes| bytes == *b"\x20\x02\x00\x00")
}
