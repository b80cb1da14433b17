//! Plans that must be refused before anything is started.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_model::scenario::{Expectation, ModelConfig, Role};
use xedge_model::{Class, Failure};

use super::{
    ContainerPlan, Credentials, Ends, FilePlan, Limits, LinkPlan, ModelPlan, ModelSettings, Need,
    RetainedProbe, RunPlan, Secret, Shape, VolumePlan, start_order,
};

fn container(node_id: &str, role: Role) -> ContainerPlan {
    ContainerPlan::sample(node_id, role)
}

fn model(id: &str, role: Role) -> ModelPlan {
    let config = ModelSettings::new(&ModelConfig::default(), role, id);
    ModelPlan { id: id.into(), group: id.into(), role, config }
}

fn good() -> RunPlan {
    RunPlan {
        scenario_name: "smoke".into(),
        run_id: "r-1".into(),
        seed: 1,
        duration: Duration::from_secs(1),
        shortened: false,
        keep: false,
        containers: vec![container("broker", Role::Broker)],
        models: vec![model("s", Role::Sensor), model("gw", Role::Gateway)],
        timeline: vec![],
        links: vec![],
        authorities: BTreeMap::new(),
        expectations: Expectation::SEED.to_vec(),
        credentials: Credentials::from([("dev".into(), Secret::new("right"))]),
        retained: None,
        limits: Limits::NATIVE,
        virtual_time: None,
    }
}

