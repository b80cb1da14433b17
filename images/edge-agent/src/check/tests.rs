//! Devices that lack something: machines as folders, an Engine as a folder, a real port of this very process.

use std::cell::Cell;
use std::net::TcpListener;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::stack::SecretReference;
use xedge_model::{Digest, Failure as _};

use super::*;
use crate::engine::{ContainerSpec, Fake, ImageLoad, STACK_LABEL};
use crate::forge::{Forge, NOW};
use crate::state::{Accept, Installed, Placed, StackState};
use crate::trust::{Enrolment, enrol};
use crate::{records, secrets, values};

struct At(i64);

impl Clock for At {
    fn unix(&self) -> i64 {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) {}
}

/// A device on which everything is as the release wants it.
struct Bench {
    folder: tempfile::TempDir,
    home: Home,
    machine: Machine,
    engine: Fake,
    clock: At,
    device: Device,
    trust: TrustStore,
    agent: &'static str,
    manifest: Manifest,
    needs: Needs,
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        let home = Home::new(root.join("home"));
        let machine = Machine::at(root.join("machine"));
        let device = Device::new(None, &[1; 16]);
        let forge = Forge::new();
        let (trust, _) = enrol(&home, &forge.trusted(), &device, Enrolment::First).unwrap();
        let mut manifest = forge.manifest.clone();
        manifest.config.secrets.iter_mut().for_each(|secret| secret.owner = me());
        let stack = home.stack(&manifest.stack);
        for SecretReference { name, owner, .. } in &manifest.config.secrets {
            secrets::put(&stack, name, *owner, b"value").unwrap();
        }
        values::merge(&stack, &[("site".to_owned(), "lab".to_owned())].into()).unwrap();
        let ticks = Cell::new(0);
        let engine = Fake::open(root.join("engine"), move || {
            ticks.set(ticks.get() + 1);
            ticks.get()
        });
        std::fs::create_dir_all(root.join("engine")).unwrap();
        let bench = Self {
            folder,
            home,
            machine,
            engine,
            clock: At(NOW),
            device,
            trust,
            agent: "0.1.0",
            manifest,
            needs: Needs::default(),
        };
        bench.file("proc/meminfo", "MemTotal: 944264 kB\nMemAvailable: 512000 kB\n");
        bench
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.root().join("machine").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn root(&self) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.folder.path().to_owned()).unwrap()
    }

    fn look(&self) -> Look<'_> {
        Look {
            home: &self.home,
            machine: &self.machine,
            engine: &self.engine,
            clock: &self.clock,
            device: &self.device,
            trust: &self.trust,
            agent: self.agent,
        }
    }

    fn found(&self) -> Vec<Obstacle> {
        obstacles(&self.look(), &self.manifest, &self.needs).unwrap()
    }

    /// The one obstacle that there is.
    fn one(&self, code: Code) -> Obstacle {
        let mut found = self.found();
        let codes: Vec<Code> = found.iter().map(|obstacle| obstacle.code).collect();
        assert_eq!(codes, [code], "{found:?}");
        found.remove(0)
    }

    fn service(&mut self, memory: Option<u64>, port: Option<u16>) {
        let port = port.map(|host| PortSpec {
            address: String::new(),
            host,
            container: 1883,
            protocol: "tcp".into(),
        });
        let needs = ServiceNeeds { memory, ports: port.into_iter().collect() };
        self.needs.services.insert("broker".into(), needs);
    }

    fn image(&self) -> String {
        let config =
            br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let digest = Digest::of(config);
        let open = |_: &Digest| -> Result<Box<dyn std::io::Read + Send>> { Ok(Box::new(std::io::empty())) };
        let load = ImageLoad { manifest: &digest, config, config_digest: &digest, layers: &[], open: &open };
        self.engine.load(&load).unwrap()
    }

    /// A container that runs and has a port, with the label of a stack or none.
    fn running(&self, name: &str, port: u16, stack: Option<&str>) {
        let port = PortSpec { address: String::new(), host: port, container: 1883, protocol: "tcp".into() };
        let spec = ContainerSpec {
            service: "broker".into(),
            ports: vec![port],
            image: self.image(),
            ..ContainerSpec::default()
        };
        let labels = stack.map(|stack| (STACK_LABEL.to_owned(), stack.to_owned())).into_iter().collect();
        let id = self.engine.create(name, &spec, &labels).unwrap();
        self.engine.start(&id).unwrap();
    }
}

