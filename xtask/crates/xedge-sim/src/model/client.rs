//! The connection of a model: one task that connects, comes back after a loss, repeats what was not acknowledged. There are
//! ten thousand of these tasks: what only a few need for a moment is on the heap for that moment.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::outbox::Outbox;
use super::{Behaviour, Phase};
use crate::history::{Kind, Recorder};
use crate::link::Route;
use crate::mqtt::client::receipt;
use crate::mqtt::{Connection, Login, Packet, Qos, Refused, Session, StepKind, Will};
use crate::plan::Secret;

/// Pause before another attempt to connect.
const RETRY: Duration = Duration::from_millis(250);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// What a model's task needs of its own.
pub(super) struct Client {
    pub(super) id: Arc<str>,
    /// Topic filter; empty for none.
    pub(super) subscribe: Box<str>,
    pub(super) station: Arc<Station>,
    /// The model's number, by which models are spread over the broker's addresses.
    pub(super) index: usize,
    /// The links between it and the broker; `None` without any.
    pub(super) route: Option<Route>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Hears of this model's first success, or of its giving up.
    pub(super) ready: Option<mpsc::UnboundedSender<()>>,
    /// Packet ids of `QoS` 2 messages that have arrived and can come again.
    pub(super) arriving: BTreeSet<u16>,
}

/// What the models of one node share.
pub(super) struct Station {
    pub(super) qos: u8,
    pub(super) user: Option<(String, Secret)>,
    pub(super) session: Arc<Session>,
    /// Where the broker is now: a container that was started again has other ports.
    pub(super) addresses: watch::Receiver<Vec<SocketAddr>>,
    pub(super) recorder: Recorder,
    /// Limits how many connect at once: a broker's backlog is short.
    pub(super) turnstile: Arc<Semaphore>,
}

impl Station {
    fn address(&self, index: usize) -> SocketAddr {
        let all = self.addresses.borrow();
        // Nobody answers at port 0: the model tries again, with what is known then.
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        all.get(index % all.len().max(1)).copied().unwrap_or(nowhere)
    }

    fn login(&self, id: &str) -> Login {
        let session = match &self.session.will {
            Some(will) => {
                let will = Some(Will { topic: will.topic.replace("{id}", id), ..will.clone() });
                Arc::new(Session { will, ..Session::clone(&self.session) })
            }
            None => self.session.clone(),
        };
        Login { client_id: id.to_owned(), user: self.user.clone(), session }
    }
}

/// What woke a model.
enum Woken {
    Phase,
    Time,
    Packet(Packet),
}

impl Client {
    /// Runs until the last phase, or until the broker refuses the login.
    pub(super) async fn run(mut self, mut outbox: Outbox, mut behaviour: Box<dyn Behaviour>) {
        while let Some(mut connection) = self.connect().await {
            match self.session(&mut connection, &mut outbox, behaviour.as_mut()).await {
                Ok(()) => return Box::pin(connection.close()).await,
                Err(error) => self.record(Kind::Disconnected { reason: error.to_string() }),
            }
            drop(connection);
            Box::pin(sleep(RETRY)).await;
        }
        // Nothing will come of this model: whoever waits for it must not wait longer.
        self.here();
    }

    /// Tells whoever waits, once: a model that comes back must not stand for one that is missing.
    fn here(&mut self) {
        self.ready.take().and_then(|ready| ready.send(()).ok());
    }

    fn record(&self, kind: Kind) {
        self.station.recorder.record(&self.id, kind);
    }

    /// A connection, or `None` once there will be none.
    async fn connect(&mut self) -> Option<Connection> {
        let mut last = String::new();
        while *self.phase.borrow() != Phase::End {
            // Thousands wait here for their turn; what a login takes is made only then.
            let permit = self.station.turnstile.clone().acquire_owned().await.ok()?;
            let opened = Box::pin(self.attempt()).await;
            drop(permit);
            match opened {
                Ok(connection) => {
                    self.record(Kind::Connected { session_present: connection.session_present });
                    return Some(connection);
                }
                Err(refused) => {
                    let reason = refused.to_string();
                    if reason != last {
                        self.record(Kind::Refused { code: code(&refused), reason: reason.clone() });
                    }
                    // A login that is refused stays refused: the files do not change during a run.
                    if refused.is_final() {
                        return None;
                    }
                    last = reason;
                }
            }
            Box::pin(sleep(RETRY)).await;
        }
        None
    }

