//! A broker for tests, in memory and on loopback: it keeps to MQTT, or misbehaves as told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use xedge_model::scenario::Protocol;

use super::packet::{ConnAck, Connect, Packet, Publish, Qos, Step, StepKind, Will};
use super::{decode, encode, topic};

/// How a broker of a test behaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    /// CONNACK code of a login.
    pub(crate) refuse: Option<fn(&Connect) -> u8>,
    /// Close instead of answering a CONNECT.
    pub(crate) hang_up: bool,
    /// Acknowledge and do not pass on every message with a number that this says yes to.
    pub(crate) lose: Option<fn(u64) -> bool>,
    /// Pass every message on twice.
    pub(crate) repeat: bool,
    /// Close the connection instead of acknowledging the message with this number.
    pub(crate) cut_at: Option<u64>,
    /// Close the connection of this client once instead of answering a release, from the message with this number on.
    pub(crate) cut_at_release: Option<(&'static str, u64)>,
    /// How many messages a client of MQTT 5 may have under way.
    pub(crate) receive_maximum: Option<u16>,
}

#[derive(Default)]
struct State {
    habits: Habits,
    retained: Vec<Publish>,
    clients: BTreeMap<String, Client>,
    count: u64,
    delivered: u64,
}

/// What the broker knows of a client; of one that wants a session also while it is away.
struct Client {
    protocol: Protocol,
    clean: bool,
    will: Option<Will>,
    filters: Vec<(String, u8)>,
    /// `QoS` 2 messages that it has not released yet.
    unreleased: BTreeMap<u16, Publish>,
    /// What waits for it.
    queue: Vec<Publish>,
    sender: Option<mpsc::UnboundedSender<Packet>>,
}

/// A broker that runs until it is dropped.
pub(crate) struct TestBroker {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl TestBroker {
    pub(crate) async fn start(habits: Habits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { habits, ..State::default() }));
        let mut tasks = JoinSet::new();
        let shared = state.clone();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                clients.spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// Forgets retained messages, as a broker without persistence does at a restart.
    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().retained.clear();
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let (mut read, write) = stream.into_split();
    let mut buffer = BytesMut::new();
    let mut tasks = JoinSet::new();
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut receiver = Some((write, receiver));
    let mut who: Option<(String, Protocol)> = None;
    loop {
        let protocol = who.as_ref().map_or(Protocol::V3, |(_, protocol)| *protocol);
        let packet = match decode(&mut buffer, protocol).expect("a model sends what the standard allows") {
            Some(packet) => packet,
            None if read.read_buf(&mut buffer).await.unwrap_or(0) == 0 => break,
            None => continue,
        };
        if let Packet::Connect(connect) = &packet {
            who = Some((connect.client_id.clone(), connect.protocol));
            let (write, packets) = receiver.take().expect("one CONNECT a connection");
            tasks.spawn(forward(write, packets, connect.protocol));
        }
        let (id, _) = who.as_ref().expect("the first packet is a CONNECT");
        let goodbye = matches!(packet, Packet::Disconnect(_));
        if !answer(packet, id, &sender, &mut state.lock().unwrap()) {
            if !goodbye {
                gone(id, &mut state.lock().unwrap(), true);
            }
            // Lets what was answered go out before the connection ends.
            drop(sender);
            tasks.join_next().await;
            return;
        }
    }
    if let Some((id, _)) = who {
        gone(&id, &mut state.lock().unwrap(), true);
    }
}

