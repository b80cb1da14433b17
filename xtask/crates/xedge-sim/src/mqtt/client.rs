//! One MQTT connection over TCP: one task, one buffer. It does not reconnect and does not know what a model is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::packet::{Connect, Packet, Publish};
use super::{decode, encode};
use crate::link::{self, Route, Stream};
use crate::plan::{Credentials, Secret};

/// Seconds without a packet after which the broker gives a client up (1.5 times this).
const KEEP_ALIVE_S: u16 = 30;
/// How long one read or write may take before the connection counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(45);

/// Who connects.
#[derive(Clone, Debug)]
pub struct Login {
    /// Client id.
    pub client_id: String,
    /// User and password; `None` is anonymous.
    pub user: Option<(String, Secret)>,
    /// Whether the broker forgets the session when the connection ends.
    pub clean_session: bool,
}

impl Login {
    /// Logs in as `user` with its password from `credentials`; `None`, or a user without password, is anonymous.
    pub fn new(client_id: &str, user: Option<&str>, credentials: &Credentials, clean_session: bool) -> Self {
        let user = user.and_then(|user| Some((user.to_owned(), credentials.get(user)?.clone())));
        Self { client_id: client_id.to_owned(), user, clean_session }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The broker said no with this CONNACK code, 1 to 5.
    #[error("{text} (CONNACK code {0})", text = code_text(*.0))]
    Code(u8),
    /// The connection ended before an answer.
    #[error("the connection was closed before an answer")]
    Closed,
    /// No answer in time.
    #[error("no answer in time")]
    Silent,
    /// TCP failed, or what came back was not MQTT.
    #[error("{0}")]
    Io(String),
}

fn code_text(code: u8) -> &'static str {
    match code {
        1 => "protocol version refused",
        2 => "client id refused",
        3 => "broker unavailable",
        4 => "bad user name or password",
        _ => "not authorised",
    }
}

/// A connection that the broker has accepted.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    inbox: BytesMut,
    /// Whether the broker kept a session of this client.
    pub session_present: bool,
    last_sent: Instant,
    pinged: bool,
}

impl Connection {
    /// Connects and logs in, within `limit`.
    pub async fn open(address: SocketAddr, login: &Login, limit: Duration) -> Result<Self, Refused> {
        Self::open_along(None, address, login, limit).await
    }

    /// The same along a route through links.
    pub(crate) async fn open_along(
        route: Option<&Route>,
        address: SocketAddr,
        login: &Login,
        limit: Duration,
    ) -> Result<Self, Refused> {
        timeout(limit, Self::connect(route, address, login)).await.unwrap_or(Err(Refused::Silent))
    }

    async fn connect(route: Option<&Route>, address: SocketAddr, login: &Login) -> Result<Self, Refused> {
        let stream = link::connect(address, route).await.map_err(|e| Refused::Io(e.to_string()))?;
        let mut connection = Self {
            stream,
            inbox: BytesMut::new(),
            session_present: false,
            last_sent: Instant::now(),
            pinged: false,
        };
        let closed = |e: io::Error| match e.kind() {
            io::ErrorKind::InvalidData => Refused::Io(e.to_string()),
            _ => Refused::Closed,
        };
        connection.send(&Packet::Connect(connect_packet(login))).await.map_err(closed)?;
        match connection.receive().await.map_err(closed)? {
            Packet::ConnAck { session_present, code: 0 } => Ok(Self { session_present, ..connection }),
            Packet::ConnAck { code, .. } => Err(Refused::Code(code)),
            _ => Err(Refused::Io("the first packet was no CONNACK".to_owned())),
        }
    }

    /// Sends a packet.
    pub async fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let mut bytes = BytesMut::with_capacity(256);
        encode(packet, &mut bytes);
        self.last_sent = Instant::now();
        timeout(DEAD_AFTER, self.stream.write_all(&bytes)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// The next packet. Cancelling it loses nothing.
    pub async fn receive(&mut self) -> io::Result<Packet> {
        loop {
            let packet =
                decode(&mut self.inbox).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            match packet {
                Some(Packet::PingResp) => self.pinged = false,
                Some(packet) => return Ok(packet),
                None if self.stream.read_buf(&mut self.inbox).await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        }
    }

    /// When [`Connection::keep_alive`] is due.
    pub fn keep_alive_at(&self) -> Instant {
        self.last_sent + Duration::from_secs(u64::from(KEEP_ALIVE_S) / 2)
    }

    /// Sends a PINGREQ; an error if the one before was not answered.
    pub async fn keep_alive(&mut self) -> io::Result<()> {
        if self.pinged {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.pinged = true;
        self.send(&Packet::PingReq).await
    }

    /// Subscribes to one filter and waits for the answer: the granted `QoS`, or 128 for a refusal. Messages that come
    /// before the answer are handed to `early`.
    pub async fn subscribe(
        &mut self,
        filter: &str,
        qos: u8,
        mut early: impl FnMut(Publish),
    ) -> io::Result<u8> {
        let id = 1;
        self.send(&Packet::Subscribe { id, filters: vec![(filter.to_owned(), qos)] }).await?;
        loop {
            match self.receive().await? {
                Packet::SubAck { id: answered, codes } if answered == id && codes.len() == 1 => {
                    return Ok(codes[0]);
                }
                Packet::Publish(publish) => {
                    if let Some(id) = publish.id {
                        self.send(&Packet::PubAck(id)).await?;
                    }
                    early(publish);
                }
                _ => {}
            }
        }
    }

    /// Says goodbye. Errors do not matter any more.
    pub async fn close(mut self) {
        if self.send(&Packet::Disconnect).await.is_ok() {
            drop(self.stream.shutdown().await);
        }
    }
}

fn connect_packet(login: &Login) -> Connect {
    let (user, password) = login.user.clone().unzip();
    Connect {
        client_id: login.client_id.clone(),
        clean_session: login.clean_session,
        keep_alive_s: KEEP_ALIVE_S,
        user,
        password: password.map(|secret| secret.expose().as_bytes().to_vec()),
    }
}
