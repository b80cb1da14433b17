//! What the agent relies on in an Engine: one body, for Docker's Engine, for Podman, and for the fake that other tests trust.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy.toml allows only in the tests themselves"
)]

mod image;
mod podman;

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use xedge_agent::Engine;
use xedge_agent::engine::fake::{Behaviour, Faults};
use xedge_agent::engine::{
    Container, ContainerSpec, Docker, Fake, HealthSpec, LimitSpec, MountSpec, NetworkSpec, PortSpec, Restart,
    STACK_LABEL, Source, VolumeSpec,
};
use xedge_wire::Health;

use self::image::{Image, noise, program};
use self::podman::Podman;

/// An Engine of a test's own names.
struct Arm<'a> {
    engine: &'a dyn Engine,
    kind: &'static str,
    /// Whether programs really run.
    real: bool,
    /// Whether restart policies can be changed later.
    policies: bool,
    stack: String,
    folder: tempfile::TempDir,
    images: std::cell::RefCell<Vec<String>>,
}

#[test]
fn on_docker() {
    let docker = Docker::connect("/var/run/docker.sock").unwrap();
    all(&Arm::new(&docker, "docker", true));
}

#[test]
fn on_podman() {
    let podman = Podman::start();
    let engine = Docker::connect(&podman.host()).unwrap();
    all(&Arm::new(&engine, "podman", true));
}

#[test]
fn in_the_fake() {
    let folder = tempfile::tempdir().unwrap();
    let folder = camino::Utf8Path::from_path(folder.path()).unwrap();
    let now = || u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let fake = Fake::open(folder, now);
    let exits = Behaviour { exit_after_ms: Some(300), exit_code: 3, ..Behaviour::default() };
    let serves = Behaviour { log: "listening at 1883\n".into(), ..Behaviour::default() };
    let behaviours = [("ends", exits), ("broker", serves)].map(|(name, does)| (name.to_owned(), does));
    fake.set_faults(&Faults { behaviours: behaviours.into(), ..Faults::default() }).unwrap();
    all(&Arm::new(&fake, "docker", false));
}

fn all(arm: &Arm<'_>) {
    let base = arm.images();
    arm.networks_and_volumes();
    arm.lives(&base);
    arm.ends(&base);
    arm.ports(&base);
    arm.checks(&base);
    arm.measures(&base);
    arm.goes(&base);
}

impl<'a> Arm<'a> {
    fn new(engine: &'a dyn Engine, kind: &'static str, real: bool) -> Self {
        Self {
            engine,
            kind,
            real,
            policies: kind == "docker",
            stack: format!("engines-{kind}-{}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
            images: std::cell::RefCell::default(),
        }
    }

    fn named(&self, name: &str) -> String {
        format!("{}_{name}", self.stack)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(STACK_LABEL.to_owned(), self.stack.clone())])
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A container of the base image that runs the program with these words.
    fn spec(&self, base: &str, service: &str, words: &[&str]) -> ContainerSpec {
        ContainerSpec {
            image: base.to_owned(),
            service: service.to_owned(),
            command: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            networks: [(self.named("net"), vec![service.to_owned(), format!("{service}-too")])].into(),
            ..ContainerSpec::default()
        }
    }

    #[track_caller]
    fn create(&self, name: &str, spec: &ContainerSpec) -> String {
        self.engine.create(&self.named(name), spec, &self.labels()).unwrap()
    }

    #[track_caller]
    fn look(&self, id: &str) -> Container {
        self.engine.inspect(id).unwrap().expect("it is there")
    }

