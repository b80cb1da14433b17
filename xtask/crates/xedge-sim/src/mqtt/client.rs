//! One MQTT connection: one task, one buffer. It does not reconnect and does not know what a model is.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};
use xedge_model::scenario::Protocol;

use super::packet::{ConnAck, Connect, Packet, Publish, Qos, StepKind, Will};
use super::tls::{Tls, Transport};
use super::{decode, encode};
use crate::link::{self, Route};
use crate::plan::{Credentials, Secret};

/// How long the connection may be silent, where nobody says.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long one write may take before the connection counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(45);
/// Bytes that one read takes at most.
const READ: usize = 4_096;

/// Who connects.
#[derive(Clone, Debug)]
pub struct Login {
    /// Client id.
    pub client_id: String,
    /// User and password; `None` is anonymous.
    pub user: Option<(String, Secret)>,
    /// How.
    pub session: Arc<Session>,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whether the broker forgets the session when the connection ends.
    pub clean: bool,
    /// How long the connection may be silent; whole seconds count.
    pub keep_alive: Duration,
    /// What the broker publishes if the connection breaks.
    pub will: Option<Will>,
    /// Version of MQTT.
    pub protocol: Protocol,
    /// Encryption; `None` is in the clear.
    pub tls: Option<Tls>,
}

impl Session {
    /// A session of 3.1.1 in the clear.
    pub fn new(clean: bool) -> Self {
        Self { clean, keep_alive: KEEP_ALIVE, will: None, protocol: Protocol::V3, tls: None }
    }
}

impl Login {
    /// Logs in as `user` with its password from `credentials`; `None`, or a user without password, is anonymous.
    pub fn new(
        client_id: &str,
        user: Option<&str>,
        credentials: &Credentials,
        session: Arc<Session>,
    ) -> Self {
        let user = user.and_then(|user| Some((user.to_owned(), credentials.get(user)?.clone())));
        Self { client_id: client_id.to_owned(), user, session }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The broker said no with this CONNACK code: 1 to 5, in MQTT 5 128 and more.
    #[error("{text} (CONNACK code {0})", text = code_text(*.0))]
    Code(u8),
    /// The connection ended before an answer.
    #[error("the connection was closed before an answer")]
    Closed,
    /// No answer in time.
    #[error("no answer in time")]
    Silent,
    /// The broker's certificate is not what the authority signed, or it does not speak TLS.
    #[error("no TLS with the broker: {0}")]
    Tls(String),
    /// TCP failed, or what came back was not MQTT.
    #[error("{0}")]
    Io(String),
}

fn code_text(code: u8) -> &'static str {
    match code {
        1 | 0x84 => "protocol version refused",
        2 | 0x85 => "client id refused",
        3 | 0x88 | 0x89 => "broker unavailable",
        4 | 0x86 => "bad user name or password",
        5 | 0x87 => "not authorised",
        _ => "refused",
    }
}

impl Refused {
    /// Whether another attempt would be refused too: files do not change during a run.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Code(1 | 2 | 4 | 5 | 0x84..=0x87 | 0x8A | 0x8C))
    }

    /// Whether it is about who asks.
    pub fn is_about_login(&self) -> bool {
        matches!(self, Self::Code(4 | 5 | 0x86 | 0x87))
    }
}

