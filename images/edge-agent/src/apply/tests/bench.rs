//! A device in a folder: its home, its Engine, and releases to put on it. Everything lies at the same paths for every process,
//! so that a test's child can go on with it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::rc::Rc;
use std::sync::RwLock;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::compose::Condition;
use xedge_model::stack::Probe;
use xedge_model::{Digest, ImageName};
use xedge_wire::{Applied, Event};

use super::super::bring::{self, Target};
use super::super::{Agent, Data, Events, Recovered, recover_all, remove, rollback};
use crate::engine::fake::Behaviour;
use crate::engine::{
    Container, ContainerSpec, Engine, Fake, ImageLoad, LayerLoad, MountSpec, NetworkSpec, PortSpec, Restart,
    Source, VolumeSpec,
};
use crate::facts::Machine;
use crate::forge::Forge;
use crate::home::StackHome;
use crate::plan::{MountFile, MountFolder, ReleasePlan, ServicePlan};
use crate::records::Lock;
use crate::state::{Accept, Check, Checks, Placed};
use crate::trust::{Enrolment, enrol};
use crate::{Clock, Device, Home, Result, TrustStore, records, secrets};

pub(super) const STACK: &str = "edge";
/// Held by whoever may hold the device's lock, against whoever makes a process: between fork and exec, a child has every open
/// file of its parent, and a lock stays taken for that moment.
pub(super) static FORKS: RwLock<()> = RwLock::new(());
/// Milliseconds that pass between two boots, at least.
const BOOT: u64 = 1_000_000_000;

/// Called between two steps with the number of the step that comes.
type OnStep = Box<dyn Fn(u64, &str)>;

/// A clock that stands still, except where somebody waits.
pub(super) struct TestClock {
    now: Rc<Cell<u64>>,
    steps: Cell<u64>,
    on_step: RefCell<OnStep>,
}

impl Clock for TestClock {
    fn unix(&self) -> i64 {
        1_800_000_000 + i64::try_from(self.now.get() / 1000).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now.get())
    }

    fn sleep(&self, time: Duration) {
        self.now.set(self.now.get() + u64::try_from(time.as_millis()).unwrap());
    }

    fn step(&self, name: &str) {
        self.steps.set(self.steps.get() + 1);
        (self.on_step.borrow())(self.steps.get(), name);
    }
}

/// A device.
pub(super) struct Bench {
    pub(super) home: Home,
    pub(super) engine: Fake,
    pub(super) clock: TestClock,
    machine: Machine,
    pub(super) events: RefCell<Vec<Event>>,
}

/// An operation that a test carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Installs this release.
    Install(u64),
    /// A person starts a container.
    ByHand,
    /// Installs this release, which takes that container over.
    Adopt(u64),
    /// Goes back.
    Rollback,
    /// Takes the stack away.
    Remove,
}

impl Bench {
    /// The device in `folder`, after another start of the machine: the same one if it is there, or a new one that is enrolled.
    pub(super) fn at(folder: &Utf8Path) -> Self {
        let file = folder.join("starts");
        let starts = fs::read_to_string(&file).map_or(0, |text| text.parse::<u64>().unwrap()) + 1;
        fs::write(&file, starts.to_string()).unwrap();
        let now = Rc::new(Cell::new(starts * BOOT));
        let shared = now.clone();
        let clock = TestClock { now, steps: Cell::new(0), on_step: RefCell::new(Box::new(|_, _| {})) };
        let bench = Self {
            home: Home::new(folder.join("home")),
            engine: Fake::open(folder.join("engine"), move || shared.get()),
            clock,
            machine: Machine::real(),
            events: RefCell::default(),
        };
        if !bench.home.trust().exists() {
            enrol(&bench.home, &Forge::new().trusted(), &Device::new(None, &[3; 16]), Enrolment::First)
                .unwrap();
            secrets::put(&bench.stack(), "password", own().0, b"secret-1").unwrap();
        }
        bench
    }

    pub(super) fn stack(&self) -> StackHome {
        self.home.stack(STACK)
    }

