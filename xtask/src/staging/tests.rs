//! What is signed of a device's report, and which reports are not.

use xedge_bundle::manifest::{Compatibility, Config, Emulated, Gate, Manifest, Service};
use xedge_bundle::staging::{FORMAT, Measured, MeasuredService, Staging, StagingDevice};
use xedge_bundle::statement::{KeyStatus, Subject};
use xedge_bundle::{Envelope, Statement};
use xedge_model::{Digest, Platform};
use xedge_sign::GateKey;
use xedge_wire::{DeviceStatus, Health, Measure, ReleaseSummary, ServiceStatus, StackStatus};

use super::{measured, millicpus};

fn manifest() -> Manifest {
    Manifest {
        format: xedge_bundle::manifest::FORMAT,
        stack: "edge".into(),
        seq: 7,
        version: "r7".into(),
        key_status: KeyStatus::Development,
        tool: "0.1.0".into(),
        revision: None,
        compatibility: Compatibility {
            platforms: Platform::USUAL.into_iter().collect(),
            agent: "0.1.0".into(),
            engine_api: "1.41".into(),
            boards: Vec::new(),
        },
        services: vec![Service {
            name: "broker".into(),
            image: "xedgesim/mosquitto".parse().expect("a name"),
            index: Digest::of(b"index"),
            manifests: Platform::USUAL.into_iter().map(|p| (p, Digest::of(p.as_str().as_bytes()))).collect(),
        }],
        config: Config {
            digest: Digest::of(b"config"),
            environment: "production".into(),
            files: Vec::new(),
            secrets: Vec::new(),
            device_values: Vec::new(),
        },
        gate: Gate { scenarios: Vec::new(), emulated: Emulated::Accepted, evidence: Vec::new() },
        locks: Vec::new(),
        sboms: Vec::new(),
        probes: Vec::new(),
        settle_s: 10,
        start_s: 60,
        data: xedge_model::stack::Data::default(),
    }
}

fn service() -> ServiceStatus {
    ServiceStatus {
        name: "broker".into(),
        container: "broker".into(),
        manifest: Some(Digest::of(b"linux/amd64")),
        running: true,
        health: Health::Healthy,
        usage: Some(Measure { cpus: 0.0121, memory: 5 << 20, disk: 4096 }),
        ..ServiceStatus::default()
    }
}

fn status(service: ServiceStatus) -> DeviceStatus {
    let current = Some(ReleaseSummary { seq: 7, version: "r7".into(), ..ReleaseSummary::default() });
    let stack =
        StackStatus { name: "edge".into(), current, services: vec![service], ..StackStatus::default() };
    DeviceStatus { stacks: vec![stack], ..DeviceStatus::default() }
}

fn check(status: &DeviceStatus) -> Result<Staging, String> {
    measured(&manifest(), Digest::of(b"bundle.json"), status, 30, 1_800_000_000, KeyStatus::Development)
}

#[test]
fn measurements_name_what_ran_and_are_signed_in_one_form() {
    let staging = check(&status(service())).expect("it did well");
    let [only] = &staging.predicate.services[..] else { panic!("one service") };
    assert_eq!((only.millicpus, only.memory, only.disk), (13, 5 << 20, 4096));
    let names: Vec<&str> = staging.subject.iter().map(|subject| subject.name.as_str()).collect();
    assert_eq!(names, ["bundle.json", "configuration", "manifest"]);

    let key = GateKey::generate(KeyStatus::Development, |bytes| bytes.fill(7)).expect("a key");
    let envelope = key.sign_staging("staging.json", &staging).expect("signed");
    let read = Envelope::parse("staging.json", &envelope.to_json()).expect("an envelope");
    let payload = read.verify(&[key.verifying_key()]).expect("the key's signature");
    assert_eq!(Staging::parse("staging.json", payload.bytes()).expect("measurements"), staging);
    // Signed by the gate key, and still no evidence that a gate was passed.
    assert!(payload.statement().is_err());
    assert!(Statement::parse("staging.json", payload.bytes()).is_err());

    let other = GateKey::generate(KeyStatus::Production, |bytes| bytes.fill(9)).expect("a key");
    assert!(other.sign_staging("staging.json", &staging).is_err(), "it names another status");
    assert!(read.verify(&[other.verifying_key()]).is_err());
}

