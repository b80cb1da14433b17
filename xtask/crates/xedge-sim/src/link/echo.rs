//! What a link really adds: the time of a byte to a listener of ours and back, without it and through it. It uses links
//! of its own, so that what it sends is in no counter and takes no draws of the run.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::counters::{RoundTrip, micros};
use super::dial::{Stream, connect};
use super::wire::{Link, Way, locked};
use super::{Hop, Links, Route};

/// Bytes there and back for one number, which is their median.
const TIMES: usize = 3;
/// How long one link may be measured: a very slow one has no number.
const PATIENCE: Duration = Duration::from_secs(10);

impl Links {
    /// Measures every link beside whatever else goes on, until the result is dropped.
    pub(crate) fn measure(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for link in self.links.iter().cloned() {
            tasks.spawn(async move {
                // A machine without loopback has worse problems, and a report without this number is no wrong one.
                if let Ok(Ok(found)) = timeout(PATIENCE, round_trip(&link)).await {
                    *locked(&link.round_trip) = Some(found);
                }
            });
        }
        tasks
    }
}

async fn round_trip(link: &Link) -> io::Result<RoundTrip> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut echo = JoinSet::new();
    echo.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream).await;
        }
    });
    let twin = Arc::new(Link::new(link.plan.clone(), 0));
    let hops = [Hop { link: twin, way: Way::Up }];
    let route = Route { opener: Arc::from("xedge-echo"), hops: hops.into() };
    let direct_us = median(connect(address, None).await?).await?;
    let linked_us = median(connect(address, Some(&route)).await?).await?;
    Ok(RoundTrip { direct_us, linked_us })
}

async fn answer(mut stream: TcpStream) {
    // A byte at a time, each at once; whoever hangs up is done.
    let mut byte = [0];
    while stream.set_nodelay(true).is_ok() && stream.read_exact(&mut byte).await.is_ok() {
        if stream.write_all(&byte).await.is_err() {
            return;
        }
    }
}

async fn median(mut stream: Stream) -> io::Result<u64> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        stream.write_all(b"?").await?;
        stream.read_u8().await?;
        times.push(micros(begun.elapsed()));
    }
    times.sort_unstable();
    Ok(times[TIMES / 2])
}
