//! The rules: what each asks for, what can go wrong without it, and what to do. Data only.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is released.
    Error,
    /// It is said, and the release goes on.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: &'static str,
    /// How bad its worst finding is.
    pub severity: Severity,
    /// What it asks for.
    pub asks: &'static str,
    /// What can go wrong without it.
    pub risk: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// The rule of this id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

impl Rule {
    /// The page of `policy explain`.
    pub fn page(&self) -> String {
        let Self { id, severity, asks, risk, fix } = self;
        let waiver = if *id == WAIVER {
            String::new()
        } else {
            format!(
                "\n\nWhere it must be otherwise, for a time, templates/policy.yaml says so:\n\n\
                 waivers:\n  - rule: {id}\n    place: FILE SETTING, as the finding names them\n    \
                 reason: why it is no harm here\n    owner: who answers for it\n    expires: YYYY-MM-DD"
            )
        };
        format!("{id} ({severity})\n\nAsks: {asks}\n\nRisk: {risk}\n\nFix: {fix}{waiver}")
    }
}

use Severity::{Error, Warning};

const fn asks(
    id: &'static str,
    severity: Severity,
    asks: &'static str,
    risk: &'static str,
    fix: &'static str,
) -> Rule {
    Rule { id, severity, asks, risk, fix }
}

/// The rule about waivers, which none of them excuses.
pub(super) const WAIVER: &str = "policy.waiver";