/// A connection that the broker has accepted.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    inbox: BytesMut,
    outbox: BytesMut,
    protocol: Protocol,
    /// Whether the broker kept a session of this client.
    pub session_present: bool,
    /// How many messages may be on their way to the broker at once.
    pub window: u16,
    keep_alive_s: u16,
    pinged: bool,
    last_sent: Instant,
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
        let session = &*login.session;
        let transport = match &session.tls {
            None => Transport::Plain(stream),
            Some(tls) => {
                let stream = tls.around(stream).await.map_err(|e| Refused::Tls(e.to_string()))?;
                Transport::Tls(Box::new(stream))
            }
        };
        let mut connection = Self {
            transport,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            protocol: session.protocol,
            session_present: false,
            window: u16::MAX,
            keep_alive_s: seconds(session.keep_alive),
            pinged: false,
            last_sent: Instant::now(),
        };
        connection.send(&Packet::Connect(connect_packet(login))).await.map_err(|error| closed(&error))?;
        match connection.receive().await.map_err(|error| closed(&error))? {
            Packet::ConnAck(answer) if answer.code == 0 => Ok(connection.accepted(&answer)),
            Packet::ConnAck(answer) => Err(Refused::Code(answer.code)),
            _ => Err(Refused::Io("the first packet was no CONNACK".to_owned())),
        }
    }

    fn accepted(self, answer: &ConnAck) -> Self {
        Self {
            session_present: answer.session_present,
            window: answer.receive_maximum,
            keep_alive_s: answer.keep_alive_s.unwrap_or(self.keep_alive_s),
            ..self
        }
    }

    /// Sends a packet.
    pub async fn send(&mut self, packet: &Packet) -> io::Result<()> {
        self.put(packet);
        self.flush().await
    }

    /// Takes a packet in, to be sent with the next [`Connection::flush`].
    pub fn put(&mut self, packet: &Packet) {
        encode(packet, self.protocol, &mut self.outbox);
    }

    /// Sends what was taken in.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        self.last_sent = Instant::now();
        // Nearly always the kernel takes it at once. Only for the rest there is a timer, and it is on the heap: ten
        // thousand connections have no room for one each.
        match poll_fn(|cx| Poll::Ready(self.poll_flush(cx))).await {
            Poll::Ready(written) => written,
            Poll::Pending => Box::pin(self.flush_slowly()).await,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            match ready!(Pin::new(&mut self.transport).poll_write(cx, &self.outbox))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.outbox.advance(written),
            }
        }
        self.outbox = BytesMut::new();
        // TLS keeps bytes back until told.
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    async fn flush_slowly(&mut self) -> io::Result<()> {
        let flushed = timeout(DEAD_AFTER, poll_fn(|cx| self.poll_flush(cx))).await;
        flushed.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// The next packet. Cancelling it loses nothing.
    pub async fn receive(&mut self) -> io::Result<Packet> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Packet>> {
        loop {
            let packet = decode(&mut self.inbox, self.protocol);
            match packet.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                Some(Packet::PingResp) => self.pinged = false,
                Some(packet) => return Poll::Ready(Ok(packet)),
                None => ready!(self.poll_fill(cx))?,
            }
        }
    }

    /// Reads more. A connection that is silent holds no memory for what may come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.inbox.is_empty() {
            self.inbox = BytesMut::new();
        }
        let mut space = [0; READ];
        let mut piece = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.inbox.extend_from_slice(piece.filled());
        Poll::Ready(Ok(()))
    }

    /// When [`Connection::ping`] wants to be asked; `None` where the broker does not want any.
    pub fn keep_alive_at(&self) -> Option<Instant> {
        let half = Duration::from_secs(u64::from(self.keep_alive_s)) / 2;
        (self.keep_alive_s > 0).then(|| self.last_sent + half)
    }

    /// The PINGREQ to send if it is time for one; an error if the one before was not answered.
    pub fn ping(&mut self) -> io::Result<Option<Packet>> {
        if self.keep_alive_at().is_none_or(|at| at > Instant::now()) {
            return Ok(None);
        }
        if self.pinged {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.pinged = true;
        Ok(Some(Packet::PingReq))
    }

    /// Subscribes to one filter and waits for the answer: the granted `QoS`, or 128 and more for a refusal. Packets that
    /// come before the answer are handed to `early`, which says what to answer.
    pub async fn subscribe(
        &mut self,
        filter: &str,
        qos: u8,
        mut early: impl FnMut(Packet) -> Option<Packet>,
    ) -> io::Result<u8> {
        let id = u16::MAX;
        self.send(&Packet::Subscribe { id, filters: vec![(filter.to_owned(), qos)] }).await?;
        loop {
            match self.receive().await? {
                Packet::SubAck { id: answered, codes } if answered == id && codes.len() == 1 => {
                    return Ok(codes[0]);
                }
                other => {
                    if let Some(answer) = early(other) {
                        self.send(&answer).await?;
                    }
                }
            }
        }
    }

    /// Says goodbye. Errors do not matter any more.
    pub async fn close(mut self) {
        if self.send(&Packet::Disconnect(0)).await.is_ok() {
            drop(self.transport.shutdown().await);
        }
    }
}

/// What a receiver answers a message with, if it is done with it at once.
pub fn receipt(publish: &Publish) -> Option<Packet> {
    match publish.qos {
        Qos::Zero => None,
        Qos::One(id) => Some(StepKind::Ack.of(id)),
        Qos::Two(id) => Some(StepKind::Rec.of(id)),
    }
}

fn closed(error: &io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::InvalidData => Refused::Io(error.to_string()),
        _ => Refused::Closed,
    }
}

/// Whole seconds, at least 1: 0 would be none at all.
fn seconds(time: Duration) -> u16 {
    u16::try_from(time.as_millis().div_ceil(1_000).max(1)).unwrap_or(u16::MAX)
}

fn connect_packet(login: &Login) -> Connect {
    let (user, password) = login.user.clone().unzip();
    let session = &*login.session;
    let kept = session.protocol == Protocol::V5 && !session.clean;
    Connect {
        protocol: session.protocol,
        client_id: login.client_id.clone(),
        clean_session: session.clean,
        // In MQTT 5 a session ends with its connection unless it is said how long it lasts.
        session_expiry_s: if kept { u32::MAX } else { 0 },
        keep_alive_s: seconds(session.keep_alive),
        will: session.will.clone(),
        user,
        password: password.map(|secret| secret.expose().as_bytes().to_vec()),
    }
}
