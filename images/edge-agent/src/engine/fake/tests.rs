//! What the fake does that the common body does not see: boots, faults, and what outlives a process.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use camino::Utf8Path;
use xedge_model::Digest;
use xedge_wire::Health;

use super::{Behaviour, Fake, Faults};
use crate::engine::{
    Container, ContainerSpec, Engine, HealthSpec, ImageLoad, NetworkSpec, Restart, STACK_LABEL, VolumeSpec,
};

struct Bench {
    folder: tempfile::TempDir,
    now: Rc<Cell<u64>>,
    image: String,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            folder: tempfile::tempdir().expect("a folder"),
            now: Rc::new(Cell::new(1_000)),
            image: String::new(),
        };
        bench.image = bench.load().expect("loaded");
        bench
    }

    /// The Engine, as another process would open it.
    fn fake(&self) -> Fake {
        let now = Rc::clone(&self.now);
        Fake::open(Utf8Path::from_path(self.folder.path()).expect("a plain path"), move || now.get())
    }

    fn load(&self) -> crate::Result<String> {
        let config = b"{}";
        let open = |_: &Digest| -> crate::Result<Box<dyn Read + Send>> { Ok(Box::new(std::io::empty())) };
        self.fake().load(&ImageLoad {
            manifest: &Digest::of(b"manifest"),
            config,
            config_digest: &Digest::of(config),
            layers: &[],
            open: &open,
        })
    }

    fn spec(&self, service: &str) -> ContainerSpec {
        ContainerSpec { image: self.image.clone(), service: service.into(), ..ContainerSpec::default() }
    }

    /// A container with this policy that runs.
    fn running(&self, name: &str, restart: Restart) -> String {
        let fake = self.fake();
        let id = fake.create(name, &self.spec(name), &labels()).expect("made");
        fake.set_restart(&id, restart).expect("set");
        fake.start(&id).expect("started");
        id
    }

    fn look(&self, id: &str) -> Container {
        self.fake().inspect(id).expect("an answer").expect("it is there")
    }

    fn behave(&self, name: &str, behaviour: Behaviour) {
        let behaviours = [(name.to_owned(), behaviour)].into();
        self.fake().set_faults(&Faults { behaviours, ..Faults::default() }).expect("set");
    }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(STACK_LABEL.to_owned(), "edge".to_owned())])
}

#[test]
fn a_boot_starts_what_its_policy_says() {
    let bench = Bench::new();
    for (policy, by_itself, after_stop) in [
        (Restart::No, false, false),
        (Restart::Always, true, true),
        (Restart::UnlessStopped, true, false),
        (Restart::OnFailure, true, false),
    ] {
        let name = format!("{policy:?}");
        let id = bench.running(&name, policy);
        bench.fake().boot().expect("booted");
        assert_eq!(bench.look(&id).running, by_itself, "{name}");
        bench.fake().start(&id).expect("started");
        bench.fake().stop(&id, Duration::ZERO).expect("stopped");
        bench.fake().boot().expect("booted");
        assert_eq!(bench.look(&id).running, after_stop, "{name}, stopped before");
    }
    let id = bench.fake().create("never", &bench.spec("never"), &labels()).expect("made");
    bench.fake().set_restart(&id, Restart::Always).expect("set");
    bench.fake().boot().expect("booted");
    assert!(!bench.look(&id).running, "what never ran is not started");
}

#[test]
fn programs_end_in_their_time_and_policies_start_them_again() {
    let bench = Bench::new();
    let ends = Behaviour { exit_after_ms: Some(1_000), exit_code: 4, ..Behaviour::default() };
    bench.behave("app", ends);
    let id = bench.running("app", Restart::No);
    assert!(bench.look(&id).running);
    bench.now.set(2_000);
    let ended = bench.look(&id);
    assert_eq!((ended.running, ended.exit_code, ended.restarts), (false, 4, 0));
    bench.fake().set_restart(&id, Restart::Always).expect("set");
    assert!(!bench.look(&id).running, "a new policy does not change what was");
    bench.fake().start(&id).expect("started");
    bench.now.set(3_050);
    let waits = bench.look(&id);
    assert_eq!((waits.running, waits.restarting, waits.restarts), (false, true, 1));
    bench.now.set(3_100);
    assert_eq!((bench.look(&id).running, bench.look(&id).restarts), (true, 1));
    bench.now.set(5_350);
    assert_eq!((bench.look(&id).running, bench.look(&id).restarts), (true, 3));
}

