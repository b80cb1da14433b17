//! What operations do when nobody pulls the plug.

use std::cell::Cell;

use xedge_model::{Class, Failure as _};
use xedge_wire::Event;

use super::super::{Data, Recovered, gc, remove_all, turn, watch};
use super::bench::{Bench, FORKS, STACK, folder};
use crate::engine::fake::Behaviour;
use crate::engine::{Engine as _, Restart};
use crate::{Error, records, secrets};

fn installed(seq: u64) -> (tempfile::TempDir, Bench) {
    let (keep, path) = folder();
    let bench = Bench::at(&path);
    bench.install(1).unwrap();
    bench.write_data();
    for seq in 2..=seq {
        bench.install(seq).unwrap();
    }
    (keep, bench)
}

#[test]
fn a_first_release_runs() {
    let (_keep, bench) = installed(1);
    assert_eq!(bench.runs(), Some(1));
    let order: Vec<String> = bench
        .events
        .borrow()
        .iter()
        .filter_map(|event| match event {
            Event::Switching { service } => Some(service.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["broker", "extra", "gateway", "gone"], "each after what it depends on");
    assert_eq!(bench.events.borrow().last(), Some(&Event::Committed));
}

#[test]
fn only_what_differs_changes_over() {
    let (_keep, bench) = installed(1);
    let before = bench.container("edge-extra");
    let applied = bench.install(2).unwrap();
    assert_eq!(applied.kept, ["extra"]);
    assert_eq!(applied.changed.keys().collect::<Vec<_>>(), ["broker", "fresh", "gateway"]);
    assert_eq!(bench.container("edge-extra"), before, "untouched");
    assert_eq!(bench.runs(), Some(2));
    assert_eq!(records::load_state(&bench.stack()).unwrap().previous.unwrap().seq, 1);
    bench.check_data();
}

#[test]
fn a_release_before_the_one_before_goes() {
    let (_keep, bench) = installed(3);
    assert_eq!(bench.runs(), Some(3));
    let images = bench.engine.images().unwrap();
    // gateway 2 and 3, broker 2, extra, fresh; those of release 1 alone are gone.
    assert_eq!(images.len(), 5);
    let mounts = bench.stack().root().join("mounts");
    assert_eq!(mounts.read_dir_utf8().unwrap().count(), 1);
    assert!(!bench.stack().head(1).exists());
    assert!(bench.stack().head(2).exists() && bench.stack().head(3).exists());
}

#[test]
fn the_same_release_again_is_no_change() {
    let (_keep, bench) = installed(2);
    let before = bench.engine.containers(Some(STACK)).unwrap();
    let applied = bench.install(2).unwrap();
    assert!(applied.unchanged && applied.changed.is_empty());
    assert_eq!(bench.engine.containers(Some(STACK)).unwrap(), before);
    assert_eq!(records::load_state(&bench.stack()).unwrap().previous.unwrap().seq, 1, "the way back stays");
}

#[test]
fn a_release_that_is_installed_again_for_what_died_leaves_the_way_back() {
    let (_keep, bench) = installed(2);
    bench.engine.end("edge-gateway", 139).unwrap();
    let applied = bench.install(2).unwrap();
    assert_eq!(applied.changed.keys().collect::<Vec<_>>(), ["gateway"]);
    assert_eq!(bench.runs(), Some(2));
    assert_eq!(records::load_state(&bench.stack()).unwrap().previous.unwrap().seq, 1);
    bench.rollback().unwrap();
    assert_eq!(bench.runs(), Some(1));
    bench.check_data();
}

#[test]
fn a_new_secret_makes_a_new_container() {
    let (_keep, bench) = installed(2);
    let owner = rustix::process::getuid().as_raw();
    for value in [b"secret-2", b"secret-3"] {
        secrets::put(&bench.stack(), "password", owner, value).unwrap();
        // Twice the same number: both containers of the broker want the same name when they are put aside.
        let applied = bench.install(2).unwrap();
        assert_eq!(applied.changed.keys().collect::<Vec<_>>(), ["broker"]);
        assert_eq!(bench.runs(), Some(2));
    }
}

#[test]
fn back_and_forth() {
    let (_keep, bench) = installed(2);
    let second = bench.container("edge-gateway").id;
    let applied = bench.rollback().unwrap();
    assert_eq!((applied.seq, applied.kept.as_slice()), (1, &["extra".to_owned()][..]));
    assert_eq!(bench.runs(), Some(1));
    assert_eq!(bench.trust().floor(STACK).unwrap().seq, 2, "what was accepted stays accepted");
    bench.rollback().unwrap();
    assert_eq!(bench.runs(), Some(2));
    assert_eq!(bench.container("edge-gateway").id, second, "the very container");
    bench.rollback().unwrap();
    bench.install(2).unwrap();
    assert_eq!(bench.runs(), Some(2), "also forward by applying it again");
    bench.check_data();
}

#[test]
fn data_that_an_older_release_cannot_read_closes_the_way_back() {
    let (_keep, bench) = installed(4);
    let error = bench.rollback().unwrap_err();
    assert_eq!(error.code(), Some("data-floor"));
    assert_eq!(bench.runs(), Some(4));
}

/// Every bad release goes away by itself, and says why.
#[test]
fn a_bad_release_is_taken_back() {
    let bad = |change: fn(&mut Behaviour)| {
        let mut behaviour = Behaviour { log: "first\nlast words".to_owned(), ..Behaviour::default() };
        change(&mut behaviour);
        behaviour
    };
    let cases: [(&str, &str, Behaviour, &str); 6] = [
        ("exits at once", "gateway", bad(|b| (b.exit_after_ms, b.exit_code) = (Some(0), 3)), "exit code 3"),
        (
            "exits after 5 s",
            "gateway",
            bad(|b| (b.exit_after_ms, b.exit_code) = (Some(5000), 7)),
            "exit code 7",
        ),
        ("refuses its probe", "broker", bad(|b| b.exec_code = 1), "it ended with 1"),
        ("hangs in its probe", "broker", bad(|b| b.exec_hangs = true), "did not end"),
        ("cannot be started", "fresh", bad(|b| b.refuses = Some("no such file".to_owned())), "no such file"),
        ("ends well", "gateway", bad(|b| b.exit_after_ms = Some(1)), "exit code 0"),
    ];
    for (name, service, behaviour, expected) in cases {
        let (_keep, bench) = installed(1);
        let before = bench.engine.containers(Some(STACK)).unwrap();
        bench.behave(service, 2, behaviour);
        let error = bench.install(2).expect_err(name);
        let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(text.contains(expected) && text.contains("what ran before runs again"), "{name}: {text}");
        assert!(text.contains(&format!("service {service}")), "{name}: {text}");
        assert!(expected == "no such file" || text.contains("| last words"), "{name}: {text}");
        assert_eq!(error.class(), Class::Failed, "{name}");
        assert_eq!(bench.runs(), Some(1), "{name}");
        let ids = |all: &[crate::engine::Container]| all.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert_eq!(
            ids(&bench.engine.containers(Some(STACK)).unwrap()),
            ids(&before),
            "{name}: the very containers"
        );
        assert_eq!(bench.trust().floor(STACK).unwrap().seq, 1, "{name}: it was not accepted");
        bench.check_data();
    }
}

#[test]
fn a_bad_first_release_leaves_nothing_running() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    bench.behave("gateway", 1, Behaviour { exit_after_ms: Some(0), exit_code: 1, ..Behaviour::default() });
    let error = bench.install(1).unwrap_err();
    assert!(error.to_string().contains("nothing ran before"), "{error}");
    assert_eq!(bench.runs(), None);
    assert_eq!(bench.engine.networks().unwrap(), Vec::<String>::new());
    assert_eq!(bench.engine.images().unwrap(), Vec::<String>::new());
}

#[test]
fn a_foreign_container_of_the_name_is_not_touched() {
    let (_keep, bench) = installed(1);
    bench.create_by_hand();
    bench.engine.rename("old-broker", "edge-fresh").unwrap();
    let before = bench.container("edge-fresh");
    let error = bench.install(2).unwrap_err();
    assert!(error.to_string().contains("edge-fresh"), "{error}");
    assert_eq!(error.class(), Class::Input);
    assert!(error.hint().unwrap().contains("--adopt fresh=edge-fresh"));
    assert_eq!(bench.container("edge-fresh"), before);
}

#[test]
fn a_container_started_by_hand_is_taken_over_and_given_back() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    let old = bench.start_by_hand();
    bench.adopt(1).unwrap();
    let state = records::load_state(&bench.stack()).unwrap();
    assert_eq!(state.previous.unwrap().seq, 0);
    let aside = bench.container(&old.id);
    assert!(!aside.running && aside.restart == Restart::No && aside.name == "old-broker.xedge-0");
    bench.write_data();
    bench.rollback().unwrap();
    let back = bench.container("old-broker");
    assert!(back.running && back.id == old.id && back.restart == Restart::Always);
    assert!(!bench.container("edge-broker.xedge-1").running);
}

