//! Whole passages of built-in models: what arrives, what is lost and counted, and that a seed decides it all.

use std::time::{Duration, Instant};

use xedge_model::scenario::{Expectation, Role};

use super::{LinkPlan, Passage, Patience, Runs, Shape, Surroundings, VirtualNode, VirtualPlan, run_twice};
use crate::check::State;

pub(super) const CLAIMS: [Expectation; 3] =
    [Expectation::SensorsPublish, Expectation::GatewayReceives, Expectation::EndToEnd];

pub(super) fn node(id: &str, role: Role) -> VirtualNode {
    let (every, topic, subscribe) = match role {
        Role::Sensor => (1, format!("sensors/{id}"), ""),
        Role::Gateway => (5, format!("upstream/{id}"), "sensors/+"),
        _ => (1, String::new(), "upstream/+"),
    };
    VirtualNode {
        id: id.into(),
        group: id.into(),
        role,
        runs: Runs::Model,
        every: Duration::from_secs(every),
        jitter_ppm: 0,
        payload: 0,
        topic,
        subscribe: subscribe.into(),
        to: None,
        via: None,
    }
}

pub(super) fn plan(seconds: u64, nodes: Vec<VirtualNode>) -> VirtualPlan {
    VirtualPlan {
        scenario_name: "test".into(),
        seed: 42,
        duration: Duration::from_secs(seconds),
        quantum: Duration::from_millis(1),
        drain: Duration::from_secs(10),
        patience: Patience { ready: Duration::from_secs(10), step: Duration::from_secs(10) },
        nodes,
        links: vec![],
        default_link: None,
    }
}

fn small() -> VirtualPlan {
    let sensors = (1..=5).map(|n| node(&format!("s-{n}"), Role::Sensor));
    let others = [node("gw", Role::Gateway), node("c", Role::Cloud)];
    plan(30, sensors.chain(others).collect())
}

async fn go(plan: &VirtualPlan) -> Passage {
    twice(plan).await.unwrap()
}

/// Without scripts nothing is written.
async fn twice(plan: &VirtualPlan) -> Result<Passage, crate::Error> {
    run_twice(plan, &CLAIMS, <[Surroundings; 2]>::default()).await
}

fn states(passage: &Passage) -> Vec<State> {
    passage.claims.iter().map(|claim| claim.state).collect()
}

#[tokio::test]
async fn everything_arrives_where_nothing_is_lost() {
    let passage = go(&small()).await;
    assert_eq!(states(&passage), [State::Held; 4], "{:?}", passage.claims);
    assert_eq!(passage.nodes["s-1"].sent, 30);
    assert_eq!(passage.nodes["gw"].received, 150);
    assert_eq!((passage.lost, passage.in_flight), (0, 0));
    assert_eq!(passage.nodes["c"].received, passage.nodes["gw"].sent);
    assert_eq!(passage.latency.unwrap().max_us, 0);
}

#[tokio::test]
async fn a_seed_decides_it_all_and_another_decides_otherwise() {
    let first = go(&small()).await;
    assert_eq!(first, go(&small()).await);
    let mut other = small();
    other.seed += 1;
    assert_ne!(first.trace, go(&other).await.trace);
    let mut longer = small();
    longer.duration += Duration::from_secs(1);
    assert_ne!(first.trace, go(&longer).await.trace);
}

fn lossy(loss: f64, latency_us: u64) -> VirtualPlan {
    let mut plan = small();
    let shape = Shape { latency_us, loss, ..Shape::default() };
    plan.links = vec![LinkPlan { name: "s-1 to gw".into(), ends: Some(("s-1".into(), "gw".into())), shape }];
    plan
}

#[tokio::test]
async fn a_loss_is_counted_and_no_claim_holds_over_it() {
    let passage = go(&lossy(0.5, 0)).await;
    assert_eq!(states(&passage), [State::Held, State::Held, State::Failed, State::Held]);
    let link = &passage.links["s-1 to gw"];
    assert_eq!(link.messages, 30);
    assert!(link.lost > 0 && link.lost == passage.lost, "{link:?}");
    assert_eq!(passage.nodes["gw"].received, 150 - link.lost);
    assert!(
        passage.claims[2].text.contains("of 30 messages of s-1 to gw were lost"),
        "{:?}",
        passage.claims[2]
    );
}

#[tokio::test]
async fn latency_is_measured_and_what_is_too_late_is_in_flight() {
    let passage = go(&lossy(0.0, 250_000)).await;
    assert_eq!(states(&passage), [State::Held; 4], "{:?}", passage.claims);
    assert_eq!(passage.latency.unwrap().max_us, 250_000);
    // A link of a minute: nothing of s-1 arrives within the run and its drain.
    let passage = go(&lossy(0.0, 60_000_000)).await;
    assert_eq!(passage.in_flight, 30);
    let claim = &passage.claims[2];
    assert_eq!((claim.state, claim.counts["in_flight"]), (State::Held, 30));
    assert!(claim.text.ends_with("and 30 were still under way at the end"), "{}", claim.text);
}

#[tokio::test]
async fn who_is_heard_by_nobody_and_who_names_nobody_is_found() {
    let mut deaf = small();
    deaf.nodes[5].subscribe = "other/+".into();
    let passage = go(&deaf).await;
    assert_eq!(states(&passage), [State::Held, State::Failed, State::Failed, State::Held]);
    let mut lost = small();
    lost.nodes[0].to = Some("gatewy".into());
    let error = twice(&lost).await.unwrap_err().to_string();
    assert!(error.contains("s-1 sends to `gatewy`, and there is no such node"), "{error}");
}

#[tokio::test]
async fn a_sensor_can_name_the_node_that_it_sends_to() {
    let mut plan = small();
    plan.nodes.push(node("gw-2", Role::Gateway));
    plan.nodes[0].to = Some("gw-2".into());
    let passage = go(&plan).await;
    assert_eq!(passage.nodes["gw-2"].received, 30 * 5);
    assert_eq!(passage.nodes["gw"].received, 30 * 4);
}

/// Prints how much faster than real time an hour of ten thousand sensors goes by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sensors_go_through_an_hour() {
    let sensors = (1..10_000).map(|n| node(&format!("s-{n}"), Role::Sensor));
    let seconds = std::env::var("HOUR").map_or(36, |_| 3_600);
    let plan = plan(seconds, sensors.chain([node("gw", Role::Gateway)]).collect());
    let begun = Instant::now();
    let passage = twice(&plan).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(passage.nodes["gw"].received, 9_999 * seconds);
    eprintln!("{} events, {seconds} s twice in {took:?}", passage.events);
}
