//! The connection to the broker: a task that polls it for ever, with back-off. The only module that polls rumqttc.

use std::time::Duration;

use rumqttc::{
    AckMode, AsyncClient, Broker, ConnectionError, Event as Packet, EventLoop, Incoming, ManualAck,
    MqttOptions, Outgoing, Publish, PublishOptions, QoS, SessionMode, SubscribeReasonCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::config::Config;

const KEEP_ALIVE_S: u16 = 15;
/// A larger message breaks the connection, and a persistent session brings it again: be generous.
const MAX_PACKET: usize = 16 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a good one: the next pause starts small again.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// What happens on the connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// The broker accepted the connection.
    Connected,
    /// The broker answered the subscription: granted or refused.
    Subscribed(bool),
    /// A message came.
    Message(Publish),
    /// A published window was confirmed (`true`) or dropped.
    Published(bool),
    /// The connection is gone. The next attempt waits for `forget`: see [`Link::poll`].
    Disconnected { why: String, forget: oneshot::Sender<()> },
    /// The connection was closed as asked.
    Closed,
}

/// The way to the broker.
#[derive(Debug)]
pub(crate) struct Link {
    client: AsyncClient,
    events: mpsc::Sender<Event>,
}

impl Link {
    /// Starts the polling task; its events come out of the receiver.
    pub(crate) fn start(config: &Config) -> (Self, mpsc::Receiver<Event>) {
        // Unbounded, since the main loop must never wait for the polling task, which waits for the main loop. What is
        // in it is bounded by the relay: one window and the acknowledgements of `max_unacked` readings.
        let (client, eventloop) = AsyncClient::builder(options(config)).unbounded().build();
        let (events, receiver) = mpsc::channel(256);
        let pauses = Pauses::new(&config.id);
        tokio::spawn(Self::poll(eventloop, events.clone(), pauses));
        (Self { client, events }, receiver)
    }

    /// Asks for the readings.
    pub(crate) fn subscribe(&self, filter: &str) -> Result<(), String> {
        self.client.try_subscribe(filter, QoS::AtLeastOnce).map_err(|e| e.to_string())
    }

    /// Publishes with `QoS` 1; [`Event::Published`] tells how it ended.
    pub(crate) fn publish(&self, topic: &str, payload: Vec<u8>) -> Result<(), String> {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        let notice = self.client.try_publish_tracked(topic, payload, options).map_err(|e| e.to_string())?;
        let events = self.events.clone();
        tokio::spawn(async move {
            let confirmed = notice.wait_async().await.is_ok();
            // A closed channel means that the gateway is about to end.
            let _ignored = events.send(Event::Published(confirmed)).await;
        });
        Ok(())
    }

    /// What acknowledges `message`; `None` if it needs none.
    pub(crate) fn prepare_ack(&self, message: &Publish) -> Option<ManualAck> {
        self.client.prepare_ack(message)
    }

    /// Acknowledges a message of the present connection.
    pub(crate) fn acknowledge(&self, ack: ManualAck) -> Result<(), String> {
        self.client.try_manual_ack(ack).map_err(|e| e.to_string())
    }

    /// Says goodbye after everything that was asked before; the broker keeps the session.
    pub(crate) fn disconnect(&self, within: Duration) -> Result<(), String> {
        self.client.try_disconnect_with_timeout(within).map_err(|e| e.to_string())
    }

    /// Polls until the connection is closed as asked.
    ///
    /// After a broken connection, acknowledgements of the old one may still be queued by a main loop that has not
    /// heard of the break. A packet id means another message on the next connection, so the main loop first forgets
    /// what it holds back, and then the queue is emptied (which keeps publishes).
    async fn poll(mut eventloop: EventLoop, events: mpsc::Sender<Event>, mut pauses: Pauses) {
        loop {
            let event = match eventloop.poll().await {
                Ok(Packet::Outgoing(Outgoing::Disconnect)) | Err(ConnectionError::RequestsDone) => break,
                Ok(Packet::Incoming(Incoming::ConnAck(_))) => {
                    pauses.connected();
                    Event::Connected
                }
                Ok(Packet::Incoming(Incoming::SubAck(ack))) => {
                    Event::Subscribed(!ack.return_codes.contains(&SubscribeReasonCode::Failure))
                }
                Ok(Packet::Incoming(Incoming::Publish(message))) => Event::Message(message),
                Ok(_) => continue,
                Err(error) => {
                    let (forget, forgotten) = oneshot::channel();
                    let event = Event::Disconnected { why: reason(&error), forget };
                    if events.send(event).await.is_err() || forgotten.await.is_err() {
                        return;
                    }
                    eventloop.clean();
                    sleep(pauses.next()).await;
                    continue;
                }
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
        let _ignored = events.send(Event::Closed).await;
    }
}

fn options(config: &Config) -> MqttOptions {
    let mut options = MqttOptions::new(&config.id, Broker::tcp(&config.host, config.port));
    options.set_session_mode(SessionMode::Persistent);
    options.set_ack_mode(AckMode::Manual);
    options.set_keep_alive(KEEP_ALIVE_S);
    options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
    match &config.login {
        Some(login) if login.password.is_empty() => options.set_username(&login.username),
        Some(login) => options.set_credentials(&login.username, login.password.clone().into_bytes()),
        None => options.clear_auth(),
    };
    options
}

fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the broker refused the connection: {code:?}"),
        other => other.to_string(),
    }
}

/// Pauses between attempts: doubling, and a little different for each gateway, so that a fleet does not come back in step.
#[derive(Debug)]
struct Pauses {
    next: Duration,
    /// Added to each pause, in 1/256 of it; below 64.
    skew: u32,
    since: Option<Instant>,
}

impl Pauses {
    fn new(id: &str) -> Self {
        let skew = id.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 64;
        Self { next: FIRST_PAUSE, skew: u32::from(skew), since: None }
    }

    fn connected(&mut self) {
        self.since = Some(Instant::now());
    }

    fn next(&mut self) -> Duration {
        if self.since.take().is_some_and(|since| since.elapsed() >= GOOD_AFTER) {
            self.next = FIRST_PAUSE;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        pause + pause * self.skew / 256
    }
}
