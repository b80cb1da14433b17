//! Deliveries to the agent's own code, as a process of its own behind a shell, with real files and the Engine that is a folder.
#![expect(unreachable_pub, reason = "modules of one test binary")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy.toml allows only in the tests themselves"
)]

mod device;
#[expect(dead_code, reason = "the agent's tests use all of it")]
#[path = "../../../../../images/edge-agent/src/forge.rs"]
mod forge;
mod release;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xedge_deploy::{Delivered, Delivery, Error, Local, Observer, Session, WAITS, deliver, persist, plan};
use xedge_model::stack::SecretReference;
use xedge_model::{Class, Failure as _};
use xedge_wire::{DeviceFacts, Event, ToHost, WIRE};

use device::Bench;
use release::Release;

const PIECE: u64 = 1 << 20;

/// What a delivery went through.
#[derive(Debug, Default)]
struct Seen {
    to_send: u64,
    sent: u64,
    complete: u32,
    events: Vec<Event>,
    retries: Vec<String>,
}

impl Observer for Seen {
    fn connected(&mut self, agent: &str, device: &DeviceFacts) {
        assert_eq!((agent, device.status.as_deref()), ("0.1.0", Some("development")));
    }

    fn to_send(&mut self, bytes: u64) {
        self.to_send += bytes;
    }

    fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    fn complete(&mut self) {
        self.complete += 1;
    }

    fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
    }

    fn retrying(&mut self, error: &Error, _wait: Duration) {
        self.retries.push(error.to_string());
    }
}

fn values() -> BTreeMap<String, String> {
    BTreeMap::from([("site".to_owned(), "north".to_owned())])
}

fn go(
    bench: &Bench,
    release: &Release,
    values: &BTreeMap<String, String>,
    seen: &mut Seen,
) -> Result<Delivered, Error> {
    go_with(bench, release, values, &WAITS, seen)
}

fn go_with(
    bench: &Bench,
    release: &Release,
    values: &BTreeMap<String, String>,
    waits: &[Duration],
    seen: &mut Seen,
) -> Result<Delivered, Error> {
    let delivery = Delivery { bundle: &release.file, values, adopt: None, version: "0.1.0", waits };
    let mut transport = Local::new(&bench.cancel);
    let mut contents = |secrets: &[&SecretReference]| {
        Ok(secrets
            .iter()
            .map(|secret| format!("-u sensor -P {}-content\n", secret.name).into_bytes())
            .collect::<Vec<_>>())
    };
    deliver(&mut transport, &bench.place(), &delivery, &bench.cancel, &mut contents, seen)
}

#[test]
fn a_first_delivery_brings_all_and_the_next_one_nothing() {
    let (bench, release) = (Bench::new(), Release::new(1, &vec![7; 3_000_000], 7));
    bench.enrol(&release);
    let mut seen = Seen::default();
    let delivered = go(&bench, &release, &values(), &mut seen).unwrap();
    assert_eq!((delivered.applied.seq, delivered.applied.unchanged), (1, false));
    assert!(delivered.applied.changed.contains_key("broker"), "{delivered:?}");
    assert_eq!((seen.sent, seen.to_send, seen.complete), (seen.to_send, seen.sent, 1));
    assert_eq!(delivered.sent, seen.sent + release.file.head_length());
    assert!(seen.events.contains(&Event::Committed), "{:?}", seen.events);
    assert_eq!(bench.secret("passwords"), b"-u sensor -P passwords-content\n");
    assert_eq!(bench.secret_mode("passwords"), 0o400);
    assert_eq!(bench.site(), "north");

    let mut again = Seen::default();
    let delivered = go(&bench, &release, &BTreeMap::new(), &mut again).unwrap();
    assert!(delivered.applied.unchanged, "{delivered:?}");
    assert_eq!((again.sent, delivered.sent), (0, release.file.head_length()));
}

