//! One `GET` (RFC 9112), of which only the status line is read.

use std::io::{Read, Write};
use std::net::TcpStream;

/// The longest status line that is read.
const MAX_LINE: usize = 1024;

/// Asks for `path`; the answer must be 2xx or 3xx.
pub(super) fn get(mut stream: TcpStream, path: &str) -> Result<(), String> {
    let host = stream.peer_addr().map_err(|error| error.to_string())?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: xedge-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let line = status_line(&mut stream)?;
    match status(&line) {
        Some(200..=399) => Ok(()),
        Some(code) => Err(format!("it answered {code}")),
        None => Err("its answer is not HTTP".to_owned()),
    }
}

fn status_line(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let mut part = [0; 256];
    while !line.contains(&b'\n') && line.len() < MAX_LINE {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => line.extend_from_slice(&part[..count]),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(line)
}

fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.split(|byte| *byte == b'\r').next()?).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let code = rest.get(..3)?;
    (version.starts_with("HTTP/1.") && code.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| code.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn only_a_status_line_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\nA: b\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.0 302 Found\r\n"), Some(302));
        for line in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 2", b"HTTP/1.1 2x0 \r\n", b"", b"HTTP/2 200"] {
            assert_eq!(status(line), None, "{line:?}");
        }
    }
}
