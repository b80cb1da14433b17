//! Evidence: what it is about, and that nothing but it is accepted.

use std::fs;
use std::path::Path;

use camino::Utf8Path;
use xedge_bundle::statement::{PlatformRun, Simulated, Statement, Verdict};
use xedge_bundle::{Envelope, VerifyingKey};
use xedge_model::{Class, Digest, Platform};
use xedge_oci::Layout;
use xedge_sign::GateKey;
use xtask::stage::{Gate, Gated};

use super::bench::{Bench, SMALL};
use crate::support::edit;

/// Everything that decides about evidence.
#[derive(Clone)]
pub struct Evidence {
    pub bytes: Vec<u8>,
    pub key: VerifyingKey,
    pub layout: Layout,
    pub scenario: String,
    pub scenario_digest: Digest,
}

impl Evidence {
    /// What the last run of a scenario of the project left.
    pub fn of(bench: &Bench, name: &str) -> Self {
        Self::of_file(bench, name, &bench.project().join(format!("scenarios/{name}.yaml")))
    }

    /// What the last run of a scenario in this file left.
    pub fn of_file(bench: &Bench, name: &str, file: &Path) -> Self {
        Self {
            bytes: fs::read(bench.evidence(name)).unwrap(),
            key: gate_key(bench),
            layout: Layout::open(&bench.output("layout")).unwrap(),
            scenario: name.to_owned(),
            scenario_digest: Digest::of(&fs::read(file).unwrap()),
        }
    }

    /// What it says, after the signature was checked.
    pub fn statement(&self) -> Statement {
        let envelope = Envelope::parse("evidence", &self.bytes).unwrap();
        envelope.verify(std::slice::from_ref(&self.key)).unwrap().statement().unwrap()
    }

    /// The way from a file to what may be released.
    pub fn accept(&self, config: Option<&Digest>) -> xtask::Result<Gated> {
        let envelope = Envelope::parse("evidence", &self.bytes)?;
        let gate = Gate { scenario: &self.scenario, scenario_digest: &self.scenario_digest, config };
        Gated::from_evidence(&self.layout, &gate, &envelope, std::slice::from_ref(&self.key))
    }

    /// Fails unless it is refused, with this in the message.
    #[track_caller]
    pub fn refused(&self, config: Option<&Digest>, text: &str) {
        let Err(error) = self.accept(config) else { panic!("accepted, although: {text}") };
        assert_eq!(error.class(), Class::Integrity, "{error:?}");
        assert!(error.chain().join("\n").contains(text), "`{text}` is not in {:?}", error.chain());
    }
}

fn gate_key(bench: &Bench) -> VerifyingKey {
    GateKey::load(&GateKey::path_in(&bench.home().join("keys"))).unwrap().verifying_key()
}

#[test]
fn evidence_is_about_what_ran_and_nothing_else_is_accepted() {
    let bench = Bench::new();
    bench.scenario("small", SMALL);
    let ran = bench.sim(&["small"]).expect(0);
    assert_eq!(ran.stdout, "small passed target/xedge/gates/small.dsse.json\n");
    bench.assert_clean();

    let evidence = Evidence::of(&bench, "small");
    it_names_what_ran(&evidence, &bench);
    the_other_platform_is_accounted_for(&evidence.statement());
    evidence.refused(Some(&Digest::of(b"a configuration")), "it is about no configuration");
    another_gate_is_refused(&bench);
    another_scenario_is_refused(&evidence);
    another_key_is_refused(&evidence);
    a_changed_byte_is_refused(&evidence);
    another_image_is_refused(evidence, &bench);
}

/// Neither another scenario nor an edited one is proved by this run.
fn another_gate_is_refused(bench: &Bench) {
    let evidence = Evidence { scenario: "other".to_owned(), ..Evidence::of(bench, "small") };
    evidence.refused(None, "it is about the scenario small, not other");
    let evidence = Evidence { scenario_digest: Digest::of(b"edited"), ..Evidence::of(bench, "small") };
    evidence.refused(None, "has changed since");
}

fn it_names_what_ran(evidence: &Evidence, bench: &Bench) {
    let statement = evidence.statement();
    assert_eq!(statement.predicate.result, Verdict::Passed);
    let claims = ["broker.starts", "sensors.publish", "gateway.receives", "mqtt.end_to_end"];
    assert_eq!(statement.predicate.passed_tests, claims);
    assert_eq!(statement.predicate.xedge.config_digest, None);
    let scenario = fs::read(bench.project().join("scenarios/small.yaml")).unwrap();
    assert_eq!(statement.predicate.xedge.scenario_digest, Digest::of(&scenario));

    let entry = evidence.layout.image(&"xedgesim/mosquitto".parse().unwrap()).unwrap();
    let gated = evidence.accept(None).unwrap();
    let subjects: Vec<&Digest> = statement.subject.iter().map(|subject| subject.digest.sha256()).collect();
    assert_eq!(subjects, gated.manifests().values().collect::<Vec<_>>());
    for ((_, platform), digest) in gated.manifests() {
        assert_eq!(digest, &entry.platform(*platform).unwrap().manifest().digest);
    }
    let native = Platform::of_machine(std::env::consts::ARCH).unwrap();
    assert!(gated.manifests().keys().any(|(_, platform)| *platform == native));
}

