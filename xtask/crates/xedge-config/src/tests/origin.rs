//! Tests of where rendered lines come from.

use camino::Utf8Path;

use super::{Copy, production, simulation, templates};
use crate::{Origin, Place, Rendered};

/// `TEMPLATE LINE: values; conditions`, each value with its line.
fn shown(origin: &Origin) -> String {
    let names = |all: &[(String, Place)]| {
        let all: Vec<String> = all.iter().map(|(name, place)| format!("{name}@{}", place.line)).collect();
        all.join(" ")
    };
    let line = format!("{}: {}; {}", origin.template.line, names(&origin.values), names(&origin.conditions));
    line.trim_end_matches([' ', ';']).trim_end_matches(':').to_owned()
}

fn numbered<'t>(rendered: &'t Rendered, path: &str) -> Vec<(usize, &'t str)> {
    let file = rendered.files().iter().find(|file| file.path() == path).unwrap();
    std::str::from_utf8(file.bytes()).unwrap().lines().enumerate().map(|(i, text)| (i + 1, text)).collect()
}

/// The origin of the only line that is this but for its indentation.
fn of(rendered: &Rendered, path: &str, text: &str) -> Origin {
    let lines = numbered(rendered, path);
    let found: Vec<usize> = lines.iter().filter(|(_, line)| line.trim() == text).map(|(n, _)| *n).collect();
    assert_eq!(found.len(), 1, "{text} is there once: {found:?}");
    rendered.origin(Utf8Path::new(path), found[0]).unwrap().clone()
}

#[test]
fn a_line_comes_from_a_line_of_its_template_and_values_of_the_environment() {
    let rendered = production();
    let conf = |text: &str| of(&rendered, "mosquitto/mosquitto.conf", text);
    let origin = conf("autosave_interval 5");
    let template = templates().join("services/mosquitto/mosquitto.conf.j2");
    let environment = templates().join("environments/production.yaml");
    assert_eq!(origin.template.file, template);
    assert_eq!(origin.values[0].0, "broker.save_every_s");
    assert_eq!(origin.values[0].1.file, environment);
    for (place, part) in
        [(&origin.template, "autosave_interval {{"), (&origin.values[0].1, "save_every_s: 5")]
    {
        let text = std::fs::read_to_string(&place.file).unwrap();
        assert!(text.lines().nth(place.line - 1).unwrap().contains(part), "{place}");
    }
    assert_eq!(origin.conditions.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["production"]);
    assert_eq!(conf("allow_anonymous false").values, []);
    let gateway = of(&rendered, "gateway/gateway.toml", "upstream = \"upstream/@{site_id}-{id}\"");
    assert_eq!(gateway.values[0].0, "device.site_id");
    assert!(gateway.values[0].1.file.ends_with("stacks/edge/stack.yaml"));
}

#[test]
fn a_line_of_the_compose_file_comes_from_the_line_of_the_same_setting() {
    let rendered = production();
    let template = std::fs::read_to_string(templates().join("stacks/edge/compose.yaml.j2")).unwrap();
    for (text, part, values) in [
        ("mem_limit: \"160m\"", "mem_limit: {{ broker.memory }}", &["broker.memory"][..]),
        ("mem_limit: \"64m\"", "mem_limit: {{ gateway.memory }}", &["gateway.memory"]),
        ("- \"1883:1883/tcp\"", "ports: [", &["mqtt_host_port", "mqtt_port"]),
        ("condition: service_started", "depends_on: [mosquitto]", &[]),
        ("MQTT_BROKER: \"mosquitto:1883\"", "MQTT_BROKER:", &["mqtt_port"]),
        ("- \"mosquitto-data:/mosquitto/data\"", "- mosquitto-data:/mosquitto/data", &[]),
        ("driver: bridge", "edge: {driver: bridge}", &[]),
        ("file: \"../secrets/mosquitto_sub\"", "mosquitto_sub: {file:", &[]),
    ] {
        let origin = of(&rendered, "compose.yaml", text);
        assert!(template.lines().nth(origin.template.line - 1).unwrap().contains(part), "{text}: {origin}");
        let names: Vec<&str> = origin.values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, values, "{text}");
    }
}

#[test]
fn every_line_has_an_origin_and_no_other_has() {
    for rendered in [production(), simulation()] {
        for file in rendered.files() {
            let lines = numbered(&rendered, file.path().as_str());
            for (line, text) in &lines {
                let origin = rendered.origin(file.path(), *line);
                assert!(origin.is_some(), "{}:{line}: {text}", file.path());
            }
            assert_eq!(rendered.origin(file.path(), 0), None);
            assert_eq!(rendered.origin(file.path(), lines.len() + 1), None);
        }
        assert_eq!(rendered.origin(Utf8Path::new("nothing"), 1), None);
    }
}