#[test]
fn a_device_that_has_everything_has_no_obstacles() {
    let mut bench = Bench::new();
    bench.service(Some(128 << 20), None);
    assert_eq!(bench.found(), []);
    check(&bench.look(), &bench.manifest, &bench.needs).unwrap();
    early(&bench.look(), &bench.manifest).unwrap();
}

#[test]
fn all_obstacles_come_at_once_and_the_worst_decides() {
    let mut bench = Bench::new();
    bench.manifest.compatibility.boards = vec!["raspberry-pi-4".into()];
    bench.manifest.compatibility.agent = "9.0.0".into();
    bench.service(Some(64 << 30), None);
    std::fs::remove_file(bench.home.stack("edge").secret("login", 1)).unwrap();
    let error = check(&bench.look(), &bench.manifest, &bench.needs).unwrap_err();
    let Error::Unfit(found) = &error else { panic!("{error}") };
    let codes: Vec<&str> = found.iter().map(|obstacle| obstacle.code.as_str()).collect();
    assert_eq!(codes, ["board", "agent-old", "no-memory", "secret-missing"]);
    assert_eq!((error.class(), error.code()), (Class::Integrity, Some("board")));
    let text = error.to_string();
    for part in ["[board]", "[agent-old]", "[no-memory]", "[secret-missing]", "login"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.hint().unwrap().contains("xedge-agent why board"));
    assert!(early(&bench.look(), &bench.manifest).is_err());
}

#[test]
fn a_board_counts_by_any_of_its_names() {
    let mut bench = Bench::new();
    bench.manifest.compatibility.boards = vec!["raspberry-pi-4".into(), "raspberry-pi-5".into()];
    assert!(bench.one(Code::Board).reason.contains("nothing says"));
    bench.file("proc/device-tree/model", "Raspberry Pi 3 Model B Plus Rev 1.3\0");
    assert!(bench.one(Code::Board).reason.contains("raspberry-pi-3-model-b-plus-rev-1-3"));
    bench.file("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0");
    assert_eq!(bench.found(), []);
    bench.device.settings.board = Some("other".into());
    assert!(bench.one(Code::Board).reason.contains("other"), "its owner knows better than the firmware");
}

#[test]
fn platform_agent_and_engine_must_be_right() {
    let mut bench = Bench::new();
    bench.manifest.compatibility.platforms = vec![Platform::LinuxArm64];
    assert!(bench.one(Code::Platform).reason.contains("linux/amd64"));
    bench.manifest.compatibility.platforms = vec![Platform::LinuxArmV7];
    assert!(bench.one(Code::Platform).reason.ends_with("linux/arm/v7"));
    bench.manifest.compatibility.platforms = vec![Platform::LinuxAmd64];
    bench.manifest.compatibility.engine_api = "1.44".into();
    let found = bench.one(Code::EngineOld);
    assert!(found.reason.contains("1.44") && found.fix.contains("apt-get"), "{found:?}");
    bench.manifest.compatibility.engine_api = "1.5".into();
    assert_eq!(bench.found(), [], "1.41 is later than 1.5");
    bench.manifest.compatibility.agent = "0.1.1".into();
    bench.one(Code::AgentOld);
}

#[test]
fn a_device_of_32_bit_arm_takes_what_was_made_for_it_alone() {
    let mut bench = Bench::new();
    let facts = xedge_wire::EngineFacts { architecture: "arm".into(), ..bench.engine.facts().unwrap() };
    let found = release::compatibility(&bench.look(), &bench.manifest, &facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code, found[0].class()), (Code::Platform, Class::Integrity));
    assert_eq!(
        found[0].reason,
        "the Engine runs linux/arm/v7, and the release is for linux/amd64, linux/arm64"
    );
    bench.manifest.compatibility.platforms.push(Platform::LinuxArmV7);
    assert_eq!(release::compatibility(&bench.look(), &bench.manifest, &facts), []);
}