    #[track_caller]
    fn wait(&self, id: &str, what: &str, until: impl Fn(&Container) -> bool) -> Container {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let container = self.look(id);
            if until(&container) {
                return container;
            }
            assert!(Instant::now() < end, "{what}: {container:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The exit code of the program with these words in a container.
    #[track_caller]
    fn run(&self, id: &str, words: &[&str]) -> i64 {
        let command: Vec<String> =
            [&["/program"], words].concat().iter().map(|word| (*word).to_owned()).collect();
        self.engine.exec(id, &command, Duration::from_secs(10)).unwrap()
    }

    /// Loads, whole and thin, and what must not be loaded. Gives the id of the image that the rest uses.
    fn images(&self) -> String {
        let engine = self.engine;
        let facts = engine.facts().unwrap();
        assert_eq!(facts.kind, self.kind, "{facts:?}");
        assert_eq!(facts.thin_loads, self.kind == "docker", "{facts:?}");
        assert!(
            !facts.architecture.is_empty() && !facts.api.is_empty() && !facts.root.is_empty(),
            "{facts:?}"
        );
        let seed = u64::from(std::process::id()) ^ self.kind.len() as u64;
        let bulk = noise(seed, 3 << 20);
        let lower: &[image::Entry] = &[
            ("data/", 0o750, 1883, b""),
            ("data/seed", 0o600, 1883, b"seed"),
            ("placed/", 0o750, 1883, b""),
            ("placed/seed", 0o600, 1883, b"seed"),
            ("tmp/", 0o1777, 0, b""),
            ("bulk", 0o644, 0, &bulk),
        ];
        let upper: &[image::Entry] = &[("program", 0o755, 0, program())];
        let settings = json!({"Entrypoint": ["/program"], "Cmd": ["hang"], "Labels": {"of": "the image"}});
        let make = |layers: &[&[image::Entry]]| Image::new(&facts.architecture, layers, &settings);

        let base = make(&[lower, upper]);
        assert_eq!(engine.image(&base.config_digest, &base.manifest).unwrap(), None);
        let mut damaged = base.clone();
        let digest = damaged.layers[1].digest.clone();
        *damaged.blobs.get_mut(&digest).unwrap().last_mut().unwrap() ^= 1;
        let error = damaged.load(engine).0.unwrap_err().to_string();
        assert!(error.contains(damaged.layers[1].digest.as_str()), "{error}");
        damaged.blobs.get_mut(&digest).unwrap().pop();
        assert!(damaged.load(engine).0.is_err(), "cut off");
        assert_eq!(engine.image(&base.config_digest, &base.manifest).unwrap(), None);

        let (loaded, _) = base.load(engine);
        let id = loaded.unwrap();
        self.images.borrow_mut().push(id.clone());
        assert_eq!(engine.image(&base.config_digest, &base.manifest).unwrap(), Some(id.clone()));
        assert_eq!(base.load(engine).0.unwrap(), id, "it may be repeated");

        let newer: &[image::Entry] = &[("newer", 0o644, 0, b"newer")];
        let mut next = make(&[lower, upper, newer]);
        let chain =
            |image: &Image| image.layers.iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>();
        if facts.thin_loads {
            assert!(engine.chains().unwrap().contains(&chain(&base)));
            let missing: &[image::Entry] = &[("unknown", 0o644, 0, b"unknown")];
            let mut lie = make(&[missing, newer]);
            lie.layers[0].here = true;
            assert!(lie.load(engine).0.is_err(), "a layer that is not there cannot be left out");
            assert_eq!(engine.image(&lie.config_digest, &lie.manifest).unwrap(), None);
            (next.layers[0].here, next.layers[1].here) = (true, true);
        } else {
            assert!(engine.chains().unwrap().is_empty());
        }
        let (loaded, asked) = next.load(engine);
        self.images.borrow_mut().push(loaded.unwrap());
        if facts.thin_loads {
            assert_eq!(asked, [next.layers[2].digest.clone()], "only what is missing is read");
        }
        id
    }

    fn networks_and_volumes(&self) {
        let other = BTreeMap::from([(STACK_LABEL.to_owned(), "another".to_owned())]);
        let network = NetworkSpec { name: self.named("net"), driver: Some("bridge".into()), internal: false };
        let plain = VolumeSpec { name: self.named("plain"), folder: None };
        let placed = VolumeSpec { name: self.named("placed"), folder: Some(self.path("volumes/placed")) };
        for _ in 0..2 {
            self.engine.ensure_network(&network, &self.labels()).unwrap();
            self.engine.ensure_volume(&plain, &self.labels()).unwrap();
            self.engine.ensure_volume(&placed, &self.labels()).unwrap();
        }
        // Neither another stack's nor one that somebody made by hand is taken for one's own.
        for labels in [&other, &BTreeMap::new()] {
            self.engine.ensure_network(&network, labels).unwrap_err();
            self.engine.ensure_volume(&plain, labels).unwrap_err();
        }
        assert!(!self.engine.purge_volume(&plain.name, "another").unwrap(), "it stays");
        assert!(!self.engine.remove_network(&network.name, "another").unwrap(), "it stays");
    }

    /// A container with most of what a spec can say, from its making to its end, and what it leaves in its volumes.
    fn lives(&self, base: &str) {
        let (config, secret) = (self.path("config"), self.path("secret"));
        fs::create_dir(&config).unwrap();
        fs::write(format!("{config}/broker.conf"), "listener 1883\n").unwrap();
        fs::write(&secret, "secret").unwrap();
        let mount = |source: Source, target: &str, read_only| MountSpec {
            source,
            target: target.into(),
            read_only,
            propagation: None,
        };
        let spec = ContainerSpec {
            hostname: Some("edge".into()),
            user: Some("1883:1883".into()),
            environment: [("NAME".into(), "a b=c".into())].into(),
            mounts: vec![
                mount(Source::Path(config), "/etc/broker", true),
                mount(Source::Secret { path: secret, version: 1 }, "/run/secrets/secret", true),
                mount(Source::Volume(self.named("plain")), "/data", false),
                mount(Source::Volume(self.named("placed")), "/placed", false),
            ],
            tmpfs: [("/scratch".into(), "size=65536".into())].into(),
            limits: LimitSpec {
                memory: Some(64 << 20),
                nano_cpus: Some(500_000_000),
                pids: Some(32),
                read_only: true,
                cap_drop: vec!["ALL".into()],
                security_options: vec!["no-new-privileges".into()],
                ..LimitSpec::default()
            },
            labels: [("of".into(), "the stack".into())].into(),
            stop_grace_s: Some(1),
            ..self.spec(base, "broker", &["serve", "1883"])
        };
        let id = self.create("broker", &spec);
        assert_eq!(self.create("broker", &spec), id, "it may be repeated");
        let others = BTreeMap::from([(STACK_LABEL.to_owned(), "another".to_owned())]);
        self.engine.create(&self.named("broker"), &spec, &others).unwrap_err();
        let made = self.look(&id);
        assert!(!made.running && made.restarts == 0, "{made:?}");
        assert_eq!((&made.name, &*made.image), (&self.named("broker"), base));
        assert_eq!(made.labels["of"], "the stack");
        assert_eq!(made.mounts["/data"], self.named("plain"));
        assert_eq!(made.mounts["/run/secrets/secret"], self.path("secret"));

        self.engine.start(&id).unwrap();
        self.engine.start(&id).unwrap();
        let running =
            self.wait(&id, "it runs", |container| container.running && !container.addresses.is_empty());
        assert_eq!(running.health, Health::None);
        let log = || {
            let mut log = Vec::new();
            self.engine.logs(&id, 10, false, &mut log).unwrap();
            String::from_utf8(log).unwrap()
        };
        let end = Instant::now() + Duration::from_secs(10);
        while !log().contains("listening at 1883") && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(log().contains("listening at 1883"), "{}", log());
        assert!(self.engine.usage(&id).unwrap().memory > 0);
        if self.real {
            TcpStream::connect((running.addresses[0].as_str(), 1883)).expect("it listens at its address");
            self.is_as_it_says(&id);
        }

        self.engine.rename(&id, &self.named("first")).unwrap();
        self.engine.rename(&id, &self.named("first")).unwrap();
        assert_eq!(self.look(&self.named("first")).id, id);
        assert_eq!(self.engine.inspect(&self.named("broker")).unwrap(), None);
        let second = self.create("broker", &spec);
        self.engine.rename(&second, &self.named("first")).unwrap_err();
        let listed: Vec<String> =
            self.engine.containers(Some(&self.stack)).unwrap().into_iter().map(|c| c.name).collect();
        assert_eq!(listed, [self.named("broker"), self.named("first")]);

        self.engine.stop(&id, Duration::from_secs(1)).unwrap();
        self.engine.stop(&id, Duration::from_secs(1)).unwrap();
        self.wait(&id, "it stopped", |container| !container.running);
        self.engine.start(&id).unwrap();
        assert!(self.look(&id).running, "it can be started again");
        self.engine.remove(&id).unwrap();
        self.engine.remove(&id).unwrap();
        self.engine.start(&second).unwrap();
        if self.real {
            assert_eq!(self.run(&second, &["is", "/data/written", "text"]), 0, "volumes stay");
        }
        self.engine.remove(&second).unwrap();
    }

    /// What can only be seen from within.
    fn is_as_it_says(&self, id: &str) {
        // New volumes begin with what the image has there, its owner included, wherever they are kept.
        for (words, code) in [
            (&["is", "/etc/broker/broker.conf", "listener 1883\n"][..], 0),
            (&["is", "/run/secrets/secret", "secret"], 0),
            (&["is", "/data/seed", "seed"], 0),
            (&["is", "/placed/seed", "seed"], 0),
            (&["write", "/data/written", "text"], 0),
            (&["write", "/placed/written", "text"], 0),
            (&["write", "/scratch/written", "text"], 0),
            (&["write", "/etc/broker/written", "text"], 101),
            (&["write", "/written", "text"], 101),
            (&["variable", "NAME", "a b=c"], 0),
            (&["resolve", "broker-too"], 0),
            (&["resolve", "nobody.invalid"], 1),
            (&["there", "/newer"], 1),
        ] {
            assert_eq!(self.run(id, words), code, "{words:?}");
        }
        assert_eq!(fs::read_to_string(self.path("volumes/placed/written")).unwrap(), "text");
        let error = self.engine.exec(id, &["/program".into(), "hang".into()], Duration::from_millis(500));
        assert!(error.unwrap_err().to_string().contains("0.5 s"));
    }

    /// Programs that end by themselves, without and with a policy.
    fn ends(&self, base: &str) {
        let spec = self.spec(base, "ends", &["end", "3", "300"]);
        let id = self.create("ends", &spec);
        self.engine.start(&id).unwrap();
        let ended = self.wait(&id, "it ends", |container| !container.running);
        assert_eq!((ended.exit_code, ended.restarts, ended.restart), (3, 0, Restart::No));
        self.engine.remove(&id).unwrap();

        let spec = ContainerSpec { restart: Restart::UnlessStopped, ..spec };
        let id = self.create("ends", &spec);
        if self.policies {
            assert_eq!(self.look(&id).restart, Restart::No, "until it is committed");
        }
        self.engine.set_restart(&id, Restart::UnlessStopped).unwrap();
        assert_eq!(self.look(&id).restart, Restart::UnlessStopped);
        self.engine.start(&id).unwrap();
        self.wait(&id, "it is started again", |container| container.restarts >= 2);
        self.engine.stop(&id, Duration::from_secs(1)).unwrap();
        let stopped = self.wait(&id, "it stays stopped", |container| !container.running);
        assert!(!stopped.restarting, "{stopped:?}");
        self.engine.remove(&id).unwrap();

        let few = ContainerSpec { restart: Restart::OnFailure, restart_attempts: 1, ..spec };
        let id = self.create("ends", &few);
        self.engine.set_restart(&id, Restart::OnFailure).unwrap();
        self.engine.start(&id).unwrap();
        self.wait(&id, "it gives up", |c| c.restarts == 1 && !c.running && !c.restarting);
        std::thread::sleep(Duration::from_secs(1));
        let given_up = self.look(&id);
        assert_eq!((given_up.running, given_up.restarts, given_up.exit_code), (false, 1, 3));
        self.engine.remove(&id).unwrap();
    }

    /// A published port belongs to one running container.
    fn ports(&self, base: &str) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port =
            PortSpec { address: "127.0.0.1".into(), host: free, container: 1883, protocol: "tcp".into() };
        let spec = ContainerSpec { ports: vec![port], ..self.spec(base, "broker", &["serve", "1883"]) };
        let (first, second) = (self.create("one", &spec), self.create("two", &spec));
        self.engine.start(&first).unwrap();
        let error = self.engine.start(&second).unwrap_err().to_string();
        assert!(error.contains(&free.to_string()), "{error}");
        self.engine.stop(&first, Duration::from_secs(1)).unwrap();
        self.engine.start(&second).unwrap();
        self.wait(&second, "it runs", |container| container.running);
        let published = self.engine.published().unwrap();
        let holders: Vec<&str> =
            published.iter().filter(|p| p.port.host == free).map(|p| p.container.as_str()).collect();
        assert_eq!(holders, [self.look(&second).name], "who has the port, and nobody who is stopped");
        let ours = published.iter().find(|p| p.port.host == free).unwrap();
        assert_eq!(ours.labels.get(STACK_LABEL), Some(&self.stack));
        assert_eq!((ours.port.address.as_str(), ours.port.container), ("127.0.0.1", 1883));
        if self.real {
            let end = Instant::now() + Duration::from_secs(10);
            while TcpStream::connect(("127.0.0.1", free)).is_err() {
                assert!(Instant::now() < end, "the published port answers");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        for id in [first, second] {
            self.engine.remove(&id).unwrap();
        }
    }

    /// A health check that passes once a file is there.
    fn checks(&self, base: &str) {
        let test = ["CMD", "/program", "there", "/tmp/well"].map(str::to_owned).to_vec();
        let second = Some(1_000_000_000);
        let health = HealthSpec {
            test,
            interval_ns: second,
            timeout_ns: second,
            start_period_ns: None,
            retries: Some(60),
        };
        let spec = ContainerSpec { health: Some(health), ..self.spec(base, "checked", &["hang"]) };
        let id = self.create("checked", &spec);
        self.engine.start(&id).unwrap();
        let started = self.look(&id);
        assert_eq!(started.health_check.unwrap(), ["/program", "there", "/tmp/well"]);
        if self.real {
            assert_eq!(started.health, Health::Starting);
            assert_eq!(self.run(&id, &["write", "/tmp/well", "yes"]), 0);
        }
        self.wait(&id, "it is well", |container| container.health == Health::Healthy);
        self.engine.remove(&id).unwrap();
    }

    /// A program that takes what it can get, and is held to its share.
    fn measures(&self, base: &str) {
        let limits = LimitSpec { nano_cpus: Some(300_000_000), ..LimitSpec::default() };
        let id = self.create("spins", &ContainerSpec { limits, ..self.spec(base, "spins", &["spin"]) });
        let still = self.engine.usage(&id).unwrap();
        assert_eq!((still.memory, still.cpus.to_bits()), (0, 0), "it does not run");
        self.engine.start(&id).unwrap();
        self.wait(&id, "it runs", |container| container.running);
        let usage = self.engine.usage(&id).unwrap();
        if self.real {
            // A busy machine may give it less, its limit never much more.
            assert!(usage.cpus > 0.05 && usage.cpus < 0.5, "{usage:?}");
            assert!(usage.memory > 10 << 10 && usage.memory < 64 << 20, "{usage:?}");
        }
        self.engine.remove(&id).unwrap();
    }

    /// What is in use stays; then everything goes.
    fn goes(&self, base: &str) {
        let (network, volume) = (self.named("net"), self.named("plain"));
        let mount = MountSpec {
            source: Source::Volume(volume.clone()),
            target: "/data".into(),
            read_only: false,
            propagation: None,
        };
        let id =
            self.create("last", &ContainerSpec { mounts: vec![mount], ..self.spec(base, "last", &["hang"]) });
        assert!(!self.engine.remove_image(base).unwrap(), "it is in use");
        assert!(!self.engine.remove_network(&network, &self.stack).unwrap(), "it is in use");
        self.engine.purge_volume(&volume, &self.stack).unwrap_err();
        self.engine.remove(&id).unwrap();
        assert!(self.engine.remove_network(&network, &self.stack).unwrap());
        assert!(!self.engine.remove_network(&network, &self.stack).unwrap());
        if self.real {
            let folder = fs::metadata(self.path("volumes/placed")).unwrap();
            assert!(folder.is_dir() && folder.uid() == 1883);
        }
        let folder = Some(self.path("volumes/placed"));
        let listed = [
            VolumeSpec { name: self.named("placed"), folder },
            VolumeSpec { name: volume.clone(), folder: None },
        ];
        assert_eq!(self.engine.stack_volumes(&self.stack).unwrap(), listed);
        assert_eq!(self.engine.stack_volumes("another").unwrap(), []);
        for name in [volume, self.named("placed")] {
            assert!(!self.engine.purge_volume(&name, "another").unwrap(), "it is not that stack's");
            assert!(self.engine.purge_volume(&name, &self.stack).unwrap());
            assert!(self.engine.purge_volume(&name, &self.stack).unwrap());
        }
        assert!(!fs::exists(self.path("volumes/placed")).unwrap(), "its folder goes with it");
        for id in self.images.borrow_mut().drain(..).rev() {
            assert!(self.engine.remove_image(&id).unwrap());
            assert!(!self.engine.remove_image(&id).unwrap());
        }
    }
}

/// Whatever a failed test left.
impl Drop for Arm<'_> {
    fn drop(&mut self) {
        for container in self.engine.containers(Some(&self.stack)).unwrap_or_default() {
            let _ = self.engine.remove(&container.id);
        }
        let _ = self.engine.remove_network(&self.named("net"), &self.stack);
        for volume in ["plain", "placed"] {
            let _ = self.engine.purge_volume(&self.named(volume), &self.stack);
        }
        for id in self.images.borrow().iter().rev() {
            let _ = self.engine.remove_image(id);
        }
    }
}