    pub(super) fn agent(&self) -> Agent<'_> {
        Agent {
            home: &self.home,
            engine: &self.engine,
            machine: &self.machine,
            clock: &self.clock,
            version: "0.1.0",
        }
    }

    pub(super) fn trust(&self) -> TrustStore {
        TrustStore::open(&self.home).unwrap()
    }

    /// Called before each step, from now on.
    pub(super) fn on_step(&self, call: impl Fn(u64, &str) + 'static) {
        self.clock.steps.set(0);
        *self.clock.on_step.borrow_mut() = Box::new(call);
    }

    pub(super) fn act(&self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Install(seq) => self.install(seq).map(drop),
            Deed::ByHand => {
                self.start_by_hand();
                Ok(())
            }
            Deed::Adopt(seq) => self.adopt(seq).map(drop),
            Deed::Rollback => self.rollback().map(drop),
            Deed::Remove => self.remove(Data::Keep),
        }
    }

    pub(super) fn install(&self, seq: u64) -> Result<Applied> {
        self.bring(seq, None)
    }

    /// Takes over a container that was started by hand.
    pub(super) fn adopt(&self, seq: u64) -> Result<Applied> {
        let found = self.engine.inspect("old-broker")?.unwrap();
        let placed = Placed {
            container: found.id,
            name: found.name,
            image: found.image,
            image_name: String::new(),
            manifest: None,
            spec: None,
            restart: found.restart,
            attempts: 0,
            memory: None,
            ports: vec![port(1883)],
            stop_grace_s: 10,
            ends: false,
        };
        self.bring(seq, Some(("broker".to_owned(), placed)))
    }

    fn bring(&self, seq: u64, adopted: Option<(String, Placed)>) -> Result<Applied> {
        let agent = self.agent();
        let _no_fork = FORKS.read();
        let _lock = Lock::take(&self.home, &self.clock, Duration::ZERO)?;
        let mut trust = self.trust();
        let _cut_short = super::super::recover::locked(agent, &mut trust, STACK)?;
        let load = |manifest: &Digest, _: &mut Events<'_>| self.load(manifest);
        let target = Target {
            stack: STACK.to_owned(),
            version: format!("1.{seq}"),
            config: None,
            data_version: data_version(seq),
            checks: checks(),
            plan: self.plan(seq),
            accept: Accept { seq, timestamp_version: seq, data_floor: data_version(seq), signed: 0 },
            members: Vec::new(),
            secrets: [("password".to_owned(), secrets::version(&self.stack(), "password").unwrap())].into(),
            head: format!("head of {seq}").into_bytes(),
            load: &load,
            adopted,
            adopted_volumes: BTreeMap::new(),
        };
        let change = bring::compare(agent, &target)?;
        change.carry_out(agent, &mut trust, &target, &mut |event| self.events.borrow_mut().push(event))
    }

    pub(super) fn rollback(&self) -> Result<Applied> {
        let _no_fork = FORKS.read();
        let mut events = |event| self.events.borrow_mut().push(event);
        rollback(&self.agent(), &mut self.trust(), STACK, &mut events)
    }

    pub(super) fn remove(&self, data: Data) -> Result<()> {
        let _no_fork = FORKS.read();
        let mut events = |event| self.events.borrow_mut().push(event);
        remove(&self.agent(), &mut self.trust(), STACK, data, &mut events)
    }

    pub(super) fn recover(&self) -> Result<Recovered> {
        let _no_fork = FORKS.read();
        let mut all = recover_all(&self.agent(), &mut self.trust())?;
        assert_eq!(all.len(), 1, "one stack");
        all.remove(0).1
    }

    /// Loads an image of one layer.
    fn load(&self, manifest: &Digest) -> Result<String> {
        let layer = format!("layer of {manifest}").into_bytes();
        let config = format!(r#"{{"of":"{manifest}"}}"#).into_bytes();
        let layers = [LayerLoad {
            digest: Digest::of(&layer),
            length: layer.len() as u64,
            diff_id: Digest::of(&layer),
            here: false,
        }];
        self.engine.load(&ImageLoad {
            manifest,
            config: &config,
            config_digest: &Digest::of(&config),
            layers: &layers,
            open: &|_| Ok(Box::new(std::io::Cursor::new(layer.clone()))),
        })
    }

    /// Makes a container as a person would; it has the broker's port.
    pub(super) fn create_by_hand(&self) -> String {
        let image = self.load(&Digest::of(b"by hand")).unwrap();
        self.engine.ensure_volume(&volume("by-hand"), &BTreeMap::new()).unwrap();
        let spec = ContainerSpec {
            image,
            restart: Restart::Always,
            ports: vec![port(1883)],
            mounts: vec![MountSpec {
                source: Source::Volume("by-hand".to_owned()),
                target: "/data".to_owned(),
                read_only: false,
                propagation: None,
            }],
            ..ContainerSpec::default()
        };
        let id = self.engine.create("old-broker", &spec, &BTreeMap::new()).unwrap();
        self.engine.set_restart(&id, Restart::Always).unwrap();
        id
    }

    /// The same, and it runs.
    pub(super) fn start_by_hand(&self) -> Container {
        let id = self.create_by_hand();
        self.engine.start(&id).unwrap();
        self.engine.inspect(&id).unwrap().unwrap()
    }

    /// What each release consists of: from 1 to 2 the broker and the gateway change, `extra` stays, `gone` goes and hands its
    /// port to `fresh`, which comes. Later ones are like 2, with yet another gateway.
    pub(super) fn plan(&self, seq: u64) -> ReleasePlan {
        let file = |text: String| MountFile { path: "conf".into(), mode: 0o644, bytes: text.into_bytes() };
        let folder = |text: String| {
            let digest = Digest::of(text.as_bytes());
            MountFolder { digest, owner: own(), files: vec![file(text)] }
        };
        let broker = folder(format!("broker {}", seq.min(2)));
        let data = MountSpec {
            source: Source::Volume("edge_data".to_owned()),
            target: "/data".to_owned(),
            read_only: false,
            propagation: None,
        };
        let version = secrets::version(&self.stack(), "password").unwrap();
        let secret = MountSpec {
            source: Source::Secret { path: self.stack().secret("password", version).into_string(), version },
            target: "/run/secrets/password".to_owned(),
            read_only: true,
            propagation: None,
        };
        let conf = MountSpec {
            source: Source::Path(self.stack().mount(&broker.digest).into_string()),
            target: "/conf".to_owned(),
            read_only: true,
            propagation: None,
        };
        let mut services = BTreeMap::from([
            service("broker", &format!("broker {}", seq.min(2)), &[1883], vec![conf, data, secret], &[]),
            service("gateway", &format!("gateway {seq}"), &[], Vec::new(), &["broker"]),
            service("extra", "extra", &[9000], Vec::new(), &[]),
        ]);
        services.extend([match seq {
            1 => service("gone", "gone", &[8080], Vec::new(), &[]),
            _ => service("fresh", "fresh", &[8080], Vec::new(), &["broker"]),
        }]);
        let last = if seq == 1 { "gone" } else { "fresh" };
        ReleasePlan {
            services,
            order: ["broker", "extra", "gateway", last].map(str::to_owned).to_vec(),
            networks: vec![NetworkSpec { name: "edge_default".to_owned(), driver: None, internal: false }],
            volumes: vec![volume("edge_data")],
            mounts: vec![broker],
        }
    }

    /// What stands in the volume stays there whatever happens.
    pub(super) fn write_data(&self) {
        fs::write(self.engine.volume_data("edge_data").join("messages"), "retained").unwrap();
    }

    pub(super) fn check_data(&self) {
        let data = fs::read_to_string(self.engine.volume_data("edge_data").join("messages"));
        assert_eq!(data.unwrap(), "retained", "the volume's data");
        let secret = fs::read_to_string(self.stack().secret("password", 1));
        assert_eq!(secret.unwrap(), "secret-1", "the secret");
    }

    /// How a service behaves from now on.
    pub(super) fn behave(&self, service: &str, seq: u64, behaviour: Behaviour) {
        let mut faults = self.engine.faults().unwrap();
        let planned = &self.plan(seq).services[service];
        let manifest = planned.spec.manifest.clone().unwrap();
        faults.behaviours.insert(manifest.to_string(), behaviour);
        self.engine.set_faults(&faults).unwrap();
    }

    pub(super) fn container(&self, name: &str) -> Container {
        self.engine.inspect(name).unwrap().unwrap_or_else(|| panic!("no container {name}"))
    }

    /// The release that the device runs, as a whole: none, or every service of one and nothing else.
    pub(super) fn runs(&self) -> Option<u64> {
        let state = records::load_state(&self.stack()).unwrap();
        assert_eq!(records::load_journal(&self.stack()).unwrap(), None, "no operation is under way");
        let all = self.engine.containers(Some(STACK)).unwrap();
        let current = state.current.as_ref();
        let mut expected = BTreeSet::new();
        for (service, placed) in current.iter().flat_map(|current| &current.services) {
            let found = self.container(&placed.container);
            assert_eq!(found.name, placed.name, "{service} has its name");
            assert!(found.running, "{service} runs: {found:?}");
            assert_eq!(found.restart, placed.restart, "{service} has its restart policy");
            assert_eq!(found.restart, Restart::UnlessStopped, "{service} starts again by itself");
            expected.insert(found.id);
        }
        if let Some(current) = current {
            let plan = self.plan(current.seq);
            let services: BTreeSet<&String> = current.services.keys().collect();
            assert_eq!(services, plan.services.keys().collect(), "all services and no others");
            for (name, placed) in &current.services {
                assert_eq!(
                    placed.spec,
                    Some(plan.services[name].spec.digest()),
                    "{name} is of release {}",
                    current.seq
                );
            }
            let floor = self.trust().floor(STACK).map(|floor| floor.seq);
            assert!(floor >= Some(current.seq), "what runs was accepted: {floor:?}");
        }
        let running: BTreeSet<String> =
            all.iter().filter(|found| found.running).map(|found| found.id.clone()).collect();
        assert_eq!(running, expected, "nothing else runs");
        for (service, placed) in state.previous.iter().flat_map(|previous| &previous.services) {
            let found = self.container(&placed.container);
            if !expected.contains(&found.id) {
                assert_eq!(
                    found.restart,
                    Restart::No,
                    "{service} of the release before stays down at a boot"
                );
                assert!(!found.running);
                expected.insert(found.id);
            }
        }
        let orphans: Vec<&Container> = all.iter().filter(|found| !expected.contains(&found.id)).collect();
        assert!(orphans.is_empty(), "nothing is left over: {orphans:?}");
        current.map(|current| current.seq)
    }
}

