//! The language as a JSON Schema (draft 2020-12), for editors. It knows the shape; what a shape cannot say is checked by
//! `sim validate`.

use serde_json::{Map, Value, json};

use super::config::ModelConfig;

/// A key: its name, what may stand there, and what it means.
type Key<'a> = (&'a str, Value, &'a str);

/// The schema of a scenario file.
pub fn schema() -> Value {
    let mut defs = Map::new();
    for (name, def) in [
        ("node", node()),
        ("docker", docker()),
        ("config", config()),
        ("link", link()),
        ("shape", shape()),
        ("entry", entry()),
    ] {
        defs.insert(name.to_owned(), def);
    }
    let mut schema = object(&top(), &["simulation"]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("xedge scenario");
    schema["$defs"] = Value::Object(defs);
    schema
}

fn top() -> Vec<Key<'static>> {
    let simulation = object(
        &[
            (
                "duration_s",
                number(0.0, 86_400.0),
                "Seconds of the publishing phase; without models, how long services are watched",
            ),
            ("seed", whole(0, None), "Seed of every random draw"),
            (
                "time_quantum_us",
                whole(1, Some(3_600_000_000)),
                "Step of virtual time in microseconds; default 1000",
            ),
            (
                "ready_s",
                number(0.0, 3_600.0),
                "Seconds from a container's start to its first answer; default 30",
            ),
        ],
        &["duration_s", "seed"],
    );
    let runs = object(
        &[
            ("seeds", list(whole(0, None)), "Seeds, each run `repeat` times; default the scenario's own"),
            ("repeat", whole(1, Some(1_000)), "Runs of each seed; default 1"),
            ("min_pass_rate", number(0.0, 1.0), "Share of the runs that must pass; default 1"),
        ],
        &[],
    );
    vec![
        ("format", json!({"const": 1}), "Version of this format"),
        ("simulation", simulation, "How long, and with which seed"),
        ("level", one_of(&["scenario", "smoke"]), "What a pass shows; default scenario"),
        ("profile", one_of(&["simulation", "production"]), "production runs the rendered files of `stack`"),
        ("stack", text(), "Folder below templates/stacks"),
        ("nodes", list(refer("node")), "What runs; a production scenario may leave it to its stack"),
        ("links", map_of(refer("link")), "Links with names and shapes"),
        ("network", network(), "Links in upstream's words"),
        ("timeline", list(refer("entry")), "What is done to nodes and links while it runs"),
        ("expect", list(text()), "Claims; default the seed's four"),
        ("runs", runs, "How often it runs; default once"),
        (
            "matrix",
            json!({"type": "object", "minProperties": 1, "additionalProperties": list(scalar())}),
            "Values for ${NAME}, one scenario for each combination",
        ),
        (
            "limits",
            object(&[("lag_p99", span(), "Lag of 99 % of the sends behind their plan; default 500ms")], &[]),
            "What makes a run invalid",
        ),
    ]
}

fn node() -> Value {
    let limits = object(
        &[
            ("memory", size(), "Memory, such as 128m"),
            ("cpus", number(0.01, 1_024.0), "CPUs, such as 0.5"),
            ("pids", whole(1, None), "Processes and threads"),
        ],
        &[],
    );
    let volume = object(
        &[
            ("path", text(), "Where it is in the container"),
            ("size", size(), "In memory, and full after this much"),
        ],
        &["path"],
    );
    let process = object(
        &[
            ("command", list(text()), "Program and arguments; {port} becomes a free port"),
            ("environment", map_of(scalar()), "Variables on top of this machine's"),
        ],
        &["command"],
    );
    let roles = [
        "broker",
        "mqtt_broker",
        "sensor",
        "sensor_model",
        "gateway",
        "gateway_model",
        "cloud",
        "service",
        "app",
        "database",
    ];
    let mut node = object(
        &[
            ("id", text(), "Unique name; also the host name of a container"),
            ("type", one_of(&roles), "The part that it plays"),
            (
                "implementation",
                one_of(&["docker", "python_model", "model", "process"]),
                "What runs it; default python_model",
            ),
            ("port", whole(0, Some(65_535)), "The service's port of a container"),
            ("docker", refer("docker"), "Settings of a container"),
            ("service", text(), "Service of the stack whose production settings it gets"),
            ("script", text(), "Python script in the project, for python_model"),
            ("count", whole(1, Some(10_000)), "How many alike: id-1, id-2, ..."),
            ("via", text(), "Named link that everything from and to it goes through"),
            ("process", process, "A program of this machine"),
            ("limits", limits, "What a container may use at most"),
            ("volumes", map_of(volume), "Fresh volumes of a container"),
            ("config", refer("config"), "Settings of a model"),
        ],
        &["id", "type"],
    );
    let is = |word: &str| json!({"properties": {"implementation": {"const": word}}, "required": ["implementation"]});
    let is_open = json!({"anyOf": [{"required": ["script"]},
        {"properties": {"docker": {"required": ["lockstep"]}}, "required": ["docker"]}]});
    node["allOf"] = json!([
        {"if": is("docker"), "then": {"required": ["docker"]}, "else": {"not": {"required": ["docker"]}}},
        {"if": is("process"), "then": {"required": ["process"]}, "else": {"not": {"required": ["process"]}}},
        // A script has keys of its own.
        {"if": is_open, "else": {"properties": {"config": {"propertyNames": {"enum": ModelConfig::KEYS}}}}},
    ]);
    node
}

