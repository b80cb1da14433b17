//! The agent as a process of its own, killed with SIGKILL: before every step by itself, and at random moments from outside.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;

use super::bench::{Bench, FORKS, folder};
use super::cuts::{SCENARIOS, Scenario, restore, template};

/// Folder, number of the scenario, and the step before which the child kills itself; 0 for none.
const CHILD: &str = "XEDGE_AGENT_TEST_CHILD";
/// Kills at random moments.
const KILLS: u64 = 200;

/// Both the child of the tests below and a test of its own: without a parent, it does the deed of a scenario to its end.
#[test]
fn child() {
    let (_keep, root) = folder();
    let task = std::env::var(CHILD).ok();
    let (folder, number, at) = if let Some(task) = &task {
        let mut parts = task.split('|');
        let mut part = || parts.next().unwrap();
        (part().into(), part().parse().unwrap(), part().parse::<u64>().unwrap())
    } else {
        SCENARIOS[1].prepare(&root);
        (root, 1_usize, 0)
    };
    let bench = Bench::at(&folder);
    bench.on_step(move |step, _| {
        if step == at {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
    });
    let scenario = &SCENARIOS[number];
    assert_eq!(bench.act(scenario.deed).is_err(), scenario.bad);
    assert_eq!(bench.runs(), scenario.new);
}

fn start(folder: &Utf8Path, number: usize, at: u64) -> Child {
    let _alone = FORKS.write();
    Command::new(std::env::current_exe().unwrap())
        .args(["apply::tests::processes::child", "--exact", "--test-threads=1"])
        .env(CHILD, format!("{folder}|{number}|{at}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn recovers(scenario: &Scenario, folder: &Utf8Path, boot: bool, place: &str) {
    let bench = Bench::at(folder);
    if boot {
        bench.engine.boot().unwrap();
    }
    let _found = bench.recover().unwrap_or_else(|error| panic!("{place}: {error}"));
    scenario.check(&bench, place);
}

fn killed(child: &mut Child) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    child.wait().unwrap().signal() == Some(9)
}

#[test]
fn a_process_is_killed_before_every_step() {
    for number in [1, 3, 4] {
        let scenario = &SCENARIOS[number];
        let (_keep, root) = folder();
        let (template, folder) = template(scenario, &root);
        let mut at = 1;
        loop {
            restore(&template, &folder);
            if !killed(&mut start(&folder, number, at)) {
                break;
            }
            recovers(scenario, &folder, at % 2 == 0, &format!("{}, killed before step {at}", scenario.name));
            at += 1;
        }
        assert!(at > 10, "{} has steps: {at}", scenario.name);
    }
}

#[test]
fn a_process_is_killed_at_random_moments() {
    let number = 1;
    let scenario = &SCENARIOS[number];
    let (_keep, root) = folder();
    let (template, folder) = template(scenario, &root);
    restore(&template, &folder);
    let begin = Instant::now();
    assert!(start(&folder, number, 0).wait().unwrap().success());
    let whole = begin.elapsed();
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let mut random = u64::from_le_bytes(seed);
    let (mut hits, mut came) = (0, [0, 0]);
    for round in 0..KILLS {
        // Marsaglia's xorshift: any spread of moments will do.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = whole.mul_f64(f64::from(u32::try_from(random >> 32).unwrap()) / f64::from(u32::MAX));
        restore(&template, &folder);
        let mut child = start(&folder, number, 0);
        std::thread::sleep(moment);
        child.kill().ok();
        hits += u64::from(killed(&mut child));
        let place = format!("round {round}, seed {seed:?}, killed after {moment:?}");
        let bench = Bench::at(&folder);
        if round % 2 == 0 {
            bench.engine.boot().unwrap();
        }
        let _found = bench.recover().unwrap_or_else(|error| panic!("{place}: {error}"));
        came[usize::from(bench.runs() == scenario.new)] += 1;
        scenario.check(&bench, &place);
    }
    assert!(hits > KILLS / 2, "most children were killed: {hits}");
    assert!(came[0] > 0, "some kills came before the change was decided: {came:?}");
    // A child that is killed late has decided; how many of those there are depends on the machine.
    assert!(whole > Duration::from_millis(1));
}
