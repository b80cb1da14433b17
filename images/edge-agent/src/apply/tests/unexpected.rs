//! What an operation must not touch, and where it must not stop: cases of people and machines that do the unexpected.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use xedge_model::{Class, Failure as _};

use super::super::{Data, recover_all, remove, rollback, turn};
use super::bench::{Bench, FORKS, STACK, folder, own};
use crate::engine::fake::{Behaviour, Faults};
use crate::engine::{Engine as _, Fake, NetworkSpec, VolumeSpec};
use crate::state::{Accept, Drop, Journal, Operation, Phase};
use crate::{TrustStore, records, secrets};

/// What somebody made by hand under the stack's names is neither used nor removed.
#[test]
fn a_foreign_volume_is_refused_and_never_purged() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    let volume = VolumeSpec { name: "edge_data".to_owned(), folder: None };
    bench.engine.ensure_volume(&volume, &BTreeMap::new()).unwrap();
    let error = bench.install(1).unwrap_err();
    assert!(error.to_string().contains("edge_data"), "{error}");
    assert!(error.hint().unwrap().contains("--adopt"), "{error}");
    assert_eq!(error.class(), Class::Input);
    assert_eq!(bench.runs(), None);
    assert_eq!(bench.engine.volumes().unwrap(), ["edge_data"]);
    assert!(!bench.engine.purge_volume("edge_data", STACK).unwrap());
    assert_eq!(bench.engine.volumes().unwrap(), ["edge_data"]);
}

#[test]
fn a_foreign_network_is_refused_and_stays() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    let network = NetworkSpec { name: "edge_default".to_owned(), driver: None, internal: false };
    bench.engine.ensure_network(&network, &BTreeMap::new()).unwrap();
    let error = bench.install(1).unwrap_err();
    assert!(error.hint().unwrap().contains("docker network rm edge_default"), "{error}");
    assert_eq!(bench.engine.networks().unwrap(), ["edge_default"], "also after it was taken back");
}

/// Whoever waited for the lock goes by what was accepted meanwhile, and saves nothing older over it.
#[test]
fn what_was_accepted_while_one_waited_counts() {
    type Deed = fn(&Bench, &mut TrustStore);
    let operations: [(&str, Deed); 4] = [
        ("rollback", |bench, trust| {
            let error = rollback(&bench.agent(), trust, STACK, &mut |_| ()).unwrap_err();
            assert_eq!(error.code(), Some("data-floor"));
        }),
        ("remove", |bench, trust| remove(&bench.agent(), trust, STACK, Data::Purge, &mut |_| ()).unwrap()),
        ("recover", |bench, trust| assert_eq!(recover_all(&bench.agent(), trust).unwrap().len(), 1)),
        ("watch", |bench, trust| assert_eq!(turn(&bench.agent(), trust).unwrap(), [])),
    ];
    for (name, operation) in operations {
        let (_keep, path) = folder();
        let bench = Bench::at(&path);
        bench.install(1).unwrap();
        bench.install(2).unwrap();
        let mut stale = bench.trust();
        let accept = Accept { seq: 9, timestamp_version: 9, data_floor: 5, signed: 0 };
        bench.trust().accept(STACK, &accept).unwrap();
        let _no_fork = FORKS.read();
        operation(&bench, &mut stale);
        for trust in [&stale, &bench.trust()] {
            assert_eq!(trust.floor(STACK).map(|floor| floor.seq), Some(9), "{name}");
        }
    }
}

/// The containers that ran before can be started with the value that they were made with, as long as they are kept.
#[test]
fn a_changed_secret_leaves_the_way_back() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    let value = |name: &str| fs::read(&bench.container(name).mounts["/run/secrets/password"]).unwrap();
    let give = |value: &[u8]| secrets::put(&bench.stack(), "password", own().0, value).unwrap();
    bench.install(1).unwrap();
    let first = bench.container("edge-broker").id;
    give(b"secret-2");
    bench.behave("broker", 2, Behaviour { exec_code: 1, ..Behaviour::default() });
    bench.install(2).unwrap_err();
    assert_eq!(value("edge-broker"), b"secret-1", "it was taken back");
    bench.behave("broker", 2, Behaviour::default());
    bench.install(2).unwrap();
    assert_eq!(value("edge-broker"), b"secret-2");
    bench.rollback().unwrap();
    assert_eq!((bench.container("edge-broker").id, value("edge-broker")), (first, b"secret-1".to_vec()));
    bench.install(2).unwrap();
    bench.install(3).unwrap();
    let left = bench.stack().secrets().read_dir_utf8().unwrap().map(|entry| entry.unwrap().path().to_owned());
    assert_eq!(left.collect::<Vec<_>>(), [bench.stack().secret("password", 2)], "nothing mounts the first");
}

