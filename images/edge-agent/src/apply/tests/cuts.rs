//! The power goes, or the agent dies, before every single step of every operation; the Engine dies at every single call. And
//! the same while that is being recovered from.

use std::panic::{AssertUnwindSafe, catch_unwind};

use camino::Utf8Path;

use super::bench::{Bench, Deed, folder};
use crate::engine::Restart;
use crate::engine::fake::{Behaviour, Faults};

/// What a device does when the plug is pulled, and which releases it may run afterwards.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) before: &'static [Deed],
    pub(super) deed: Deed,
    /// The release is no good: it must come back to the old one.
    pub(super) bad: bool,
    pub(super) old: Option<u64>,
    pub(super) new: Option<u64>,
}

pub(super) static SCENARIOS: [Scenario; 7] = [
    Scenario { name: "first", before: &[], deed: Deed::Install(1), bad: false, old: None, new: Some(1) },
    Scenario {
        name: "update",
        before: &[Deed::Install(1)],
        deed: Deed::Install(2),
        bad: false,
        old: Some(1),
        new: Some(2),
    },
    Scenario {
        name: "second update",
        before: &[Deed::Install(1), Deed::Install(2)],
        deed: Deed::Install(3),
        bad: false,
        old: Some(2),
        new: Some(3),
    },
    Scenario {
        name: "bad update",
        before: &[Deed::Install(1)],
        deed: Deed::Install(2),
        bad: true,
        old: Some(1),
        new: Some(1),
    },
    Scenario {
        name: "rollback",
        before: &[Deed::Install(1), Deed::Install(2)],
        deed: Deed::Rollback,
        bad: false,
        old: Some(2),
        new: Some(1),
    },
    Scenario {
        name: "adoption",
        before: &[Deed::ByHand],
        deed: Deed::Adopt(1),
        bad: false,
        old: None,
        new: Some(1),
    },
    Scenario {
        name: "removal",
        before: &[Deed::Install(1), Deed::Install(2)],
        deed: Deed::Remove,
        bad: false,
        old: Some(2),
        new: None,
    },
];

impl Scenario {
    pub(super) fn prepare(&self, folder: &Utf8Path) {
        let bench = Bench::at(folder);
        for deed in self.before {
            bench.act(*deed).unwrap();
        }
        if self.has_data() {
            bench.write_data();
        }
        if self.bad {
            // Everything has changed over by the time at which this one ends.
            let behaviour = Behaviour { exit_after_ms: Some(3000), exit_code: 1, ..Behaviour::default() };
            bench.behave("gateway", 2, behaviour);
        }
    }

    pub(super) fn has_data(&self) -> bool {
        self.before.iter().any(|deed| matches!(deed, Deed::Install(_)))
    }

    /// After a start and a recovery: wholly the old release or wholly the new one, and the other one can be had.
    pub(super) fn check(&self, bench: &Bench, place: &str) {
        let runs = bench.runs();
        assert!(runs == self.old || runs == self.new, "{place}: it runs {runs:?}");
        if self.has_data() {
            bench.check_data();
        }
        if self.deed == Deed::Adopt(1) {
            if runs.is_some() {
                assert!(!bench.container("old-broker.xedge-0").running, "{place}");
                bench.act(Deed::Rollback).unwrap();
            }
            let old = bench.container("old-broker");
            assert!(old.running && old.restart == Restart::Always, "{place}: {old:?}");
            return;
        }
        if self.bad {
            return;
        }
        let other = if runs == self.new { self.old } else { self.new };
        match (other, self.deed) {
            (None, Deed::Remove) => bench.act(Deed::Remove).unwrap(),
            (None, _) => return,
            // Numbers only go up: what was removed comes back as it was, or newer.
            (Some(_), Deed::Remove) => bench.act(Deed::Install(2)).unwrap(),
            (Some(seq), _) if Some(seq) == self.old || self.deed == Deed::Rollback => {
                bench.act(Deed::Rollback).unwrap();
            }
            (Some(seq), _) => bench.act(Deed::Install(seq)).unwrap(),
        }
        assert_eq!(bench.runs(), other, "{place}: the other release can be had");
        if self.has_data() {
            bench.check_data();
        }
    }
}

/// A copy of a device at the same path as before: its paths are part of what its containers are made of.
pub(super) fn restore(template: &Utf8Path, folder: &Utf8Path) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    copy(template, folder);
}

fn copy(from: &Utf8Path, to: &Utf8Path) {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::create_dir(to).unwrap();
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(std::fs::metadata(from).unwrap().mode());
    std::fs::set_permissions(to, mode).unwrap();
}

/// Prepares a scenario once and keeps it for copying.
pub(super) fn template(scenario: &Scenario, root: &Utf8Path) -> (camino::Utf8PathBuf, camino::Utf8PathBuf) {
    let (folder, kept) = (root.join("device"), root.join("template"));
    std::fs::create_dir(&folder).unwrap();
    scenario.prepare(&folder);
    copy(&folder, &kept);
    (kept, folder)
}

/// Pulls the plug before step `at` of what is done; whether it came that far.
fn cut(bench: &Bench, at: u64, act: impl FnOnce(&Bench)) -> bool {
    bench.on_step(move |step, _| {
        if step == at {
            std::panic::panic_any(Cut);
        }
    });
    let cut = catch_unwind(AssertUnwindSafe(|| act(bench)));
    bench.on_step(|_, _| {});
    match cut {
        Ok(()) => false,
        Err(cause) if cause.is::<Cut>() => true,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

struct Cut;

/// Keeps the many panics of these tests out of the output.
fn quietly<T>(act: impl FnOnce() -> T) -> T {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Cut>() {
            before(info);
        }
    }));
    act()
}

