//! The gateway's main loop: events in, actions out, until a signal ends it.

use std::time::Duration;

use rumqttc::{ManualAck, Publish};
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};

use crate::aggregate::Reading;
use crate::config::Config;
use crate::health;
use crate::log::log;
use crate::mqtt::{Event, Link};
use crate::relay::{Action, Relay};

/// How long the end may take: for the last window, and then for the goodbye. Engines kill after ten seconds.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Runs the gateway until SIGTERM or SIGINT.
pub(crate) fn run(config: &Config) -> Result<(), String> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("failed to start the runtime: {e}"))?;
    let result = runtime.block_on(work(config));
    // A name that is being looked up must not delay the end.
    runtime.shutdown_background();
    result
}

async fn work(config: &Config) -> Result<(), String> {
    let mut stop = Stop::new()?;
    let questions = health::listen(config).map_err(|e| format!("failed to listen for health checks: {e}"))?;
    let (link, mut events) = Link::start(config);
    let mut gateway = Gateway::new(config, link);
    log!(
        "{} starts: {} -> {} at {}:{}",
        config.id,
        config.subscribe,
        config.upstream,
        config.host,
        config.port
    );
    gateway.serve(&mut events, &questions, &mut stop).await?;
    gateway.finish(&mut events).await
}

struct Gateway<'a> {
    config: &'a Config,
    link: Link,
    relay: Relay<ManualAck>,
    /// What a health check is told.
    state: String,
    /// From the signal on, new messages are left to the broker: they come again after the next start.
    ending: bool,
    malformed: u64,
    /// Malformed payloads of this window: only the first is shown.
    malformed_now: u64,
}

impl<'a> Gateway<'a> {
    fn new(config: &'a Config, link: Link) -> Self {
        let state = "not connected yet".to_owned();
        Self { config, link, relay: Relay::new(config), state, ending: false, malformed: 0, malformed_now: 0 }
    }

    /// Works until a signal comes.
    async fn serve(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        questions: &UnixListener,
        stop: &mut Stop,
    ) -> Result<(), String> {
        let every = self.config.every;
        let mut windows = interval_at(tokio::time::Instant::now() + every, every);
        windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                name = stop.asked() => {
                    log!("{name}: closing the window");
                    return Ok(());
                }
                Ok((stream, _)) = questions.accept() => health::answer(&stream, &self.state),
                _ = windows.tick() => self.tick()?,
                event = events.recv() => match event {
                    Some(event) => self.handle(event)?,
                    None => return Err("failed to go on: the connection task ended".to_owned()),
                },
            }
        }
    }

    /// Publishes the open window, waits for its confirmation, and disconnects; a broker that is away is not waited for long.
    async fn finish(&mut self, events: &mut mpsc::Receiver<Event>) -> Result<(), String> {
        self.ending = true;
        let actions = self.relay.due();
        self.act(actions)?;
        if timeout(FLUSH_WITHIN, self.settle(events)).await.is_err() {
            log!("the last window is not confirmed; the broker still holds its unacknowledged readings");
        }
        self.link.disconnect(GOODBYE_WITHIN)?;
        let closed = async { while !matches!(events.recv().await, Some(Event::Closed) | None) {} };
        tokio::select! {
            () = closed => {}
            () = sleep(GOODBYE_WITHIN) => {}
        }
        log!("ended after {} readings, {} malformed payloads", self.relay.total(), self.malformed);
        Ok(())
    }

    async fn settle(&mut self, events: &mut mpsc::Receiver<Event>) {
        while !self.relay.is_settled() {
            let Some(event) = events.recv().await else { return };
            let result = self.handle(event).and_then(|()| {
                let actions = self.relay.due();
                self.act(actions)
            });
            if let Err(problem) = result {
                log!("{problem}");
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        let actions = match event {
            Event::Connected => {
                "connected, not yet subscribed".clone_into(&mut self.state);
                self.link.subscribe(&self.config.subscribe)?;
                Vec::new()
            }
            Event::Subscribed(granted) => self.subscribed(granted),
            Event::Message(message) if !self.ending => self.message(&message),
            Event::Published(true) => self.relay.confirmed(),
            Event::Published(false) => self.relay.lost(),
            Event::Disconnected { why, forget } => {
                self.disconnected(&why);
                // The connection task waits for this; if it is gone, `recv` tells.
                let _ignored = forget.send(());
                Vec::new()
            }
            Event::Message(_) | Event::Closed => Vec::new(),
        };
        self.act(actions)
    }

    fn subscribed(&mut self, granted: bool) -> Vec<Action<ManualAck>> {
        if granted {
            log!("connected, subscribed to {}", self.config.subscribe);
            health::CONNECTED.clone_into(&mut self.state);
        } else {
            self.state = format!("the broker refused the subscription to {}", self.config.subscribe);
            log!("{}", self.state);
        }
        self.relay.connected()
    }

    fn disconnected(&mut self, why: &str) {
        let state = format!("disconnected: {why}");
        if self.state != state {
            log!("{state}");
        }
        self.state = state;
        self.relay.disconnected();
    }

    fn message(&mut self, message: &Publish) -> Vec<Action<ManualAck>> {
        let reading = Reading::parse(&message.payload, message.dup).inspect_err(|problem| {
            self.malformed += 1;
            self.malformed_now += 1;
            if self.malformed_now == 1 {
                log!("malformed payload: {problem}");
            }
        });
        self.relay.message(reading.ok().as_ref(), self.link.prepare_ack(message))
    }

    fn tick(&mut self) -> Result<(), String> {
        if self.malformed_now > 1 {
            log!("{} malformed payloads in this window", self.malformed_now);
        }
        self.malformed_now = 0;
        let actions = self.relay.due();
        self.act(actions)
    }

    fn act(&self, actions: Vec<Action<ManualAck>>) -> Result<(), String> {
        for action in actions {
            match action {
                Action::Publish(payload) => self.link.publish(&self.config.upstream, payload)?,
                Action::Acknowledge(ack) => self.link.acknowledge(ack)?,
            }
        }
        Ok(())
    }
}

/// The signals that end the gateway; as PID 1 it has no default action for either.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|e| format!("failed to listen for signals: {e}"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests;