#[test]
fn removing_keeps_data_and_purging_does_not() {
    let (_keep, bench) = installed(2);
    bench.remove(Data::Keep).unwrap();
    assert_eq!(bench.runs(), None);
    assert!(bench.engine.images().unwrap().is_empty() && bench.engine.networks().unwrap().is_empty());
    bench.check_data();
    assert_eq!(bench.trust().floor(STACK).unwrap().seq, 2, "an older release still does not come in");
    assert_eq!(bench.remove(Data::Keep).unwrap_err().class(), Class::Input, "there is nothing any more");
    bench.install(3).unwrap();
    bench.check_data();
    bench.remove(Data::Purge).unwrap();
    assert_eq!(bench.engine.volumes().unwrap(), Vec::<String>::new());
    assert!(!bench.stack().secrets().exists());
    assert_eq!(bench.remove(Data::Purge).unwrap_err().class(), Class::Input);
}

#[test]
fn what_was_removed_before_keeps_nobody_from_removing_the_rest() {
    let (_keep, bench) = installed(1);
    let _no_fork = FORKS.read();
    let all = |data| remove_all(&bench.agent(), &mut bench.trust(), data, &mut |_| ());
    assert_eq!(all(Data::Keep).unwrap(), [STACK]);
    assert_eq!(all(Data::Keep).unwrap(), Vec::<String>::new());
    assert_eq!(all(Data::Purge).unwrap(), [STACK], "its data is still there");
    assert_eq!(all(Data::Purge).unwrap(), Vec::<String>::new());
}

