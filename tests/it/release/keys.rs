//! Keys: made once, used with the right passphrase only, and never printed.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use camino::Utf8PathBuf;
use serde_json::Value;

use super::stack::{SIMULATED, arguments, numbers, records, tiny};
use crate::sim::bench::Bench;
use crate::support::Ran;

const RIGHT: &str = "correct horse battery staple";
const WRONG: &str = "wrong donkey accumulator staple";

/// Runs commands and keeps everything that they said.
struct Heard<'a> {
    bench: &'a Bench,
    text: String,
}

impl Heard<'_> {
    #[track_caller]
    fn run(&mut self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.bench.run(arguments).expect(code);
        self.text.push_str(&ran.stdout);
        self.text.push_str(&ran.stderr);
        ran
    }

    /// Neither a passphrase nor a line of any private key, in the clear or encrypted.
    fn has_no_secret(&self) {
        let mut secrets = vec![RIGHT.to_owned(), WRONG.to_owned()];
        let mut files = 0;
        for entry in fs::read_dir(self.bench.home().join("keys")).unwrap().map(Result::unwrap) {
            let key: Value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
            let pem = key["pem"].as_str().unwrap();
            assert!(pem.contains("PRIVATE KEY"), "{}", entry.path().display());
            secrets.extend(pem.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
            files += 1;
        }
        assert_eq!(files, 5);
        for secret in secrets {
            assert!(!self.text.contains(&secret), "a secret is in the output:\n{}", self.text);
        }
    }
}

fn passphrase(bench: &Bench, name: &str, text: &str, mode: u32) -> Utf8PathBuf {
    let file = bench.home().join(name);
    fs::write(&file, format!("{text}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn production_keys_release_with_their_passphrase_only() {
    let bench = tiny();
    let right = passphrase(&bench, "right", RIGHT, 0o600);
    let wrong = passphrase(&bench, "wrong", WRONG, 0o600);
    let open = passphrase(&bench, "open", RIGHT, 0o644);
    let short = passphrase(&bench, "short", "short", 0o600);
    let mut heard = Heard { bench: &bench, text: String::new() };

    let init = ["keys", "init", "--production"];
    heard.run(3, &init).says("nobody is at a terminal").says("hint:");
    heard.run(3, &[&init[..], &["--passphrase-file", open.as_str()]].concat()).says("others can read");
    heard.run(3, &[&init[..], &["--passphrase-file", short.as_str()]].concat()).says("fewer than 12");
    assert!(!bench.home().join("keys").exists(), "a refused `init` made keys");
    heard.run(0, &[&init[..], &["--passphrase-file", right.as_str()]].concat());
    heard.run(3, &[&init[..], &["--passphrase-file", right.as_str()]].concat()).says("there is a root at");

    // The gate's key is tried before minutes go by in simulations, which could only be interrupted.
    let ran = heard.run(3, &arguments(&["--passphrase-file", wrong.as_str()]));
    let ran = ran.says("the passphrase is wrong").says("hint:");
    assert!(!ran.stderr.contains(SIMULATED) && !bench.output("reports").exists(), "{}", ran.stderr);
    assert_eq!((numbers(&bench), records(&bench)), (vec![], vec![]));
    let with = ["--passphrase-file", right.as_str(), "--format", "json"];
    let ran = heard.run(0, &arguments(&with));
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(printed["keyStatus"], "production");
    assert_eq!(printed["seq"], 1);
    assert_eq!(printed["references"].as_array().unwrap().len(), 1);
    let bundle = printed["bundle"]["file"].as_str().unwrap();
    let verified = heard.run(0, &["verify", bundle, "--format", "json"]);
    let verified: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(verified["keyStatus"], "production");

    // Evidence is there; now signing itself needs the passphrase, and in a pipe nobody is asked.
    let next = ["--version", "1.2.3"];
    let ran = heard.run(3, &arguments(&next)).says("nobody is at a terminal");
    assert_eq!(ran.stdout, "");
    let with = [&next[..], &["--passphrase-file", wrong.as_str()]].concat();
    heard.run(3, &arguments(&with)).says("the passphrase is wrong");
    let with = [&next[..], &["--passphrase-file", open.as_str()]].concat();
    heard.run(3, &arguments(&with)).says("others can read");
    assert_eq!(records(&bench), ["1.json"]);
    let with = [&next[..], &["--passphrase-file", right.as_str()]].concat();
    heard.run(0, &arguments(&with));
    assert_eq!((numbers(&bench), records(&bench)).1, ["1.json", "2.json"]);
    heard.run(0, &["keys", "show"]);
    heard.has_no_secret();
    bench.assert_clean();
}

/// As DEPLOY.md tells it: a first development release, and production keys before a device leaves the desk.
#[test]
fn production_keys_take_the_place_of_development_ones() {
    let bench = tiny();
    let right = passphrase(&bench, "right", RIGHT, 0o600);
    bench.run(&arguments(&[])).expect(0);
    let root = fs::read(bench.home().join("trust/1.root.json")).unwrap();
    let init = ["keys", "init", "--production", "--passphrase-file", right.as_str()];
    bench.run(&init).expect(0).says("moved").says("keys.development-1").says("--reenroll");
    assert_eq!(fs::read(bench.home().join("trust.development-1/1.root.json")).unwrap(), root);
    assert_eq!(fs::read_dir(bench.home().join("keys.development-1")).unwrap().count(), 5);
    let with = ["--passphrase-file", right.as_str(), "--format", "json"];
    let ran = bench.run(&arguments(&with)).expect(0);
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&printed["keyStatus"], &printed["seq"]), (&"production".into(), &2.into()));
    bench.run(&["verify", printed["bundle"]["file"].as_str().unwrap()]).expect(0);

    // A device that was enrolled for development: it takes the release after it was enrolled again, and not before.
    let (home, folder) = (bench.home().join("device"), bench.home());
    let home = xedge_agent::Home::new(home);
    let new = fs::read(folder.join("trust/1.root.json")).unwrap();
    let device = xedge_agent::Device::new(None, &[1; 16]);
    xedge_agent::trust::enrol(&home, &root, &device, xedge_agent::trust::Enrolment::First).unwrap();
    let bundle = bench.project().join(printed["bundle"]["file"].as_str().unwrap());
    let bundle = Utf8PathBuf::from_path_buf(bundle).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let takes = || {
        let trust = xedge_agent::TrustStore::open(&home).unwrap();
        xedge_agent::source_file::verify_file(&bundle, &trust, now.try_into().unwrap())
    };
    assert_eq!(takes().unwrap_err().code(), Some("development-keys"));
    xedge_agent::trust::enrol(&home, &new, &device, xedge_agent::trust::Enrolment::Again).unwrap();
    assert_eq!(takes().unwrap().manifest().seq, 2);

    // Production keys stay where they are.
    bench.run(&init).expect(3).says("there is a root at");
    assert!(!bench.home().join("keys.development-2").exists());
}

