//! One-off questions to a broker: who gets in, and what is still there after a restart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use xedge_model::scenario::Expectation;

use crate::check::{Claim, State};
use crate::mqtt::{Connection, Login, Packet, Publish, Qos, Refused, Session, StepKind, Tls};
use crate::plan::{Credentials, RetainedProbe, Secret};

/// A broker to ask.
#[derive(Clone, Copy, Debug)]
pub struct Broker<'a> {
    /// Where it is reached now.
    pub address: SocketAddr,
    /// Passwords by user.
    pub credentials: &'a Credentials,
    /// For one question.
    pub limit: Duration,
    /// How it is encrypted; `None` is in the clear.
    pub tls: Option<&'a Tls>,
}

impl Broker<'_> {
    /// Tries to log in, and goes again.
    pub async fn ask(&self, login: &Login) -> Result<(), Refused> {
        let connection = Connection::open(self.address, login, self.limit).await?;
        connection.close().await;
        Ok(())
    }

    fn login(&self, user: Option<&str>) -> Login {
        let session = Session { tls: self.tls.cloned(), ..Session::new(true) };
        Login::new("xedge-probe", user, self.credentials, Arc::new(session))
    }

    /// Whether it speaks MQTT: any CONNACK but "unavailable" and its like counts, since a broker that refuses strangers
    /// answers too.
    pub async fn answers(&self) -> Result<(), Refused> {
        match self.ask(&self.login(None)).await {
            Err(refused) if refused.is_about_login() => Ok(()),
            other => other,
        }
    }

    /// The claim of `auth.login(USER) == accepted`.
    pub async fn login_accepted(&self, user: &str) -> Claim {
        let id = Expectation::LoginAccepted(user.to_owned());
        match self.ask(&self.login(Some(user))).await {
            Ok(()) => Claim::new(id, State::Held, format!("`{user}` got in")),
            Err(refused) => Claim::new(id, State::Failed, format!("`{user}` did not get in: {refused}")),
        }
    }

    /// The claim of `auth.anonymous == refused`.
    pub async fn anonymous_refused(&self) -> Claim {
        let answer = self.ask(&self.login(None)).await;
        let somebody = self.credentials.keys().next().map(String::as_str);
        self.refusal(Expectation::AnonymousRefused, "a client without user", answer, somebody).await
    }

    /// The claim of `auth.wrong_password(USER) == refused`.
    pub async fn wrong_password_refused(&self, user: &str) -> Claim {
        let wrong = self.credentials.get(user).map_or("", Secret::expose).to_owned() + "-wrong";
        let login = Login { user: Some((user.to_owned(), Secret::new(wrong))), ..self.login(None) };
        let answer = self.ask(&login).await;
        let who = format!("`{user}` with a wrong password");
        self.refusal(Expectation::WrongPasswordRefused(user.to_owned()), &who, answer, Some(user)).await
    }

    /// A refusal counts only if somebody else gets in: a broker that refuses everyone, or is gone, proves nothing.
    async fn refusal(
        &self,
        id: Expectation,
        who: &str,
        answer: Result<(), Refused>,
        control: Option<&str>,
    ) -> Claim {
        let refused = match answer {
            Ok(()) => return Claim::new(id, State::Failed, format!("{who} got in")),
            Err(refused @ (Refused::Code(4 | 5) | Refused::Closed)) => refused,
            Err(other) => return Claim::new(id, State::Invalid, format!("{who} got no refusal: {other}")),
        };
        match control {
            Some(user) => match self.ask(&self.login(Some(user))).await {
                Ok(()) => {
                    Claim::new(id, State::Held, format!("{who} was refused: {refused}; `{user}` got in"))
                }
                Err(error) => {
                    let text = format!("{who} was refused ({refused}), but so was `{user}`: {error}");
                    Claim::new(id, State::Invalid, text)
                }
            },
            None if matches!(refused, Refused::Code(_)) => {
                Claim::new(id, State::Held, format!("{who} was refused: {refused}"))
            }
            None => Claim::new(
                id,
                State::Invalid,
                format!("{who} got no answer, and there is no user to compare with"),
            ),
        }
    }

    /// Publishes a retained message and waits for its acknowledgement.
    pub async fn publish_retained(&self, probe: &RetainedProbe, payload: &str) -> Result<(), Refused> {
        let login = self.login(probe.publisher.as_deref());
        let mut connection = Connection::open(self.address, &login, self.limit).await?;
        let publish = Publish {
            dup: false,
            retain: true,
            topic: probe.topic.clone(),
            qos: Qos::One(1),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        };
        let exchange = async {
            connection.send(&Packet::Publish(publish)).await?;
            while connection.receive().await? != StepKind::Ack.of(1) {}
            std::io::Result::Ok(())
        };
        match timeout(self.limit, exchange).await {
            Ok(Ok(())) => {
                connection.close().await;
                Ok(())
            }
            Ok(Err(error)) => Err(Refused::Io(error.to_string())),
            Err(_) => Err(Refused::Silent),
        }
    }

    /// The retained message of the probe's topic as its reader gets it; `None` if there is none in time.
    pub async fn retained(&self, probe: &RetainedProbe) -> Result<Option<Bytes>, Refused> {
        let login = self.login(probe.reader.as_deref());
        let mut connection = Connection::open(self.address, &login, self.limit).await?;
        let wanted = |publish: &Publish| publish.retain && publish.topic == probe.topic;
        let read = async {
            let mut early = Vec::new();
            let keep = |packet| match packet {
                Packet::Publish(publish) => {
                    early.push(publish);
                    None
                }
                _ => None,
            };
            connection.subscribe(&probe.topic, 0, keep).await?;
            if let Some(publish) = early.into_iter().find(wanted) {
                return std::io::Result::Ok(publish.payload);
            }
            loop {
                match connection.receive().await? {
                    Packet::Publish(publish) if wanted(&publish) => return Ok(publish.payload),
                    _ => {}
                }
            }
        };
        match timeout(self.limit, read).await {
            Ok(Ok(payload)) => Ok(Some(payload)),
            Ok(Err(error)) => Err(Refused::Io(error.to_string())),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Broker;
    use crate::check::State;
    use crate::mqtt::Connect;
    use crate::mqtt::broker::{Habits, TestBroker};
    use crate::plan::{Credentials, RetainedProbe, Secret};

    fn credentials() -> Credentials {
        Credentials::from([("dev".into(), Secret::new("right"))])
    }

    fn with<'a>(broker: &TestBroker, credentials: &'a Credentials) -> Broker<'a> {
        Broker { address: broker.address, credentials, limit: Duration::from_millis(500), tls: None }
    }

    /// Anonymous, wrong password, login: the three claims of a broker.
    async fn auth(habits: Habits, credentials: &Credentials) -> [State; 3] {
        let broker = TestBroker::start(habits).await;
        let broker = with(&broker, credentials);
        [
            broker.anonymous_refused().await.state,
            broker.wrong_password_refused("dev").await.state,
            broker.login_accepted("dev").await.state,
        ]
    }

    fn strict(connect: &Connect) -> u8 {
        match (&connect.user, connect.password.as_deref()) {
            (None, _) => 5,
            (Some(_), Some(b"right")) => 0,
            _ => 4,
        }
    }

    #[tokio::test]
    async fn who_gets_in_decides() {
        let strict = Habits { refuse: Some(strict), ..Habits::default() };
        assert_eq!(auth(strict, &credentials()).await, [State::Held; 3]);
        let open = Habits::default();
        assert_eq!(auth(open, &credentials()).await, [State::Failed, State::Failed, State::Held]);
    }

    #[tokio::test]
    async fn a_broker_that_refuses_everyone_proves_nothing() {
        let closed = Habits { refuse: Some(|_| 5), ..Habits::default() };
        assert_eq!(auth(closed, &credentials()).await, [State::Invalid, State::Invalid, State::Failed]);
        let gone = Habits { hang_up: true, ..Habits::default() };
        assert_eq!(auth(gone, &credentials()).await, [State::Invalid, State::Invalid, State::Failed]);
        let unavailable = Habits { refuse: Some(|_| 3), ..Habits::default() };
        assert_eq!(auth(unavailable, &credentials()).await, [State::Invalid, State::Invalid, State::Failed]);
    }

    #[tokio::test]
    async fn a_broker_answers_when_it_speaks_mqtt() {
        for (habits, want) in [
            (Habits::default(), true),
            (Habits { refuse: Some(|_| 5), ..Habits::default() }, true),
            (Habits { refuse: Some(|_| 3), ..Habits::default() }, false),
            (Habits { hang_up: true, ..Habits::default() }, false),
        ] {
            let broker = TestBroker::start(habits.clone()).await;
            assert_eq!(with(&broker, &credentials()).answers().await.is_ok(), want, "{habits:?}");
        }
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let broker =
            Broker { address, credentials: &credentials(), limit: Duration::from_millis(100), tls: None };
        assert!(broker.answers().await.is_err());
    }

    #[tokio::test]
    async fn retained_messages_are_read_back_or_missed() {
        let broker = TestBroker::start(Habits::default()).await;
        let credentials = credentials();
        let probe = RetainedProbe { publisher: Some("dev".into()), reader: None, topic: "a/b".into() };
        assert_eq!(with(&broker, &credentials).retained(&probe).await.unwrap(), None);
        with(&broker, &credentials).publish_retained(&probe, "one").await.unwrap();
        with(&broker, &credentials).publish_retained(&probe, "two").await.unwrap();
        assert_eq!(with(&broker, &credentials).retained(&probe).await.unwrap().unwrap(), "two");
        broker.forget();
        assert_eq!(with(&broker, &credentials).retained(&probe).await.unwrap(), None);
    }
}