#[test]
fn a_release_that_does_not_do_well_is_not_signed() {
    let refused = |status: DeviceStatus, why: &str| {
        let reason = check(&status).expect_err(why);
        assert!(reason.contains(why), "{reason}");
    };
    refused(status(ServiceStatus { running: false, ..service() }), "does not run");
    refused(status(ServiceStatus { health: Health::Unhealthy, ..service() }), "is unhealthy");
    refused(status(ServiceStatus { restarts: 1, ..service() }), "was started again 1 times");
    refused(status(ServiceStatus { usage: None, ..service() }), "did not measure");
    let nothing = Some(Measure { cpus: 0.0, memory: 0, disk: 0 });
    refused(status(ServiceStatus { usage: nothing, ..service() }), "does not measure");
    refused(status(ServiceStatus { manifest: Some(Digest::of(b"x")), ..service() }), "another image");
    refused(status(ServiceStatus { name: "other".into(), ..service() }), "is not on the device");
    let mut older = status(service());
    older.stacks[0].current = Some(ReleaseSummary { seq: 6, ..ReleaseSummary::default() });
    refused(older, "runs release 6, not release 7");
    refused(DeviceStatus::default(), "does not have the stack edge");
}

#[test]
fn measurements_that_contradict_themselves_are_refused() {
    let good = check(&status(service())).expect("it did well");
    let mut nothing = good.clone();
    nothing.predicate.services.clear();
    assert!(nothing.to_bytes("x").is_err());
    let mut unnamed = good.clone();
    unnamed.subject = vec![Subject::new("configuration", Digest::of(b"config"))];
    assert!(unnamed.to_bytes("x").is_err());
    let text = String::from_utf8(good.to_bytes("x").expect("bytes")).expect("text");
    assert!(Staging::parse("x", text.replace("\"seconds\":30", "\"seconds\": 30").as_bytes()).is_err());
    assert!(
        Staging::parse("x", text.replace("\"seconds\":30", "\"seconds\":30,\"seconds\":31").as_bytes())
            .is_err()
    );
    assert!(Staging::parse("x", text.replace("urn:xedge:staging:v1", "urn:x").as_bytes()).is_err());
}

#[test]
fn little_is_not_nothing() {
    assert_eq!((millicpus(0.0), millicpus(0.000_01), millicpus(1.5)), (0, 1, 1500));
    assert_eq!((millicpus(f64::NAN), millicpus(-1.0)), (0, 0));
}

#[test]
fn formats_are_numbered() {
    let (device, services) = (
        StagingDevice {
            id: String::new(),
            class: String::new(),
            board: String::new(),
            architecture: String::new(),
            kernel: String::new(),
            engine: String::new(),
            agent: String::new(),
            memory: 0,
            free_disk: 0,
        },
        vec![MeasuredService {
            name: "a".into(),
            image: "a".parse().expect("a name"),
            manifest: Digest::of(b"m"),
            millicpus: 0,
            memory: 0,
            disk: 0,
        }],
    );
    let predicate = Measured {
        format: FORMAT + 1,
        tool_version: String::new(),
        key_status: KeyStatus::Development,
        stack: "a".into(),
        seq: 1,
        version: "1".into(),
        device,
        measured_at: 0,
        seconds: 1,
        services,
    };
    let later = Staging { subject: vec![Subject::new("manifest", Digest::of(b"m"))], predicate };
    let error = later.to_bytes("x").expect_err("a later format");
    assert!(error.to_string().contains("format 2"), "{error}");
}
