//! The broker of the project's image, started with what the rules refuse: it does what they say.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;
use xedge_config::passwd::mosquitto_passwd;

use crate::support::{edit, project_with_packages, run};

/// Runs the Engine's own command line; exit code and all that it said.
fn docker(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("docker").args(arguments).output().expect("docker starts: `cargo xtask setup`");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    (output.status.success(), text)
}

/// The image, with a name that nothing else has.
struct Image(String);

impl Image {
    fn new() -> Self {
        let project = project_with_packages();
        let name = format!("xedge-it/policy-{}", std::process::id());
        let definition = project.path().join("images/mqtt-broker/image.yaml");
        edit(&definition, "name: xedgesim/mosquitto", &format!("name: {name}"));
        edit(&definition, "image.title: mosquitto", &format!("image.title: policy-{}", std::process::id()));
        run(project.path(), &["build", "mqtt-broker", "--load"]).expect(0);
        Self(name)
    }

    /// A broker with this configuration and these further files in its folder.
    fn start(&self, conf: &str, files: &[(&str, &str)]) -> Broker {
        let name = format!("{}-{:x}", self.0.replace('/', "-"), conf.len() * 31 + files.len());
        let _ = docker(&["rm", "--force", &name]);
        let made = docker(&["create", "--name", &name, "--network", "none", &format!("{}:latest", self.0)]);
        assert!(made.0, "{}", made.1);
        let broker = Broker { name, files: tempfile::tempdir().unwrap() };
        for (file, text) in files.iter().chain(&[("mosquitto.conf", conf)]) {
            let path = broker.files.path().join(file);
            fs::write(&path, text).unwrap();
            let to = format!("{}:/mosquitto/config/{file}", broker.name);
            let copied = docker(&["cp", path.to_str().unwrap(), &to]);
            assert!(copied.0, "{}", copied.1);
        }
        let started = docker(&["start", &broker.name]);
        assert!(started.0, "{}", started.1);
        broker
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = docker(&["rmi", "--force", &format!("{}:latest", self.0)]);
    }
}

struct Broker {
    name: String,
    files: TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

impl Broker {
    fn client(&self, arguments: &[&str]) -> (bool, String) {
        docker(&[&["exec", &self.name], arguments].concat())
    }

    fn inspect(&self, what: &str) -> String {
        docker(&["inspect", "--format", what, &self.name]).1
    }

    /// Waits until it takes connections: a refused login is one too.
    fn ready(&self) -> &Self {
        for _ in 0..100 {
            let (done, said) = self.client(&["mosquitto_pub", "-t", "ready", "-n"]);
            if done || said.contains("not authori") || said.contains("Not authori") {
                return self;
            }
            sleep(Duration::from_millis(200));
        }
        panic!("it does not answer: {}", docker(&["logs", &self.name]).1);
    }

    /// The exit code of a broker that stops by itself.
    fn stopped(&self) -> String {
        let (_, code) = docker(&["wait", &self.name]);
        code
    }

    fn keep(&self) {
        let kept = self.client(&["mosquitto_pub", "-t", "kept", "-m", "value", "-r", "-q", "1"]);
        assert!(kept.0, "{}", kept.1);
    }

    fn has_kept(&self) -> bool {
        self.client(&["mosquitto_sub", "-t", "kept", "-C", "1", "-W", "3"]).1.contains("value")
    }

