//! What a scenario can claim, in the words of its `expect` list. Decides nothing itself.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::measure::Measure;
use super::pattern::LogPattern;
use crate::duration::Span;
use crate::stack::is_name;
use crate::yaml::near;

/// A claim that the run must show to be true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expectation {
    /// Every broker answers a CONNECT with a CONNACK.
    BrokerStarts,
    /// Every sensor publishes, and the broker acknowledges all of it (`QoS` 1).
    SensorsPublish,
    /// Every gateway receives readings.
    GatewayReceives,
    /// Every acknowledged reading arrives at the far end.
    EndToEnd,
    /// A CONNECT without user is refused.
    AnonymousRefused,
    /// A CONNECT as this user with a wrong password is refused.
    WrongPasswordRefused(String),
    /// A CONNECT as this user is accepted.
    LoginAccepted(String),
    /// A retained message is still there after the broker was stopped (SIGTERM) and started.
    RetainedSurvivesRestart,
    /// The health check of this node's container passes, and goes on passing to the end.
    ServiceHealthy(String),
    /// This TCP port of this node's container takes connections from outside, to the end.
    ServiceAnswers(String, u16),
    /// This node's container runs for at least this time, without having been started again.
    ServiceRuns(String, Span),
    /// Something measured keeps a bound.
    Measure(Measure),
    /// A line of this node's log matches, or none does.
    Logs {
        /// Node.
        node: String,
        /// What is looked for in each line.
        pattern: LogPattern,
        /// Whether it must be there, or must not.
        matches: bool,
    },
}

impl Expectation {
    /// The seed's four claims, the default of a scenario without `expect`.
    pub const SEED: [Expectation; 4] = [
        Expectation::BrokerStarts,
        Expectation::SensorsPublish,
        Expectation::GatewayReceives,
        Expectation::EndToEnd,
    ];

    /// The node that it is about, where it is about one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Measure(measure) => measure.metric.node(),
            Self::Logs { node, .. } => Some(node),
            other => other.service(),
        }
    }

    /// Whether it holds only if something happened; a scenario needs one that does.
    pub fn is_positive(&self) -> bool {
        match self {
            Self::AnonymousRefused | Self::WrongPasswordRefused(_) => false,
            Self::Measure(measure) => measure.is_positive(),
            Self::Logs { matches, .. } => *matches,
            _ => true,
        }
    }

    /// The container that it asks while the run goes on, where it asks one.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::ServiceHealthy(id) | Self::ServiceAnswers(id, _) | Self::ServiceRuns(id, _) => Some(id),
            _ => None,
        }
    }

    /// Whether it is about the broker, or about what goes through it.
    pub fn needs_broker(&self) -> bool {
        match self {
            Self::Logs { .. } => false,
            Self::Measure(measure) => measure.metric.node().is_none(),
            other => other.service().is_none(),
        }
    }

    /// A claim about a log: `logs(ID) =~ /PATTERN/` or `logs(ID) !~ /PATTERN/`.
    fn of_log(text: &str) -> Option<Result<Self, String>> {
        let (node, rest) = text.strip_prefix("logs(")?.split_once(')')?;
        let (matches, pattern) = match rest.trim_start().split_at_checked(2)? {
            ("=~", pattern) => (true, pattern),
            ("!~", pattern) => (false, pattern),
            _ => return None,
        };
        let node = Some(node).filter(|id| is_node_id(id))?.to_owned();
        Some(LogPattern::read(pattern.trim()).map(|pattern| Self::Logs { node, pattern, matches }))
    }

    /// A claim about one container: `service.VERB(ID)` or `service.VERB(ID, ARGUMENT)`.
    fn of_service(text: &str) -> Option<Self> {
        let (verb, arguments) = text.strip_prefix("service.")?.strip_suffix(')')?.split_once('(')?;
        let (id, argument) = match arguments.split_once(',') {
            Some((id, argument)) => (id, Some(argument.trim())),
            None => (arguments, None),
        };
        let id = Some(id).filter(|id| is_node_id(id))?.to_owned();
        match (verb, argument) {
            ("healthy", None) => Some(Self::ServiceHealthy(id)),
            ("answers", Some(port)) => {
                let port = port.parse().ok().filter(|port| *port != 0)?;
                Some(Self::ServiceAnswers(id, port))
            }
            ("runs", Some(time)) => {
                let time: Span = time.parse().ok()?;
                Some(Self::ServiceRuns(id, time)).filter(|_| !time.0.is_zero())
            }
            _ => None,
        }
    }
}

/// Up to 63 letters, digits, `-`, `_` and `.`, the first a letter or digit: ids are host names, and names of files.
pub(super) fn is_node_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(fits)
}

