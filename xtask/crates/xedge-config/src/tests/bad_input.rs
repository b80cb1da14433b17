//! What is wrong in templates and values is refused with its place and what to do, before anything is written.

use super::Copy;

/// What to change, and what the error and its hint hold.
struct Case {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    error: &'static [&'static str],
    hint: &'static str,
}

const CONF: &str = "services/mosquitto/mosquitto.conf.j2";
const VALUES: &str = "environments/production.yaml";
const STACK: &str = "stacks/edge/stack.yaml";

/// A case at the end of the broker's template.
const fn conf(to: &'static str, error: &'static [&'static str], hint: &'static str) -> Case {
    Case { file: CONF, from: "log_type notice\n", to, error, hint }
}

const CASES: &[Case] = &[
    conf(
        "log_type {{ brocker.cpus }}\n",
        &[
            "failed to render T/services/mosquitto/mosquitto.conf.j2:28:13: `brocker.cpus` has no value\n",
            "28 | log_type",
        ],
        "did you mean `broker.cpus`?",
    ),
    conf(
        "{{ broker.cpus.x }}",
        &["mosquitto.conf.j2:28:4: `broker.cpus.x` has no value"],
        "did you mean `broker.cpus`?",
    ),
    conf("log_type {{ ", &["mosquitto.conf.j2:28:", "syntax error"], ""),
    conf("{% for a in range(10 ** 9) %}x{% endfor %}", &["mosquitto.conf.j2:28:13: "], ""),
    conf(
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        &["mosquitto.conf.j2:28:", "fuel"],
        "a template has 200000 steps, and so have bytes that it makes: are loops within loops meant?",
    ),
    conf(
        "{% set n = namespace(x='x') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        &["mosquitto.conf.j2:28:", "fuel"],
        "200000 steps",
    ),
    conf("{{ 'x' * 10 ** 9 }}", &["mosquitto.conf.j2:28:4: ", "fuel"], "200000 steps"),
    conf(
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        &["mosquitto.conf.j2:28:4: syntax error: unknown statement macro"],
        "templates have no macros",
    ),
    conf(
        "{% include 'services/mosquitto/mosquitto.conf.j2' %}",
        &["mosquitto.conf.j2:28:4: ", "unknown statement include"],
        "write it out",
    ),
    conf("{% extends 'a' %}", &["mosquitto.conf.j2:28:4: "], "templates have no macros"),
    conf("{% import 'a' as b %}", &["mosquitto.conf.j2:28:4: "], "templates have no macros"),
    conf("{% block a %}{% endblock %}", &["mosquitto.conf.j2:28:4: "], "templates have no macros"),
    conf("{{ env.HOME }}", &["`env.HOME` has no value"], "values of this environment: "),
    conf(
        "log_type \u{fdd0}1\u{fdd1}",
        &["mosquitto.conf.j2:28:10: a character here is reserved"],
        "take it out",
    ),
    Case {
        file: VALUES,
        from: "memory: 64m",
        to: "memory: \"64m\\u000a    privileged: true\"",
        error: &[
            "T/environments/production.yaml:24:13: value `gateway.memory` holds the control character U+000A",
            "24 |",
        ],
        hint: "",
    },
    Case {
        file: VALUES,
        from: "memory: 64m",
        to: "memory: \"64m\\u0000\"",
        error: &["holds the control character U+0000"],
        hint: "",
    },
    Case { file: VALUES, from: "memory: 64m", to: "memory: \"64m\\u202e\"", error: &["U+202E"], hint: "" },
    Case {
        file: VALUES,
        from: "memory: 64m",
        to: "memory: 64m\n    memory: 65m",
        error: &["production.yaml:25:5: duplicate key `memory`"],
        hint: "",
    },
    Case {
        file: VALUES,
        from: "memory: 64m",
        to: "memmory: 64m",
        error: &["production.yaml:24:14: unknown value, used by no template: `gateway.memmory`"],
        hint: "did you mean `gateway.memory`?",
    },
    Case {
        file: VALUES,
        from: "values:",
        to: "vals: {}\nvalues:",
        error: &["production.yaml:3:1: unknown key `vals`"],
        hint: "did you mean `values`?",
    },
    Case { file: STACK, from: "gate: [", to: "values: []\ngate: [", error: &["stack.yaml:"], hint: "" },
];

#[test]
fn bad_input_is_refused_with_place_snippet_and_hint() {
    for case in CASES {
        let (error, hint) = Copy::untyped().change(case.file, case.from, case.to).refused();
        for part in case.error {
            assert!(error.contains(part), "{}: {error}\nlacks {part}", case.to);
        }
        assert!(hint.contains(case.hint), "{}: {error}\nhint: {hint}", case.to);
        assert!(error.contains(" | ") && error.contains('^'), "{}: {error}\nhas no snippet", case.to);
    }
}

#[test]
fn nothing_is_written_where_one_file_is_refused() {
    let copy = Copy::untyped().change(CONF, "log_type notice\n", "log_type {{ nothing }}\n");
    let out = copy.root().join("../out");
    let written = copy.render("production").and_then(|rendered| rendered.write_to(&out));
    assert!(written.is_err() && !out.exists());
}
