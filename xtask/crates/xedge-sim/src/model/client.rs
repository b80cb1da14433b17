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
use crate::mqtt::{Connection, Login, Packet, Qos, Refused, Session, Step, StepKind, Will};
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
    pub(super) outbox: Outbox,
    pub(super) model: Box<dyn Behaviour>,
    /// While there is one.
    pub(super) connection: Option<Connection>,
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
    pub(super) async fn run(mut self: Box<Self>) {
        while let Some(connection) = Box::pin(self.connect()).await {
            self.connection = Some(connection);
            let over = self.session().await;
            let Some(connection) = self.connection.take() else { break };
            match over {
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

    async fn attempt(&mut self) -> Result<Connection, Refused> {
        let login = self.station.login(&self.id);
        let address = self.station.address(self.index);
        Connection::open_along(self.route.as_ref(), address, &login, ATTEMPT).await
    }

    /// One connection, until the run is over or it is lost.
    async fn session(&mut self) -> io::Result<()> {
        Box::pin(self.enter()).await?;
        self.phase.mark_changed();
        loop {
            self.send_all().await?;
            let answer = match self.woken().await? {
                Woken::Phase => {
                    let phase = *self.phase.borrow_and_update();
                    if phase == Phase::End {
                        return Ok(());
                    }
                    self.model.phase(phase);
                    None
                }
                Woken::Time => {
                    if self.model.due().is_some_and(|due| due <= Instant::now())
                        && let Some(outgoing) = self.model.fire()
                    {
                        self.outbox.put(outgoing);
                    }
                    connected(&mut self.connection)?.ping()?
                }
                Woken::Packet(packet) => self.incoming(packet)?,
            };
            if let Some(answer) = answer {
                connected(&mut self.connection)?.put(&answer);
            }
        }
    }

    /// Subscribes, unless the broker remembers.
    async fn enter(&mut self) -> io::Result<()> {
        let connection = connected(&mut self.connection)?;
        self.outbox.reconnected(connection.session_present);
        if !connection.session_present {
            self.arriving.clear();
        }
        if !self.subscribe.is_empty() && !connection.session_present {
            let (filter, qos) = (&self.subscribe, self.station.qos);
            let early = |packet| received(packet, &mut self.arriving, self.model.as_mut());
            let granted = connection.subscribe(filter, qos, early).await?;
            self.record(Kind::Subscribed { filter: self.subscribe.to_string(), granted });
        }
        self.here();
        Ok(())
    }

    /// Sends what may be under way now.
    async fn send_all(&mut self) -> io::Result<()> {
        let connection = connected(&mut self.connection)?;
        while let Some((packet, kind)) = self.outbox.next(connection.window, &self.station.recorder) {
            if let Some(kind) = kind {
                self.station.recorder.record(&self.id, kind);
            }
            connection.put(&packet);
        }
        connection.flush().await
    }

    /// Waits for whatever comes first. In this order: a send that is due must not wait for messages that keep coming in.
    async fn woken(&mut self) -> io::Result<Woken> {
        let connection = connected(&mut self.connection)?;
        let at = self.model.due().into_iter().chain(connection.keep_alive_at()).min();
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
    fn incoming(&mut self, packet: Packet) -> io::Result<Option<Packet>> {
        match packet {
            Packet::Publish(_) | Packet::Step(Step { kind: StepKind::Rel, .. }) => {
                Ok(received(packet, &mut self.arriving, self.model.as_mut()))
            }
            Packet::Step(step) => {
                let progress = self.outbox.step(step, &self.station.recorder);
                if let Some(kind) = progress.kind {
                    self.record(kind);
                }
                if progress.acked {
                    self.model.acked();
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

/// The connection of a session, which lasts as long as that.
fn connected(connection: &mut Option<Connection>) -> io::Result<&mut Connection> {
    connection.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
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