/// All rules, ordered by id.
pub const RULES: &[Rule] = &[
    asks(
        "auth.anonymous",
        Error,
        "no listener that others can reach lets a client in without a user",
        "anyone who reaches the port reads and writes every topic: sensors can be forged, actuators driven",
        "write `allow_anonymous false` and give each client a user in `password_file`",
    ),
    asks(
        "auth.cost",
        Warning,
        "all clients together can log in again within the declared `reconnect_s`",
        "the broker hashes passwords in its only thread: after a power cut a fleet that reconnects at once keeps it busy, clients time out and try again, and nothing gets through",
        "fewer PBKDF2 rounds (generated passwords need no many), a lower `max_connections`, or a larger `budgets.reconnect_s` in templates/policy.yaml",
    ),
    asks(
        "auth.users",
        Error,
        "there is a password file with users, hashed in a form that this broker knows",
        "the broker stops (exit 13) where the file is missing; where it holds a plain password it starts, drops the line, and nobody can log in",
        "declare a secret of the kind `mosquitto_passwd` and write `password_file /run/secrets/NAME`; by hand: `mosquitto_passwd -c FILE USER`",
    ),
    asks(
        "authz.acl",
        Warning,
        "there is an access list, and no user may write everything",
        "one stolen password is enough to write every topic, in the name of every device",
        "write `acl_file`, with a pattern such as `pattern write sensors/%u/#` and a topic list for each service",
    ),
    asks(
        "conf.broker",
        Warning,
        "the version of the broker is known from the package list of its image",
        "keys that this version does not know stop it, and what it calls by another name is not said here: nothing was guessed",
        "build or import the image (`cargo xtask image import`), or name it: `cargo xtask policy check --image NAME`",
    ),
    asks(
        "conf.duplicate",
        Error,
        "each setting is there once",
        "mosquitto starts and the last one wins: `allow_anonymous true` at the end of a file opens a broker that looks closed",
        "keep the one that is meant",
    ),
    asks(
        "conf.version",
        Warning,
        "each key is one that the broker of the image keeps",
        "the next version of the image does not start, or behaves otherwise, on the day somebody updates it",
        "write what takes its place",
    ),
    asks(
        "data.bounds",
        Warning,
        "connections, queues, packets and absent clients are bounded, and together they fit into the memory limit",
        "one client that stays away, or one that sends large messages, fills memory until the kernel kills the broker; what was not saved is lost",
        "set max_connections, max_queued_messages, max_queued_bytes, max_packet_size, persistent_client_expiration and memory_limit",
    ),
    asks(
        "data.persist",
        Error,
        "persistence is on, in a mounted place that can be written",
        "retained messages, sessions and queues go with the container; with a missing folder mosquitto starts, logs one line, and saves nothing",
        "write `persistence true` and `persistence_location` inside of a volume of the service",
    ),
    asks(
        "data.rpo",
        Error,
        "what was acknowledged is saved within the declared `loss_s`",
        "a power cut is a SIGKILL, and a PUBACK does not say that a message is on disk: what came since the last save is lost, by default up to 30 minutes",
        "write `autosave_interval N` with N at most `budgets.loss_s` of templates/policy.yaml",
    ),
    asks(
        "image.pin",
        Error,
        "each image is named by its digest and does not run as root",
        "a tag moves: the device pulls other bytes than those that passed the gate; root in a container is one kernel bug from root on the device",
        "make it a stack of this project, whose bundle names every image by digest, or write NAME@sha256:DIGEST; give the image a user",
    ),
    asks(
        "log.level",
        Warning,
        "errors, warnings and notices are logged, and connections too",
        "a refused login is a notice: with `error` and `warning` alone nobody sees an attack, a wrong password or a deprecated key",
        "add `log_type notice`",
    ),
    asks(
        "log.sink",
        Error,
        "logs go to stdout with a size limit, or to a mounted file that is rotated",
        "a file inside of the container is gone when it is needed; one that nothing rotates fills the card, and a full card stops saving",
        "write `log_dest stderr` (2.0 holds back what goes to stdout, and a kill loses it) and give the service `logging: {driver: json-file, options: {max-size: 5m, max-file: \"3\"}}`; who rotates a mounted file, `rotated` in templates/policy.yaml says",
    ),
    asks(
        "net.bind",
        Warning,
        "what is published is what listens, and host networking does not open every address",
        "a port that nobody meant to open is open on every network that the device is in",
        "publish `127.0.0.1:PORT:PORT`, name an address in `listener PORT ADDRESS`, or take the port out",
    ),
    asks(
        "ops.docs",
        Warning,
        "it is declared what watches the stack",
        "the first to notice that the broker is down is the one who misses the data",
        "name it under `monitoring` in templates/policy.yaml",
    ),
    asks(
        "parity.diff",
        Error,
        "every difference between simulation and production has a reason in templates/parity.yaml",
        "what passed in simulation says nothing about what runs in production",
        "undo the difference, or give it a name and a reason in templates/parity.yaml",
    ),
    asks(
        "policy.waiver",
        Error,
        "each waiver of templates/policy.yaml is needed, and its day has not passed",
        "an exception that nobody looks at again becomes the rule",
        "mend what it excuses and take it out, or decide anew and give it another day",
    ),
    asks(
        "render.inject",
        Error,
        "no value holds a line break or another control character",
        "a value that brings its own line adds settings: a name that ends in `allow_anonymous true` would open the broker",
        "take it out of the value",
    ),
    asks(
        "render.strict",
        Error,
        "templates use only values that are there",
        "a misspelt value would print nothing, and an empty setting is the default one",
        "correct the name, or give the value in templates/environments",
    ),
    asks(
        "run.hardening",
        Warning,
        "a read-only root, no capabilities, no new privileges",
        "who takes over the process changes its program, or climbs further",
        "write `read_only: true`, `cap_drop: [ALL]` and `security_opt: [\"no-new-privileges:true\"]`",
    ),
    asks(
        "run.limits",
        Warning,
        "memory, processor time, processes and logs are bounded",
        "a service gone wild takes the device with it",
        "write mem_limit, cpus, pids_limit, and `logging` with max-size",
    ),
    asks(
        "run.privileged",
        Error,
        "no container is root on the device",
        "`privileged`, the Engine's socket and capabilities such as SYS_ADMIN make every bug in the service one of the device",
        "name what it needs under `devices` and `cap_add`",
    ),
    asks(
        "run.restart",
        Error,
        "each service starts again by itself",
        "after a crash or a power cut the service stays down until somebody comes",
        "write `restart: unless-stopped`",
    ),
    asks(
        "schema.unknown",
        Error,
        "every key and value is one that its reader knows",
        "mosquitto stops at an unknown key (exit 3); what reads more loosely ignores the line, and the setting is not what it looks like",
        "correct it",
    ),
    asks(
        "secret.plain",
        Error,
        "no password, token or key stands in a file of the configuration or in an environment variable",
        "it is in the repository, in every bundle and in `docker inspect`, and cannot be changed without a release",
        "declare it under `secrets` in stack.yaml and read it from /run/secrets/NAME",
    ),
    asks(
        "tls.listener",
        Error,
        "what other machines can reach is encrypted, with TLS 1.2 or newer",
        "passwords and data cross the network in clear: one listener on it has every login",
        "give the listener `certfile` and `keyfile`, or publish it on 127.0.0.1 only",
    ),
];
