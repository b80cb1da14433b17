//! An image as a stack of its own: from the seed's flags through a smoke gate to a bundle, and from a registry to a device that
//! fetches it itself. Real Engine, real registry.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_agent::check::Look;
use xedge_agent::engine::{Docker, Engine};
use xedge_agent::facts::Machine;
use xedge_agent::pull::{From, Logins, pull};
use xedge_agent::staged::Staged;
use xedge_agent::trust::{Enrolment, enrol};
use xedge_agent::{Clock, Device, Home, TrustStore};
use xedge_bundle::statement::KeyStatus;
use xedge_model::scenario::Level;
use xedge_model::{Failure as _, Platform};
use xedge_oci::Layout;

use crate::sim::bench::{Bench, docker};
use crate::support::Ran;

/// The name of an image that no other test has.
fn image() -> String {
    format!("it-adhoc/own-{}", std::process::id())
}

fn bench(test: &str) -> Bench {
    let mut bench = Bench::new();
    // A file of its own is a layer of its own, which the Engine then lacks, and which no other test's containers run.
    let own = format!("# {test} of process {}\nlistener", std::process::id());
    bench.own_broker(&image(), "listener", &own);
    bench
}

fn config(bench: &Bench, text: &str) -> String {
    let path = bench.home().join("prod-mosquitto.conf");
    fs::write(&path, text).unwrap();
    path.into_string()
}

fn release(bench: &Bench, more: &[&str]) -> Ran {
    let image = image();
    bench.run(&[&["release", "--image", &format!("{image}:latest"), "--name", "own"], more].concat())
}

#[test]
fn an_image_is_released_behind_a_smoke_gate_and_fetched_by_a_device() {
    let bench = bench("whole");
    let file = config(&bench, "listener 1883 0.0.0.0\nallow_anonymous true\nmax_connections 7\n");
    let ran = release(&bench, &["--config", &file, "--port", "18837", "--memory", "64m", "--cpus", "0.5"])
        .expect(0);
    let ran =
        ran.says("is /mosquitto/config/mosquitto.conf").says("level smoke").says("service.healthy(own)");
    assert!(ran.stderr.contains("service.answers(own, 1883)"), "{}", ran.stderr);
    let bundle = bench.output("bundles/own-r1.xedge");
    assert!(ran.stdout.lines().any(|line| line == "target/xedge/bundles/own-r1.xedge"), "{}", ran.stdout);
    assert_eq!(level(&bench, &bundle), Level::Smoke, "the evidence in the bundle says what it is worth");
    // The same flags are the same release, and need no second gate.
    release(&bench, &["--config", &file, "--port", "18837", "--memory", "64m", "--cpus", "0.5"])
        .expect(0)
        .says("unchanged: release 1 of own");
    a_device_fetches_it(&bench);
    bench.assert_clean();
}

/// What the evidence in a bundle says of itself.
fn level(bench: &Bench, bundle: &Utf8Path) -> Level {
    let root = fs::read(root(bench)).unwrap();
    let anchor = xedge_bundle::Trust { root: &root, floor: None };
    let verified = xedge_bundle::verify(fs::File::open(bundle).unwrap(), &anchor, now(), &mut ()).unwrap();
    let [only] = verified.evidence() else { panic!("one scenario") };
    only.statement.predicate.xedge.level
}

fn a_device_fetches_it(bench: &Bench) {
    let id = image_id(bench);
    // The gate left it in the Engine; a device has never seen it.
    docker(&["image", "rm", "--force", &id]);
    let serving = Serving::start(bench);
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(Utf8Path::from_path(folder.path()).unwrap());
    let (trust, _) =
        enrol(&home, &fs::read(root(bench)).unwrap(), &Device::new(None, &[7; 16]), Enrolment::First)
            .unwrap();
    assert_eq!(trust.status(), KeyStatus::Development);
    let engine = Docker::connect("/var/run/docker.sock").unwrap();
    let logins = Logins::default();
    let (machine, device, clock) = (Machine::real(), Device::load(&home).unwrap(), Now);
    let look = Look {
        home: &home,
        machine: &machine,
        engine: &engine,
        clock: &clock,
        device: &device,
        trust: &trust,
        agent: "0.1.0",
    };
    let from = From { look: &look, now: now(), logins: &logins };
    let releases = format!("{}/xedge-releases/own", serving.address);

    refused(&from, &format!("{releases}:bundle-r9"), "failed to fetch");
    refused(&from, &format!("{}/{}:r1", serving.address, image()), "a release is at");
    assert!(!home.stack("own").incoming().exists());

    // A release that hangs on other keys is refused before any image is fetched.
    let other = tempfile::tempdir().unwrap();
    let other_home = Home::new(Utf8Path::from_path(other.path()).unwrap());
    let stranger = other_trust(bench, &other_home);
    let strange = Look { home: &other_home, trust: &stranger, ..look };
    let error = pull(&From { look: &strange, ..from }, &releases, &mut |_| ()).unwrap_err();
    assert!(error.code().is_some(), "{error}");
    assert!(!has(&id), "nothing of it came into the Engine");

    let mut fetched = Vec::new();
    let head = pull(&from, &format!("{releases}:bundle-r1"), &mut |event| fetched.push(event)).unwrap();
    assert_eq!(fetched.len(), 1, "{fetched:?}");
    assert!(has(&id));
    let staged = Staged::verify(&home, &head, &trust, now(), &engine).unwrap();
    assert_eq!((staged.manifest().stack.as_str(), staged.manifest().seq), ("own", 1));
    let image = staged.image("own").unwrap();
    assert_eq!(image.config_digest.as_str(), id);
    assert_eq!(engine.image(&image.config_digest, &image.manifest).unwrap().as_deref(), Some(id.as_str()));

    // Without a tag it is the newest, and what is here is not fetched again.
    pull(&from, &releases, &mut |event| panic!("fetched again: {event:?}")).unwrap();
    let left = docker(&["image", "ls", "--quiet", "--filter", &format!("reference={releases}:*")]);
    assert_eq!(left, "", "the image of the bundle does not stay");
    let containers = docker(&["ps", "--all", "--quiet", "--filter", "label=xedge.pull"]);
    assert_eq!(containers, "");
    assert!(fs::read_dir(folder.path()).unwrap().all(|entry| !entry.unwrap().path().ends_with(".tar")));
    docker(&["image", "rm", "--force", &id]);
}

