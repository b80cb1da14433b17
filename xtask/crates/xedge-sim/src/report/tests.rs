//! Reports of outcomes made by hand.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xedge_model::scenario::{Expectation, ModelConfig, Role};

use super::{error, outcome, raw};
use crate::Error;
use crate::check::{Claim, State};
use crate::history::{Event, History, Kind};
use crate::plan::{Credentials, Limits, ModelPlan, ModelSettings, RunPlan};
use crate::run::outcome::Outcome;

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    (dir, path)
}

fn plan() -> RunPlan {
    let model = |n: u32| ModelPlan {
        id: format!("s-{n}"),
        group: "s".into(),
        role: Role::Sensor,
        config: ModelSettings::new(&ModelConfig::default(), Role::Sensor, &format!("s-{n}")),
    };
    RunPlan {
        scenario_name: "smoke".into(),
        run_id: "r1".into(),
        seed: 1,
        duration: Duration::from_secs(1),
        shortened: false,
        keep: false,
        containers: vec![],
        models: vec![model(1), model(2)],
        authorities: BTreeMap::new(),
        timeline: vec![],
        expectations: vec![Expectation::BrokerStarts],
        credentials: Credentials::new(),
        links: vec![],
        retained: None,
        limits: Limits::NATIVE,
        virtual_time: None,
    }
}

fn json(folder: &Utf8Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_failed_claim_is_in_both_reports() {
    let claims = vec![
        Claim::new("broker.starts", State::Held, "it answers"),
        Claim::new("mqtt.end_to_end", State::Failed, "3 lost <of \"9\">"),
        Claim::new("retained.survives(restart)", State::Invalid, "not readable"),
    ];
    let failed = Outcome::sample(claims);
    let (_dir, folder) = folder();
    outcome(&folder, &failed).unwrap();
    let report = json(&folder);
    assert_eq!(
        (&report["schema"], &report["verdict"], &report["exit_code"]),
        (&1.into(), &"failed".into(), &2.into())
    );
    assert_eq!(report["result"]["claims"][1]["state"], "failed");
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap();
    assert!(junit.contains("tests=\"3\" skipped=\"0\" failures=\"1\" errors=\"1\""), "{junit}");
    assert!(junit.contains("3 lost &lt;of &quot;9&quot;&gt;"), "{junit}");
    let first = fs::read(folder.join("report.json")).unwrap();
    outcome(&folder, &failed).unwrap();
    assert_eq!(fs::read(folder.join("report.json")).unwrap(), first);
    assert_eq!(fs::read_to_string(folder.join("junit.xml")).unwrap(), junit);
}

#[test]
fn an_error_is_reported_with_its_class_and_without_control_characters() {
    let log = "\u{1b}[31mboom\u{0}".to_owned();
    let exited =
        Error::Exited { node: "broker".into(), when: "at once", how: " with exit code 3".into(), log };
    let (_dir, folder) = folder();
    error(&folder, &plan(), &exited).unwrap();
    let report = json(&folder);
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"error".into(), &2.into()));
    assert!(report.get("result").is_none());
    let junit = fs::read_to_string(folder.join("junit.xml")).unwrap();
    assert!(junit.contains("boom") && !junit.contains(['\u{1b}', '\u{0}']), "{junit:?}");
}

#[test]
fn a_group_has_one_file() {
    let event = |node: &str, kind| Event { t_us: 1, node: Arc::from(node), kind };
    let connected = || Kind::Connected { session_present: false };
    let events = [event("s-1", connected()), event("s-2", connected()), event("broker", Kind::Ready)];
    let history: History = events.into_iter().collect();
    let (_dir, folder) = folder();
    let logs = BTreeMap::from([("broker".to_owned(), "hello\n".to_owned())]);
    raw(&folder, &plan(), &history, &logs).unwrap();
    let csv = fs::read_to_string(folder.join("nodes/s.csv")).unwrap();
    assert_eq!(
        csv,
        "t_us,node,kind,topic,seq,planned_us,packet_id,detail\n\
         1,s-1,connected,,,,,session_present=false\n1,s-2,connected,,,,,session_present=false\n"
    );
    assert!(folder.join("nodes/broker.csv").exists() && !folder.join("nodes/s-1.csv").exists());
    assert_eq!(fs::read_to_string(folder.join("history.jsonl")).unwrap().lines().count(), 3);
    assert_eq!(fs::read_to_string(folder.join("logs/broker.log")).unwrap(), "hello\n");
}
