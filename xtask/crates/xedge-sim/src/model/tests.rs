//! Models against the test broker: what they record must make the right claims hold, and the others fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use xedge_model::scenario::{Expectation, ModelConfig, Protocol, Role};

use super::{Fleet, Setting, Tally};
use crate::check::{self, Claim, Faults, Roster, Seen, State, stats};
use crate::history::{History, Kind, Recorder};
use crate::link::Links;
use crate::mqtt::Will;
use crate::mqtt::broker::{Habits, TestBroker};
use crate::plan::{
    Credentials, Ends, Limits, LinkPlan, ModelPlan, ModelSettings, RunPlan, Secret, SessionSettings, Shape,
};

fn model(id: &str, role: Role) -> ModelPlan {
    let mut config = ModelSettings::new(&ModelConfig::default(), role, id);
    config.every = Duration::from_millis(if role == Role::Sensor { 50 } else { 200 });
    config.user = Some("dev".to_owned());
    ModelPlan { id: id.to_owned(), group: id.to_owned(), role, config }
}

fn plan() -> RunPlan {
    RunPlan {
        scenario_name: "test".into(),
        run_id: "t".into(),
        seed: 7,
        duration: Duration::from_millis(500),
        shortened: false,
        keep: false,
        containers: vec![],
        models: vec![
            model("gw", Role::Gateway),
            model("c", Role::Cloud),
            model("s-1", Role::Sensor),
            model("s-2", Role::Sensor),
        ],
        authorities: BTreeMap::new(),
        timeline: vec![],
        expectations: Expectation::SEED.to_vec(),
        credentials: Credentials::from([("dev".into(), Secret::new("right"))]),
        links: vec![],
        retained: None,
        limits: Limits { connect: Duration::from_secs(2), drain: Duration::from_secs(2), ..Limits::NATIVE },
        virtual_time: None,
    }
}

/// Runs the models of a plan against a broker; the history.
async fn play(plan: &RunPlan, habits: Habits) -> History {
    play_over(plan, habits, &Links::new(&plan.links, plan.seed)).await
}

async fn play_over(plan: &RunPlan, habits: Habits, links: &Links) -> History {
    let broker = TestBroker::start(habits).await;
    let recorder = Recorder::new(Instant::now());
    let tally = Arc::new(Tally::new(plan));
    let setting = Setting {
        plan,
        addresses: tokio::sync::watch::Sender::new(vec![broker.address]).subscribe(),
        broker: "broker",
        links,
        recorder: recorder.clone(),
        tally: tally.clone(),
    };
    let fleet = Fleet::start(&setting).await.unwrap();
    let start = Instant::now();
    fleet.publish(start);
    sleep_until(start + plan.duration).await;
    fleet.drain();
    let end = Instant::now() + plan.limits.drain;
    while !tally.is_drained() && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
    }
    fleet.end().await;
    recorder.take()
}

fn states(history: &History) -> [State; 3] {
    claims(history).map(|claim| claim.state)
}

/// `sensors.publish`, `gateway.receives`, `mqtt.end_to_end`.
fn claims(history: &History) -> [Claim; 3] {
    let roster = Roster::of(&plan());
    let seen = Seen::of(history, &roster);
    [check::sensors_publish, check::gateway_receives, check::end_to_end].map(|check| check(&seen, &roster))
}

#[tokio::test]
async fn a_good_broker_holds_every_claim() {
    let history = play(&plan(), Habits::default()).await;
    assert_eq!(states(&history), [State::Held; 3], "{:?}", claims(&history));
    let [_, _, claim] = claims(&history);
    assert_eq!(
        (claim.counts["acknowledged"], claim.counts["duplicates"], claim.counts["far_ends"]),
        (20, 0, 2)
    );
    let latency = stats::delivery_latency(&history, &Faults::default()).all.unwrap();
    assert_eq!(latency.count, 20);
}

#[tokio::test]
async fn acknowledged_and_lost_is_found() {
    let history = play(&plan(), Habits { lose: Some(|n| n == 5), ..Habits::default() }).await;
    assert_eq!(states(&history), [State::Held, State::Held, State::Failed]);
}

