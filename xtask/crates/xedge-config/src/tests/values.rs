//! Tests of environments that extend each other, classes of devices, and what stacks declare about values.

use std::fs;

use super::{Copy, production};
use crate::{Rendered, split_class, with_class};

fn with(files: &[(&str, &str)]) -> Copy {
    let copy = Copy::new();
    for (name, text) in files {
        let text = format!("format: 1\n{text}");
        fs::write(copy.root().join(format!("environments/{name}.yaml")), text).unwrap();
    }
    copy
}

fn conf(rendered: &Rendered) -> &str {
    let file = rendered.files().iter().find(|file| file.path() == "mosquitto/mosquitto.conf").unwrap();
    std::str::from_utf8(file.bytes()).unwrap()
}

fn error(copy: &Copy, environment: &str) -> (String, String) {
    use xedge_model::Failure;
    let error = copy.render(environment).unwrap_err();
    assert_eq!(error.class(), xedge_model::Class::Input);
    (error.to_string().replace(copy.root().as_str(), "T"), error.hint().unwrap_or_default())
}

const PLANT: &str = "extends: production\nvalues:\n  broker: {save_every_s: 3}\nclasses:\n  pi-sd:\n    values:\n      broker: {save_every_s: 9}\n";

#[test]
fn an_environment_takes_what_it_does_not_say_from_the_one_it_extends() {
    let copy = with(&[("plant", PLANT), ("plant2", "extends: plant\nvalues:\n  broker: {memory: 170m}\n")]);
    let plant = copy.render("plant").unwrap();
    assert!(conf(&plant).contains("autosave_interval 3\n") && conf(&plant).contains("max_connections 200\n"));
    let origin = (1..).find_map(|line| {
        let origin = plant.origin("mosquitto/mosquitto.conf".into(), line)?;
        origin.values.iter().find(|(name, _)| name == "broker.save_every_s").cloned()
    });
    let (_, place) = origin.unwrap();
    assert!(place.file.ends_with("plant.yaml") && place.line == 4, "{place}");
    let second = copy.render("plant2").unwrap();
    assert_eq!(conf(&second), conf(&plant));
    assert_ne!(second.digest(), plant.digest());
    // What makes no difference in the files makes none in the digest.
    let same = with(&[("same", "extends: production\nvalues: {}\n")]).render("same").unwrap();
    assert_eq!(same.files()[1].bytes(), production().files()[1].bytes());
}

#[test]
fn a_class_of_devices_is_part_of_what_is_rendered() {
    let copy = with(&[("plant", PLANT), ("lab", "extends: plant\nvalues:\n  broker: {save_every_s: 4}\n")]);
    let class = copy.render("plant--pi-sd").unwrap();
    assert!(conf(&class).contains("autosave_interval 9\n"));
    assert_eq!(class.environment(), "plant--pi-sd");
    assert_eq!(class.record().environment, "plant--pi-sd");
    assert_ne!(class.digest(), copy.render("plant").unwrap().digest());
    // The class weighs more than the environment that inherits it.
    assert!(conf(&copy.render("lab--pi-sd").unwrap()).contains("autosave_interval 9\n"));
    assert_eq!(split_class("plant--pi-sd"), ("plant", Some("pi-sd")));
    assert_eq!(with_class("plant", Some("pi-sd")), "plant--pi-sd");
    assert_eq!(split_class(&with_class("plant", None)), ("plant", None));
    let (message, hint) = error(&copy, "plant--pi-sb");
    assert_eq!(message, "failed to find the class of devices `pi-sb`");
    assert_eq!(hint, "did you mean `pi-sd`?");
    assert_eq!(error(&copy, "production--pi-sd").0, "failed to find the class of devices `pi-sd`");
}