    /// A power cut, and power again.
    fn cut(&self) -> &Self {
        assert!(docker(&["kill", "--signal", "KILL", &self.name]).0);
        self.stopped();
        assert!(docker(&["start", &self.name]).0);
        self.ready()
    }
}

const OPEN: &str = "listener 1883\nallow_anonymous true\nlog_dest stdout\n";
const CLOSED: &str =
    "listener 1883\nallow_anonymous false\npassword_file /mosquitto/config/passwd\nlog_dest stdout\n";

#[test]
fn the_real_broker_does_what_the_rules_say() {
    let image = Image::new();
    it_lets_the_last_one_win(&image);
    it_stops_at_what_it_does_not_know(&image);
    it_starts_with_a_plain_password_and_lets_nobody_in(&image);
    it_forgets_what_it_acknowledged(&image);
    it_goes_on_where_nothing_can_be_saved(&image);
    it_hides_refused_logins(&image);
    it_lets_every_user_write_everything_without_a_list(&image);
    it_takes_messages_of_any_size(&image);
}

/// conf.duplicate and auth.anonymous.
fn it_lets_the_last_one_win(image: &Image) {
    let broker = image.start(&format!("allow_anonymous false\n{OPEN}"), &[]);
    assert!(broker.ready().client(&["mosquitto_pub", "-t", "a", "-m", "b"]).0);
}

/// schema.unknown, conf.version and the missing file of auth.users.
fn it_stops_at_what_it_does_not_know(image: &Image) {
    for (conf, code) in
        [("listner 1883\n", "3"), ("listener 1883\nglobal_max_clients 9\n", "3"), (CLOSED, "13")]
    {
        let broker = image.start(conf, &[]);
        assert_eq!(broker.stopped(), code, "{conf}: {}", docker(&["logs", &broker.name]).1);
    }
}

/// auth.users.
fn it_starts_with_a_plain_password_and_lets_nobody_in(image: &Image) {
    let login = ["mosquitto_pub", "-u", "sensor", "-P", "word", "-t", "a", "-m", "b"];
    let broker = image.start(CLOSED, &[("passwd", "sensor:word\n")]);
    assert!(!broker.ready().client(&login).0);
    assert_eq!(broker.inspect("{{.State.Running}}"), "true");
    let hashed = mosquitto_passwd(&[("sensor", "word", [7; 12])], 101);
    let broker = image.start(&format!("{CLOSED}\n"), &[("passwd", &hashed)]);
    assert!(broker.ready().client(&login).0);
}

const SAVED: &str = "persistence true\npersistence_location /mosquitto/data/\n";

/// data.rpo.
fn it_forgets_what_it_acknowledged(image: &Image) {
    let broker = image.start(&format!("{OPEN}{SAVED}"), &[]);
    broker.ready().keep();
    assert!(broker.has_kept() && !broker.cut().has_kept());
    let broker = image.start(&format!("{OPEN}{SAVED}autosave_interval 1\n"), &[]);
    broker.ready().keep();
    // Twice the budget, and a slow machine's time to write.
    sleep(Duration::from_secs(4));
    assert!(broker.cut().has_kept());
}

/// data.persist.
fn it_goes_on_where_nothing_can_be_saved(image: &Image) {
    let broker =
        image.start(&format!("{OPEN}persistence true\npersistence_location /nowhere/at/all/\n"), &[]);
    broker.ready().keep();
    assert!(docker(&["stop", &broker.name]).0 && docker(&["start", &broker.name]).0);
    assert!(!broker.ready().has_kept());
}

/// log.level.
fn it_hides_refused_logins(image: &Image) {
    let hashed = mosquitto_passwd(&[("sensor", "word", [7; 12])], 101);
    for (types, shown) in [("log_type error\nlog_type warning\n", false), ("log_type notice\n", true)] {
        // mosquitto 2.0 holds back what goes to stdout until there is much of it, or it ends.
        let conf = CLOSED.replace("stdout", "stderr");
        let broker = image.start(&format!("{conf}{types}"), &[("passwd", &hashed)]);
        assert!(!broker.ready().client(&["mosquitto_pub", "-t", "a", "-m", "b"]).0);
        let logs = docker(&["logs", &broker.name]).1;
        assert_eq!(logs.contains("not authori"), shown, "{types}{logs}");
    }
}

/// authz.acl.
fn it_lets_every_user_write_everything_without_a_list(image: &Image) {
    let hashed = mosquitto_passwd(&[("one", "word", [7; 12]), ("two", "word", [8; 12])], 101);
    let acl = "pattern readwrite sensors/%u/#\n";
    for (more, reaches) in [("", true), ("acl_file /mosquitto/config/acl\n", false)] {
        let broker = image.start(&format!("{CLOSED}{more}"), &[("passwd", &hashed), ("acl", acl)]);
        let topic = ["-u", "one", "-P", "word", "-t", "sensors/two/a", "-m", "forged", "-r", "-q", "1"];
        broker.ready().client(&[&["mosquitto_pub"][..], &topic].concat());
        let read = ["mosquitto_sub", "-u", "two", "-P", "word", "-t", "sensors/two/a", "-C", "1", "-W", "3"];
        assert_eq!(broker.client(&read).1.contains("forged"), reaches, "{more}");
    }
}

/// data.bounds.
fn it_takes_messages_of_any_size(image: &Image) {
    // The largest file that surely is in the image.
    let large = ["mosquitto_pub", "-t", "large", "-q", "1", "-r", "-f", "/usr/sbin/mosquitto"];
    let there = ["mosquitto_sub", "-t", "large", "-C", "1", "-W", "3", "-F", "%l"];
    for (more, passes) in [("", true), ("max_packet_size 20000\n", false)] {
        let broker = image.start(&format!("{OPEN}{more}"), &[]);
        broker.ready().client(&large);
        let length = broker.client(&there).1;
        assert_eq!(length.parse::<u64>().is_ok_and(|length| length > 20_000), passes, "{more}: {length}");
    }
}
