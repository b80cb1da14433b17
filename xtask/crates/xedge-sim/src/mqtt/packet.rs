//! The control packets as types. Numbers in comments are sections of the MQTT 3.1.1 standard (OASIS, 2014).

use bytes::Bytes;

/// A control packet. Both directions, so that a test can play the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Client asks for a connection (3.1).
    Connect(Connect),
    /// Broker's answer (3.2); code 0 is yes.
    ConnAck {
        /// Whether the broker kept a session of this client.
        session_present: bool,
        /// 0 accepted, 1 to 5 refused.
        code: u8,
    },
    /// A message (3.3).
    Publish(Publish),
    /// Acknowledges a `QoS` 1 message (3.4).
    PubAck(u16),
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
        /// Granted `QoS` per filter, 128 for a failure.
        codes: Vec<u8>,
    },
    /// Keep-alive question (3.12).
    PingReq,
    /// Keep-alive answer (3.13).
    PingResp,
    /// Client goes (3.14).
    Disconnect,
}

/// CONNECT (3.1), without a will.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Client id.
    pub client_id: String,
    /// Whether the broker forgets the session when the client goes.
    pub clean_session: bool,
    /// Keep-alive in seconds, 0 for none.
    pub keep_alive_s: u16,
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

/// PUBLISH (3.3), `QoS` 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether this may have been sent before.
    pub dup: bool,
    /// Whether the broker keeps it, or kept it, for later subscribers.
    pub retain: bool,
    /// Topic name.
    pub topic: String,
    /// Packet id for `QoS` 1, `None` for `QoS` 0.
    pub id: Option<u16>,
    /// Content.
    pub payload: Bytes,
}