#[test]
fn a_gate_key_that_a_simulation_made_is_no_hindrance() {
    let bench = tiny();
    let right = passphrase(&bench, "right", RIGHT, 0o600);
    bench.run(&["keys", "init"]).expect(0);
    for name in ["root", "release", "stamp", "image-sign"] {
        fs::remove_file(bench.home().join(format!("keys/{name}.key.json"))).unwrap();
    }
    fs::remove_dir_all(bench.home().join("trust")).unwrap();
    let init = ["keys", "init", "--production", "--passphrase-file", right.as_str()];
    bench.run(&init).expect(0).says("keys.development-1");
}

#[test]
fn development_keys_are_shown_by_their_public_halves() {
    let bench = tiny();
    let mut heard = Heard { bench: &bench, text: String::new() };
    heard.run(0, &["keys", "init"]);
    heard.run(3, &["keys", "init"]).says("there is a root at");
    let roles = heard.run(0, &["keys", "show"]).stdout;
    assert_eq!(roles.lines().count(), 5, "{roles}");
    assert!(roles.lines().all(|line| line.ends_with(" development")), "{roles}");
    for role in ["root", "release", "stamp", "image-sign", "gate"] {
        let pem = heard.run(0, &["keys", "show", "--public", "pem", "--role", role]).stdout;
        openssl_reads(&pem);
    }
    heard.run(3, &["keys", "show", "--role", "nobody"]);
    heard.has_no_secret();
}

fn openssl_reads(pem: &str) {
    let mut openssl = Command::new("openssl");
    openssl.args(["pkey", "-pubin", "-noout"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = openssl.spawn().expect("`openssl` starts");
    child.stdin.take().unwrap().write_all(pem.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