#[test]
fn data_that_a_release_cannot_read_is_refused() {
    let mut bench = Bench::new();
    let accept = Accept { seq: 1, timestamp_version: 1000, data_floor: 5, signed: 0 };
    bench.trust.accept("edge", &accept).unwrap();
    bench.manifest.data.version = 4;
    let found = bench.one(Code::DataFloor);
    assert!(found.reason.contains('5') && found.reason.contains('4'), "{found:?}");
    assert_eq!(found.class(), Class::Integrity);
    bench.manifest.data.version = 5;
    assert_eq!(bench.found(), []);
}

#[test]
fn room_is_counted_with_what_has_yet_to_come() {
    let mut bench = Bench::new();
    bench.needs.store = 1 << 60;
    let found = bench.one(Code::NoSpace);
    assert!(found.fix.contains("xedge-agent gc"), "{found:?}");
    let free = Machine::room(bench.home.root()).unwrap().free;
    bench.needs = Needs { store: free / 2, layers: free / 4, ..Needs::default() };
    bench.one(Code::NoSpace);
    bench.needs.store = 0;
    bench.needs.layers = 0;
    assert_eq!(bench.found(), []);
}

#[test]
fn memory_is_the_sum_of_all_limits() {
    let mut bench = Bench::new();
    bench.service(Some(500 << 20), None);
    assert_eq!(bench.found(), []);
    let other = ServiceNeeds { memory: Some(500 << 20), ports: vec![] };
    bench.needs.services.insert("gateway".into(), other);
    let found = bench.one(Code::NoMemory);
    assert!(found.reason.contains("1000 MiB") && found.reason.contains("923 MiB"), "{found:?}");
}

#[test]
fn memory_that_other_stacks_may_use_is_not_there_twice() {
    let mut bench = Bench::new();
    bench.service(Some(500 << 20), None);
    let placed: Placed = serde_json::from_str(
        r#"{"container":"a","name":"b","image":"c","manifest":null,"spec":null,"restart":"always","memory":419430400}"#,
    )
    .unwrap();
    let current = Installed { services: [("camera".to_owned(), placed)].into(), ..Installed::default() };
    let state = StackState { current: Some(current), ..StackState::default() };
    records::save_state(&bench.home.stack("edge"), &state).unwrap();
    assert_eq!(bench.found(), [], "its own older release goes");
    records::save_state(&bench.home.stack("other"), &state).unwrap();
    let found = bench.one(Code::NoMemory);
    assert!(found.reason.contains("other stacks 400 MiB"), "{found:?}");
}

#[test]
fn a_memory_limit_that_would_not_hold_names_the_line_to_add() {
    let bench = Bench::new();
    bench.file("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t64\t0\n");
    bench.file("boot/firmware/cmdline.txt", "console=serial0,115200 root=PARTUUID=1 rootwait\n");
    let found = no_limits(&bench.machine);
    assert_eq!(found.code, Code::MemoryLimits);
    assert!(found.fix.contains("cgroup_enable=memory cgroup_memory=1"), "{found:?}");
    assert!(found.fix.contains("/boot/firmware/cmdline.txt"), "{found:?}");
}

#[test]
fn a_port_of_a_process_is_found_with_its_number() {
    let mut bench = Bench::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    bench.machine = Machine::real();
    bench.service(None, Some(port));
    let found = bench.one(Code::PortTaken);
    assert!(found.reason.contains(&format!("process {}", std::process::id())), "{found:?}");
    assert_eq!(found.class(), Class::Environment);
    drop(socket);
    assert_eq!(bench.found(), []);
}

#[test]
fn a_port_that_an_engine_keeps_for_nobody_is_told_from_one_that_is_taken() {
    let bench = Bench::new();
    bench.file("proc/net/tcp", "head\n 0: 00000000:075B 00000000:0000 0A 0:0 0:0 0 0 0 17 1\n");
    bench.file("proc/257/comm", "docker-proxy\n");
    let sockets = bench.root().join("machine/proc/257/fd");
    std::fs::create_dir_all(&sockets).unwrap();
    std::os::unix::fs::symlink("socket:[17]", sockets.join("4")).unwrap();
    let wanted = [PortSpec { address: String::new(), host: 1883, container: 1883, protocol: "tcp".into() }];
    let kept = || kept_for_nobody(&bench.machine, &bench.engine.published().unwrap(), &wanted);
    assert_eq!(kept(), Some(1883));
    bench.file("proc/257/comm", "nginx\n");
    assert_eq!(kept(), None, "somebody else's, whom no restart of the Engine moves");
    bench.file("proc/257/comm", "docker-proxy\n");
    bench.running("other", 1883, None);
    assert_eq!(kept(), None, "a container has it");
}