/// Each scenario on a device and in a thread of its own.
fn each(scenarios: impl Iterator<Item = &'static Scenario>, test: impl Fn(&Scenario) + Copy + Send) {
    std::thread::scope(|scope| {
        for scenario in scenarios {
            scope.spawn(move || test(scenario));
        }
    });
}

#[test]
fn the_agent_dies_before_every_step() {
    quietly(|| {
        each(SCENARIOS.iter(), |scenario| {
            let (_keep, root) = folder();
            let (template, folder) = template(scenario, &root);
            // Whether the machine starts anew or only the agent: for an update both at each step, else in turn.
            for turn in 0..if scenario.name == "update" { 2 } else { 1 } {
                let mut at = 1;
                loop {
                    let boot = (at + turn) % 2 == 0;
                    restore(&template, &folder);
                    let bench = Bench::at(&folder);
                    let came = cut(&bench, at, |bench| {
                        assert_eq!(bench.act(scenario.deed).is_err(), scenario.bad, "{}", scenario.name);
                    });
                    if !came {
                        break;
                    }
                    let bench = Bench::at(&folder);
                    if boot {
                        bench.engine.boot().unwrap();
                    }
                    let place = format!("{}, before step {at}, boot {boot}", scenario.name);
                    let _found = bench.recover().unwrap_or_else(|error| panic!("{place}: {error}"));
                    scenario.check(&bench, &place);
                    at += 1;
                }
                assert!(at > 10, "{} has steps: {at}", scenario.name);
            }
        });
    });
}

#[test]
fn the_agent_dies_again_while_it_recovers() {
    quietly(|| {
        each(SCENARIOS[1..].iter(), |scenario| {
            let (_keep, root) = folder();
            let (template, folder) = template(scenario, &root);
            let mut at = 1;
            loop {
                restore(&template, &folder);
                if !cut(&Bench::at(&folder), at, |bench| drop(bench.act(scenario.deed))) {
                    break;
                }
                let half = root.join("half");
                restore(&folder, &half);
                let mut again = 1;
                loop {
                    restore(&half, &folder);
                    let bench = Bench::at(&folder);
                    bench.engine.boot().unwrap();
                    let came = cut(&bench, again, |bench| drop(bench.recover().unwrap()));
                    let bench = Bench::at(&folder);
                    bench.engine.boot().unwrap();
                    let place = format!("{}, before step {at}, then {again}", scenario.name);
                    let _found = bench.recover().unwrap_or_else(|error| panic!("{place}: {error}"));
                    let runs = bench.runs();
                    assert!(runs == scenario.old || runs == scenario.new, "{place}: it runs {runs:?}");
                    if scenario.has_data() {
                        bench.check_data();
                    }
                    if !came {
                        break;
                    }
                    again += 1;
                }
                // Every second step: the square of all of them takes minutes.
                at += 2;
            }
        });
    });
}

#[test]
fn the_engine_dies_at_every_call() {
    // An update of a new device and one of an old device make the same calls, and so does a container that is taken over.
    let names = ["update", "bad update", "rollback", "removal"];
    each(SCENARIOS.iter().filter(|scenario| names.contains(&scenario.name)), |scenario| {
        let (_keep, root) = folder();
        let (template, folder) = template(scenario, &root);
        // Whether the call is still carried out, and whether the machine starts anew: for an update both, else in turn.
        for turn in 0..if scenario.name == "update" { 2 } else { 1 } {
            let mut at = 1;
            loop {
                let (done, boot) = ((at + turn) % 2 == 0, at % 3 == 0);
                restore(&template, &folder);
                let bench = Bench::at(&folder);
                let faults = bench.engine.faults().unwrap();
                bench
                    .engine
                    .set_faults(&Faults { dies_at: Some(at), dies_done: done, ..faults.clone() })
                    .unwrap();
                let result = bench.act(scenario.deed);
                let came = bench.engine.calls() >= at;
                bench.engine.set_faults(&faults).unwrap();
                if !came {
                    break;
                }
                let place = format!("{}, at call {at}, done {done}, boot {boot}: {result:?}", scenario.name);
                let bench = Bench::at(&folder);
                if boot {
                    bench.engine.boot().unwrap();
                }
                let _found = bench.recover().unwrap_or_else(|error| panic!("{place}: {error}"));
                if result.is_ok() {
                    assert_eq!(bench.runs(), scenario.new, "{place}: it said that it succeeded");
                }
                scenario.check(&bench, &place);
                at += 1;
            }
            assert!(at > 20, "{} has calls: {at}", scenario.name);
        }
    });
}

#[test]
fn the_engine_has_no_room_left() {
    let scenario = &SCENARIOS[1];
    let (_keep, root) = folder();
    let (template, folder) = template(scenario, &root);
    let mut refused = 0;
    for at in 1..60 {
        restore(&template, &folder);
        let bench = Bench::at(&folder);
        bench.engine.set_faults(&Faults { full_at: Some(at), ..Faults::default() }).unwrap();
        let result = bench.act(scenario.deed);
        if result.is_err() {
            refused += 1;
            assert_eq!(bench.runs(), Some(1), "at call {at}: nothing was touched");
        }
        bench.engine.set_faults(&Faults::default()).unwrap();
        scenario.check(&bench, &format!("full at call {at}"));
    }
    assert!(refused > 5, "images and containers need room: {refused}");
}
