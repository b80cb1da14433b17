//! The control packets as types. Numbers in comments are sections of the MQTT 3.1.1 standard (OASIS, 2014), with a `v5`
//! those of MQTT 5 (OASIS, 2019).

use bytes::Bytes;
use xedge_model::scenario::Protocol;

/// A control packet. Both directions, so that a test can play the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Client asks for a connection (3.1).
    Connect(Connect),
    /// Broker's answer (3.2).
    ConnAck(ConnAck),
    /// A message (3.3).
    Publish(Publish),
    /// A step after a message (3.4 to 3.7).
    Step(Step),
    /// Asks for messages (3.8).
    Subscribe {
        /// Packet id, never 0.
        id: u16,
        /// Topic filters with the wanted `QoS`.
        filters: Vec<(String, u8)>,
    },
    /// Broker's answer to SUBSCRIBE (3.9).
    SubAck {
        /// Packet id of the SUBSCRIBE.
        id: u16,
        /// Granted `QoS` per filter, 128 and more for a failure.
        codes: Vec<u8>,
    },
    /// Keep-alive question (3.12).
    PingReq,
    /// Keep-alive answer (3.13).
    PingResp,
    /// One side goes; 0, or the reason of MQTT 5 (v5 3.14).
    Disconnect(u8),
}

/// CONNECT (3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Version that is spoken from here on.
    pub protocol: Protocol,
    /// Client id.
    pub client_id: String,
    /// Whether the broker forgets what it has of this client, and in 3.1.1 again when the client goes.
    pub clean_session: bool,
    /// How long the broker keeps the session after the connection, in seconds; MQTT 5 only (v5 3.1.2.11.2).
    pub session_expiry_s: u32,
    /// Keep-alive in seconds, 0 for none.
    pub keep_alive_s: u16,
    /// What the broker publishes if the connection breaks; its `qos` has no packet id yet.
    pub will: Option<Will>,
    /// User name.
    pub user: Option<String>,
    /// Password; needs a user name (3.1.2.9).
    pub password: Option<Vec<u8>>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connect({} as {:?}, clean: {})", self.client_id, self.user, self.clean_session)
    }
}

/// A message that the broker holds for the case that the connection breaks (3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Topic name.
    pub topic: String,
    /// Content.
    pub payload: Bytes,
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

/// CONNACK (3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the broker kept a session of this client.
    pub session_present: bool,
    /// 0 accepted; 1 to 5 refused, in MQTT 5 128 and more.
    pub code: u8,
    /// How many messages may be on their way to the broker at once (v5 3.2.2.3.3); 3.1.1 has no limit but the ids.
    pub receive_maximum: u16,
    /// Keep-alive that the broker wants instead, in seconds (v5 3.2.2.3.14).
    pub keep_alive_s: Option<u16>,
}

impl ConnAck {
    /// An answer without properties.
    pub fn new(session_present: bool, code: u8) -> Self {
        Self { session_present, code, receive_maximum: u16::MAX, keep_alive_s: None }
    }
}

/// PUBLISH (3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether this may have been sent before.
    pub dup: bool,
    /// Whether the broker keeps it, or kept it, for later subscribers.
    pub retain: bool,
    /// Quality of service, with the packet id that it needs.
    pub qos: Qos,
    /// Topic name.
    pub topic: String,
    /// Content.
    pub payload: Bytes,
}

/// Quality of service of a message (4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// At most once.
    Zero,
    /// At least once, with its packet id.
    One(u16),
    /// Exactly once, with its packet id.
    Two(u16),
}

impl Qos {
    /// 0, 1 or 2.
    pub fn level(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::One(_) => 1,
            Self::Two(_) => 2,
        }
    }

    /// The packet id.
    pub fn id(self) -> Option<u16> {
        match self {
            Self::Zero => None,
            Self::One(id) | Self::Two(id) => Some(id),
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which of them.
    pub kind: StepKind,
    /// Packet id of the message.
    pub id: u16,
    /// 0, or the reason of MQTT 5; 128 and more is a failure (v5 3.4.2.1).
    pub reason: u8,
}

/// The steps after a message, in the order of their packet types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// PUBACK: a `QoS` 1 message has arrived (3.4).
    Ack,
    /// PUBREC: a `QoS` 2 message has arrived (3.5).
    Rec,
    /// PUBREL: its sender will not send it again (3.6).
    Rel,
    /// PUBCOMP: its id is free (3.7).
    Comp,
}

impl StepKind {
    /// A packet of this kind that says nothing but yes.
    pub fn of(self, id: u16) -> Packet {
        Packet::Step(Step { kind: self, id, reason: 0 })
    }
}