#[test]
fn health_follows_the_check_and_the_fault() {
    let bench = Bench::new();
    bench.behave("app", Behaviour { healthy_after_ms: 500, unhealthy: true, ..Behaviour::default() });
    let test = vec!["CMD".to_owned(), "/probe".to_owned()];
    let health =
        HealthSpec { test, interval_ns: None, timeout_ns: None, start_period_ns: None, retries: None };
    let spec = ContainerSpec { health: Some(health), ..bench.spec("app") };
    let id = bench.fake().create("app", &spec, &labels()).expect("made");
    assert_eq!(bench.look(&id).health, Health::None);
    bench.fake().start(&id).expect("started");
    assert_eq!(bench.look(&id).health, Health::Starting);
    bench.now.set(1_500);
    assert_eq!(bench.look(&id).health, Health::Unhealthy);
    bench.behave("app", Behaviour::default());
    assert_eq!(bench.look(&id).health, Health::Healthy);
}

#[test]
fn it_dies_before_or_after_its_work_and_stays_dead() {
    for (done, made) in [(false, false), (true, true)] {
        let bench = Bench::new();
        let fake = bench.fake();
        fake.set_faults(&Faults { dies_at: Some(2), dies_done: done, ..Faults::default() }).expect("set");
        fake.facts().expect("the first call");
        fake.create("app", &bench.spec("app"), &labels()).expect_err("its answer is lost");
        fake.facts().expect_err("it is gone");
        assert_eq!(fake.calls(), 3);
        fake.set_faults(&Faults::default()).expect("set");
        assert_eq!(fake.inspect("app").expect("it is back").is_some(), made);
    }
}

#[test]
fn a_full_disk_takes_nothing_new_and_keeps_what_is_there() {
    let bench = Bench::new();
    let id = bench.running("app", Restart::No);
    let fake = bench.fake();
    fake.set_faults(&Faults { full_at: Some(1), ..Faults::default() }).expect("set");
    let error = fake.create("more", &bench.spec("more"), &labels()).expect_err("no room").to_string();
    assert!(error.contains("no space left"), "{error}");
    let volume = VolumeSpec { name: "edge_data".into(), folder: None };
    fake.ensure_volume(&volume, &labels()).expect_err("no room");
    bench.load().expect_err("no room");
    assert_eq!(fake.create("app", &bench.spec("app"), &labels()).expect("it is there"), id);
    fake.stop(&id, Duration::ZERO).expect("stopped");
    fake.remove(&id).expect("removed");
}

#[test]
fn parts_that_are_missing_are_refused_as_an_engine_does() {
    let bench = Bench::new();
    let fake = bench.fake();
    let network = ContainerSpec { networks: [("n".into(), Vec::new())].into(), ..bench.spec("app") };
    fake.create("app", &network, &labels()).expect_err("no such network");
    let image = ContainerSpec { image: "sha256:none".into(), ..bench.spec("app") };
    fake.create("app", &image, &labels()).expect_err("no such image");
    let spec = NetworkSpec { name: "n".into(), driver: None, internal: false };
    fake.ensure_network(&spec, &labels()).expect("made");
    let id = fake.create("app", &network, &labels()).expect("made");
    assert_eq!(bench.look(&id), bench.look("app"), "another process sees the same");
    bench.behave("app", Behaviour { refuses: Some("exec format error".into()), ..Behaviour::default() });
    let error = fake.start(&id).expect_err("refused").to_string();
    assert!(error.contains("exec format error"), "{error}");
    assert_eq!((bench.look(&id).running, bench.look(&id).exit_code), (false, 128));
}
