//! What a scenario can claim, in the words of its `expect` list. Decides nothing itself.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

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
}

impl Expectation {
    /// The seed's four claims, the default of a scenario without `expect`.
    pub const SEED: [Expectation; 4] = [
        Expectation::BrokerStarts,
        Expectation::SensorsPublish,
        Expectation::GatewayReceives,
        Expectation::EndToEnd,
    ];
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
        let user = |start: &str, end: &str| {
            text.strip_prefix(start)?.strip_suffix(end).filter(|user| is_name(user)).map(str::to_owned)
        };
        if let Some(user) = user("auth.login(", ") == accepted") {
            return Ok(Self::LoginAccepted(user));
        }
        if let Some(user) = user("auth.wrong_password(", ") == refused") {
            return Ok(Self::WrongPasswordRefused(user));
        }
        let templates = ["auth.login(USER) == accepted", "auth.wrong_password(USER) == refused"];
        let known = PLAIN.iter().map(|(name, _)| *name).chain(templates);
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
}
