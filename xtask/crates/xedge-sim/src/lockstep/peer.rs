//! One script or container at the other end of a stream: gives it orders and waits for its answers, and not for ever.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::plan::Patience;
use super::wire::{self, Dialect, Heard, Spoken};

/// The longest line that is read; a script that says more is broken.
const LONGEST: u64 = 16 << 20;

/// A stream to a node.
pub(super) struct Peer {
    dialect: Dialect,
    patience: Patience,
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Why a node gave no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It said nothing for this long.
    Silent(Duration),
    /// The stream ended: it is gone.
    Gone,
    /// It said something else.
    Nonsense(String),
}

impl Peer {
    pub(super) fn new(
        dialect: Dialect,
        patience: Patience,
        reader: Box<dyn AsyncRead + Send + Unpin>,
        writer: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> Self {
        Self { dialect, patience, reader: BufReader::new(reader), writer }
    }

    /// Tells it who it is, and waits until it is ready.
    pub(super) async fn init(
        &mut self,
        id: &str,
        seed: u64,
        config: &Map<String, Value>,
    ) -> Result<(), Trouble> {
        let ready = self.patience.ready;
        self.write(&self.dialect.init(id, seed, config), ready).await?;
        match self.line(ready).await?.as_str() {
            "READY" => Ok(()),
            other => Err(unexpected("READY", other)),
        }
    }

    /// Orders it to go on to a time.
    pub(super) async fn advance(&mut self, until: u64, heard: &[Heard]) -> Result<(), Trouble> {
        self.write(&self.dialect.advance(until, heard), self.patience.step).await
    }

    /// What it has to say on the way to the time that it was ordered to.
    pub(super) async fn answer(&mut self) -> Result<Vec<Spoken>, Trouble> {
        let step = self.patience.step;
        let line = self.line(step).await?;
        let Some(rest) = line.strip_prefix("DONE") else { return Err(unexpected("DONE", &line)) };
        let list = match rest.trim() {
            "" => self.line(step).await?,
            list => list.to_owned(),
        };
        wire::events(&list).map_err(Trouble::Nonsense)
    }

    /// Says that it is over; whether anybody hears it shows in what becomes of the process.
    pub(super) async fn shutdown(&mut self) {
        drop(self.write("SHUTDOWN\n", Duration::from_secs(1)).await);
        drop(timeout(Duration::from_secs(1), self.writer.shutdown()).await);
    }

    async fn write(&mut self, text: &str, limit: Duration) -> Result<(), Trouble> {
        let writing = async {
            self.writer.write_all(text.as_bytes()).await?;
            self.writer.flush().await
        };
        match timeout(limit, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Trouble::Gone),
            Err(_) => Err(Trouble::Silent(limit)),
        }
    }

    async fn line(&mut self, limit: Duration) -> Result<String, Trouble> {
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.reader).take(LONGEST);
        match timeout(limit, bounded.read_until(b'\n', &mut bytes)).await {
            Ok(Ok(0) | Err(_)) => Err(Trouble::Gone),
            Ok(Ok(_)) if bytes.last() != Some(&b'\n') && bytes.len() as u64 == LONGEST => {
                Err(Trouble::Nonsense(format!("a line has more than {} MiB", LONGEST >> 20)))
            }
            Ok(Ok(_)) => match String::from_utf8(bytes) {
                Ok(line) => Ok(line.trim_end().to_owned()),
                Err(_) => Err(Trouble::Nonsense("a line is no UTF-8".to_owned())),
            },
            Err(_) => Err(Trouble::Silent(limit)),
        }
    }
}

fn unexpected(wanted: &str, said: &str) -> Trouble {
    Trouble::Nonsense(format!("expected `{wanted}`, it said: `{}`", wire::shorten(said)))
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(limit) => write!(f, "it did not answer within {} s", limit.as_secs_f64()),
            Self::Gone => f.write_str("it closed the connection"),
            Self::Nonsense(what) => f.write_str(what),
        }
    }
}
