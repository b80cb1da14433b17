//! The connection of a model: one task that connects, comes back after a loss, repeats what was not acknowledged.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Behaviour, Outgoing, Phase};
use crate::history::{Kind, Recorder};
use crate::link::Route;
use crate::mqtt::{Connection, Login, Packet, Publish, Refused};
use crate::plan::ModelSettings;

/// Pause before another attempt to connect.
const RETRY: Duration = Duration::from_millis(250);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// What a model's task needs; everything shared is behind an `Arc`.
pub(super) struct Client {
    pub(super) id: Arc<str>,
    pub(super) login: Login,
    pub(super) settings: ModelSettings,
    pub(super) addresses: Addresses,
    /// The links between it and the broker; `None` without any.
    pub(super) route: Option<Route>,
    pub(super) recorder: Recorder,
    pub(super) phase: watch::Receiver<Phase>,
    /// Limits how many connect at once: a broker's backlog is short.
    pub(super) turnstile: Arc<Semaphore>,
    /// Hears of this model's first success, or of its giving up.
    pub(super) ready: Option<mpsc::UnboundedSender<()>>,
}

/// Where a model finds the broker: a container that was started again has other ports.
pub(super) struct Addresses {
    pub(super) now: watch::Receiver<Vec<SocketAddr>>,
    /// The model's number, by which models are spread over the addresses.
    pub(super) index: usize,
}

impl Addresses {
    fn now(&self) -> SocketAddr {
        let all = self.now.borrow();
        // Nobody answers at port 0: the model tries again, with what is known then.
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        all.get(self.index % all.len().max(1)).copied().unwrap_or(nowhere)
    }
}

/// How a session ended.
enum End {
    /// The run is over.
    Over,
    /// The connection is gone.
    Lost(io::Error),
}

impl Client {
    /// Runs until the last phase, or until the broker refuses the login.
    pub(super) async fn run(mut self, mut behaviour: Box<dyn Behaviour>) {
        let topic: Arc<str> = Arc::from(self.settings.topic.as_str());
        let mut outbox = Outbox { topic, ..Outbox::default() };
        while let Some(mut connection) = self.connect().await {
            let end = self.session(&mut connection, &mut outbox, behaviour.as_mut()).await;
            match end {
                End::Over => return connection.close().await,
                End::Lost(error) => self.record(Kind::Disconnected { reason: error.to_string() }),
            }
            sleep(RETRY).await;
        }
        // Nothing will come of this model: whoever waits for it must not wait longer.
        self.here();
    }

    /// Tells whoever waits, once: a model that comes back must not stand for one that is missing.
    fn here(&mut self) {
        self.ready.take().and_then(|ready| ready.send(()).ok());
    }

    fn record(&self, kind: Kind) {
        self.recorder.record(&self.id, kind);
    }

    /// A connection, or `None` once there will be none.
    async fn connect(&mut self) -> Option<Connection> {
        let mut last = String::new();
        while *self.phase.borrow() != Phase::End {
            let permit = self.turnstile.clone().acquire_owned().await.ok()?;
            let opened =
                Connection::open_along(self.route.as_ref(), self.addresses.now(), &self.login, ATTEMPT).await;
            drop(permit);
            match opened {
                Ok(connection) => {
                    self.record(Kind::Connected { session_present: connection.session_present });
                    return Some(connection);
                }
                Err(refused) => {
                    let (reason, code) = (refused.to_string(), code(&refused));
                    if reason != last {
                        self.record(Kind::Refused { code, reason: reason.clone() });
                    }
                    // A login that is refused stays refused: the files do not change during a run.
                    if matches!(code, Some(1 | 2 | 4 | 5)) {
                        return None;
                    }
                    last = reason;
                }
            }
            sleep(RETRY).await;
        }
        None
    }

    async fn session(
        &mut self,
        connection: &mut Connection,
        outbox: &mut Outbox,
        model: &mut dyn Behaviour,
    ) -> End {
        match self.try_session(connection, outbox, model).await {
            Ok(()) => End::Over,
            Err(error) => End::Lost(error),
        }
    }

    async fn try_session(
        &mut self,
        connection: &mut Connection,
        outbox: &mut Outbox,
        model: &mut dyn Behaviour,
    ) -> io::Result<()> {
        let filter = self.settings.subscribe.as_str();
        if !filter.is_empty() {
            let granted =
                connection.subscribe(filter, self.settings.qos, |publish| model.message(&publish)).await?;
            self.record(Kind::Subscribed { filter: filter.to_owned(), granted });
        }
        for (packet, kind) in outbox.again(&self.recorder) {
            self.record(kind);
            connection.send(&packet).await?;
        }
        self.here();
        self.phase.mark_changed();
        loop {
            let due = model.due();
            // In this order: a send that is due must not wait for messages that keep coming in.
            tokio::select! {
                biased;
                changed = self.phase.changed() => {
                    let phase = *self.phase.borrow_and_update();
                    if changed.is_err() || phase == Phase::End {
                        return Ok(());
                    }
                    model.phase(phase);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some(outgoing) = model.fire() {
                        let (packet, kind) = outbox.put(outgoing, self.settings.qos, &self.recorder);
                        self.record(kind);
                        connection.send(&packet).await?;
                    }
                }
                () = sleep_until(connection.keep_alive_at()) => connection.keep_alive().await?,
                packet = connection.receive() => self.incoming(packet?, connection, outbox, model).await?,
            }
        }
    }

