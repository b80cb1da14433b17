//! Tests of the comparison, on the project's own templates.

use xedge_model::stack::Aspect;
use xedge_model::{Class, Failure};

use super::{Table, compare, matches, reasons};
use crate::Error;
use crate::tests::{Copy, production, simulation, templates};

fn table(copy: &Copy) -> Result<Table, Error> {
    compare(&copy.render("simulation")?, &copy.render("production")?, &reasons(&copy.root())?)
}

#[test]
fn the_six_rows_say_what_the_files_say() {
    let table = compare(&simulation(), &production(), &reasons(&templates()).unwrap()).unwrap();
    let rows: Vec<_> =
        table.rows.iter().map(|row| (row.aspect, row.from.as_str(), row.to.as_str())).collect();
    assert_eq!(
        rows,
        [
            (Aspect::Authentication, "anonymous", "required, password file /run/secrets/mosquitto-passwd"),
            (Aspect::Persistence, "off", "on, /mosquitto/data/, saved every 5 s"),
            (
                Aspect::Logging,
                "stdout; all types",
                "file /mosquitto/log/mosquitto.log; error, notice, warning"
            ),
            (Aspect::RestartPolicy, "none", "unless-stopped"),
            (
                Aspect::Volumes,
                "ephemeral",
                "gateway: ./gateway at /etc/gateway (read-only); mosquitto: ./mosquitto at /mosquitto/config (read-only), \
                 mosquitto-data at /mosquitto/data, mosquitto-log at /mosquitto/log"
            ),
            (
                Aspect::Networking,
                "container network only, no port on the host",
                "mosquitto: port mapping 1883:1883/tcp"
            ),
        ]
    );
    assert!(table.rows.iter().all(|row| !row.reason.is_empty() && !row.differences.is_empty()));
    assert_eq!(table.unexplained, []);
    table.check().unwrap();
}

#[test]
fn a_difference_that_nobody_explained_is_listed() {
    let copy = Copy::new().change(
        "services/gateway/gateway.toml.j2",
        "{% if production %}",
        "{% if production %}\nevery = 1\n",
    );
    let table = table(&copy).unwrap();
    let listed: Vec<String> = table.unexplained.iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["gateway/gateway.toml every: not set -> `1`"]);
    let error = table.check().unwrap_err();
    assert_eq!(error.class(), Class::Input);
    assert_eq!(
        error.to_string(),
        "failed to explain 1 difference of simulation and production: gateway/gateway.toml every: not set -> `1`"
    );
    assert!(table.to_text(100).contains("Not explained:\n  gateway/gateway.toml every"));
}

#[test]
fn another_setting_of_the_broker_needs_a_name_of_its_own() {
    let file = "services/mosquitto/mosquitto.conf.j2";
    let table =
        table(&Copy::new().change(file, "log_type notice\n", "log_type notice\nmax_inflight_messages 1\n"));
    let places: Vec<String> = table.unwrap().unexplained.into_iter().map(|d| d.place).collect();
    assert_eq!(places, ["mosquitto/mosquitto.conf max_inflight_messages"]);
}

#[test]
fn an_explanation_of_nothing_is_an_error() {
    let refused = |file: &str, from: &str, to: &str, unused: &str| {
        let error = table(&Copy::new().change(file, from, to)).unwrap_err();
        assert_eq!(error.class(), Class::Input);
        assert!(error.to_string().ends_with(&format!("what does not differ: {unused}")), "{error}");
    };
    refused(
        "stacks/edge/compose.yaml.j2",
        "    stop_grace_period: 30s\n",
        "",
        "Time to stop at `compose.yaml services.mosquitto.stop_grace_period`",
    );
    let place = "compose.yaml services.*.read_only";
    for wrong in
        ["compose.yaml services.*.read_onl", "compose.yaml services.*", "compose.yaml *", "read_only"]
    {
        refused(
            "parity.yaml",
            place,
            &format!("{place}\n      - {wrong}"),
            &format!("Hardening at `{wrong}`"),
        );
    }
    // The six rows are computed: an extra cannot take a difference out of them.
    let row = "compose.yaml services.*.restart";
    refused("parity.yaml", place, &format!("{place}\n      - {row}"), &format!("Hardening at `{row}`"));
}

#[test]
fn an_open_production_broker_shows_in_its_row() {
    let file = "services/mosquitto/mosquitto.conf.j2";
    let table = table(&Copy::new().change(file, "allow_anonymous false", "allow_anonymous true")).unwrap();
    assert_eq!(table.rows[0].to, "anonymous allowed beside password file /run/secrets/mosquitto-passwd");
}

#[test]
fn equal_environments_need_no_explanation_and_get_none() {
    let error = compare(&production(), &production(), &reasons(&templates()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("Resource limits at `compose.yaml services.*.mem_limit`"), "{error}");
}

#[test]
fn text_keeps_to_its_width_and_json_names_its_format() {
    let table = compare(&simulation(), &production(), &reasons(&templates()).unwrap()).unwrap();
    let text = table.to_text(100);
    let head: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    assert!(head.iter().all(|line| line.chars().count() <= 100), "{text}");
    assert!(head[0].starts_with("Aspect          Simulation"), "{text}");
    assert!(text.contains("\nResource limits: a broker"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&table.to_json()).unwrap();
    assert_eq!(
        (json["format"].as_u64(), json["rows"][3]["aspect"].as_str()),
        (Some(1), Some("restart_policy"))
    );
    assert_eq!(json["rows"].as_array().unwrap().len(), 6);
}

#[test]
fn a_star_stands_for_one_part() {
    assert!(matches("f a.*.c", "f a.b.c"));
    for place in ["f a.c", "f a.b.b.c", "g a.b.c", "f a.b.c.d", "f a.b"] {
        assert!(!matches("f a.*.c", place), "{place}");
    }
}
