//! From a signed bundle to containers: the real verifier, planner and checks, on the fake Engine.

use std::collections::BTreeMap;
use std::fs;

use xedge_bundle::member;
use xedge_model::stack::{Probe, config_digest};
use xedge_model::{Class, Digest, Failure as _};
use xedge_wire::Applied;

use super::super::{Options, Recovered, gc, install};
use super::bench::{Bench, FORKS, STACK, folder, own};
use crate::Clock as _;
use crate::engine::Engine as _;
use crate::engine::fake::{Behaviour, Faults};
use crate::forge::{Forge, NOW, state};
use crate::staged::Staged;
use crate::state::{Accept, Drop, Installed, Journal, Operation, Phase};
use crate::{Result, records, values};

/// A release of one service with a volume, a folder of configuration and a value of the device.
fn release(seq: u64) -> Forge {
    let (user, group) = own();
    let compose = format!(
        r#"services:
  broker:
    image: xedgesim/broker
    container_name: edge-broker
    restart: unless-stopped
    user: "{user}:{group}"
    volumes:
      - data:/data
      - ./broker:/etc/broker:ro
volumes:
  data:
"#
    );
    Forge::with(|forge| {
        let config = &mut forge.manifest.config;
        let file = config.files.iter_mut().find(|file| file.path == "compose.yaml").unwrap();
        forge.members.remove(&member::config(&file.digest));
        file.digest = Digest::of(compose.as_bytes());
        let bytes = compose.clone().into_bytes();
        forge.members.insert(member::config(&file.digest), ("config".to_owned(), bytes));
        config.secrets.clear();
        config.digest = config_digest(STACK, &config.files, &config.secrets, &config.device_values);
        let probe = Probe::Command { service: "broker".to_owned(), command: vec!["true".to_owned()] };
        forge.manifest.probes = vec![probe];
        forge.manifest.seq = seq;
        forge.statement = state(&forge.manifest);
    })
}

impl Bench {
    /// Lays a bundle down as a session does, and verifies it.
    fn stage(&self, forge: &Forge) -> Result<Staged> {
        let parts = forge.parts();
        fs::create_dir_all(self.home.store()).unwrap();
        for (_, bytes) in &parts.0 {
            fs::write(self.home.member(&Digest::of(bytes)), bytes).unwrap();
        }
        fs::create_dir_all(self.stack().root()).unwrap();
        fs::write(self.stack().incoming(), parts.head()).unwrap();
        Staged::verify(&self.home, &self.stack().incoming(), &self.trust(), NOW, &self.engine)
    }

    fn take(&self, staged: &Staged, adopt: Option<&str>, check_only: bool) -> Result<Applied> {
        let options = Options { adopt: adopt.map(str::to_owned), check_only };
        let _no_fork = FORKS.read();
        install(&self.agent(), &mut self.trust(), staged, &options, &mut |event| {
            self.events.borrow_mut().push(event);
        })
    }
}

fn device() -> (tempfile::TempDir, Bench) {
    let (keep, path) = folder();
    let bench = Bench::at(&path);
    values::merge(&bench.stack(), &BTreeMap::from([("site".to_owned(), "hall".to_owned())])).unwrap();
    (keep, bench)
}

#[test]
fn a_signed_release_becomes_a_container() {
    let (_keep, bench) = device();
    let staged = bench.stage(&release(7)).unwrap();
    let preview = bench.take(&staged, None, true).unwrap();
    assert!(preview.unchanged && preview.changed.contains_key("broker"));
    assert!(bench.engine.containers(None).unwrap().is_empty(), "looking changes nothing");

    let applied = bench.take(&staged, None, false).unwrap();
    assert_eq!((applied.seq, applied.unchanged), (7, false));
    let broker = bench.container("edge-broker");
    assert!(broker.running);
    assert_eq!(broker.mounts["/data"], "edge_data");
    let conf = fs::read_to_string(format!("{}/broker.conf", broker.mounts["/etc/broker"])).unwrap();
    assert!(conf.contains("# site hall"), "the device's own value: {conf}");
    let state = records::load_state(&bench.stack()).unwrap().current.unwrap();
    assert_eq!(state.config, Some(release(7).manifest.config.digest));
    assert_eq!(bench.trust().floor(STACK).unwrap().seq, 7);
    assert!(!bench.stack().incoming().exists() && bench.stack().head(7).exists());
    let image = state.services["broker"].manifest.clone().unwrap();
    assert!(bench.home.member(&image).exists(), "small members spare the next transfer");
    let layer = Digest::of(&[7; 1500]);
    assert!(!bench.home.member(&layer).exists(), "a layer is in the Engine");

    let applied = bench.take(&bench.stage(&release(8)).unwrap(), None, false).unwrap();
    assert_eq!(applied.kept, ["broker"]);
    assert_eq!(bench.container("edge-broker"), broker, "the same content under a new number touches nothing");
    assert_eq!(bench.stage(&release(7)).unwrap_err().code(), Some("rollback"));
}

#[test]
fn a_release_that_was_overtaken_since_it_was_verified_is_refused() {
    let (_keep, bench) = device();
    let staged = bench.stage(&release(7)).unwrap();
    let accept = Accept { seq: 8, timestamp_version: 0, data_floor: 0, signed: 0 };
    bench.trust().accept(STACK, &accept).unwrap();
    assert_eq!(bench.take(&staged, None, false).unwrap_err().code(), Some("rollback"));
    assert!(bench.engine.containers(None).unwrap().is_empty());
}

