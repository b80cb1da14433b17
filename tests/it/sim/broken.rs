//! Brokers that do not work: the run fails with what the broker said, and as the images' fault.

use super::bench::{Bench, SMALL};

/// The small scenario with another image.
fn with_image(name: &str) -> String {
    SMALL.replace("xedgesim/mosquitto", name)
}

#[test]
fn a_broker_that_ends_at_once_fails_with_its_last_words() {
    ends_at_once(Bench::new());
}

pub fn ends_at_once(mut bench: Bench) {
    bench.own_broker("xedgetest/ends", "persistence false", "persistence nonsense");
    bench.scenario("ends", &with_image("xedgetest/ends"));
    bench.pretend_evidence("ends");
    let ran = bench.sim(&["ends"]).expect(2);
    assert_eq!(ran.stdout, "ends failed target/xedge/reports/ends\n");
    ran.says("failed to keep node broker running")
        .says("ended at once with exit code 3")
        .says("Error found at /mosquitto/config/mosquitto.conf:");
    assert!(!bench.evidence("ends").exists(), "evidence of an earlier run was left");
    let report = bench.report("ends");
    assert_eq!(report["verdict"], "error");
    assert_eq!(report["exit_code"], 2);
    assert!(report["error"].as_str().unwrap().contains("/mosquitto/config/mosquitto.conf:"), "{report}");
    bench.assert_clean();
}

#[test]
fn a_broker_that_wants_a_password_refuses_models_without_a_user() {
    refuses(Bench::new());
}

pub fn refuses(mut bench: Bench) {
    bench.own_broker("xedgetest/closed", "allow_anonymous true", "allow_anonymous false");
    bench.scenario("closed", &with_image("xedgetest/closed"));
    let ran = bench.sim(&["closed", "--duration", "1s"]).expect(2);
    assert_eq!(ran.stdout, "closed failed target/xedge/reports/closed\n");
    ran.says("held broker.starts")
        .says("FAILED sensors.publish: sensor sent 0 of")
        .says("FAILED gateway.receives: gateway received no reading")
        .says("not authorised (CONNACK code 5)");
    assert_eq!(bench.report("closed")["verdict"], "failed");
    bench.assert_clean();
}