async fn forward(
    mut write: OwnedWriteHalf,
    mut packets: mpsc::UnboundedReceiver<Packet>,
    protocol: Protocol,
) {
    while let Some(packet) = packets.recv().await {
        let mut bytes = BytesMut::new();
        encode(&packet, protocol, &mut bytes);
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Whether the connection goes on.
fn answer(packet: Packet, id: &str, sender: &mpsc::UnboundedSender<Packet>, state: &mut State) -> bool {
    let send = |packet| pass(sender, packet);
    match packet {
        Packet::Connect(_) if state.habits.hang_up => return false,
        Packet::Connect(connect) => {
            let code = state.habits.refuse.map_or(0, |refuse| refuse(&connect));
            let session_present = code == 0 && welcome(&connect, sender, state);
            let most = state.habits.receive_maximum.unwrap_or(u16::MAX);
            send(Packet::ConnAck(ConnAck { receive_maximum: most, ..ConnAck::new(session_present, code) }));
            let waiting = state.clients.get_mut(id).map(|c| std::mem::take(&mut c.queue)).unwrap_or_default();
            for publish in waiting {
                send(Packet::Publish(publish));
            }
            return code == 0;
        }
        Packet::Subscribe { id: number, filters } => {
            for (filter, qos) in &filters {
                let retained = state.retained.iter().filter(|p| topic::matches(filter, &p.topic));
                retained.for_each(|p| {
                    send(Packet::Publish(Publish { retain: true, qos: Qos::Zero, ..p.clone() }));
                });
                let client = state.clients.get_mut(id).unwrap();
                client.filters.push((filter.clone(), *qos));
            }
            send(Packet::SubAck { id: number, codes: filters.iter().map(|(_, qos)| *qos).collect() });
        }
        Packet::Publish(publish) => return publish_to_all(publish, id, sender, state),
        Packet::Step(Step { kind: StepKind::Rec, id, .. }) => send(StepKind::Rel.of(id)),
        Packet::Step(Step { kind: StepKind::Rel, id: number, .. }) => {
            if state.habits.cut_at_release.is_some_and(|(who, at)| who == id && state.count >= at) {
                state.habits.cut_at_release = None;
                return false;
            }
            let released = state.clients.get_mut(id).and_then(|c| c.unreleased.remove(&number));
            send(StepKind::Comp.of(number));
            if let Some(publish) = released {
                deliver(&publish, 1, state);
            }
        }
        Packet::PingReq => send(Packet::PingResp),
        Packet::Disconnect(_) => {
            gone(id, state, false);
            return false;
        }
        _ => {}
    }
    true
}

/// Whether there was a session.
fn welcome(connect: &Connect, sender: &mpsc::UnboundedSender<Packet>, state: &mut State) -> bool {
    let old = state.clients.remove(&connect.client_id).filter(|old| !old.clean && !connect.clean_session);
    let present = old.is_some();
    let new = Client {
        protocol: connect.protocol,
        clean: connect.clean_session,
        will: None,
        filters: Vec::new(),
        unreleased: BTreeMap::new(),
        queue: Vec::new(),
        sender: None,
    };
    let client = Client { sender: Some(sender.clone()), will: connect.will.clone(), ..old.unwrap_or(new) };
    assert!(connect.protocol == Protocol::V3 || connect.clean_session != (connect.session_expiry_s > 0));
    assert_eq!(client.protocol, connect.protocol);
    state.clients.insert(connect.client_id.clone(), client);
    present
}

/// A client has gone, with or without a word.
fn gone(id: &str, state: &mut State, broke: bool) {
    let Some(client) = state.clients.get_mut(id) else { return };
    client.sender = None;
    let will = client.will.take().filter(|_| broke);
    if client.clean {
        state.clients.remove(id);
    }
    if let Some(Will { topic, payload, retain, .. }) = will {
        let publish = Publish { dup: false, retain, qos: Qos::One(9), topic, payload };
        keep(&publish, state);
        deliver(&publish, 1, state);
    }
}

/// A client that has gone misses what comes.
fn pass(client: &mpsc::UnboundedSender<Packet>, packet: Packet) {
    client.send(packet).ok();
}

fn keep(publish: &Publish, state: &mut State) {
    if publish.retain {
        state.retained.retain(|p| p.topic != publish.topic);
        state.retained.push(publish.clone());
    }
}

fn publish_to_all(
    publish: Publish,
    id: &str,
    sender: &mpsc::UnboundedSender<Packet>,
    state: &mut State,
) -> bool {
    state.count += 1;
    let number = state.count;
    if state.habits.cut_at == Some(number) {
        return false;
    }
    keep(&publish, state);
    if let Qos::Two(packet_id) = publish.qos {
        pass(sender, StepKind::Rec.of(packet_id));
        state.clients.get_mut(id).unwrap().unreleased.insert(packet_id, publish);
        return true;
    }
    if let Qos::One(packet_id) = publish.qos {
        pass(sender, StepKind::Ack.of(packet_id));
    }
    let times = match state.habits.lose {
        Some(lose) if lose(number) => 0,
        _ => 1 + usize::from(state.habits.repeat),
    };
    deliver(&publish, times, state);
    true
}

fn deliver(publish: &Publish, times: usize, state: &mut State) {
    state.delivered += 1;
    let id = u16::try_from(state.delivered % 65_535).unwrap() + 1;
    for client in state.clients.values_mut() {
        let granted = client.filters.iter().filter(|(filter, _)| topic::matches(filter, &publish.topic));
        let Some(granted) = granted.map(|(_, qos)| *qos).max() else { continue };
        let qos = match granted.min(publish.qos.level()) {
            0 => Qos::Zero,
            1 => Qos::One(id),
            _ => Qos::Two(id),
        };
        for _ in 0..times {
            let message = Publish { retain: false, dup: false, qos, ..publish.clone() };
            match &client.sender {
                Some(sender) => pass(sender, Packet::Publish(message)),
                None => client.queue.push(message),
            }
        }
    }
}