#[test]
fn what_environments_say_of_each_other_is_checked() {
    let circle = with(&[
        ("a", "extends: b\nvalues: {}\n"),
        ("b", "extends: c\nvalues: {}\n"),
        ("c", "values: {}\nextends: b\n"),
    ]);
    let (message, _) = error(&circle, "a");
    assert!(
        message.starts_with(
            "failed to read T/environments/c.yaml:3:10: environments extend each other in a circle: `b` extends \
             `c` (T/environments/b.yaml:2), `c` extends `b` (T/environments/c.yaml:3)\n"
        ),
        "{message}"
    );
    let check = |text: &str, start: &str, hint: &str| {
        let (message, found) = error(&with(&[("e", text)]), "e");
        assert!(message.starts_with(start), "{message}");
        assert_eq!(found, hint);
    };
    check(
        "extends: producton\nvalues: {}\n",
        "failed to read T/environments/e.yaml:2:10: unknown environment `producton`\n",
        "did you mean `production`?",
    );
    check(
        "extends: ../x\nvalues: {}\n",
        "failed to read T/environments/e.yaml:2:10: unknown environment",
        "known here: e, production, simulation",
    );
    check(
        "extends: production\nvalues:\n  broker: 1\n",
        "failed to read T/environments/e.yaml:4:11: `broker` is a map in one place and none in the other: \
         T/environments/production.yaml:",
        "",
    );
    check(
        "extends: production\nvalues: {}\nclasses: {x: {values: {broker: {memry: 1m}}}}\n",
        "failed to read T/environments/e.yaml:4:40: unknown value, used by no template: `broker.memry`\n",
        "did you mean `broker.memory`?",
    );
    check(
        "values: {}\nclasses: {x--y: {values: {}}}\n",
        "failed to read T/environments/e.yaml:3:17: `x--y` is no name",
        "",
    );
    check(
        "values: {}\nclasses: {x: {values: {a: \"\\n\"}}}\n",
        "failed to read T/environments/e.yaml:3:27: value `a` holds the control",
        "",
    );
}

/// The edge stack with these declarations, the broker's template asking for `extra.level` too.
fn declared(declarations: &str, values: &str) -> Copy {
    let rest: String = [
        "production: {type: bool, description: d}",
        "mqtt_port: {type: int, description: d}",
        "mqtt_host_port: {type: int, description: d}",
        "broker.max_queued_messages: {type: int, description: d}",
        "broker.max_queued_bytes: {type: int, description: d}",
        "broker.max_packet_size: {type: int, description: d}",
        "broker.max_connections: {type: int, description: d}",
        "broker.memory_limit: {type: size, description: d}",
        "broker.memory: {type: size, description: d}",
        "broker.cpus: {type: number, description: d}",
        "broker.client_expiration: {type: text, pattern: \"[0-9]+[hdwmy]\", description: d}",
        "broker.save_every_s: {type: int, description: d}",
        "gateway.memory: {type: size, description: d}",
        "gateway.cpus: {type: number, description: d}",
    ]
    .map(|line| format!("  {line}\n"))
    .concat();
    Copy::untyped()
        .change("stacks/edge/stack.yaml", "gate: [", &format!("values:\n{declarations}{rest}gate: ["))
        .change(
            "services/mosquitto/mosquitto.conf.j2",
            "log_type notice\n",
            "log_type notice\n# {{ extra.level }}\n",
        )
        .change("environments/production.yaml", "  gateway:\n", &format!("{values}\n  gateway:\n"))
}

#[test]
fn a_declared_value_is_checked_where_it_stands() {
    let check = |declaration: &str, value: &str, part: &str| {
        let copy =
            declared(&format!("  extra.level: {declaration}\n"), &format!("  extra: {{level: {value}}}"));
        if copy.render("production").is_ok() {
            assert_eq!(part, "", "{value} fits {declaration}");
            return;
        }
        let (error, hint) = copy.refused();
        assert!(error.starts_with("failed to read T/environments/production.yaml:23:18: "), "{error}");
        assert!(!part.is_empty() && error.contains(part), "{error}");
        assert!(hint.contains("how loud") && hint.contains("stack.yaml:"), "{hint}");
    };
    check("{type: int, min: 1, max: 9, unit: steps, description: how loud}", "9", "");
    let range = "`extra.level` is 10, not a whole number from 1 to 9 (steps)";
    check("{type: int, min: 1, max: 9, unit: steps, description: how loud}", "10", range);
    check("{type: int, description: how loud}", "1.5", "`extra.level` is 1.5, not a whole number");
    check("{type: int, description: how loud}", "\"1\"", "`extra.level` is `1`, not a whole number");
    check("{type: number, max: 0.5, description: how loud}", "0.75", "0.75, not a number of at most 0.5");
    check("{type: number, min: 0.5, description: how loud}", "1", "");
    check("{type: bool, description: how loud}", "1", "`extra.level` is 1, not `true` or `false`");
    check("{type: size, min: 1k, max: 1m, description: how loud}", "512k", "");
    check(
        "{type: size, min: 1k, max: 1m, description: how loud}",
        "2m",
        "is `2m`, not a size such as 64m from `1k` to `1m`",
    );
    check("{type: size, description: how loud}", "big", "is `big`, not a size");
    check("{type: text, pattern: \"[a-z]+\", description: how loud}", "abc", "");
    check(
        "{type: text, pattern: \"[a-z]+\", description: how loud}",
        "aBc",
        "not text that matches `[a-z]+`",
    );
    check(
        "{type: text, one_of: [low, high], description: how loud}",
        "mid",
        "is `mid`, not one of `low`, `high`",
    );
    check("{type: int, description: how loud}", "{}", "`extra.level` is a map");
}