/// Renders `template` in place of the gateway's, which then is no TOML, and shows the origin of each line.
fn lines(template: &str) -> Vec<(String, String)> {
    let values = "  gateway:\n    text: abc\n    on: true\n    users:\n      - {name: a, topics: [x, z]}\n      - {name: b, topics: [w]}\n";
    let copy = Copy::untyped()
        .change("stacks/edge/stack.yaml", "output: gateway/gateway.toml", "output: gateway/gateway.txt")
        .change("environments/production.yaml", "  gateway:\n", values);
    let all = "{% set _ = [gateway.text, gateway.on, gateway.users, device.site_id] %}\n";
    std::fs::write(copy.root().join("services/gateway/gateway.toml.j2"), format!("{all}{template}")).unwrap();
    let rendered = copy.render("production").unwrap();
    let origin = |line| shown(rendered.origin(Utf8Path::new("gateway/gateway.txt"), line).unwrap());
    numbered(&rendered, "gateway/gateway.txt")
        .into_iter()
        .map(|(n, text)| (text.to_owned(), origin(n)))
        .collect()
}

#[test]
fn every_form_of_a_template_keeps_its_origin() {
    let check = |template: &str, wanted: &[(&str, &str)]| {
        let found = lines(template);
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, wanted, "{template}");
    };
    check(
        "a\n\n{{ gateway.text }} b {{ gateway.on }}",
        &[("a", "2"), ("", "3"), ("abc b true", "4: gateway.text@24 gateway.on@25")],
    );
    check(
        "{% for user in gateway.users %}\n  {% for topic in user.topics if gateway.on %}\n{{ user.name }}/{{ topic }}\n  {% endfor %}\n{% endfor %}\n",
        &[("a/x", "4: gateway.users@27"), ("a/z", "4: gateway.users@27"), ("b/w", "4: gateway.users@27")]
            .map(|(text, origin)| (text, format!("{origin}; gateway.users@27 gateway.on@25")))
            .each_ref()
            .map(|(text, origin)| (*text, origin.as_str())),
    );
    check(
        "{% if not gateway.on %}\nno\n{% elif gateway.text is defined %}\nyes\n{% endif %}\nend\n",
        &[("yes", "5: ; gateway.on@25 gateway.text@24"), ("end", "7")],
    );
    check("{% set x = gateway.text ~ '!' %}\n{{ x | upper }}\n", &[("ABC!", "3: gateway.text@24")]);
    check(
        "{% set x %}in {{ gateway.text }}{% endset %}\nbefore {{ x }} after\n",
        &[("before in abc after", "3: gateway.text@24")],
    );
    check(
        "{% filter upper %}in {{ gateway.text }}\nmore{% endfilter %}\n",
        &[("IN ABC", "2: gateway.text@24"), ("MORE", "2: gateway.text@24")],
    );
    check(
        "{% raw %}{{ raw }} \\ \"{% endraw %}{\n{%- if gateway.on -%}\n   x {#- c -#}  y\n{% endif %}",
        &[("{{ raw }} \\ \"{xy", "2: ; gateway.on@25")],
    );
    check(
        "{% with u = gateway.users[0] %}{{ u.name }}{% endwith %} {{ device.site_id }}\n",
        &[("a @{site_id}", "2: gateway.users@27 device.site_id@20")],
    );
}

#[test]
fn a_problem_with_a_rendered_file_says_what_to_edit() {
    let file = "environments/production.yaml";
    let bad = "client_expiration: \"7d allow_anonymous true\"";
    let (error, _) = Copy::untyped().change(file, "client_expiration: 7d", bad).refused();
    let place = "the line comes from T/services/mosquitto/mosquitto.conf.j2:16:1, with `broker.client_expiration` of \
                 T/environments/production.yaml:19:24\n   |\n16 | persistent_client_expiration {{ broker.client";
    assert!(error.contains(place), "{error}");
    let (error, _) = Copy::untyped().change(file, "memory: 64m", "memory: 64 bits").refused();
    let place = "failed to use what stacks/edge/compose.yaml.j2 renders to (the line comes from \
                 T/stacks/edge/compose.yaml.j2:32:5, with `gateway.memory` of T/environments/production.yaml:24:13): failed to read ";
    assert!(error.starts_with(place), "{error}");
}

#[test]
fn the_origin_is_no_part_of_the_digest() {
    let moved =
        Copy::new().change("environments/production.yaml", "values:\n", "values:\n\n\n").render("production");
    assert_eq!(moved.unwrap().digest(), production().digest());
}
