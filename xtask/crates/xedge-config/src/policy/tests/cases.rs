//! One red and one green case for each rule that files decide: edits of a configuration that is clean. Data only.

/// File, what is replaced, and what by.
pub(super) type Edit<'a> = (&'static str, &'a str, &'a str);

/// One case.
pub(super) struct Case {
    pub(super) rule: &'static str,
    pub(super) red: &'static [Edit<'static>],
    /// The file, and a text on the line that the finding must point at.
    pub(super) at: (&'static str, &'static str),
    /// As near as it comes without a finding.
    pub(super) green: &'static [Edit<'static>],
    /// The version of mosquitto's package in both cases, if it is known.
    pub(super) package: [Option<&'static str>; 2],
}

const fn case(
    rule: &'static str,
    red: &'static [Edit<'static>],
    at: (&'static str, &'static str),
    green: &'static [Edit<'static>],
) -> Case {
    Case { rule, red, at, green, package: [DEBIAN; 2] }
}

const DEBIAN: Option<&str> = Some(super::DEBIAN);
const NEWER: Option<&str> = Some("2.1.2-1");
const CONF: &str = "mosquitto.conf";
const COMPOSE: &str = "compose.yaml";

pub(super) const CASES: &[Case] = &[
    case(
        "auth.anonymous",
        &[(CONF, "allow_anonymous false", "allow_anonymous true")],
        (CONF, "allow_anonymous true"),
        &[(CONF, "allow_anonymous false\n", "")],
    ),
    Case {
        package: [NEWER; 2],
        ..case(
            "auth.anonymous",
            &[(CONF, "max_connections", "listener_allow_anonymous true\nmax_connections")],
            (CONF, "listener_allow_anonymous true"),
            &[(CONF, "max_connections", "listener_allow_anonymous false\nmax_connections")],
        )
    },
    case(
        "auth.cost",
        &[("passwd", "$7$101$", "$7$400000$")],
        (CONF, "password_file"),
        &[("passwd", "$7$101$", "$7$100000$")],
    ),
    case(
        "auth.users",
        &[(CONF, "password_file /mosquitto/config/passwd\n", "")],
        (CONF, "listener 8883"),
        &[],
    ),
    case("auth.users", &[(CONF, "config/passwd", "config/users")], (CONF, "password_file"), &[]),
    case("auth.users", &[("passwd", "sensor:", "plain:text\nsensor:")], ("passwd", "plain:text"), &[]),
    case(
        "auth.users",
        &[("passwd", "$7$101$c2FsdHNhbHRzYWx0$aGFzaA==", "$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA")],
        ("passwd", "argon2id"),
        &[("passwd", "$7$101$", "$7$1000$")],
    ),
    Case {
        package: [NEWER; 2],
        ..case(
            "auth.users",
            &[("passwd", PASSWD_LINE, "")],
            (CONF, "password_file"),
            &[("passwd", "$7$101$c2FsdHNhbHRzYWx0$aGFzaA==", "$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA")],
        )
    },
    case("authz.acl", &[(CONF, "acl_file /mosquitto/config/acl\n", "")], (CONF, "listener 8883"), &[]),
    case(
        "authz.acl",
        &[("acl", "pattern write sensors/%u/#", "user gateway\ntopic readwrite #")],
        ("acl", "topic readwrite #"),
        &[("acl", "pattern write sensors/%u/#", "user gateway\ntopic read #")],
    ),
    Case { package: [Some("3.0.0-1"), DEBIAN], ..case("conf.broker", &[], (CONF, "listener 8883"), &[]) },
    Case { package: [None, DEBIAN], ..case("conf.broker", &[], (CONF, "listener 8883"), &[]) },
    case(
        "conf.duplicate",
        &[(CONF, "log_dest stdout", "log_dest stdout\nallow_anonymous true")],
        (CONF, "allow_anonymous true"),
        &[(CONF, "log_dest stdout", "log_dest stdout\nlog_dest topic")],
    ),
    Case {
        package: [NEWER; 2],
        ..case(
            "conf.version",
            &[],
            (CONF, "password_file"),
            &[
                (
                    CONF,
                    "password_file /mosquitto/config/passwd\n",
                    "plugin /usr/lib/mosquitto_password_file.so\n",
                ),
                (CONF, "acl_file /mosquitto/config/acl\n", ""),
            ],
        )
    },
    case(
        "conf.version",
        &[(CONF, "autosave_interval", "clientid_prefixes a\nautosave_interval")],
        (CONF, "clientid_prefixes"),
        &[],
    ),
    case("data.bounds", &[(CONF, "max_packet_size 262144\n", "")], (CONF, "listener 8883"), &[]),
    case(
        "data.bounds",
        &[(CONF, "max_queued_bytes 524288", "max_queued_bytes 5242880")],
        (CONF, "max_queued_bytes"),
        &[(CONF, "max_queued_bytes 524288", "max_queued_bytes 52428")],
    ),
    case(
        "data.bounds",
        &[(CONF, "memory_limit 134217728", "memory_limit 167772160")],
        (CONF, "memory_limit"),
        &[(CONF, "memory_limit 134217728", "memory_limit 167772159")],
    ),
    case(
        "data.persist",
        &[(CONF, "persistence true", "persistence false")],
        (CONF, "persistence false"),
        &[],
    ),
    case(
        "data.persist",
        &[(CONF, "persistence_location /mosquitto/data/", "persistence_location /var/lib/mosquitto/")],
        (CONF, "persistence_location"),
        &[(COMPOSE, "data:/mosquitto/data", "/srv/broker:/mosquitto/data")],
    ),
    case(
        "data.persist",
        &[(COMPOSE, "\"data:/mosquitto/data\"", "\"/mosquitto/data\"")],
        (CONF, "persistence_location"),
        &[],
    ),
    case(
        "data.persist",
        &[(COMPOSE, "data:/mosquitto/data", "data:/mosquitto/data:ro")],
        (CONF, "persistence_location"),
        &[],
    ),
    case(
        "data.rpo",
        &[(CONF, "autosave_interval 5\n", "")],
        (CONF, "persistence true"),
        &[(CONF, "autosave_interval 5", "autosave_interval 60")],
    ),
    case(
        "data.rpo",
        &[(CONF, "autosave_interval 5", "autosave_interval 0")],
        (CONF, "autosave_interval"),
        &[(CONF, "autosave_interval 5", "autosave_on_changes true\nautosave_interval 1")],
    ),
    case(
        "image.pin",
        &[(COMPOSE, "@sha256:0000000000000000000000000000000000000000000000000000000000000000", ":latest")],
        (COMPOSE, "image:"),
        &[],
    ),
    case("image.pin", &[(COMPOSE, "user: \"1883\"", "user: root")], (COMPOSE, "image:"), &[]),
    case(
        "log.level",
        &[(CONF, "log_type notice\n", "")],
        (CONF, "log_type error"),
        &[(CONF, "log_type error\nlog_type warning\nlog_type notice", "log_type all")],
    ),
    case(
        "log.level",
        &[(CONF, "log_dest stdout", "connection_messages false\nlog_dest stdout")],
        (CONF, "connection_messages"),
        &[(CONF, "log_dest stdout", "connection_messages true\nlog_dest stdout")],
    ),
    case(
        "log.sink",
        &[(CONF, "log_dest stdout", "log_dest file /mosquitto/log/m.log")],
        (CONF, "log_dest file"),
        &[],
    ),
    case(
        "log.sink",
        &[(CONF, "log_dest stdout", "log_dest file /mosquitto/data/m.log")],
        (CONF, "log_dest file"),
        &[(CONF, "log_dest stdout", "log_dest syslog")],
    ),
    case(
        "log.sink",
        &[(COMPOSE, "options: {max-size: 5m, max-file: \"3\"}", "options: {mode: non-blocking}")],
        (CONF, "log_dest stdout"),
        &[(COMPOSE, "{driver: json-file, options: {max-size: 5m, max-file: \"3\"}}", "{driver: local}")],
    ),
    case(
        "net.bind",
        &[(COMPOSE, "[\"8883:8883\"]", "[\"8883:8883\", \"9001:9001\"]")],
        (COMPOSE, "9001:9001"),
        &[],
    ),
    case(
        "net.bind",
        &[(COMPOSE, "ports: [\"8883:8883\"]", "network_mode: host")],
        (CONF, "listener 8883"),
        &[
            (COMPOSE, "ports: [\"8883:8883\"]", "network_mode: host"),
            (CONF, "listener 8883", "listener 8883 10.0.0.5"),
        ],
    ),
    case("run.hardening", &[(COMPOSE, "read_only: true", "init: true")], (COMPOSE, "mosquitto:"), &[]),
    case("run.hardening", &[(COMPOSE, "cap_drop: [ALL]", "cap_drop: [CHOWN]")], (COMPOSE, "mosquitto:"), &[]),
    case(
        "run.limits",
        &[(COMPOSE, "    mem_limit: 160m\n", "")],
        (COMPOSE, "mosquitto:"),
        &[(COMPOSE, "mem_limit: 160m", "deploy: {resources: {limits: {memory: 160m}}}")],
    ),
    case(
        "run.privileged",
        &[(COMPOSE, "read_only: true", "privileged: true")],
        (COMPOSE, "privileged: true"),
        &[(COMPOSE, "read_only: true", "privileged: false")],
    ),
    case(
        "run.privileged",
        &[(COMPOSE, "\"data:", "\"/var/run/docker.sock:/var/run/docker.sock\", \"data:")],
        (COMPOSE, "volumes: ["),
        &[(COMPOSE, "cap_drop:", "cap_add: [NET_BIND_SERVICE]\n    cap_drop:")],
    ),
    case(
        "run.privileged",
        &[(COMPOSE, "cap_drop:", "cap_add: [SYS_ADMIN]\n    cap_drop:")],
        (COMPOSE, "cap_add"),
        &[],
    ),
    case(
        "run.restart",
        &[(COMPOSE, "restart: unless-stopped", "restart: \"no\"")],
        (COMPOSE, "restart:"),
        &[(COMPOSE, "restart: unless-stopped", "restart: always")],
    ),
    case(
        "run.restart",
        &[(COMPOSE, "    restart: unless-stopped\n", "")],
        (COMPOSE, "mosquitto:"),
        &[
            (COMPOSE, "    restart: unless-stopped\n", ""),
            (
                COMPOSE,
                "volumes:\n  data",
                "  next: {image: a@sha256:0, restart: always, depends_on: {mosquitto: {condition: service_completed_successfully}}}\nvolumes:\n  data",
            ),
        ],
    ),
    case(
        "schema.unknown",
        &[(CONF, "allow_anonymous false", "allow_anonymus false")],
        (CONF, "allow_anonymus"),
        &[(CONF, "allow_anonymous false", "# allow_anonymus false")],
    ),
    // A key that only the other version knows.
    case(
        "schema.unknown",
        &[(CONF, "log_dest", "global_max_clients 9\nlog_dest")],
        (CONF, "global_max_clients"),
        &[],
    ),
    Case {
        package: [NEWER; 2],
        ..case(
            "schema.unknown",
            &[(CONF, "log_dest", "global_max_clients many\nlog_dest")],
            (CONF, "global_max_clients"),
            &[
                (CONF, "log_dest", "global_max_clients 9\nlog_dest"),
                (CONF, "expiration 7d", "expiration 90s"),
            ],
        )
    },
    case(
        "schema.unknown",
        &[(CONF, "expiration 7d", "expiration 90s")],
        (CONF, "expiration 90s"),
        &[(CONF, "expiration 7d", "expiration 90h")],
    ),
    case(
        "secret.plain",
        &[(COMPOSE, "{TZ: UTC}", "{MQTT_PASSWORD: hunter2}")],
        (COMPOSE, "MQTT_PASSWORD"),
        &[(
            COMPOSE,
            "{TZ: UTC}",
            "{MQTT_PASSWORD_FILE: /run/secrets/mqtt, MQTT_PASSWORD: \"${MQTT_PASSWORD}\"}",
        )],
    ),
    case(
        "secret.plain",
        &[(COMPOSE, "{TZ: UTC}", "{SEED: 3f9a1c77b2e04d5f8a6b90c1d2e3f4a5}")],
        (COMPOSE, "SEED"),
        &[(COMPOSE, "{TZ: UTC}", "{SEED: 00000000000000000000000000000042}")],
    ),
    case(
        "secret.plain",
        &[("acl", "pattern", "-----BEGIN PRIVATE KEY-----\npattern")],
        ("acl", "BEGIN"),
        &[],
    ),
    case(
        "tls.listener",
        &[(CONF, "certfile /run/secrets/tls-cert\n", "")],
        (CONF, "listener 8883"),
        &[(CONF, "certfile /run/secrets/tls-cert\n", ""), (COMPOSE, "8883:8883", "127.0.0.1:8883:8883")],
    ),
    case(
        "tls.listener",
        &[(CONF, "keyfile", "tls_version tlsv1.1\nkeyfile")],
        (CONF, "tls_version"),
        &[(CONF, "keyfile", "tls_version tlsv1.3\nkeyfile")],
    ),
];

const PASSWD_LINE: &str = "sensor:$7$101$c2FsdHNhbHRzYWx0$aGFzaA==\n";