#[tokio::test]
async fn duplicates_are_counted_once_by_the_gateway() {
    let history = play(&plan(), Habits { repeat: true, ..Habits::default() }).await;
    assert_eq!(states(&history), [State::Held; 3]);
    let [_, _, claim] = claims(&history);
    assert!(claim.counts["duplicates"] >= 20, "{claim:?}");
}

#[tokio::test]
async fn a_lost_connection_comes_back_and_the_message_is_sent_again() {
    let history = play(&plan(), Habits { cut_at: Some(3), ..Habits::default() }).await;
    let count = |wanted: fn(&Kind) -> bool| history.iter().filter(|e| wanted(&e.kind)).count();
    assert_eq!(count(|k| matches!(k, Kind::Disconnected { .. })), 1);
    assert_eq!(count(|k| matches!(k, Kind::Connected { .. })), 5);
    assert!(count(|k| matches!(k, Kind::Sent { dup: true, .. })) >= 1);
    assert_eq!(states(&history), [State::Held; 3], "{:?}", claims(&history));
}

#[tokio::test]
async fn a_refused_login_is_reported_and_does_not_hold_up_the_run() {
    let begun = Instant::now();
    let refuse = |connect: &crate::mqtt::Connect| if connect.client_id == "s-2" { 5 } else { 0 };
    let history = play(&plan(), Habits { refuse: Some(refuse), ..Habits::default() }).await;
    let [claim, _, _] = claims(&history);
    assert_eq!(claim.text, "s-2 sent 0 of 10 readings: not authorised (CONNACK code 5)");
    assert_eq!(states(&history)[1..], [State::Held, State::Held]);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn passwords_are_sent_and_wrong_ones_are_told_apart() {
    let right = |connect: &crate::mqtt::Connect| {
        let right = connect.user.as_deref() == Some("dev") && connect.password.as_deref() == Some(b"right");
        if right { 0 } else { 4 }
    };
    let history = play(&plan(), Habits { refuse: Some(right), ..Habits::default() }).await;
    assert_eq!(states(&history), [State::Held; 3]);
}

/// A plan whose models all use this `QoS` and version.
fn plan_of(qos: u8, protocol: Protocol) -> RunPlan {
    let mut plan = plan();
    for model in &mut plan.models {
        let session = SessionSettings { protocol, ..(*model.config.session).clone() };
        model.config = ModelSettings { qos, session: Arc::new(session), ..model.config.clone() };
    }
    plan
}

#[tokio::test]
async fn every_quality_of_service_and_version_delivers() {
    for (qos, protocol) in [(2, Protocol::V3), (1, Protocol::V5), (2, Protocol::V5)] {
        let habits = Habits { receive_maximum: Some(1), ..Habits::default() };
        let history = play(&plan_of(qos, protocol), habits).await;
        assert_eq!(states(&history), [State::Held; 3], "QoS {qos} of {protocol:?}: {:?}", claims(&history));
    }
}

#[tokio::test]
async fn exactly_once_survives_a_cut_between_its_steps() {
    for clean in [true, false] {
        let mut plan = plan_of(2, Protocol::V3);
        for model in &mut plan.models {
            let session = SessionSettings { clean, ..(*model.config.session).clone() };
            model.config.session = Arc::new(session);
        }
        let history = play(&plan, Habits { cut_at_release: Some(("s-2", 5)), ..Habits::default() }).await;
        let count = |wanted: fn(&Kind) -> bool| history.iter().filter(|e| wanted(&e.kind)).count();
        assert_eq!(count(|k| matches!(k, Kind::Disconnected { .. })), 1);
        let present = count(|k| matches!(k, Kind::Connected { session_present: true }));
        assert_eq!(present, usize::from(!clean));
        // With a session only the release goes again; without one the message does.
        assert_eq!(count(|k| matches!(k, Kind::Sent { dup: true, .. })), usize::from(clean));
        assert_eq!(states(&history), [State::Held; 3], "{:?}", claims(&history));
        assert_eq!(claims(&history)[2].counts["duplicates"], 0);
    }
}

#[tokio::test]
async fn a_session_is_used_again_and_what_came_meanwhile_arrives() {
    let mut plan = plan();
    plan.models[0].config.session =
        Arc::new(SessionSettings { clean: false, ..(*plan.models[0].config.session).clone() });
    let cut = LinkPlan { name: "lan".into(), ends: Ends::Of(vec!["gw".into()]), ..plain_link() };
    plan.links = vec![cut];
    let links = Links::new(&plan.links, plan.seed);
    let control = links.control("lan").unwrap();
    let faults = async {
        sleep(Duration::from_millis(200)).await;
        control.reset()
    };
    let (history, torn) = tokio::join!(play_over(&plan, Habits::default(), &links), faults);
    assert_eq!((torn, states(&history)), (1, [State::Held; 3]), "{:?}", claims(&history));
    let of_gateway = history.iter().filter(|e| &*e.node == "gw");
    let connects: Vec<Kind> = of_gateway
        .map(|e| e.kind)
        .filter(|k| matches!(k, Kind::Connected { .. } | Kind::Subscribed { .. }))
        .collect();
    assert_eq!(connects.len(), 3, "subscribed once: {connects:?}");
    assert_eq!(connects[2], Kind::Connected { session_present: true });
}

#[tokio::test]
async fn a_will_is_published_when_the_connection_breaks_and_only_then() {
    for breaks in [true, false] {
        let mut plan = plan();
        let will = Will { topic: "sensors/{id}".into(), payload: "gone".into(), qos: 1, retain: false };
        let session = SessionSettings { will: Some(will), ..(*plan.models[2].config.session).clone() };
        plan.models[2].config.session = Arc::new(session);
        plan.links =
            vec![LinkPlan { name: "lan".into(), ends: Ends::Of(vec!["s-1".into()]), ..plain_link() }];
        let links = Links::new(&plan.links, plan.seed);
        let control = links.control("lan").unwrap();
        let faults = async {
            sleep(Duration::from_millis(200)).await;
            if breaks { control.reset() } else { 0 }
        };
        let (history, _) = tokio::join!(play_over(&plan, Habits::default(), &links), faults);
        let wills = history.iter().filter(
            |e| matches!(&e.kind, Kind::Unreadable { topic, .. } if topic == "sensors/s-1" && &*e.node == "gw"),
        );
        assert_eq!(wills.count(), usize::from(breaks));
    }
}

fn plain_link() -> LinkPlan {
    LinkPlan { name: "lan".into(), ends: Ends::Rest, up: Shape::default(), down: Shape::default() }
}

#[tokio::test]
async fn the_stimulus_is_the_same_in_every_run() {
    let mut plan = plan();
    plan.duration = Duration::from_millis(200);
    let first = super::stimulus(&plan);
    assert_eq!(first, super::stimulus(&plan));
    plan.seed += 1;
    assert_ne!(first, super::stimulus(&plan));
}

#[tokio::test]
async fn models_of_a_node_take_its_link_and_come_back_after_a_reset() {
    let shape = Shape { latency: Duration::from_millis(5), ..Shape::default() };
    let lan = LinkPlan { name: "lan".into(), ends: Ends::Of(vec!["s-1".into()]), up: shape, down: shape };
    let plan = RunPlan { links: vec![lan], ..plan() };
    let links = Links::new(&plan.links, plan.seed);
    let control = links.control("lan").unwrap();
    let faults = async {
        sleep(Duration::from_millis(300)).await;
        control.reset()
    };
    let (history, torn) = tokio::join!(play_over(&plan, Habits::default(), &links), faults);
    assert_eq!((torn, states(&history)), (1, [State::Held; 3]), "{:?}", claims(&history));
    let stats = control.stats();
    assert_eq!((stats.connections, stats.reset), (2, 1), "s-1 twice, and nobody else");
    assert!(stats.up.passed.pieces >= 12 && stats.up.passed.delay_min_us >= 5_000, "{stats:?}");
    assert_eq!(stats.up.passed.loss_stalls + stats.down.passed.held, 0);
}
