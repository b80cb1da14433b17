//! Tests of device values: where they may stand, and that nothing else looks like one.

use std::collections::BTreeMap;

use xedge_model::stack::{config_digest, samples, substitute};

use super::{Copy, production, simulation};

const STACK: &str = "stacks/edge/stack.yaml";
const COMPOSE: &str = "stacks/edge/compose.yaml.j2";
const TOML: &str = "services/gateway/gateway.toml.j2";
const CONF: &str = "services/mosquitto/mosquitto.conf.j2";

#[track_caller]
fn refused(file: &str, from: &str, to: &str, part: &str) -> String {
    let (error, hint) = Copy::untyped().change(file, from, to).refused();
    assert!(error.contains(part), "{error}");
    hint
}

/// The edge stack without its device value.
fn plain() -> Copy {
    let copy = Copy::new().change(TOML, "{{ device.site_id }}-", "");
    let text = std::fs::read_to_string(copy.root().join(STACK)).unwrap();
    let value = text.lines().find(|line| line.contains("site_id:")).unwrap().to_owned();
    copy.change(STACK, "device_values:\n", "").change(STACK, &format!("{value}\n"), "")
}

#[test]
fn files_hold_placeholders_and_the_record_says_what_goes_there() {
    let rendered = production();
    let names: Vec<&str> = rendered.device_values().iter().map(|value| value.name.as_str()).collect();
    assert_eq!(names, ["site_id"]);
    assert_eq!(simulation().device_values(), rendered.device_values());
    let record = rendered.record();
    assert_eq!(record.device_values, rendered.device_values());
    let computed = config_digest(&record.stack, &record.files, &record.secrets, &record.device_values);
    assert_eq!(&computed, rendered.digest());
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.contains(r#""deviceValues":[{"name":"site_id","pattern":"[a-z0-9]"#), "{text}");
    assert_eq!(serde_json::from_str::<crate::Record>(&text).unwrap(), record);
    for file in rendered.files() {
        let declared = rendered.device_values();
        let filled = substitute(file.bytes(), declared, &samples(declared)).unwrap();
        assert_eq!(filled != file.bytes(), file.path() == "gateway/gateway.toml", "{}", file.path());
        assert!(!filled.windows(2).any(|bytes| bytes == b"@{"));
    }
}

#[test]
fn a_stack_without_device_values_keeps_digest_and_record() {
    let rendered = plain().render("production").unwrap();
    // Computed before there were device values.
    let before = "7f15171fbdcd748b5a22526bcac0ea46a4f6fdb55ad6081f13bb124517682f0c";
    assert_eq!(rendered.digest().hex(), before);
    assert!(!serde_json::to_string(&rendered.record()).unwrap().contains("deviceValues"));
    let filled = substitute(rendered.files()[1].bytes(), rendered.device_values(), &BTreeMap::new());
    assert_eq!(filled.unwrap(), rendered.files()[1].bytes());
}

#[test]
fn every_part_of_a_declaration_counts_for_the_digest() {
    for (from, to) in
        [("sample: lab-1", "sample: lab-2"), ("{0,30}", "{0,29}"), ("max_length: 31", "max_length: 30")]
    {
        let changed = Copy::new().change(STACK, from, to).render("production").unwrap();
        assert_ne!(changed.digest(), production().digest(), "{from} -> {to}");
    }
}

#[test]
fn names_must_be_declared_and_used() {
    let place = format!("failed to render T/{TOML}:3:");
    let hint = refused(TOML, "device.site_id", "device.site_di", &place);
    assert_eq!(hint, "did you mean `device.site_id`?");
    let hint = refused(TOML, "every_s = 5", "x = \"{{ device.serial_number }}\"", "has no value");
    assert_eq!(hint, "declare it under `device_values` in stack.yaml");
    let (error, hint) = plain().change(TOML, "{id}", "{{ device.site_id }}").refused();
    assert!(error.contains("`device.site_id` has no value"), "{error}");
    assert_eq!(hint, "declare it under `device_values` in stack.yaml");
    refused(TOML, "{{ device.site_id }}-", "", "uses the device value `site_id`: write {{ device.site_id }}");
    refused(TOML, "{{ device.site_id }}", "@{site_id}", "stack.yaml:20:12: no template of this stack uses");
    refused(TOML, "device.site_id", "device", "a map cannot be written into a file");
    let file = "environments/production.yaml";
    refused(file, "  mqtt_port: 1883", "  mqtt_port: 1883\n  device: {a: 1}", "`device` is where templates");
    refused(STACK, "sample: lab-1", "sample: Lab", "stack.yaml:20:");
    let hint = refused(STACK, "max_length: 31", "max_lenght: 31", "unknown key `max_lenght`");
    assert_eq!(hint, "did you mean `max_length`?");
}

#[test]
fn a_value_that_only_one_branch_asks_for_is_used_but_not_demanded_elsewhere() {
    let copy = plain()
        .change(STACK, "gate: [", "device_values:\n  zone: {pattern: \"[a-z]+\", sample: a}\ngate: [")
        .change(TOML, "[mqtt]\n", "[mqtt]\n# {{ device.zone }}\n");
    assert_eq!(copy.render("production").unwrap().device_values().len(), 1);
    let simulation = copy.render("simulation").unwrap();
    assert_eq!(simulation.device_values(), []);
    assert_eq!(simulation.digest(), plain().render("simulation").unwrap().digest());
}

#[test]
fn nothing_else_may_look_like_a_placeholder() {
    let hint = refused(
        TOML,
        "every_s = 5",
        "x = \"@{site_di}\"",
        &format!(
            "failed to use {TOML} (rendered for production):4:6: `@{{site_di}}` stands for no device value"
        ),
    );
    assert_eq!(hint, "did you mean `@{site_id}`?");
    for (stray, file) in
        [("@{", TOML), ("@{Site}", TOML), ("@{@{site_id}}", CONF), ("{{ device.site_id | upper }}", CONF)]
    {
        let from = if file == TOML { "every_s = 5" } else { "# Every client logs in." };
        refused(file, from, &format!("# {stray}"), "`@{` stands for a device value only");
    }
    refused(COMPOSE, "    # Saving", "    # @{x} Saving", "`@{x}` stands for no device value");
    let file = "environments/production.yaml";
    refused(
        file,
        "client_expiration: 7d",
        "client_expiration: \"@{a}\"",
        "`@{a}` stands for no device value",
    );
}

#[test]
fn in_toml_a_placeholder_stands_in_a_value_between_double_quotes() {
    let value = "{{ device.site_id }}";
    let render = |to: &str| Copy::new().change(TOML, "every_s = 5", to).render("production");
    for good in ["x = \"V\"", "x = [\"a\", \"bVc\"]", "x = \"\"\"\nV\n\"\"\"", "x = {y = \"V\"}", "x = 1 # V"]
    {
        let good = good.replace('V', value);
        assert!(render(&good).is_ok(), "{good}");
    }
    for bad in ["x = 'V'", "x = 'a V b'", "x = '''\nV\n'''", "\"V\" = 1", "x = {\"V\" = 1}", "[\"V\"]"] {
        let bad = bad.replace('V', value);
        refused(TOML, "every_s = 5", &bad, "must stand in a value between double quotes");
    }
    for bad in ["x = V", "V = 1", "x = [V]"] {
        refused(TOML, "every_s = 5", &bad.replace('V', value), "as it was rendered");
    }
}

#[test]
fn in_compose_a_placeholder_stands_in_environment_only() {
    let with =
        |from: &str, to: &str| Copy::new().change(COMPOSE, from, &to.replace('V', "{{ device.site_id }}"));
    let good = with("environment:\n", "environment:\n      SITE: \"a V\"\n").render("production").unwrap();
    let compose = good.files().iter().find(|file| file.path() == "compose.yaml").unwrap();
    assert!(String::from_utf8_lossy(compose.bytes()).contains("      SITE: \"a @{site_id}\"\n"));
    let only = "a device value can only stand in the values of `environment`";
    for (from, to, line) in [
        ("xedgesim/gateway:latest", "xedgesim/gateway:latest@V", 4),
        ("container_name: gateway", "container_name: \"V\"", 5),
        ("mosquitto-data:/mosquitto/data", "mosquitto-data:/data/V", 0),
        ("environment:\n", "environment:\n      \"V\": a\n", 0),
        ("networks: [edge]\n\nnetworks", "networks: [edge]\n    labels: {a: \"V\"}\n\nnetworks", 0),
        ("file: ../secrets/gateway-password", "file: \"../secrets/V\"", 0),
        ("gateway-password]", "gateway-password]\n    command: [\"V\"]", 0),
    ] {
        let (error, hint) = with(from, to).refused();
        assert!(error.contains(only), "{to}: {error}");
        assert!(error.starts_with("failed to use compose.yaml (rendered for production):"), "{error}");
        assert!(line == 0 || error.contains(&format!("production):{line}:")), "{error}");
        let (_, shown) = error.split_once('\n').unwrap();
        assert!(shown.contains("@{site_id}"), "the line that is wrong: {error}");
        assert!(hint.starts_with("put it into a config file"), "{hint}");
    }
    for (from, to) in [
        ("{{ mqtt_host_port }}:", "V:"),
        ("./gateway:/etc/gateway:ro", "./V:/etc/gateway:ro"),
        ("xedgesim/gateway:latest", "xedgesim/V:latest"),
        ("mem_limit: {{ gateway.memory }}", "mem_limit: \"V\""),
    ] {
        let (error, _) = with(from, to).refused();
        assert!(error.starts_with("failed to "), "{error}");
    }
}

#[test]
fn in_a_broker_configuration_a_placeholder_is_text_and_not_a_number() {
    let with = |from: &str, to: &str| {
        Copy::new().change(CONF, from, &to.replace('V', "{{ device.site_id }}")).render("production")
    };
    assert!(with("log_type notice\n", "log_type notice\nclientid_prefixes V-\n").is_ok());
    assert!(with("allow_anonymous false", "allow_anonymous V").is_err());
    assert!(with("log_type notice\n", "log_type notice\nV 1\n").is_err());
}
