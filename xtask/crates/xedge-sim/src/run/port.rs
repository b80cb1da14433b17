//! Whether something listens at a published port. A connection alone does not tell: the engine's proxy takes it first,
//! and hangs up when nobody is behind it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection must stay open, unless the other side says something before.
const HOLD: Duration = Duration::from_millis(200);

/// Connects; what went wrong, or `None`. Nothing is sent: which protocol is spoken there is not asked.
pub(super) async fn refused(address: SocketAddr, limit: Duration) -> Option<String> {
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Some(format!("the connection was refused: {error}")),
        Err(_) => return Some(format!("no connection within {} ms", limit.as_millis())),
    };
    match timeout(HOLD, first_byte(&stream)).await {
        // Still open, or it speaks first.
        Err(_) | Ok(Ok(1..)) => None,
        Ok(Ok(0)) => Some("the connection was closed at once: nothing listens behind it".to_owned()),
        Ok(Err(error)) => Some(format!("the connection was cut: {error}")),
    }
}

async fn first_byte(stream: &TcpStream) -> io::Result<usize> {
    stream.peek(&mut [0]).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::refused;

    const LIMIT: Duration = Duration::from_secs(2);

    /// A listener that does this with each connection.
    async fn at(what: &'static str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                match what {
                    "waits" => kept.push(stream),
                    "speaks" => stream.write_all(b"hello\n").await.unwrap(),
                    _ => drop(stream),
                }
            }
        });
        refused(address, LIMIT).await
    }

    #[tokio::test]
    async fn who_waits_or_speaks_is_there_and_who_hangs_up_is_not() {
        assert_eq!(at("waits").await, None);
        assert_eq!(at("speaks").await, None);
        assert!(at("hangs up").await.unwrap().contains("nothing listens behind it"));
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(refused(gone, LIMIT).await.unwrap().starts_with("the connection was refused"));
    }
}