#[test]
fn a_purge_after_a_removal_finds_the_data() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    bench.install(1).unwrap();
    bench.write_data();
    let accept = Accept { seq: 1, timestamp_version: 1, data_floor: 5, signed: 0 };
    bench.trust().accept(STACK, &accept).unwrap();
    bench.remove(Data::Keep).unwrap();
    bench.check_data();
    bench.remove(Data::Purge).unwrap();
    assert_eq!(bench.engine.volumes().unwrap(), Vec::<String>::new());
    assert_eq!(bench.trust().data_floor(STACK), 0, "there is nothing left to read");
}

/// What was there before the first release stays, and so does what it can be read by.
#[test]
fn a_purge_that_leaves_data_leaves_its_floor() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    bench.install(1).unwrap();
    let accept = Accept { seq: 1, timestamp_version: 1, data_floor: 5, signed: 0 };
    bench.trust().accept(STACK, &accept).unwrap();
    let mut state = records::load_state(&bench.stack()).unwrap();
    state.adopted_volumes.insert("log".to_owned(), "by-hand".to_owned());
    records::save_state(&bench.stack(), &state).unwrap();
    bench.remove(Data::Purge).unwrap();
    assert_eq!(bench.trust().data_floor(STACK), 5);
}

/// Another Engine is no reason to forget what is half done in this one.
#[test]
fn a_change_is_not_taken_back_in_an_engine_that_has_nothing_of_it() {
    for phase in [Phase::Switching, Phase::RollingBack, Phase::Committing] {
        let (_keep, path) = folder();
        let mut bench = Bench::at(&path);
        bench.install(1).unwrap();
        let state = records::load_state(&bench.stack()).unwrap();
        let current = state.current.clone().unwrap();
        let journal = Journal {
            operation: Operation::Install,
            phase,
            from: Some(current.clone()),
            to: current,
            changing: vec!["broker".to_owned()],
            after: Box::new(state),
            drop: Drop::default(),
            accept: None,
        };
        records::save_journal(&bench.stack(), &journal).unwrap();
        let other = Fake::open(path.join("other-engine"), || 1);
        let right = std::mem::replace(&mut bench.engine, other);
        let error = bench.recover().unwrap_err();
        assert!(error.hint().unwrap().contains("--engine"), "{error}");
        assert_eq!(records::load_journal(&bench.stack()).unwrap().map(|journal| journal.phase), Some(phase));
        let other = std::mem::replace(&mut bench.engine, right);
        let _done = bench.recover().unwrap();
        records::save_journal(&bench.stack(), &journal).unwrap();
        bench.engine = other;
        bench.remove(Data::Keep).unwrap();
        assert_eq!(bench.runs(), None, "whoever removed all by hand can be done with it");
    }
}

/// Podman changes no restart policy, and what a change leaves behind there has the one that it was made with.
#[test]
fn leftovers_go_also_where_policies_are_fixed() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    bench.engine.set_faults(&Faults { fixed_policies: true, ..Faults::default() }).unwrap();
    bench.install(1).unwrap();
    let before = bench.engine.containers(Some(STACK)).unwrap().len();
    bench.on_step(move |_, name| assert_ne!(name, "prepared", "the power fails"));
    let cut = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.install(2)));
    assert!(cut.is_err(), "{cut:?}");
    assert!(bench.engine.containers(Some(STACK)).unwrap().len() > before);
    bench.on_step(|_, _| ());
    secrets::put(&bench.stack(), "password", own().0, b"secret-2").unwrap();
    bench.install(2).unwrap();
    let state = records::load_state(&bench.stack()).unwrap();
    let kept: BTreeSet<String> = [state.current, state.previous]
        .into_iter()
        .flatten()
        .flat_map(|release| release.services.into_values().map(|placed| placed.container))
        .collect();
    let all: BTreeSet<String> =
        bench.engine.containers(Some(STACK)).unwrap().into_iter().map(|found| found.id).collect();
    assert_eq!(all, kept, "nothing is left over");
}