/// The user of this process: whoever runs the tests may own files, and nobody else may be given any.
pub(super) fn own() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

/// Release 4 and later write data that earlier ones cannot read.
fn data_version(seq: u64) -> u64 {
    u64::from(seq >= 4)
}

fn checks() -> Checks {
    let probe = Probe::Command { service: "broker".to_owned(), command: vec!["ask".to_owned()] };
    Checks { probes: vec![Check { probe, user: None }], settle_s: 10, start_s: 30 }
}

fn volume(name: &str) -> VolumeSpec {
    VolumeSpec { name: name.to_owned(), folder: None }
}

fn port(number: u16) -> PortSpec {
    PortSpec { address: String::new(), host: number, container: number, protocol: "tcp".to_owned() }
}

fn service(
    name: &str,
    content: &str,
    ports: &[u16],
    mounts: Vec<MountSpec>,
    after: &[&str],
) -> (String, ServicePlan) {
    let spec = ContainerSpec {
        manifest: Some(Digest::of(content.as_bytes())),
        service: name.to_owned(),
        restart: Restart::UnlessStopped,
        ports: ports.iter().map(|number| port(*number)).collect(),
        mounts,
        networks: BTreeMap::from([("edge_default".to_owned(), vec![name.to_owned()])]),
        ..ContainerSpec::default()
    };
    let planned = ServicePlan {
        name: format!("edge-{name}"),
        image: name.parse::<ImageName>().unwrap(),
        spec,
        depends_on: after.iter().map(|name| ((*name).to_owned(), Condition::Started)).collect(),
        stop_grace: Duration::from_secs(10),
        user: Some(own()),
    };
    (name.to_owned(), planned)
}

/// A folder for a device, and its path. In memory where that can be had: what a killed process had written is there all the
/// same, and thousands of fsyncs cost nothing.
pub(super) fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
    (folder, path)
}
