//! A broker for tests, in memory and on loopback: it keeps to MQTT, or misbehaves as told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::packet::{Connect, Packet, Publish};
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
}

#[derive(Default)]
struct State {
    habits: Habits,
    retained: Vec<Publish>,
    subscribers: Vec<(String, u8, mpsc::UnboundedSender<Packet>)>,
    count: u64,
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
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(forward(write, receiver));
    let mut buffer = BytesMut::new();
    loop {
        let packet = match decode(&mut buffer).expect("a model sends what the standard allows") {
            Some(packet) => packet,
            None if read.read_buf(&mut buffer).await.unwrap_or(0) == 0 => return,
            None => continue,
        };
        if !answer(packet, &sender, &state) {
            // Lets what was answered go out before the connection ends.
            drop(sender);
            tasks.join_next().await;
            return;
        }
    }
}

async fn forward(mut write: OwnedWriteHalf, mut packets: mpsc::UnboundedReceiver<Packet>) {
    while let Some(packet) = packets.recv().await {
        let mut bytes = BytesMut::new();
        encode(&packet, &mut bytes);
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Whether the connection goes on.
fn answer(packet: Packet, sender: &mpsc::UnboundedSender<Packet>, state: &Mutex<State>) -> bool {
    let mut state = state.lock().unwrap();
    let send = |packet| pass(sender, packet);
    match packet {
        Packet::Connect(_) if state.habits.hang_up => return false,
        Packet::Connect(connect) => {
            let code = state.habits.refuse.map_or(0, |refuse| refuse(&connect));
            send(Packet::ConnAck { session_present: false, code });
            return code == 0;
        }
        Packet::Subscribe { id, filters } => {
            for (filter, qos) in &filters {
                state.subscribers.push((filter.clone(), *qos, sender.clone()));
                let retained = state.retained.iter().filter(|p| topic::matches(filter, &p.topic));
                retained.for_each(|p| send(Packet::Publish(Publish { retain: true, id: None, ..p.clone() })));
            }
            send(Packet::SubAck { id, codes: filters.iter().map(|(_, qos)| *qos).collect() });
        }
        Packet::Publish(publish) => return publish_to_all(&publish, sender, &mut state),
        Packet::PingReq => send(Packet::PingResp),
        Packet::Disconnect => return false,
        _ => {}
    }
    true
}

/// A client that has gone misses what comes.
fn pass(client: &mpsc::UnboundedSender<Packet>, packet: Packet) {
    client.send(packet).ok();
}

fn publish_to_all(publish: &Publish, sender: &mpsc::UnboundedSender<Packet>, state: &mut State) -> bool {
    state.count += 1;
    let number = state.count;
    if state.habits.cut_at == Some(number) {
        // The subscribers that go through this connection go with it.
        state.subscribers.retain(|(_, _, other)| !other.same_channel(sender));
        return false;
    }
    if publish.retain {
        state.retained.retain(|p| p.topic != publish.topic);
        state.retained.push(publish.clone());
    }
    if let Some(id) = publish.id {
        pass(sender, Packet::PubAck(id));
    }
    let times = match state.habits.lose {
        Some(lose) if lose(number) => 0,
        _ => 1 + usize::from(state.habits.repeat),
    };
    for (_, qos, subscriber) in state.subscribers.iter().filter(|(f, _, _)| topic::matches(f, &publish.topic))
    {
        let id = (*qos == 1).then(|| u16::try_from(number % 65_535).unwrap() + 1);
        for _ in 0..times {
            let message = Publish { retain: false, dup: false, id, ..publish.clone() };
            pass(subscriber, Packet::Publish(message));
        }
    }
    true
}