#[test]
fn a_release_takes_over_the_data_of_a_container_started_by_hand() {
    let (_keep, bench) = device();
    bench.start_by_hand();
    let staged = bench.stage(&release(7)).unwrap();
    let refused = |adopt| bench.take(&staged, Some(adopt), false).unwrap_err().to_string();
    assert!(refused("nobody").contains("there is none of that name"));
    assert!(refused("gateway=old-broker").contains("no service gateway"));
    bench.take(&staged, Some("old-broker"), false).unwrap();
    assert_eq!(bench.container("edge-broker").mounts["/data"], "by-hand", "its volume");
    assert_eq!(bench.engine.volumes().unwrap(), ["by-hand"], "and no second one");
    assert!(refused("edge-broker").contains("has a container of its own already"));
    for again in ["old-broker", "broker=old-broker"] {
        let applied = bench.take(&bench.stage(&release(7)).unwrap(), Some(again), false).unwrap();
        assert!(applied.unchanged, "the same once more: {again}");
    }
    bench.take(&bench.stage(&release(8)).unwrap(), Some("old-broker"), false).unwrap();
    assert_eq!(bench.container("edge-broker").mounts["/data"], "by-hand", "for good");
    bench.start_by_hand();
    let staged = bench.stage(&release(9)).unwrap();
    let error = bench.take(&staged, Some("old-broker"), false).unwrap_err().to_string();
    assert!(error.contains("has a container of its own already"), "another one of that name: {error}");
}

#[test]
fn a_container_that_would_vanish_is_not_taken_over() {
    let (_keep, bench) = device();
    let old = bench.start_by_hand();
    let rm = Behaviour { auto_remove: true, ..Behaviour::default() };
    let behaviours = [("old-broker".to_owned(), rm)].into();
    bench.engine.set_faults(&Faults { behaviours, ..Faults::default() }).unwrap();
    let staged = bench.stage(&release(7)).unwrap();
    let error = bench.take(&staged, Some("old-broker"), false).unwrap_err();
    assert!(error.to_string().contains("--rm"), "{error}");
    assert_eq!(error.class(), Class::Input);
    let still = bench.container("old-broker");
    assert!(still.running && still.id == old.id);
}

/// A host that lost its connection while the release settled asks for it once more; the first process goes on meanwhile.
#[test]
fn a_release_that_was_verified_twice_is_installed_once() {
    let (_keep, bench) = device();
    let (first, second) = (bench.stage(&release(7)).unwrap(), bench.stage(&release(7)).unwrap());
    assert!(!bench.take(&first, None, false).unwrap().unchanged);
    assert!(!bench.stack().incoming().exists());
    let broker = bench.container("edge-broker");
    assert!(bench.take(&second, None, false).unwrap().unchanged);
    assert_eq!(bench.container("edge-broker"), broker);
}

#[test]
fn a_check_does_not_go_on_with_what_was_cut_short() {
    let (_keep, bench) = device();
    let staged = bench.stage(&release(7)).unwrap();
    let journal = Journal {
        operation: Operation::Install,
        phase: Phase::RollingBack,
        from: None,
        to: Installed::default(),
        changing: Vec::new(),
        after: Box::default(),
        drop: Drop::default(),
        accept: None,
    };
    records::save_journal(&bench.stack(), &journal).unwrap();
    let error = bench.take(&staged, None, true).unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
    assert_eq!(records::load_journal(&bench.stack()).unwrap(), Some(journal));
    bench.take(&staged, None, false).unwrap();
}

#[test]
fn an_image_that_was_loaded_and_not_written_down_goes() {
    let (_keep, bench) = device();
    let staged = bench.stage(&release(7)).unwrap();
    let journal = Journal {
        operation: Operation::Install,
        phase: Phase::Preparing,
        from: None,
        to: Installed::default(),
        changing: Vec::new(),
        after: Box::default(),
        drop: Drop::default(),
        accept: None,
    };
    let load = || staged.load(staged.image("broker").unwrap(), &bench.engine).unwrap();
    load();
    records::save_journal(&bench.stack(), &journal).unwrap();
    assert_eq!(bench.recover().unwrap(), Recovered::Forgotten);
    assert_eq!(bench.engine.images().unwrap(), Vec::<String>::new());
    // A release that was refused once the Engine had its images.
    load();
    let _no_fork = FORKS.read();
    gc(&bench.agent()).unwrap();
    assert_eq!(bench.engine.images().unwrap(), Vec::<String>::new());
    assert!(bench.stack().incoming().exists(), "it may still be installed");
}

#[test]
fn what_killed_processes_left_goes_and_what_runs_stays() {
    let (_keep, bench) = device();
    bench.take(&bench.stage(&release(7)).unwrap(), None, false).unwrap();
    let image = bench.engine.images().unwrap();
    // The head of what runs came once more, and nobody installed it.
    fs::write(bench.stack().incoming(), release(7).parts().head()).unwrap();
    let root = bench.home.root();
    let left = [
        root.join("incoming-77"),
        root.join("pull-77.tar"),
        root.join(".write-a"),
        bench.stack().root().join(".write-b"),
        bench.stack().secrets().join(".write-c"),
    ];
    for path in &left {
        fs::write(path, "half").unwrap();
    }
    // The clock of this device is ahead of the disk's; a file of the moment is one of its own time.
    let fresh = root.join("incoming-78");
    let now =
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(bench.clock.unix()).unwrap());
    fs::File::create(&fresh).unwrap().set_modified(now).unwrap();
    let _no_fork = FORKS.read();
    gc(&bench.agent()).unwrap();
    assert!(left.iter().all(|path| !path.exists()) && fresh.exists());
    assert!(!bench.stack().incoming().exists());
    assert_eq!(bench.engine.images().unwrap(), image);
    assert!(bench.container("edge-broker").running);
}
