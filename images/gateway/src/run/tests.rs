//! The main loop against a broker of a few lines, over a real socket: what goes over the wire, and in which order.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Gateway, Link};
use crate::config::{Config, Overrides};
use crate::mqtt::Event;

const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const CONNACK_WITH_SESSION: [u8; 4] = [0x20, 2, 1, 0];

fn config(port: u16) -> Config {
    let overrides = Overrides {
        broker: Some(format!("127.0.0.1:{port}")),
        id: Some("gw".into()),
        ..Overrides::default()
    };
    Config::load(&overrides).unwrap()
}

/// The broker's end of one connection. Packets in these tests are shorter than 128 bytes or, upstream, than 16 KiB.
struct Peer(TcpStream);

impl Peer {
    /// Accepts a connection, answers CONNECT and the subscription.
    async fn welcome(listener: &TcpListener, connack: [u8; 4]) -> Self {
        let mut peer = Self(listener.accept().await.unwrap().0);
        let (kind, connect) = peer.read().await;
        assert_eq!(kind, 0x10);
        assert_eq!(connect[7] & 0b10, 0, "the session is persistent");
        peer.0.write_all(&connack).await.unwrap();
        let (kind, subscribe) = peer.read_skipping(0x32).await;
        assert_eq!((kind, subscribe.last()), (0x82, Some(&1)), "subscribed with QoS 1");
        peer.0.write_all(&[0x90, 3, subscribe[0], subscribe[1], 1]).await.unwrap();
        peer
    }

    /// The next packet: first byte, and everything after the length.
    async fn read(&mut self) -> (u8, Vec<u8>) {
        let next = async {
            let kind = self.0.read_u8().await.unwrap();
            let mut length = usize::from(self.0.read_u8().await.unwrap());
            if length >= 128 {
                length = length - 128 + 128 * usize::from(self.0.read_u8().await.unwrap());
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            (kind, body)
        };
        timeout(Duration::from_secs(5), next).await.expect("a packet within five seconds")
    }

    /// The next packet that is not of this kind: a window sent again may come before or after the subscription.
    async fn read_skipping(&mut self, kind: u8) -> (u8, Vec<u8>) {
        loop {
            let packet = self.read().await;
            if packet.0 & 0xf7 != kind {
                return packet;
            }
        }
    }

    async fn send_reading(&mut self, packet_id: u8, payload: &str) {
        let mut body = vec![0, 9];
        body.extend_from_slice(b"sensors/a");
        body.extend_from_slice(&[0, packet_id]);
        body.extend_from_slice(payload.as_bytes());
        let mut packet = vec![0x32, u8::try_from(body.len()).unwrap()];
        packet.extend(body);
        self.0.write_all(&packet).await.unwrap();
    }

    /// A window: its packet id and its JSON.
    async fn read_window(&mut self) -> ([u8; 2], serde_json::Value) {
        let (kind, body) = self.read().await;
        assert_eq!(kind & 0xf7, 0x32, "a publish with QoS 1");
        assert_eq!(&body[2..13], b"upstream/gw");
        ([body[13], body[14]], serde_json::from_slice(&body[15..]).unwrap())
    }

    async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.0.read_u8()).await.is_err()
    }
}

const READING: &str = r#"{"id":"a","seq":1,"sent_us":1,"value":2.5}"#;

/// Handles events until `done` says so.
async fn drive(
    gateway: &mut Gateway<'_>,
    events: &mut mpsc::Receiver<Event>,
    mut done: impl FnMut(&Gateway) -> bool,
) {
    while !done(gateway) {
        let event = timeout(Duration::from_secs(5), events.recv()).await.expect("an event in time").unwrap();
        gateway.handle(event).unwrap();
    }
}