    async fn incoming(
        &self,
        packet: Packet,
        connection: &mut Connection,
        outbox: &mut Outbox,
        model: &mut dyn Behaviour,
    ) -> io::Result<()> {
        match packet {
            Packet::Publish(publish) => {
                model.message(&publish);
                match publish.id {
                    Some(id) => connection.send(&Packet::PubAck(id)).await,
                    None => Ok(()),
                }
            }
            Packet::PubAck(id) => {
                if let Some(kind) = outbox.acknowledged(id, &self.recorder) {
                    self.record(kind);
                    model.acked();
                }
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a packet that a broker does not send")),
        }
    }
}

fn code(refused: &Refused) -> Option<u8> {
    match refused {
        Refused::Code(code) => Some(*code),
        _ => None,
    }
}

/// Messages on their way to the broker.
struct Outbox {
    topic: Arc<str>,
    last_id: u16,
    unacked: BTreeMap<u16, Outgoing>,
    /// Ids in the order of sending: repetitions keep it (4.6).
    order: Vec<u16>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { topic: Arc::from(""), last_id: 0, unacked: BTreeMap::new(), order: Vec::new() }
    }
}

impl Outbox {
    /// Takes a message in; the packet to send and the event to record.
    fn put(&mut self, outgoing: Outgoing, qos: u8, recorder: &Recorder) -> (Packet, Kind) {
        let id = if qos == 0 { None } else { self.free_id() };
        let made = self.packet(&outgoing, id, false, recorder);
        if let Some(id) = id {
            self.unacked.insert(id, outgoing);
            self.order.push(id);
        }
        made
    }

    /// The next id that is not in use; `None`, so `QoS` 0, in the practically impossible case that all are.
    fn free_id(&mut self) -> Option<u16> {
        for _ in 0..u16::MAX {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.unacked.contains_key(&self.last_id) {
                return Some(self.last_id);
            }
        }
        None
    }

    fn packet(&self, outgoing: &Outgoing, id: Option<u16>, dup: bool, recorder: &Recorder) -> (Packet, Kind) {
        let publish = Publish {
            dup,
            retain: false,
            topic: self.topic.to_string(),
            id,
            payload: outgoing.payload.clone(),
        };
        let planned_us = recorder.micros(outgoing.planned);
        let kind =
            Kind::Sent { topic: self.topic.clone(), seq: outgoing.seq, planned_us, packet_id: id, dup };
        (Packet::Publish(publish), kind)
    }

    /// What to send again on a new connection.
    fn again(&self, recorder: &Recorder) -> Vec<(Packet, Kind)> {
        let again = self.order.iter().filter_map(|id| Some((*id, self.unacked.get(id)?)));
        again.map(|(id, outgoing)| self.packet(outgoing, Some(id), true, recorder)).collect()
    }

    /// The event of an acknowledgement; `None` if nothing was waiting for it.
    fn acknowledged(&mut self, id: u16, recorder: &Recorder) -> Option<Kind> {
        let outgoing = self.unacked.remove(&id)?;
        self.order.retain(|other| *other != id);
        Some(Kind::Acked { seq: outgoing.seq, planned_us: recorder.micros(outgoing.planned), packet_id: id })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::{Outbox, Outgoing};
    use crate::history::Recorder;
    use crate::mqtt::Packet;

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let recorder = Recorder::new(Instant::now());
        let mut outbox = Outbox { last_id: u16::MAX - 1, ..Outbox::default() };
        for seq in 1..=3 {
            let outgoing = Outgoing { seq, planned: Instant::now(), payload: Bytes::new() };
            outbox.put(outgoing, 1, &recorder);
        }
        assert_eq!(outbox.order, [65_535, 1, 2]);
        assert!(outbox.acknowledged(1, &recorder).is_some());
        assert!(outbox.acknowledged(1, &recorder).is_none(), "a second PUBACK counts for nothing");
        let again: Vec<(Option<u16>, bool)> = outbox
            .again(&recorder)
            .into_iter()
            .filter_map(|(packet, _)| match packet {
                Packet::Publish(publish) => Some((publish.id, publish.dup)),
                _ => None,
            })
            .collect();
        assert_eq!(again, [(Some(65_535), true), (Some(2), true)]);
    }
}