    async fn attempt(&self) -> Result<Connection, Refused> {
        let login = self.station.login(&self.id);
        let address = self.station.address(self.index);
        Connection::open_along(self.route.as_ref(), address, &login, ATTEMPT).await
    }

    /// One connection, until the run is over or it is lost.
    async fn session(
        &mut self,
        connection: &mut Connection,
        outbox: &mut Outbox,
        model: &mut dyn Behaviour,
    ) -> io::Result<()> {
        Box::pin(self.enter(connection, outbox, model)).await?;
        self.phase.mark_changed();
        loop {
            while let Some((packet, kind)) = outbox.next(connection.window, &self.station.recorder) {
                kind.into_iter().for_each(|kind| self.record(kind));
                connection.send(&packet).await?;
            }
            let woken = self.woken(connection, model.due()).await?;
            let answer = match woken {
                Woken::Phase => {
                    let phase = *self.phase.borrow_and_update();
                    if phase == Phase::End {
                        return Ok(());
                    }
                    model.phase(phase);
                    None
                }
                Woken::Time => {
                    if model.due().is_some_and(|due| due <= Instant::now()) {
                        model.fire().into_iter().for_each(|outgoing| outbox.put(outgoing));
                    }
                    connection.ping()?
                }
                Woken::Packet(packet) => self.incoming(packet, outbox, model)?,
            };
            if let Some(answer) = answer {
                connection.send(&answer).await?;
            }
        }
    }

    /// Subscribes, unless the broker remembers.
    async fn enter(
        &mut self,
        connection: &mut Connection,
        outbox: &mut Outbox,
        model: &mut dyn Behaviour,
    ) -> io::Result<()> {
        outbox.reconnected(connection.session_present);
        if !connection.session_present {
            self.arriving.clear();
        }
        if !self.subscribe.is_empty() && !connection.session_present {
            let (filter, qos, arriving) = (&self.subscribe, self.station.qos, &mut self.arriving);
            let early = |packet| received(packet, arriving, model);
            let granted = connection.subscribe(filter, qos, early).await?;
            self.record(Kind::Subscribed { filter: self.subscribe.to_string(), granted });
        }
        self.here();
        Ok(())
    }

    /// Waits for whatever comes first. In this order: a send that is due must not wait for messages that keep coming in.
    async fn woken(&mut self, connection: &mut Connection, due: Option<Instant>) -> io::Result<Woken> {
        let at = due.into_iter().chain(connection.keep_alive_at()).min();
        tokio::select! {
            biased;
            changed = self.phase.changed() => {
                changed.map(|()| Woken::Phase).map_err(|_| io::ErrorKind::ConnectionAborted.into())
            }
            () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => Ok(Woken::Time),
            packet = connection.receive() => Ok(Woken::Packet(packet?)),
        }
    }

    /// What to answer.
    fn incoming(
        &mut self,
        packet: Packet,
        outbox: &mut Outbox,
        model: &mut dyn Behaviour,
    ) -> io::Result<Option<Packet>> {
        match packet {
            Packet::Publish(_) => Ok(received(packet, &mut self.arriving, model)),
            Packet::Step(step) if step.kind == StepKind::Rel => {
                Ok(received(packet, &mut self.arriving, model))
            }
            Packet::Step(step) => {
                let progress = outbox.step(step, &self.station.recorder);
                progress.kind.into_iter().for_each(|kind| self.record(kind));
                if progress.acked {
                    model.acked();
                }
                Ok(progress.answer)
            }
            Packet::Disconnect(reason) => {
                Err(io::Error::other(format!("the broker ended the connection: reason {reason:#04x}")))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a packet that a broker does not send")),
        }
    }
}

/// Hands a message to the model, one of `QoS` 2 only once, and says what to answer.
fn received(packet: Packet, arriving: &mut BTreeSet<u16>, model: &mut dyn Behaviour) -> Option<Packet> {
    match packet {
        Packet::Publish(publish) => {
            let new = match publish.qos {
                Qos::Two(id) => arriving.insert(id),
                Qos::Zero | Qos::One(_) => true,
            };
            if new {
                model.message(&publish);
            }
            receipt(&publish)
        }
        Packet::Step(step) if step.kind == StepKind::Rel => {
            arriving.remove(&step.id);
            Some(StepKind::Comp.of(step.id))
        }
        _ => None,
    }
}

fn code(refused: &Refused) -> Option<u8> {
    match refused {
        Refused::Code(code) => Some(*code),
        _ => None,
    }
}