#[tokio::test]
async fn a_reading_is_acknowledged_after_its_window_and_the_end_says_goodbye() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(listener.local_addr().unwrap().port());
    let (link, mut events) = Link::start(&config);
    let mut gateway = Gateway::new(&config, link);
    let broker = async {
        let mut peer = Peer::welcome(&listener, CONNACK).await;
        peer.send_reading(7, READING).await;
        peer.send_reading(8, "rubbish").await;
        let (id, window) = peer.read_window().await;
        assert_eq!(
            (&window["readings"], &window["mean"], &window["gateway"]),
            (&1.into(), &2.5.into(), &"gw".into())
        );
        assert!(peer.is_silent().await, "nothing is acknowledged before the window is confirmed");
        peer.0.write_all(&[0x40, 2, id[0], id[1]]).await.unwrap();
        assert_eq!(peer.read().await, (0x40, vec![0, 7]));
        assert_eq!(peer.read().await, (0x40, vec![0, 8]), "a malformed payload does not come again");
        assert_eq!(peer.read().await, (0xe0, vec![]));
    };
    let work = async {
        drive(&mut gateway, &mut events, |g| g.malformed == 1).await;
        gateway.finish(&mut events).await.unwrap();
    };
    tokio::join!(broker, work);
    assert!(gateway.relay.is_settled());
}

#[tokio::test]
async fn a_broken_connection_loses_and_doubles_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(listener.local_addr().unwrap().port());
    for connack in [CONNACK, CONNACK_WITH_SESSION] {
        let (link, mut events) = Link::start(&config);
        let mut gateway = Gateway::new(&config, link);
        let broker = async {
            let mut peer = Peer::welcome(&listener, CONNACK).await;
            peer.send_reading(7, READING).await;
            let (_, first) = peer.read_window().await;
            drop(peer);
            // The window comes again, by the library (session present) or by the relay (session gone).
            let mut peer = Peer(listener.accept().await.unwrap().0);
            assert_eq!(peer.read().await.0, 0x10);
            peer.0.write_all(&connack).await.unwrap();
            let (mut window, mut redelivered) = (None, false);
            while window.is_none() || !redelivered {
                match peer.read().await {
                    (0x82, body) => {
                        peer.0.write_all(&[0x90, 3, body[0], body[1], 1]).await.unwrap();
                        peer.send_reading(9, READING).await;
                        redelivered = true;
                    }
                    (_, body) => window = Some(body),
                }
            }
            let body = window.unwrap();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body[15..]).unwrap(), first);
            assert!(peer.is_silent().await, "the old acknowledgement is forgotten, the new one waits");
            peer.0.write_all(&[0x40, 2, body[13], body[14]]).await.unwrap();
            assert_eq!(peer.read().await, (0x40, vec![0, 9]));
            assert_eq!(peer.read().await, (0xe0, vec![]));
        };
        let work = async {
            drive(&mut gateway, &mut events, |g| g.relay.total() == 1).await;
            gateway.tick().unwrap();
            drive(&mut gateway, &mut events, |g| g.state.starts_with("disconnected")).await;
            drive(&mut gateway, &mut events, |g| g.state == "connected").await;
            // The redelivered copy is not counted; it is handled while the gateway ends or before.
            let event = timeout(Duration::from_secs(5), events.recv()).await.unwrap().unwrap();
            gateway.handle(event).unwrap();
            gateway.finish(&mut events).await.unwrap();
        };
        tokio::join!(broker, work);
        assert_eq!(gateway.relay.total(), 1);
    }
}

#[tokio::test]
async fn a_refused_subscription_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(listener.local_addr().unwrap().port());
    let (link, mut events) = Link::start(&config);
    let mut gateway = Gateway::new(&config, link);
    let broker = async {
        let mut peer = Peer(listener.accept().await.unwrap().0);
        peer.read().await;
        peer.0.write_all(&CONNACK).await.unwrap();
        let (_, body) = peer.read().await;
        peer.0.write_all(&[0x90, 3, body[0], body[1], 0x80]).await.unwrap();
        peer
    };
    let work = drive(&mut gateway, &mut events, |g| g.state.contains("refused"));
    let _peer = tokio::join!(broker, work).0;
}