#[test]
fn an_update_sends_what_the_plan_says_and_not_the_layer_that_is_there() {
    let bench = Bench::new();
    let first = Release::new(1, &vec![7; 3_000_000], 7);
    bench.enrol(&first);
    go(&bench, &first, &values(), &mut Seen::default()).unwrap();

    // The same image, another configuration.
    let second = Release::new(2, &vec![7; 3_000_000], 8);
    let mut session = Session::open(&Local::new(&bench.cancel), &bench.place(), "0.1.0").unwrap();
    let planned =
        plan(&second.file, xedge_agent::facts::Machine::architecture(), &session.inventory().unwrap())
            .unwrap();
    drop(session);
    let mut seen = Seen::default();
    let delivered = go(&bench, &second, &BTreeMap::new(), &mut seen).unwrap();
    assert_eq!(delivered.applied.seq, 2);
    assert_eq!(delivered.sent, planned.travels, "{planned:?}");
    assert!(delivered.sent < 60_000, "{} bytes travelled, and the layer has 3 MB", delivered.sent);
    assert!(planned.bytes > 3_000_000, "{planned:?}");
}

#[test]
fn a_connection_that_breaks_again_and_again_sends_nothing_twice() {
    let (bench, release) = (Bench::new(), Release::new(1, &vec![9; 6_500_000], 7));
    bench.enrol(&release);
    let (mut seen, length) = (Seen::default(), release.file.length());
    // Each number of bytes reaches the agent, then the line is dead: within a greeting, a head, a member, a piece.
    bench.cut_after(&[10, 3_000, 30_000, 2_000_000, 2_500_000]);
    let delivered = go(&bench, &release, &values(), &mut seen).unwrap();
    assert_eq!((delivered.applied.seq, delivered.retries), (1, 5), "{:?}", seen.retries);
    assert!(seen.retries.iter().all(|error| error.contains("broke")), "{:?}", seen.retries);
    // What was on its way when the line died is lost: up to a piece, and what the pipes hold.
    let lost = 5 * (PIECE + 256 * 1024 + release.file.head_length());
    assert!(delivered.sent < length + lost, "{} of {length} bytes were sent", delivered.sent);
    assert!(delivered.sent > 6_500_000);
}

#[test]
fn an_agent_that_is_killed_while_it_installs_is_asked_again() {
    let (bench, release) = (Bench::new(), Release::new(1, &vec![9; 100_000], 7));
    bench.enrol(&release);
    let mut seen = Seen::default();
    bench.kill_at("Loading");
    let delivered = go(&bench, &release, &values(), &mut seen).unwrap();
    assert_eq!((delivered.applied.seq, delivered.retries), (1, 1), "{:?}", seen.retries);
}

/// Tries with short waits; fails unless it gave up after as many new connections as there are waits.
#[track_caller]
fn gives_up(bench: &Bench, release: &Release) {
    const SHORT: [Duration; 3] = [Duration::from_millis(1); 3];
    let mut seen = Seen::default();
    let error = go_with(bench, release, &values(), &SHORT, &mut seen).unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    assert_eq!(seen.retries.len(), SHORT.len(), "{:?}", seen.retries);
}

#[test]
fn it_gives_up_when_nothing_gets_through() {
    let (bench, release) = (Bench::new(), Release::new(1, &vec![9; 3_000_000], 7));
    bench.enrol(&release);
    // Before the greeting, and behind the head: that it was sent again is no progress.
    for cut in [0, release.file.head_length() + 400] {
        bench.cut_after(&[cut; 20]);
        gives_up(&bench, &release);
    }
}

#[test]
fn it_gives_up_on_an_agent_that_dies_whenever_it_installs() {
    let (bench, release) = (Bench::new(), Release::new(1, &vec![9; 100_000], 7));
    bench.enrol(&release);
    bench.kill_always_at("Loading");
    gives_up(&bench, &release);
}