#[test]
fn a_port_of_another_container_is_its_containers() {
    let mut bench = Bench::new();
    bench.service(None, Some(41_883));
    bench.running("mosquitto", 41_883, None);
    let found = bench.one(Code::PortTaken);
    assert!(found.reason.contains("the container mosquitto, started by hand"), "{found:?}");
    assert!(found.fix.contains("--adopt mosquitto"), "{found:?}");
    for adopt in ["mosquitto", "broker=mosquitto"] {
        bench.needs.adopt = Some(adopt.into());
        assert_eq!(bench.found(), [], "{adopt}");
    }
    bench.needs.adopt = Some("other".into());
    bench.one(Code::PortTaken);
}

#[test]
fn a_port_of_this_stack_is_free_and_one_of_another_is_not() {
    let mut bench = Bench::new();
    bench.service(None, Some(41_884));
    bench.running("edge-broker", 41_884, Some("edge"));
    assert_eq!(bench.found(), []);
    bench.manifest.stack = "second".into();
    bench.manifest.config.secrets.clear();
    bench.manifest.config.device_values.clear();
    let found = bench.one(Code::PortTaken);
    assert!(found.reason.contains("of the stack edge"), "{found:?}");
}

#[test]
fn values_must_be_there_and_fit() {
    let mut bench = Bench::new();
    let stack = bench.home.stack("edge");
    values::merge(&stack, &[("unused".to_owned(), "x".to_owned())].into()).unwrap();
    assert_eq!(bench.found(), [], "what an earlier release wanted stays");
    values::merge(&stack, &[("site".to_owned(), "Not Fitting".to_owned())].into()).unwrap();
    assert!(bench.one(Code::DeviceValues).reason.contains("site"));
    std::fs::remove_file(stack.values()).unwrap();
    let found = bench.one(Code::DeviceValues);
    assert!(found.fix.contains("--set site=VALUE"), "{found:?}");
    assert_eq!(found.class(), Class::Input);
    bench.manifest.config.secrets[0].owner = me() + 1;
    assert_eq!(bench.found().len(), 2, "a secret that its reader cannot read is missing");
}

#[test]
fn a_clock_that_is_behind_is_no_obstacle_and_one_decades_ahead_is() {
    let mut bench = Bench::new();
    bench.clock = At(0);
    assert_eq!(bench.found(), []);
    bench.clock = At(crate::trust::BUILD_TIME + 30 * 365 * 86_400);
    assert!(bench.one(Code::Clock).fix.contains("timedatectl"));
    let error = bench.trust.believable_now(&bench.clock).unwrap_err();
    assert_eq!((error.code(), error.class()), (Some("clock"), Class::Environment));
}

#[test]
fn an_external_disk_that_is_not_mounted_is_noticed() {
    let mut bench = Bench::new();
    let disk = bench.root().join("disk");
    bench.device.settings.volume_root = Some(disk.clone());
    let root = Forge::new().trusted();
    assert!(enrol(&bench.home, &root, &bench.device, Enrolment::First).is_err(), "there is no such folder");
    std::fs::create_dir(&disk).unwrap();
    enrol(&bench.home, &root, &bench.device, Enrolment::First).unwrap();
    assert_eq!(bench.found(), []);
    // Not mounted: the empty folder below it.
    std::fs::rename(&disk, bench.root().join("elsewhere")).unwrap();
    std::fs::create_dir(&disk).unwrap();
    assert!(bench.one(Code::VolumeRoot).fix.contains("mount"));
}

#[test]
fn every_obstacle_has_an_explained_code() {
    for code in [Code::VolumeRoot, Code::Clock, Code::NoMemory, Code::PortTaken] {
        assert_eq!(code.class(), Class::Environment);
        assert!(Code::ALL.contains(&code));
    }
}
