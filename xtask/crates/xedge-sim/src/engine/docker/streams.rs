//! Output and errors of a command, which the Engine sends in one stream, as two.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, duplex};

use super::LogOutput;

/// Bytes that wait for a reader.
const WAITING: usize = 64 * 1024;

/// One stream to read.
type Reading = Box<dyn AsyncRead + Send + Unpin>;

/// Output and errors apart; both end when the Engine's stream does.
pub(super) fn apart<E: Send + 'static>(
    stream: impl Stream<Item = Result<LogOutput, E>> + Send + 'static,
) -> (Reading, Reading) {
    let ((mut output, reading), (mut errors, reading_errors)) = (duplex(WAITING), duplex(WAITING));
    tokio::spawn(async move {
        let mut stream = Box::pin(stream);
        while let Ok(Some(part)) = stream.try_next().await {
            let written = match part {
                LogOutput::StdErr { message } => write(&mut errors, &message).await,
                LogOutput::StdOut { message }
                | LogOutput::Console { message }
                | LogOutput::StdIn { message } => write(&mut output, &message).await,
            };
            // Nobody reads any more.
            if written.is_err() {
                break;
            }
        }
    });
    (Box::new(reading), Box::new(reading_errors))
}

async fn write(to: &mut DuplexStream, bytes: &Bytes) -> std::io::Result<()> {
    to.write_all(bytes).await
}