fn the_other_platform_is_accounted_for(statement: &Statement) {
    let native = Platform::of_machine(std::env::consts::ARCH).unwrap();
    let platforms = &statement.predicate.xedge.platforms;
    let of = |wanted: &dyn Fn(&PlatformRun) -> bool| platforms.iter().filter(|run| wanted(run)).count();
    assert_eq!(of(&|run| run.platform == native && run.simulated == Simulated::Native), 1);
    let expected = if starts_foreign() { Simulated::Emulated } else { Simulated::NotSimulated };
    let other =
        |run: &PlatformRun| run.platform != native && run.simulated == expected && run.reason.is_some();
    assert_eq!(of(&other), 1, "expected {expected:?} in {platforms:?}");
    assert_eq!(platforms.len(), 2, "{platforms:?}");
}

/// Whether the kernel starts programs of the other platform, also in a container (flag F).
pub fn starts_foreign() -> bool {
    let native = Platform::of_machine(std::env::consts::ARCH).unwrap();
    let name = if native == Platform::LinuxAmd64 { "qemu-aarch64" } else { "qemu-x86_64" };
    let entry = fs::read_to_string(Path::new("/proc/sys/fs/binfmt_misc").join(name)).unwrap_or_default();
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags: ")).unwrap_or_default();
    entry.starts_with("enabled") && flags.contains('F')
}

fn another_scenario_is_refused(evidence: &Evidence) {
    let scenario = "smaller".to_owned();
    Evidence { scenario, ..evidence.clone() }.refused(None, "it is about the scenario small, not smaller");
    let scenario_digest = Digest::of(SMALL.replace("duration_s: 2", "duration_s: 1").as_bytes());
    Evidence { scenario_digest, ..evidence.clone() }.refused(None, "the scenario small has changed since");
}

fn another_key_is_refused(evidence: &Evidence) {
    let other = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(other.path()).unwrap();
    let key = GateKey::open_or_make_development(folder, |bytes| bytes.fill(7)).unwrap().verifying_key();
    Evidence { key, ..evidence.clone() }.refused(None, "signature");
}

/// Every byte of the file, which is payload, signature, and the names around them.
fn a_changed_byte_is_refused(evidence: &Evidence) {
    for at in 0..evidence.bytes.len() {
        let mut bytes = evidence.bytes.clone();
        bytes[at] ^= 1;
        let changed = Evidence { bytes, ..evidence.clone() };
        match changed.accept(None) {
            Ok(_) => panic!("accepted with another byte {at}: {}", String::from_utf8_lossy(&changed.bytes)),
            Err(error) => assert_eq!(error.class(), Class::Integrity, "byte {at}: {error:?}"),
        }
    }
}

fn another_image_is_refused(mut evidence: Evidence, bench: &Bench) {
    let file = bench.project().join("images/mqtt-broker/rootfs/mosquitto/config/mosquitto.conf");
    edit(&file, "persistence false", "persistence false\nmax_queued_messages 7");
    bench.run(&["build", "mqtt-broker"]).expect(0);
    evidence.layout = Layout::open(&bench.output("layout")).unwrap();
    evidence.refused(None, "the layout has");
}

#[test]
fn a_failed_gate_is_written_down_and_not_accepted() {
    let bench = Bench::new();
    // The development broker lets everybody in, which this scenario does not want.
    bench.scenario("strict", &format!("{SMALL}expect: [broker.starts, auth.anonymous == refused]\n"));
    let ran = bench.sim(&["strict"]).expect(2);
    assert_eq!(ran.stdout, "strict failed target/xedge/gates/strict.dsse.json\n");
    ran.says("FAILED auth.anonymous == refused: a client without user got in").says("hint:");
    assert_eq!(bench.report("strict")["verdict"], "failed");
    assert_eq!(bench.report("strict")["exit_code"], 2);
    bench.assert_clean();

    let evidence = Evidence::of(&bench, "strict");
    let result = evidence.statement().predicate;
    assert_eq!(result.result, Verdict::Failed);
    assert_eq!(result.failed_tests, ["auth.anonymous == refused"]);
    assert_eq!(result.passed_tests, ["broker.starts"]);
    evidence.refused(None, "the gate did not pass");
}

#[test]
fn a_run_that_builds_for_this_machine_alone_does_not_spoil_a_gate_over_both_platforms() {
    let bench = Bench::new();
    bench.scenario("gate", SMALL);
    bench.scenario("short", SMALL);
    let mut gate = bench.start(&["gate"]);
    gate.until("mqtt.end_to_end");
    if starts_foreign() {
        bench.wait_for_objects(&mut gate);
    }
    bench.sim(&["short", "--duration", "1s"]).expect(0);
    gate.finish().expect(0);
    assert!(Evidence::of(&bench, "gate").accept(None).is_ok());
    bench.assert_clean();
}