#[test]
fn waiting_for_the_next_try_can_be_stopped() {
    let (bench, release) = (Bench::new(), Release::new(1, &[9; 100], 7));
    bench.enrol(&release);
    bench.cut_after(&[0; 20]);
    let cancel = bench.cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        cancel.cancel();
    });
    let start = Instant::now();
    let waits = [Duration::from_mins(1)];
    let error = go_with(&bench, &release, &values(), &waits, &mut Seen::default()).unwrap_err();
    stopper.join().unwrap();
    assert_eq!(error.class(), Class::Interrupted, "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_step_that_gets_further_each_time_is_not_given_up() {
    let bench = Bench::new();
    let (mut local, waits) = (Local::new(&bench.cancel), [Duration::ZERO; 2]);
    let broken = || Error::Broken { host: "h".into(), what: "send".into(), detail: String::new() };
    for (further, expected) in [(true, 10), (false, 3)] {
        let mut tries = 0;
        let done = persist(&mut local, &bench.cancel, &waits, &mut (), &mut |_, observer| {
            tries += 1;
            observer.sent(if further { tries } else { 5 });
            // The first bytes count too.
            if tries < if further { 10 } else { 99 } { Err(broken()) } else { Ok(()) }
        });
        assert_eq!(done.is_ok(), further);
        assert_eq!(tries, expected);
    }
}

#[test]
fn nothing_is_installed_behind_a_value_that_was_not_taken() {
    let (bench, release) = (Bench::new(), Release::new(1, &[7; 1_000], 7));
    bench.enrol(&release);
    bench.hurry();
    let lock = bench.lock();
    let error = go_with(&bench, &release, &values(), &[], &mut Seen::default()).unwrap_err();
    assert_eq!((error.code(), error.class()), (Some("busy"), Class::Environment), "{error}");
    drop(lock);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(bench.installed(), None, "it was installed although the command had failed");
}

#[test]
fn a_device_on_which_somebody_else_is_at_work_is_asked_again() {
    let (bench, release) = (Bench::new(), Release::new(1, &[7; 1_000], 7));
    bench.enrol(&release);
    bench.hurry();
    let lock = bench.lock();
    let release_it = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_500));
        drop(lock);
    });
    let mut seen = Seen::default();
    let waits = [Duration::from_millis(300); 20];
    let delivered = go_with(&bench, &release, &values(), &waits, &mut seen).unwrap();
    release_it.join().unwrap();
    assert_eq!((delivered.applied.seq, bench.site().as_str()), (1, "north"));
    assert!(seen.retries.iter().any(|error| error.contains("another xedge-agent is at work")), "{seen:?}");
}

#[test]
fn values_are_checked_here_and_missing_ones_named_before_layers_travel() {
    let (bench, release) = (Bench::new(), Release::new(1, &vec![7; 3_000_000], 7));
    bench.enrol(&release);
    let mut seen = Seen::default();
    let error = go(&bench, &release, &BTreeMap::new(), &mut seen).unwrap_err();
    assert!(error.to_string().contains("no value for `site`"), "{error}");
    assert_eq!(error.hint().unwrap(), "give it once, such as `--set site=lab`");
    assert_eq!((error.code(), error.class(), seen.sent), (Some("device-values"), Class::Input, 0));
    assert!(error.to_string().ends_with(" [device-values]"), "{error}");

    let bad = BTreeMap::from([("site".to_owned(), "North 1".to_owned()), ("x".to_owned(), "y".to_owned())]);
    let error = go(&bench, &release, &bad, &mut seen).unwrap_err();
    assert!(
        error.to_string().contains("does not match") && error.to_string().contains("no device value `x`"),
        "{error}"
    );
}

#[test]
fn secrets_that_are_missing_here_stop_it_before_layers_travel() {
    let (bench, release) = (Bench::new(), Release::new(1, &vec![7; 3_000_000], 7));
    bench.enrol(&release);
    let values = values();
    let delivery =
        Delivery { bundle: &release.file, values: &values, adopt: None, version: "0.1.0", waits: &WAITS };
    let mut asked = Vec::new();
    let mut contents = |secrets: &[&SecretReference]| -> Result<Vec<Vec<u8>>, Error> {
        asked.extend(secrets.iter().map(|secret| (secret.name.clone(), secret.owner)));
        Err(Error::Interrupted)
    };
    let mut seen = Seen::default();
    let done = deliver(
        &mut Local::new(&bench.cancel),
        &bench.place(),
        &delivery,
        &bench.cancel,
        &mut contents,
        &mut seen,
    );
    assert_eq!(done.unwrap_err().class(), Class::Interrupted);
    assert_eq!(asked.len(), release.file.manifest().config.secrets.len());
    assert_eq!((seen.sent, seen.complete), (0, 0));
}