#[test]
fn the_watcher_starts_what_died() {
    let (_keep, bench) = installed(1);
    let _no_fork = FORKS.read();
    assert_eq!(turn(&bench.agent(), &mut bench.trust()).unwrap(), []);
    bench.engine.end("edge-gateway", 139).unwrap();
    let healed = turn(&bench.agent(), &mut bench.trust()).unwrap();
    assert_eq!(healed.len(), 1, "{healed:?}");
    assert!(healed[0].what.contains("gateway had ended with 139"), "{healed:?}");
    assert_eq!(bench.runs(), Some(1));
    let _lock = records::Lock::take(&bench.home, &bench.clock, std::time::Duration::ZERO).unwrap();
    assert!(matches!(turn(&bench.agent(), &mut bench.trust()), Err(Error::Busy { .. })));
}

/// How often the watcher starts the gateway in these many looks, where it ends at once each time.
fn starts(bench: &Bench, looks: u32) -> usize {
    let _no_fork = FORKS.read();
    let (left, starts) = (Cell::new(looks), Cell::new(0));
    bench.engine.end("edge-gateway", 139).unwrap();
    let go_on = || {
        if bench.container("edge-gateway").running {
            starts.set(starts.get() + 1);
            bench.engine.end("edge-gateway", 139).unwrap();
        }
        left.replace(left.get().saturating_sub(1)) > 0
    };
    let open = || Ok(bench.trust());
    watch(&bench.agent(), &open, std::time::Duration::from_secs(5), &go_on, &mut |_| ());
    starts.get()
}

#[test]
fn what_ends_again_and_again_is_started_less_and_less_often() {
    let (_keep, bench) = installed(1);
    // 1000 seconds: at once, then after 5, 10, 20, ... 160 and 300.
    let starts = starts(&bench, 200);
    assert!((8..=10).contains(&starts), "{starts}");
}

#[test]
fn what_may_be_tried_three_times_is_then_left_alone() {
    let (_keep, bench) = installed(1);
    let mut state = records::load_state(&bench.stack()).unwrap();
    let placed = state.current.as_mut().unwrap().services.get_mut("gateway").unwrap();
    (placed.restart, placed.attempts) = (Restart::OnFailure, 3);
    records::save_state(&bench.stack(), &state).unwrap();
    assert_eq!(starts(&bench, 300), 3);
}

#[test]
fn collecting_leaves_what_is_needed() {
    let (_keep, bench) = installed(2);
    let stray = xedge_model::Digest::of(b"stray");
    std::fs::create_dir_all(bench.home.store()).unwrap();
    std::fs::write(bench.home.member(&stray), b"stray").unwrap();
    std::fs::create_dir_all(bench.stack().mount(&stray).join("deep")).unwrap();
    let _no_fork = FORKS.read();
    let freed = gc(&bench.agent()).unwrap();
    assert_eq!((freed.bytes, freed.entries), (5, 3));
    assert_eq!(bench.runs(), Some(2));
    assert_eq!(gc(&bench.agent()).unwrap().entries, 0);
}

#[test]
fn recovering_nothing_changes_nothing() {
    let (_keep, bench) = installed(2);
    assert_eq!(bench.recover().unwrap(), Recovered::Nothing);
    assert_eq!(bench.runs(), Some(2));
}