fn docker() -> Value {
    let ports = json!({"anyOf": [
        {"type": "object", "additionalProperties": whole(0, Some(65_535))}, list(text())]});
    let bind = object(
        &[("bind", text(), "Where in the container"), ("mode", one_of(&["ro", "rw"]), "Default rw")],
        &["bind"],
    );
    let volumes = json!({"anyOf": [list(text()), {"type": "object", "additionalProperties": {"anyOf": [text(), bind]}}]});
    let lockstep = object(&[("command", list(text()), "Default python3 -u -m service")], &[]);
    object(
        &[
            ("image", text(), "name[:tag] of an image in images/"),
            (
                "build_context",
                text(),
                "Folder with a Dockerfile; the image of images/ that is called like it",
            ),
            ("ports", ports, "Container ports: 1883: 1883, or \"1883:1883\""),
            ("environment", map_of(scalar()), "Environment variables"),
            ("command", list(scalar()), "Arguments instead of the image's"),
            ("volumes", volumes, "SOURCE:TARGET[:ro]; a name, or a path of the project that starts with ./"),
            ("lockstep", lockstep, "Talks the lockstep protocol instead of being a service"),
        ],
        &[],
    )
}

fn config() -> Value {
    let flag = || or_put_in(&json!({"type": "boolean"}));
    let qos = || whole(0, Some(2));
    let will = object(
        &[
            ("topic", text(), "Topic"),
            ("payload", scalar(), "Text; default empty"),
            ("qos", qos(), "Default 0"),
            ("retain", flag(), "Default false"),
        ],
        &["topic"],
    );
    let tls = object(&[("ca", text(), "PEM file in the project")], &["ca"]);
    let mut config = object(
        &[
            ("every", span(), "Between two readings or aggregates; default 1s, of a gateway 5s"),
            ("jitter", pattern("^[0-9]+(\\.[0-9]+)?%$"), "Random part of `every`, both ways, such as 20%"),
            ("topic", text(), "Topic to publish to; default sensors/{id}, of a gateway upstream/{id}"),
            ("subscribe", text(), "Filter; default sensors/+ for a gateway, upstream/+ for a cloud"),
            ("qos", qos(), "Quality of service; default 1"),
            ("user", text(), "User to log in as"),
            ("payload", size(), "Bytes of each message"),
            ("retain", flag(), "Whether the broker keeps the last message; default false"),
            ("clean_session", flag(), "Whether the broker forgets the session; default true"),
            ("keep_alive", span(), "How long a connection may be silent"),
            ("will", will, "Published when the connection breaks"),
            ("tls", tls, "Encrypted, with the certificate checked"),
            ("protocol", json!({"enum": ["3.1.1", 5, "5"]}), "Version of MQTT; default 3.1.1"),
            ("to", text(), "The node that it sends to"),
        ],
        &[],
    );
    config["additionalProperties"] = json!(true);
    config
}