#[test]
fn an_older_release_is_refused_by_the_device_with_its_code() {
    let bench = Bench::new();
    let (new, old) = (Release::new(5, &[7; 1_000], 7), Release::new(4, &[7; 1_000], 7));
    bench.enrol(&new);
    go(&bench, &new, &values(), &mut Seen::default()).unwrap();
    let error = go(&bench, &old, &values(), &mut Seen::default()).unwrap_err();
    assert_eq!((error.code(), error.class()), (Some("rollback"), Class::Integrity), "{error}");
}

#[test]
fn a_device_of_other_keys_is_told_the_way_out() {
    let (bench, release) = (Bench::new(), Release::new(1, &[7; 1_000], 7));
    let production = Release::production(1);
    bench.enrol(&release);
    let error = go(&bench, &production, &values(), &mut Seen::default()).unwrap_err();
    assert!(error.hint().unwrap().contains("--reenroll"), "{error}: {:?}", error.hint());
    assert_eq!((error.code(), error.class()), (Some("development-keys"), Class::Integrity));
    assert!(error.to_string().ends_with(" [development-keys]"), "{error}");
}

#[test]
fn a_bundle_for_other_processors_is_refused_with_its_code() {
    let release = Release::new(1, &[7; 1_000], 7);
    let error = plan(&release.file, "riscv64", &xedge_wire::Inventory::default()).unwrap_err();
    assert_eq!((error.code(), error.class()), (Some("platform"), Class::Integrity));
}

#[test]
fn a_device_that_is_not_enrolled_or_has_no_agent_says_so() {
    let (bench, release) = (Bench::new(), Release::new(1, &[7; 1_000], 7));
    let mut contents = |_: &[&SecretReference]| Ok::<Vec<Vec<u8>>, Error>(Vec::new());
    let values = values();
    let delivery =
        Delivery { bundle: &release.file, values: &values, adopt: None, version: "0.1.0", waits: &WAITS };
    let mut local = Local::new(&bench.cancel);
    let done = deliver(&mut local, &bench.place(), &delivery, &bench.cancel, &mut contents, &mut ());
    assert!(matches!(done, Err(Error::Device { .. })), "{done:?}");

    let mut nowhere = bench.place();
    nowhere.program = "/nonexistent/xedge-agent".into();
    nowhere.root = true;
    let done = deliver(&mut local, &nowhere, &delivery, &bench.cancel, &mut contents, &mut ());
    assert!(matches!(done, Err(Error::NoAgent { .. })), "{done:?}");
    assert!(done.unwrap_err().hint().unwrap().contains("cargo xtask deploy --host"));
}

#[test]
fn an_agent_of_another_protocol_is_older_or_newer() {
    let bench = Bench::new();
    for (wire, hint) in
        [(WIRE - 1, "a deployment replaces it"), (WIRE + 1, "use the xedge that deployed to it last")]
    {
        bench.answer_with(&ToHost::Hello { wire, agent: "9".into(), device: Box::default() });
        let error = Session::open(&Local::new(&bench.cancel), &bench.place(), "0.1.0").unwrap_err();
        assert_eq!(matches!(error, Error::Older { .. }), wire < WIRE, "{error}");
        assert_eq!(matches!(error, Error::Newer { .. }), wire > WIRE, "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error}");
    }
}

#[test]
fn a_changed_bundle_is_refused_before_anybody_is_asked() {
    for at in [600, 5_000, 20_000] {
        let error = Release::damaged(at).unwrap_err();
        assert_eq!(error.class(), Class::Integrity, "{error}");
        assert!(error.code().is_some(), "{error}");
    }
}
