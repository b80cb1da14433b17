//! Scripts that play their part, and each way in which one does not: found, named, shown with its last words, and ended.

use std::fs;
use std::process::Command;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, json};
use xedge_model::scenario::Role;
use xedge_model::{Class, Failure};

use super::plan::ScriptPlan;
use super::tests::{CLAIMS, node, plan};
use super::{Passage, Patience, Runs, Surroundings, VirtualNode, VirtualPlan, run_twice};
use crate::Error;
use crate::check::State;

/// The protocol in a few lines; `answer(until, heard)` gives the lines that answer a step, `begin()` what answers INIT.
const FRAME: &str = r#"
import json, os, socket, sys, time
def say(time_us, **more):
    return {"time_us": time_us, "type": "TRANSMIT", **more}
def done(*events):
    return "DONE\n" + json.dumps(list(events)) + "\n"
def begin():
    return "READY\n"
PART
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
connection, _ = listener.accept()
lines = connection.makefile("rw")
for line in lines:
    order, _, rest = line.strip().partition(" ")
    if order == "INIT":
        lines.write(begin())
    elif order == "ADVANCE":
        lines.write(answer(int(rest), json.loads(next(lines))))
    else:
        break
    lines.flush()
"#;

/// Says something every 100 ms.
const GOOD: &str = "
def answer(until, heard):
    return done(*[say(t, payload={'value': 1.5}) for t in range(until - 10_000, until) if t % 100_000 == 0])
";

struct Folder {
    _dir: tempfile::TempDir,
    path: Utf8PathBuf,
}

fn folder() -> Folder {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    Folder { _dir: dir, path }
}

fn scripted(folder: &Utf8Path, id: &str, role: Role, part: &str) -> VirtualNode {
    let file = folder.join(format!("{id}.py"));
    fs::write(&file, FRAME.replace("PART", part)).unwrap();
    let config = Map::from_iter([("mean".to_owned(), json!(7))]);
    let script = ScriptPlan { file, shown: format!("models/{id}.py"), line: 12, config };
    VirtualNode { runs: Runs::Script(script), ..node(id, role) }
}

fn with(folder: &Utf8Path, part: &str) -> VirtualPlan {
    let nodes =
        vec![scripted(folder, "s", Role::Sensor, part), node("gw", Role::Gateway), node("c", Role::Cloud)];
    VirtualPlan {
        quantum: Duration::from_millis(10),
        patience: Patience { ready: Duration::from_secs(20), step: Duration::from_secs(2) },
        ..plan(1, nodes)
    }
}

async fn go(folder: &Utf8Path, plan: &VirtualPlan) -> Result<Passage, Error> {
    let around = |name| Surroundings { folder: folder.join("runs").join(name), ..Surroundings::default() };
    run_twice(plan, &CLAIMS, ["first", "second"].map(around)).await
}

#[tokio::test]
async fn a_script_takes_part_and_its_readings_arrive() {
    let folder = folder();
    let passage = go(&folder.path, &with(&folder.path, GOOD)).await.unwrap();
    assert!(passage.claims.iter().all(|claim| claim.state == State::Held), "{:?}", passage.claims);
    assert_eq!(
        (passage.nodes["s"].sent, passage.nodes["gw"].received, passage.nodes["c"].received),
        (10, 10, 1)
    );
}

#[tokio::test]
async fn scripts_hear_built_in_nodes_and_each_other_and_time_never_goes_back() {
    let folder = folder();
    let part = "
last = 0
def answer(until, heard):
    global last
    for event in heard:
        assert until - 10_000 <= event['time_us'] < until and event['time_us'] >= last, event
        last = event['time_us']
    print([event['src'] for event in heard], file=sys.stderr)
    return done(*[say(until - 1, payload=len(heard)) for _ in heard])
";
    let mut plan = with(&folder.path, GOOD);
    plan.nodes[1] = scripted(&folder.path, "gw", Role::Gateway, part);
    plan.nodes.push(node("builtin", Role::Sensor));
    let passage = go(&folder.path, &plan).await.unwrap();
    let heard = passage.nodes["gw"].received;
    assert_eq!(heard, passage.nodes["s"].sent + passage.nodes["builtin"].sent - passage.in_flight);
    assert_eq!(passage.nodes["c"].received, heard);
    assert!(passage.logs["gw"].contains("'builtin'"), "{}", passage.logs["gw"]);
}