/// The good plan with a change is refused, and the text has this part.
fn refused(part: &str, change: impl FnOnce(&mut RunPlan)) {
    let mut plan = good();
    change(&mut plan);
    let error = plan.validate().expect_err(part);
    assert_eq!(error.class(), Class::Input);
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn a_good_plan_is_taken() {
    good().validate().unwrap();
}

#[test]
fn there_must_be_one_broker() {
    refused("there is no broker", |p| p.containers.clear());
    refused("more than one broker", |p| p.containers.push(container("b2", Role::Broker)));
    refused("only brokers, gateways and services", |p| p.containers.push(container("x", Role::Cloud)));
}

/// A plan of two services and no models.
fn services() -> RunPlan {
    let mut web = container("web", Role::Service);
    web.extras.published_tcp = vec![8080];
    web.extras.needs.insert("db".into(), Need::Healthy);
    RunPlan {
        containers: vec![web, container("db", Role::Service)],
        models: vec![],
        expectations: vec![Expectation::ServiceAnswers("web".into(), 8080)],
        ..good()
    }
}

#[test]
fn services_need_no_broker_until_something_asks_one() {
    let mut plan = services();
    plan.validate().unwrap();
    assert!(plan.broker().unwrap().is_none());
    for id in ["b1", "b2"] {
        plan.containers.push(container(id, Role::Broker));
    }
    plan.validate().unwrap();
    let refused = |claim: Expectation, part: &str| {
        let mut plan = plan.clone();
        plan.expectations.push(claim);
        let error = plan.validate().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(Expectation::BrokerStarts, "more than one broker");
    refused(Expectation::ServiceHealthy("wbe".into()), "about no container");
    refused(Expectation::ServiceAnswers("web".into(), 80), "does not publish that port");
    plan.expectations = vec![Expectation::ServiceHealthy("db".into())];
    plan.containers[1].extras.completes = true;
    assert!(plan.validate().unwrap_err().to_string().contains("db is to complete"));
}

#[test]
fn what_a_container_needs_is_started_before_it() {
    let mut plan = services();
    plan.containers.push(container("broker", Role::Broker));
    let order = |plan: &RunPlan| -> Vec<String> {
        start_order(&plan.containers).unwrap().iter().map(|c| c.node_id.clone()).collect()
    };
    assert_eq!(order(&plan), ["broker", "db", "web"]);
    plan.containers[2].extras.needs.insert("web".into(), Need::Started);
    assert_eq!(order(&plan), ["db", "web", "broker"]);
    plan.containers[1].extras.needs.insert("broker".into(), Need::Completed);
    let error = plan.validate().unwrap_err().to_string();
    assert!(error.contains("wait for each other, or for what is not there: broker, web, db"), "{error}");
}

#[test]
fn names_become_files_and_objects() {
    for id in ["", "../x", "a/b", "-a", "a b", "a\n"] {
        refused("is no node id", |p| p.models[0].id = id.into());
        refused("is no node id", |p| p.models[0].group = id.into());
    }
    refused("two nodes would be called `broker`", |p| p.models[0].id = "broker".into());
    for id in ["", "A", "a b", "../x", &"x".repeat(41)] {
        refused("is no run id", |p| p.run_id = id.into());
    }
}

#[test]
fn files_stay_inside_of_their_volume() {
    let with = |mount_path: &str, path: &str, mode| VolumePlan {
        mount_path: mount_path.into(),
        files: vec![FilePlan { path: path.into(), mode, uid: 0, gid: 0, bytes: vec![] }],
        ..VolumePlan::default()
    };
    for path in ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a/", "a\0b"] {
        refused("is no path inside of a volume", |p| {
            p.containers[0].volumes.push(with("/data", path, 0o644));
        });
    }
    for mount in ["", "/", "data", "/a/../b"] {
        refused("is no place for a volume", |p| p.containers[0].volumes.push(with(mount, "x", 0o644)));
    }
    refused("more than permission bits", |p| p.containers[0].volumes.push(with("/data", "x", 0o100_644)));
    refused("no digest says", |p| p.containers[0].accepted_ids.clear());
}

#[test]
fn a_claim_that_nothing_could_break_is_refused() {
    refused("it claims nothing", |p| p.expectations.clear());
    refused("needs a sensor", |p| p.models.retain(|m| m.role != Role::Sensor));
    refused("needs a gateway", |p| p.models.retain(|m| m.role != Role::Gateway));
    refused("with `qos: 1`", |p| p.models[0].config.qos = 0);
    refused("needs a cloud", |p| p.containers.push(container("gw2", Role::Gateway)));
    refused("needs the password of `eve`", |p| p.expectations.push(Expectation::LoginAccepted("eve".into())));
}

#[test]
fn models_need_topics_time_and_passwords() {
    refused("is no topic", |p| p.models[0].config.topic = "a/+".into());
    refused("is no topic filter", |p| p.models[1].config.subscribe = "a/#/b".into());
    refused("`every` of s is 0", |p| p.models[0].config.every = Duration::ZERO);
    refused("more than 65000 bytes", |p| {
        drop(p.credentials.insert("a".into(), Secret::new("x".repeat(65_001))));
    });
    refused("logs in as `eve`", |p| p.models[0].config.user = Some("eve".into()));
    refused("the retained probe logs in as `eve`", |p| {
        p.expectations.push(Expectation::RetainedSurvivesRestart);
        p.retained = Some(RetainedProbe { publisher: None, reader: Some("eve".into()), topic: "a".into() });
    });
}

#[test]
fn the_retained_probe_goes_the_way_of_the_models() {
    let mut plan = good();
    plan.models[0].config.user = Some("dev".into());
    let probe = plan.retained_probe();
    assert_eq!(
        (probe.publisher.as_deref(), probe.reader, probe.topic.as_str()),
        (Some("dev"), None, "sensors/s")
    );
    plan.models.pop();
    assert_eq!(plan.retained_probe().reader.as_deref(), Some("dev"));
}

#[test]
fn debug_output_of_a_plan_has_no_secret() {
    let mut plan = good();
    let bytes = b"topsecret".to_vec();
    let files = vec![FilePlan { path: "passwd".into(), mode: 0o400, uid: 1, gid: 1, bytes }];
    plan.containers[0].volumes.push(VolumePlan {
        mount_path: "/etc/x".into(),
        files,
        ..VolumePlan::default()
    });
    let text = format!("{plan:?}");
    assert!(
        !text.contains("right") && !text.contains("topsecret") && !text.contains("116, 111, 112"),
        "{text}"
    );
}

#[test]
fn a_timeline_is_about_containers_of_the_run_and_leaves_none_down_that_is_asked_later() {
    let with = |text: &str, claim: &str| {
        let timeline = xedge_model::yaml::Source::new("t.yaml", text).parse().unwrap();
        RunPlan { timeline, expectations: vec![claim.parse().unwrap()], ..good() }.validate()
    };
    let refused = |text: &str, claim: &str, part: &str| {
        let error = with(text, claim).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let retained = "retained.survives(restart)";
    refused("[{at: 1s, kill: s}]", "broker.starts", "the timeline names s, which is no container");
    refused("[{at: 1s, kill: broker}]", retained, "that the timeline leaves down");
    with("[{at: 1s, kill: broker}]", "broker.starts").unwrap();
    with("[{at: 2s, start: broker}, {at: 1s, kill: broker}]", retained).unwrap();
}

fn link(name: &str, ends: Ends) -> LinkPlan {
    LinkPlan { name: name.into(), ends, up: Shape::default(), down: Shape::default() }
}

fn between(from: &str, to: &str) -> Ends {
    Ends::Between { from: from.into(), to: to.into() }
}

#[test]
fn a_link_must_have_something_to_take_it() {
    let refused = |part, ends| refused(part, |p| p.links = vec![link("l", ends)]);
    refused(
        "nothing connects s and gw: containers connect to the `ports` of others, and models only to broker",
        between("s", "gw"),
    );
    refused("link `l` would stay unused: no node names it with `via`", Ends::Of(vec![]));
    refused("x opens no connection", Ends::Of(vec!["x".into()]));
    for ends in [between("s", "broker"), between("broker", "gw"), Ends::Of(vec!["broker".into()]), Ends::Rest]
    {
        let mut plan = good();
        plan.links = vec![link("l", ends)];
        plan.validate().unwrap();
    }
}

#[test]
fn a_listener_stands_for_one_container() {
    let stores = |ports: [u16; 2]| {
        let mut plan = good();
        for (name, port) in ["one", "two"].into_iter().zip(ports) {
            let mut store = container(name, Role::Service);
            store.extras.published_tcp = vec![port];
            plan.containers.push(store);
        }
        plan.links = vec![link("l", Ends::Of(vec!["broker".into()]))];
        plan
    };
    stores([80, 81]).validate().unwrap();
    let error = stores([80, 80]).validate().unwrap_err();
    assert!(error.to_string().contains("node broker would reach one and two at port 80"), "{error}");
    let mut apart = stores([80, 80]);
    apart.containers[2].extras.networks = vec!["back".into()];
    apart.validate().unwrap();
}