const PLAIN: [(&str, Expectation); 6] = [
    ("broker.starts", Expectation::BrokerStarts),
    ("sensors.publish", Expectation::SensorsPublish),
    ("gateway.receives", Expectation::GatewayReceives),
    ("mqtt.end_to_end", Expectation::EndToEnd),
    ("auth.anonymous == refused", Expectation::AnonymousRefused),
    ("retained.survives(restart)", Expectation::RetainedSurvivesRestart),
];

/// An expectation that is not known.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not an expectation; {help}")]
pub struct UnknownExpectation {
    found: String,
    help: String,
}

impl FromStr for Expectation {
    type Err = UnknownExpectation;

    fn from_str(text: &str) -> Result<Self, UnknownExpectation> {
        if let Some((_, plain)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(plain.clone());
        }
        if let Some(claim) = Self::of_service(text) {
            return Ok(claim);
        }
        let wrong = |help| UnknownExpectation { found: text.to_owned(), help };
        if let Some(measure) = Measure::read(text) {
            return measure.map(Self::Measure).map_err(wrong);
        }
        if let Some(logs) = Self::of_log(text) {
            return logs.map_err(wrong);
        }
        let user = |start: &str, end: &str| {
            text.strip_prefix(start)?.strip_suffix(end).filter(|user| is_name(user)).map(str::to_owned)
        };
        if let Some(user) = user("auth.login(", ") == accepted") {
            return Ok(Self::LoginAccepted(user));
        }
        if let Some(user) = user("auth.wrong_password(", ") == refused") {
            return Ok(Self::WrongPasswordRefused(user));
        }
        let templates = [
            "auth.login(USER) == accepted",
            "auth.wrong_password(USER) == refused",
            "service.healthy(ID)",
            "service.answers(ID, PORT)",
            "service.runs(ID, 10s)",
            "logs(ID) !~ /PATTERN/",
            "logs(ID) =~ /PATTERN/",
        ];
        let known = PLAIN.iter().map(|(name, _)| *name).chain(templates).chain(Measure::EXAMPLES);
        let help = near(text, known.clone()).map_or_else(
            || format!("known: {}", known.collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        Err(UnknownExpectation { found: text.to_owned(), help })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoginAccepted(user) => write!(f, "auth.login({user}) == accepted"),
            Self::WrongPasswordRefused(user) => write!(f, "auth.wrong_password({user}) == refused"),
            Self::ServiceHealthy(id) => write!(f, "service.healthy({id})"),
            Self::ServiceAnswers(id, port) => write!(f, "service.answers({id}, {port})"),
            Self::ServiceRuns(id, time) => write!(f, "service.runs({id}, {time})"),
            Self::Measure(measure) => measure.fmt(f),
            Self::Logs { node, pattern, matches } => {
                write!(f, "logs({node}) {} {pattern}", if *matches { "=~" } else { "!~" })
            }
            plain => {
                let known = PLAIN.iter().find(|(_, expectation)| expectation == plain);
                f.write_str(known.expect("every plain expectation is listed").0)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Expectation;

    #[test]
    fn text_round_trips_and_a_slip_gets_a_near_one() {
        for text in ["broker.starts", "auth.login(gateway) == accepted", "auth.wrong_password(a) == refused"]
        {
            assert_eq!(text.parse::<Expectation>().unwrap().to_string(), text);
        }
        let error = "auth.anonymus == refused".parse::<Expectation>().unwrap_err();
        assert!(error.to_string().ends_with("did you mean `auth.anonymous == refused`?"), "{error}");
        assert!("auth.login() == accepted".parse::<Expectation>().is_err());
    }

    #[test]
    fn claims_about_services_have_one_text() {
        for (text, want) in [
            ("service.healthy(web)", "service.healthy(web)"),
            ("service.answers(web,8080)", "service.answers(web, 8080)"),
            ("service.runs(web.1, 2500ms)", "service.runs(web.1, 2500ms)"),
            ("service.runs(db, 1m)", "service.runs(db, 60s)"),
        ] {
            assert_eq!(text.parse::<Expectation>().unwrap().to_string(), want);
        }
        for (text, near) in [
            ("service.helthy(web)", "did you mean `service.healthy(ID)`?"),
            ("service.answers(web)", "did you mean `service.answers(ID, PORT)`?"),
            ("service.answers(web, 0)", "did you mean `service.answers(ID, PORT)`?"),
            ("service.answers(web, 70000)", "did you mean `service.answers(ID, PORT)`?"),
            ("service.runs(web, 0s)", "did you mean `service.runs(ID, 10s)`?"),
            ("service.runs(web, 10)", "did you mean `service.runs(ID, 10s)`?"),
            ("service.healthy(-x)", "did you mean `service.healthy(ID)`?"),
        ] {
            let error = text.parse::<Expectation>().unwrap_err().to_string();
            assert!(error.ends_with(near), "{error}");
        }
    }
}