#[track_caller]
fn refused(from: &From<'_>, reference: &str, why: &str) {
    let error = pull(from, reference, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert!(why != "failed to fetch" || error.hint().unwrap().contains("docker login"), "{error}");
}

#[test]
fn a_dry_run_of_a_deployment_of_an_image_only_plans() {
    let bench = bench("dry-run");
    let image = image();
    let line = [
        "deploy",
        "--host",
        "127.0.0.1:1",
        "--image",
        &image,
        "--name",
        "own",
        "--port",
        "18838",
        "--dry-run",
    ];
    let ran = bench.run(&line).expect(0).says("no device was asked");
    assert!(ran.stdout.lines().count() > 2, "{}", ran.stdout);
    assert!(!bench.output("bundles").exists() && !bench.output("evidence").exists(), "{}", ran.stderr);
    assert!(!bench.home().join("keys").exists() && !bench.home().join("releases").exists(), "{}", ran.stderr);
}

#[test]
fn flags_that_do_not_fit_are_refused_before_anything_runs() {
    let bench = bench("flags");
    let seed =
        config(&bench, "listener 1883\nallow_anonymous false\npassword_file /mosquitto/config/passwd\n");
    release(&bench, &["--config", &seed]).expect(3).says("line 3: password_file").says("--mqtt-user");
    let image = image();
    bench.run(&["release", "--image", &image, "--name", "edge"]).expect(3).says("is a stack of this project");
    bench.run(&["release", "--image", &image, "--name", "Own"]).expect(3).says("small letters");
    bench.run(&["release", "--image", "nginx:latest"]).expect(3).says("cargo xtask image import");
    bench.run(&["release", "--image", &image, "--port", "0"]).expect(3).says("--port 8883:1883");
    bench.run(&["release", "--image", &image, "--memory", "1m"]).expect(3);
    bench.run(&["release", "--image", &image, "--stack", "edge"]).expect(3);
    bench.run(&["release", "--port", "1883"]).expect(3);
    // A broker that listens elsewhere than the port says gets no bundle: its gate failed.
    let broken = config(&bench, "listener 1999 0.0.0.0\nallow_anonymous true\n");
    let ran = release(&bench, &["--config", &broken, "--port", "1883"]);
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    assert!(!bench.output("bundles").exists(), "{}", ran.stderr);
}

fn image_id(bench: &Bench) -> String {
    let layout = Layout::open(&bench.output("layout")).unwrap();
    let entry = layout.image(&image().parse().unwrap()).unwrap();
    let native = Platform::of_machine(std::env::consts::ARCH).unwrap();
    entry.platform(native).unwrap().config_blob().digest.to_string()
}

fn has(id: &str) -> bool {
    docker(&["image", "ls", "--all", "--quiet", "--no-trunc"]).lines().any(|line| line == id)
}

fn root(bench: &Bench) -> Utf8PathBuf {
    bench.home().join("trust/1.root.json")
}

/// A device that trusts other development keys.
fn other_trust(bench: &Bench, home: &Home) -> TrustStore {
    let keys = Bench::beside(bench);
    keys.run(&["keys", "init"]).expect(0);
    enrol(home, &fs::read(root(&keys)).unwrap(), &Device::new(None, &[8; 16]), Enrolment::First).unwrap().0
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// This machine's clock, for a device that waits for nothing.
struct Now;

impl Clock for Now {
    fn unix(&self) -> i64 {
        now()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) {}
}

/// The embedded registry on a free port, until it is dropped.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(bench: &Bench) -> Self {
        let mut command = bench.command(&["registry", "serve", "--port", "0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
