//! Links over streams in memory, under a clock that waits for nobody.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, advance, timeout};
use xedge_model::scenario::Direction;

use super::Links;
use super::shaped::Shaped;
use crate::plan::{Chance, Ends, LinkPlan, Shape};

const MS: Duration = Duration::from_millis(1);

fn named(name: &str, ends: Ends, up: Shape, down: Shape) -> LinkPlan {
    LinkPlan { name: name.into(), ends, up, down }
}

fn lan(up: Shape, down: Shape) -> Links {
    Links::new(&[named("lan", Ends::Of(vec!["sensor".into()]), up, down)], 42)
}

fn late(millis: u32) -> Shape {
    Shape { latency: millis * MS, ..Shape::default() }
}

/// A connection of `sensor` to `broker` and its far end.
async fn joined(links: &Links) -> (Shaped<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    let route = links.route("sensor-1", "sensor", "broker").unwrap();
    (route.open().await.unwrap().around(near), far)
}

/// Writes, and keeps the stream polled as its user does.
async fn say(stream: &mut Shaped<DuplexStream>, far: &mut DuplexStream, text: &[u8]) -> Duration {
    let begun = Instant::now();
    stream.write_all(text).await.unwrap();
    let mut got = vec![0; text.len()];
    let mut nothing = [0];
    tokio::select! {
        read = far.read_exact(&mut got) => assert_eq!(read.unwrap(), text.len()),
        read = stream.read(&mut nothing) => panic!("something came back: {read:?}"),
    }
    assert_eq!(got, text);
    begun.elapsed()
}

async fn hear(stream: &mut Shaped<DuplexStream>, far: &mut DuplexStream, text: &[u8]) -> Duration {
    let begun = Instant::now();
    far.write_all(text).await.unwrap();
    let mut got = vec![0; text.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, text);
    begun.elapsed()
}

fn about(time: Duration, millis: u32) {
    let wanted = millis * MS;
    // Timers are good for a millisecond.
    assert!(time >= wanted && time < wanted + 3 * MS, "{time:?} is not {wanted:?}");
}

#[tokio::test(start_paused = true)]
async fn each_direction_has_its_own_latency_and_the_handshake_both() {
    let links = lan(late(50), late(80));
    let begun = Instant::now();
    let (mut stream, mut far) = joined(&links).await;
    about(begun.elapsed(), 130);
    about(say(&mut stream, &mut far, b"there").await, 50);
    about(hear(&mut stream, &mut far, b"and back").await, 80);
    let stats = &links.stats()[0];
    assert_eq!((stats.connections, stats.up.passed.bytes, stats.down.passed.bytes), (1, 5, 8));
    assert_eq!((stats.up.passed.pieces, stats.down.passed.pieces), (1, 1));
    assert!(stats.up.passed.delay_min_us >= 50_000 && stats.down.passed.delay_min_us >= 80_000, "{stats:?}");
    assert!(stats.is_used());
}

