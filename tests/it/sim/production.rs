//! Production parity: its evidence names the configuration, and no password is anywhere but in the secret store.

use std::fs;
use std::path::Path;

use xedge_bundle::Envelope;
use xedge_model::Digest;

use super::bench::{Bench, docker, scenario_name};
use super::signed::Evidence;

/// Texts and where they were found.
#[derive(Default)]
struct Heap(Vec<(String, Vec<u8>)>);

impl Heap {
    fn add(&mut self, place: &str, text: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), text.into()));
    }

    fn add_folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                self.add_folder(&entry.path());
            } else {
                self.add(&entry.path().display().to_string(), fs::read(entry.path()).unwrap());
            }
        }
    }

    /// Every place with this text in it.
    fn places(&self, needle: &str) -> Vec<&str> {
        let has = |text: &[u8]| text.windows(needle.len()).any(|window| window == needle.as_bytes());
        self.0.iter().filter(|(_, text)| has(text)).map(|(place, _)| place.as_str()).collect()
    }
}

#[test]
fn production_parity_proves_the_rendered_files_and_leaks_no_password() {
    let mut bench = Bench::here();
    let file = bench.shipped("production_parity");
    let mut heap = Heap::default();

    let ran = bench.sim(&[&file]).expect(0);
    let name = scenario_name(&ran);
    bench.assert_clean();
    heap.add("stdout", ran.stdout);
    heap.add("stderr", ran.stderr);
    let config = render(&bench, &mut heap);
    let evidence = Evidence::of_file(&bench, &name, Path::new(&file));
    evidence_names(&evidence, &config, &mut heap);
    heap.add_folder(bench.output(&format!("reports/{name}")).as_std_path());

    bench.sim(&[&file, "--keep", "--duration", "1s"]).expect(0);
    what_docker_shows(&bench, &mut heap);
    heap.add_folder(bench.output(&format!("reports/{name}")).as_std_path());

    for user in ["gateway", "health", "sensor"] {
        let password = fs::read_to_string(bench.home().join("secrets/development").join(user)).unwrap();
        assert!(password.trim().len() >= 20, "the password of {user} is too short to look for");
        assert_eq!(heap.places(password.trim()), [""; 0], "the password of {user}");
    }
}

fn render(bench: &Bench, heap: &mut Heap) -> Digest {
    let folder = bench.home().join("rendered");
    let ran = bench.run(&["render", "--env", "production", "--out", folder.as_str()]).expect(0);
    heap.add_folder(folder.as_std_path());
    assert_eq!(
        heap.places("password_file /run/secrets/mosquitto-passwd").len(),
        1,
        "the files are not in the heap"
    );
    let (stack, digest) = ran.stdout.trim().split_once('@').unwrap();
    assert_eq!(stack, "edge.production");
    digest.parse().unwrap()
}

fn evidence_names(evidence: &Evidence, config: &Digest, heap: &mut Heap) {
    let statement = evidence.statement();
    assert_eq!(statement.predicate.xedge.config_digest.as_ref(), Some(config));
    assert!(statement.covers(config), "the configuration is no subject");
    let claims = &statement.predicate.passed_tests;
    for claim in [
        "auth.anonymous == refused",
        "auth.wrong_password(sensor) == refused",
        "auth.login(gateway) == accepted",
        "auth.login(sensor) == accepted",
        "retained.survives(restart)",
    ] {
        assert!(claims.iter().any(|passed| passed == claim), "{claim} is not in {claims:?}");
    }
    let gated = evidence.accept(Some(config)).unwrap();
    assert_eq!(gated.config(), Some(config));
    evidence.refused(None, "not no configuration");
    evidence.refused(Some(&Digest::of(b"another configuration")), "it is about");

    let envelope = Envelope::parse("evidence", &evidence.bytes).unwrap();
    heap.add("evidence", envelope.verify(std::slice::from_ref(&evidence.key)).unwrap().bytes());
    assert!(heap.places(config.hex()).contains(&"evidence"), "the payload is not in the heap");
}

/// Everything that `docker inspect` and `docker logs` show of a kept run.
fn what_docker_shows(bench: &Bench, heap: &mut Heap) {
    let objects = bench.objects();
    for object in &objects {
        let (kind, id) = object.split_once(' ').unwrap();
        heap.add(&format!("inspect {object}"), docker(&[kind, "inspect", id]));
        if kind == "container" {
            heap.add(&format!("logs {object}"), docker(&["logs", id]));
        }
    }
    let count = |kind: &str| objects.iter().filter(|object| object.starts_with(kind)).count();
    assert_eq!((count("container"), count("network")), (2, 1), "{objects:?}");
    assert!(count("volume") >= 4, "configuration, secrets, data and log: {objects:?}");
    assert_eq!(heap.places("\"MQTT_BROKER=mosquitto:1883\"").len(), 1, "the environment is not in the heap");
}