#[test]
fn lists_are_checked_entry_by_entry() {
    let level = "  extra.level: {type: int, description: d, default: 3}\n";
    let users = "  users: {type: list, description: d, items: {type: map, keys: {name: {type: text, pattern: \"[a-z]+\"}, topics: {type: list, items: {type: text}}}}}\n";
    let copy = |value: &str| {
        declared(&format!("{level}{users}"), &format!("  users: {value}")).change(
            "services/mosquitto/mosquitto.conf.j2",
            "log_type notice\n",
            "log_type notice\n{% for n in range(2) %}{% endfor %}{% for u in users %}# {{ u.name }} {{ u.topics | join(' ') }}\n{% endfor %}",
        )
    };
    let good = copy("[{name: a, topics: [x, z]}, {name: b, topics: []}]").render("production").unwrap();
    assert!(
        conf(&good).contains("# a x z\n# b \n# 3\n"),
        "a default stands where no value is: {}",
        conf(&good)
    );
    for (value, part) in [
        ("[{name: a, topics: [x]}, {name: B, topics: []}]", "`users[1].name` is `B`, not text that matches"),
        ("[{name: a}]", "`users[0]` lacks the key `topics`"),
        ("[{name: a, topics: [], x: 1}]", "`users[0]` has no key `x`, but: name, topics"),
        ("[{name: a, topics: [1]}]", "`users[0].topics[0]` is 1, not text"),
        ("[a]", "`users[0]` is `a`, not a map"),
    ] {
        let (error, _) = copy(value).refused();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_is_declared_is_asked_for_and_the_other_way_round() {
    let (error, hint) = declared("", "  extra: {level: 1}").refused();
    assert!(
        error.starts_with(
            "failed to render T/services/mosquitto/mosquitto.conf.j2:29:6: `extra.level` is not declared\n"
        ),
        "{error}"
    );
    assert_eq!(
        hint,
        "declare it under `values` in T/stacks/edge/stack.yaml"
            .replace("T/", hint.split("in ").nth(1).unwrap().split("stacks").next().unwrap())
    );
    let both = "  extra.level: {type: int, description: d}\n  extra.lewel: {type: int, description: d}\n";
    let (error, _) = declared(both, "  extra: {level: 1}").refused();
    assert!(
        error.contains("stack.yaml:")
            && error.contains("no template of this stack uses the value `extra.lewel`"),
        "{error}"
    );
    let (error, hint) = declared("  extra.level: {type: int, description: how loud}\n", "").refused();
    assert!(error.contains("mosquitto.conf.j2:29:6: `extra.level` has no value"), "{error}");
    assert!(
        hint.starts_with("give it in the environment: `extra.level` is a whole number: how loud ("),
        "{hint}"
    );
}

#[test]
fn a_declaration_that_cannot_be_used_is_refused() {
    let check = |declaration: &str, part: &str| {
        let (error, _) = declared(&format!("  {declaration}\n"), "  extra: {level: 1}").refused();
        assert!(error.contains("stack.yaml:") && error.contains(part), "{error}");
    };
    check("extra.level: {type: int}", "`extra.level` has no `description`");
    check("extra.level: {type: integer, description: d}", "unknown value `integer`");
    check("extra.level: {type: int, description: d, minn: 1}", "unknown key `minn`");
    check(
        "extra.level: {type: int, description: d, pattern: x}",
        "`pattern` has no meaning for a whole number",
    );
    check("extra.level: {type: text, description: d, min: 1}", "has no meaning for text");
    check("extra.level: {type: text, description: d, pattern: \"(\"}", "the pattern is refused");
    check("extra.level: {type: int, description: d, min: 9, max: 1}", "`max` is less than `min`");
    check(
        "extra.level: {type: int, description: d, max: 1, default: 2}",
        "`extra.level` is 2, not a whole number of at most 1",
    );
    check(
        "extra.level: {type: int, description: d, max: 1, one_of: [2]}",
        "`extra.level` is 2, not a whole number of at most 1",
    );
    check("extra.level: {type: map, description: d}", "a map is declared by its parts: `extra.level.NAME`");
    check("Extra.level: {type: int, description: d}", "`Extra.level` is no name of a value");
    check(
        "extra: {type: list, description: d}\n  extra.level: {type: int, description: d}",
        "`extra.level` is a part of `extra`",
    );
}