#[tokio::test(start_paused = true)]
async fn pieces_are_on_their_way_together() {
    let links = lan(late(50), Shape::default());
    let (mut stream, mut far) = joined(&links).await;
    let begun = Instant::now();
    for _ in 0..10 {
        stream.write_all(b"x").await.unwrap();
        advance(MS).await;
    }
    let mut got = [0; 10];
    tokio::select! {
        read = far.read_exact(&mut got) => drop(read.unwrap()),
        _ = stream.read_u8() => unreachable!("nobody answers"),
    }
    about(begun.elapsed(), 59);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_shared_by_all_connections_of_a_link() {
    // 8,000 bits are 1,000 bytes: at 80 kbit/s they take 100 ms.
    let links = lan(Shape { rate: Some(80_000), ..Shape::default() }, Shape::default());
    let (mut one, mut far_one) = joined(&links).await;
    let (mut two, mut far_two) = joined(&links).await;
    about(say(&mut one, &mut far_one, &[1; 1_000]).await, 100);
    two.write_all(&[2; 1_000]).await.unwrap();
    about(say(&mut one, &mut far_one, &[1; 1_000]).await, 200);
    let mut got = [0; 1_000];
    tokio::select! {
        read = far_two.read_exact(&mut got) => drop(read.unwrap()),
        _ = two.read_u8() => unreachable!("nobody answers"),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_more_than_the_window_waits() {
    let links = lan(Shape { rate: Some(8_000_000), ..Shape::default() }, Shape::default());
    let (mut stream, mut far) = joined(&links).await;
    let all = vec![7; 600 * 1024];
    let mut got = vec![0; all.len()];
    let begun = Instant::now();
    let (sent, read) = tokio::join!(
        async {
            stream.write_all(&all).await.unwrap();
            let sent = begun.elapsed();
            stream.shutdown().await.unwrap();
            sent
        },
        async {
            far.read_exact(&mut got).await.unwrap();
            begun.elapsed()
        },
    );
    assert_eq!(got, all);
    // A megabyte a second: all but the window had to leave first.
    about(read, 614);
    assert!(sent >= 340 * MS && sent < 365 * MS, "{sent:?}");
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0, "the shutdown came after the last byte");
}

/// Times of 400 small pieces through a link with draws.
async fn times(seed: u64, opener: &str) -> (Vec<Duration>, super::LinkStats) {
    let shape = Shape {
        latency: 20 * MS,
        jitter: 5 * MS,
        stall: Some((Chance::of(0.05), 300 * MS)),
        rate: None,
        loss: Chance::of(0.05),
    };
    let links = Links::new(&[named("lan", Ends::Of(vec!["sensor".into()]), shape, late(10))], seed);
    let (near, mut far) = duplex(1 << 20);
    let route = links.route(opener, "sensor", "broker").unwrap();
    let mut stream = route.open().await.unwrap().around(near);
    let mut times = Vec::new();
    for _ in 0..400 {
        times.push(say(&mut stream, &mut far, b"x").await);
    }
    (times, links.stats().remove(0))
}

#[tokio::test(start_paused = true)]
async fn draws_are_a_function_of_seed_link_and_opener() {
    let (first, stats) = times(1, "s-1").await;
    let (again, same) = times(1, "s-1").await;
    assert_eq!((&first, &stats), (&again, &same));
    assert_ne!(first, times(2, "s-1").await.0);
    assert_ne!(first, times(1, "s-2").await.0);
    let passed = stats.up.passed;
    assert_eq!((passed.bytes, passed.pieces), (400, 400));
    assert!((5..60).contains(&passed.stalls) && (5..60).contains(&passed.loss_stalls), "{passed:?}");
    let held = passed.stalls + passed.loss_stalls;
    let quick = first.iter().filter(|time| **time < 28 * MS).count() as u64;
    assert!(quick >= 400 - held && quick < 400, "{quick} were in time and {held} held up");
    assert!(first.iter().all(|time| *time >= 15 * MS), "{first:?}");
    // 200 ms and the round trip of 30 are what a retransmission waits for.
    assert!(first.iter().filter(|time| **time >= 230 * MS).count() as u64 >= passed.loss_stalls);
    assert!(stats.loss_means.unwrap().contains("no byte is lost"));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_during_a_partition_arrives_after_it() {
    let links = lan(late(20), late(20));
    let control = links.control("lan").unwrap();
    let (mut stream, mut far) = joined(&links).await;
    assert!(control.partition(Direction::Up) && !control.partition(Direction::Up));
    for byte in [b"l", b"a", b"t", b"e"] {
        stream.write_all(byte).await.unwrap();
    }
    // The other direction goes on.
    about(hear(&mut stream, &mut far, b"down").await, 20);
    let mut got = [0; 4];
    let nothing = timeout(Duration::from_secs(5), async {
        tokio::select! {
            read = far.read_exact(&mut got) => drop(read),
            _ = stream.read_u8() => {}
        }
    });
    assert!(nothing.await.is_err(), "bytes got through a cut");
    let healed = Instant::now();
    assert!(control.heal() && !control.heal());
    tokio::select! {
        read = far.read_exact(&mut got) => drop(read.unwrap()),
        _ = stream.read_u8() => unreachable!("nobody answers"),
    }
    about(healed.elapsed(), 20);
    let stats = control.stats();
    assert_eq!((&got, stats.up.passed.held, stats.down.passed.held, stats.partitions), (b"late", 4, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_mended_link_wakes_a_reader_and_a_new_connection() {
    let links = lan(late(5), late(5));
    let control = links.control("lan").unwrap();
    let (mut stream, mut far) = joined(&links).await;
    control.partition(Direction::Down);
    far.write_all(b"hello").await.unwrap();
    let reading = tokio::spawn(async move {
        let mut got = [0; 5];
        stream.read_exact(&mut got).await.map(|_| got)
    });
    let opening = {
        let links = links.clone();
        tokio::spawn(async move { joined(&links).await })
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!reading.is_finished() && !opening.is_finished());
    assert_eq!(control.connections(), 2, "the one that is being opened counts");
    control.heal();
    assert_eq!(&reading.await.unwrap().unwrap(), b"hello");
    drop(opening.await.unwrap());
    assert_eq!((control.connections(), control.stats().connections), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_reset_tears_every_connection_and_new_ones_are_whole() {
    let links = lan(late(5), late(5));
    let control = links.control("lan").unwrap();
    let (mut one, _far_one) = joined(&links).await;
    let (mut two, _far_two) = joined(&links).await;
    let reading = tokio::spawn(async move { one.read_u8().await });
    tokio::task::yield_now().await;
    assert_eq!(control.reset(), 2);
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(two.write_all(b"x").await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let (mut three, mut far) = joined(&links).await;
    about(say(&mut three, &mut far, b"again").await, 5);
    assert_eq!(control.stats().reset, 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_after_the_last_byte_and_an_error_too() {
    let links = lan(late(5), late(30));
    let (mut stream, mut far) = joined(&links).await;
    far.write_all(b"bye").await.unwrap();
    drop(far);
    let begun = Instant::now();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"bye");
    about(begun.elapsed(), 30);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it stays at its end");
    // Nobody reads any more: the first write is under way, a later one hears of it.
    stream.write_all(b"x").await.unwrap();
    tokio::time::sleep(10 * MS).await;
    assert!(stream.write_all(b"x").await.is_err() || stream.flush().await.is_err());
}

#[test]
fn a_route_is_how_each_is_attached_and_what_is_in_between_else_the_rest() {
    let links = Links::new(
        &[
            named("lan", Ends::Of(vec!["sensor".into(), "gw".into()]), late(1), late(1)),
            named("wan", Ends::Between { from: "gw".into(), to: "broker".into() }, late(1), late(1)),
            named("site", Ends::Of(vec!["store".into()]), late(1), late(1)),
            named("network", Ends::Rest, late(1), late(1)),
        ],
        1,
    );
    let hops = |from: &str, to: &str| -> Vec<String> {
        let route = links.route(from, from, to).unwrap();
        route.hops.iter().map(|hop| format!("{} {:?}", hop.link.plan.name, hop.way)).collect()
    };
    assert_eq!(hops("gw", "broker"), ["lan Up", "wan Up"]);
    assert_eq!(hops("broker", "gw"), ["wan Down", "lan Down"]);
    assert_eq!(hops("sensor", "broker"), ["lan Up"]);
    assert_eq!(hops("sensor", "store"), ["lan Up", "site Down"]);
    assert_eq!(hops("cloud", "store"), ["site Down"]);
    assert_eq!(hops("sensor", "gw"), ["lan Up", "lan Down"]);
    assert_eq!(hops("cloud", "broker"), ["network Up"]);
    assert!(Links::default().route("a", "a", "b").is_none());
    assert!(links.control("lan").is_some() && links.control("man").is_none());
}

#[tokio::test(start_paused = true)]
async fn two_nodes_of_one_link_are_one_connection_of_it() {
    let links =
        Links::new(&[named("lan", Ends::Of(vec!["sensor".into(), "broker".into()]), late(7), late(9))], 1);
    let (mut stream, mut far) = joined(&links).await;
    about(say(&mut stream, &mut far, b"up and down").await, 16);
    let stats = links.stats().remove(0);
    assert_eq!((stats.connections, stats.up.passed.bytes, stats.down.passed.bytes), (1, 11, 11));
    assert_eq!((links.control("lan").unwrap().connections(), links.control("lan").unwrap().reset()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_route_of_two_links_is_as_late_as_both() {
    let links = Links::new(
        &[
            named("lan", Ends::Of(vec!["sensor".into()]), late(10), late(20)),
            named("site", Ends::Of(vec!["broker".into()]), late(3), late(4)),
        ],
        1,
    );
    let begun = Instant::now();
    let (mut stream, mut far) = joined(&links).await;
    about(begun.elapsed(), 37);
    // Away from the sensor, and towards the broker.
    about(say(&mut stream, &mut far, b"there").await, 14);
    about(hear(&mut stream, &mut far, b"back").await, 23);
    // A cut of the second link lets bytes as far as there.
    links.control("site").unwrap().partition(Direction::Both);
    stream.write_all(b"more").await.unwrap();
    let waiting = timeout(Duration::from_secs(1), stream.read_u8()).await;
    assert!(waiting.is_err());
    let [lan, site] = &links.stats()[..] else { panic!("two links") };
    assert_eq!((lan.up.passed.bytes, site.down.passed.bytes, site.down.passed.held), (9, 5, 1));
}

#[tokio::test]
async fn a_reset_is_heard_at_the_other_end_of_a_socket() {
    let links = lan(late(2), late(2));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = links.route("sensor-1", "sensor", "broker");
    let dialled = super::connect(listener.local_addr().unwrap(), route.as_ref());
    let (stream, accepted) = tokio::join!(dialled, listener.accept());
    let (mut stream, (mut far, _)) = (stream.unwrap(), accepted.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    let mut nothing = [0];
    tokio::select! {
        read = far.read_exact(&mut got) => drop(read.unwrap()),
        _ = stream.read(&mut nothing) => unreachable!("nobody answers"),
    }
    assert_eq!((&got, links.stats()[0].up.passed.bytes), (b"hello", 5));
    assert_eq!(links.control("lan").unwrap().reset(), 1);
    let torn = stream.read(&mut nothing).await.unwrap_err();
    assert_eq!(torn.kind(), std::io::ErrorKind::ConnectionReset);
    drop(stream);
    assert_eq!(far.read(&mut nothing).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_round_trip_is_measured_beside_the_counters() {
    let links = lan(late(20), late(30));
    let mut measuring = links.measure();
    while measuring.join_next().await.is_some() {}
    let stats = links.stats().remove(0);
    let found = stats.round_trip.unwrap();
    assert!(found.linked_us >= 50_000, "{found:?}");
    assert_eq!((stats.connections, stats.is_used()), (0, false));
    let claims = crate::check::links_used(&[stats]);
    assert_eq!((claims.len(), claims[0].state), (1, crate::check::State::Invalid));
}