fn shape_keys() -> Vec<Key<'static>> {
    let stall = object(
        &[("p", number(0.0, 1.0), "Chance"), ("for", span(), "How long nothing moves")],
        &["p", "for"],
    );
    vec![
        ("latency", span(), "Time that everything takes longer"),
        ("jitter", span(), "Random part on top, up to this"),
        ("stall", stall, "Now and then nothing moves"),
        ("rate", pattern("^[0-9]+[kmg]?bit$"), "Most bits per second, such as 2mbit"),
        ("loss", number(0.0, 1.0), "Share of what is lost; above TCP it shows as a stall"),
    ]
}

fn shape() -> Value {
    object(&shape_keys(), &[])
}

fn link() -> Value {
    let mut keys = vec![("from", text(), "Node at the near end"), ("to", text(), "Node at the far end")];
    keys.extend(shape_keys());
    keys.push(("up", refer("shape"), "From `from` to `to`"));
    keys.push(("down", refer("shape"), "The way back"));
    object(&keys, &[])
}

fn network() -> Value {
    let latency = || whole(0, Some(60_000_000));
    let link = object(
        &[
            ("src", text(), "Node that sends"),
            ("dst", text(), "Node that receives"),
            ("latency_us", latency(), "Default: default_latency_us"),
            ("loss_rate", number(0.0, 1.0), "Default: default_loss_rate"),
        ],
        &["src", "dst"],
    );
    object(
        &[
            ("model", one_of(&["direct", "latency"]), "Default direct"),
            ("default_latency_us", latency(), "Latency of links that are not listed; default 10000"),
            ("default_loss_rate", number(0.0, 1.0), "Loss rate of links that are not listed; default 0"),
            ("links", list(link), "Listed links"),
        ],
        &[],
    )
}

fn entry() -> Value {
    let verbs = ["kill", "start", "restart", "pause", "partition", "reset"];
    let mut entry = object(
        &[
            ("at", span(), "From the start of the publishing phase"),
            ("kill", text(), "Ends a node"),
            ("start", text(), "Starts a node that was killed"),
            ("restart", text(), "Ends and starts a node"),
            ("pause", text(), "Freezes a node"),
            ("partition", text(), "Lets nothing through a link"),
            ("reset", text(), "Tears down every connection of a link"),
            ("signal", one_of(&["KILL", "TERM"]), "Of kill and restart; default KILL"),
            ("down_for", span(), "Of restart; default 0s"),
            ("for", span(), "Of pause and partition"),
            ("direction", one_of(&["up", "down", "both"]), "Of partition; default both"),
            ("recover_within", span(), "Of start, restart and pause: how soon it must be ready again"),
        ],
        &["at"],
    );
    entry["oneOf"] = verbs.iter().map(|verb| json!({"required": [verb]})).collect();
    entry
}

fn object(keys: &[Key<'_>], required: &[&str]) -> Value {
    let mut properties = Map::new();
    for (name, schema, meaning) in keys {
        let mut schema = schema.clone();
        schema["description"] = json!(meaning);
        properties.insert((*name).to_owned(), schema);
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn refer(def: &str) -> Value {
    json!({"$ref": format!("#/$defs/{def}")})
}

fn list(items: Value) -> Value {
    keyed("array", "items", items)
}

fn map_of(values: Value) -> Value {
    keyed("object", "additionalProperties", values)
}

fn keyed(kind: &str, key: &str, value: Value) -> Value {
    Value::Object([("type".to_owned(), kind.into()), (key.to_owned(), value)].into_iter().collect())
}

fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// Text, or what would be text with quotes.
fn scalar() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn one_of(words: &[&str]) -> Value {
    or_put_in(&json!({"enum": words}))
}

fn number(least: f64, most: f64) -> Value {
    or_put_in(&json!({"type": "number", "minimum": least, "maximum": most}))
}

fn whole(least: u64, most: Option<u64>) -> Value {
    let mut whole = json!({"type": "integer", "minimum": least});
    if let Some(most) = most {
        whole["maximum"] = json!(most);
    }
    or_put_in(&whole)
}

fn pattern(pattern: &str) -> Value {
    or_put_in(&json!({"type": "string", "pattern": pattern}))
}

fn span() -> Value {
    pattern("^[0-9]+(ms|s|m|h)$")
}

fn size() -> Value {
    pattern("^[0-9]+(B|b|k|m|g|KiB|MiB|GiB)$")
}

/// Or a text with a value of the matrix.
fn or_put_in(schema: &Value) -> Value {
    json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{[a-z][a-z0-9_]*\\}"}]})
}

#[cfg(test)]
mod tests;