#[tokio::test]
async fn settings_and_upstreams_other_names_are_understood() {
    let folder = folder();
    // The frame gives INIT no further: this one reads it itself.
    let part = "
def answer(until, heard):
    event = {'timestamp_us': until - 10_000, 'event_type': 'T', 'source': 's', 'destination': 'gw', 'payload': None}
    return 'DONE ' + json.dumps([event]) + '\\n'
";
    let passage = go(&folder.path, &with(&folder.path, part)).await.unwrap();
    assert_eq!(passage.nodes["gw"].received, 100);
}

#[tokio::test]
async fn a_script_that_draws_on_a_clock_is_found() {
    let folder = folder();
    let part = "
def answer(until, heard):
    return done(say(until - 1, payload=time.time_ns()))
";
    let passage = go(&folder.path, &with(&folder.path, part)).await.unwrap();
    let claim = passage.claims.last().unwrap();
    assert_eq!((claim.id.as_str(), claim.state), ("trace.repeats", State::Invalid));
    assert!(claim.text.contains("draws on something else than its seed"), "{}", claim.text);
}

/// Runs a script that fails; what is said of it.
async fn failure(part: &str) -> String {
    let folder = folder();
    let mut plan = with(&folder.path, part);
    plan.patience.step = Duration::from_millis(500);
    if part.contains("begin") {
        plan.patience.ready = Duration::from_secs(3);
    }
    let error = go(&folder.path, &plan).await.unwrap_err();
    assert_eq!(error.class(), Class::Input);
    let text = error.to_string();
    assert!(
        text.starts_with("failed to lead node s through time (models/s.py, line 12 of the scenario), at "),
        "{text}"
    );
    nothing_runs(&folder.path).await;
    text
}

/// No script of a folder is left.
async fn nothing_runs(folder: &Utf8Path) {
    for _ in 0..100 {
        let found = Command::new("pgrep").args(["-f", &format!("python3 -u .*{folder}/")]).output().unwrap();
        if found.stdout.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a script of {folder} goes on");
}

#[tokio::test]
async fn a_script_that_hangs_is_not_waited_for() {
    let text = failure(
        "
def answer(until, heard):
    print('thinking about', until, file=sys.stderr)
    time.sleep(600 if until > 500_000 else 0)
    return done()
",
    )
    .await;
    assert!(text.contains("at 0.500000 s: it did not answer within 0.5 s\n"), "{text}");
    assert!(text.ends_with("thinking about 510000"), "{text}");
    let text = failure(
        "
def begin():
    time.sleep(600)
",
    )
    .await;
    assert!(text.contains("at its start: it did not answer within 3 s"), "{text}");
}

#[tokio::test]
async fn a_script_that_talks_nonsense_is_quoted() {
    for (part, said) in [
        ("return 'hello\\n'", "expected `DONE`, it said: `hello`"),
        ("return 'DONE\\nnothing\\n'", "expected a JSON list of events, it said: `nothing`"),
        ("return done(say(0))", "the past is over"),
        (
            "return done(say(until - 1, dst='gatewy'))",
            "it sends `TRANSMIT` to `gatewy`, and there is no such node",
        ),
        ("return done(say(until - 1, dst='gwx'))", "did you mean `gw`?"),
        ("return 'ERROR no idea\\n'", "expected `DONE`, it said: `ERROR no idea`"),
    ] {
        let text = failure(&format!("\ndef answer(until, heard):\n    {part}\n")).await;
        assert!(text.contains(said), "{text}");
    }
    let text = failure("\ndef begin():\n    return 'WHO?\\n'\n").await;
    assert!(text.contains("at its start: expected `READY`, it said: `WHO?`"), "{text}");
}

#[tokio::test]
async fn a_script_that_dies_is_shown_with_its_last_words() {
    let text = failure(
        "
def answer(until, heard):
    if until > 200_000:
        raise KeyError('humidity')
    return done()
",
    )
    .await;
    assert!(text.contains("at 0.200000 s: it ended with exit code 1\n"), "{text}");
    assert!(text.ends_with("KeyError: 'humidity'"), "{text}");
    let text = failure(
        "
def answer(until, heard):
    os.kill(os.getpid(), 9)
",
    )
    .await;
    assert!(text.contains("a signal ended it"), "{text}");
    let text = failure(
        "
import no_such_module
",
    )
    .await;
    assert!(text.contains("at its start: it ended with exit code 1\n"), "{text}");
    assert!(text.contains("No module named 'no_such_module'"), "{text}");
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_no_script_behind() {
    let folder = folder();
    let part = "
def answer(until, heard):
    time.sleep(600)
";
    let plan = with(&folder.path, part);
    let gone = tokio::time::timeout(Duration::from_secs(1), go(&folder.path, &plan)).await;
    assert!(gone.is_err());
    nothing_runs(&folder.path).await;
}
