//! Lines of JSON on a stream. Raw bytes that follow a line are the caller's to read and write.

use std::io::{self, BufRead, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest line that is read, in bytes.
pub const MAX_LINE: u64 = 4 << 20;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side hung up, or the stream failed.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// What came is no message: another program answered, or another version.
    #[error("`{line}` is no message: {reason}")]
    Nonsense {
        /// The start of what came.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Writes a message; the caller flushes.
pub fn write_line(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    writer.write_all(&line)
}

/// Reads a message; `None` where the stream ends before it.
pub fn read_line<T: DeserializeOwned>(reader: &mut impl BufRead) -> Result<Option<T>, FrameError> {
    let mut line = Vec::new();
    let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    let nonsense = |reason: String| {
        let shown: String = String::from_utf8_lossy(&line).trim_end().chars().take(200).collect();
        FrameError::Nonsense { line: shown.escape_debug().to_string(), reason }
    };
    if line.last() != Some(&b'\n') {
        return Err(nonsense("it has no end".to_owned()));
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| nonsense(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToDevice;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        write_line(&mut bytes, &ToDevice::Inventory).expect("memory");
        let read: Option<ToDevice> = read_line(&mut bytes.as_slice()).expect("a message");
        assert_eq!(read, Some(ToDevice::Inventory));
        assert_eq!(read_line::<ToDevice>(&mut [].as_slice()).expect("an end"), None);
    }

    #[test]
    fn another_program_is_told_from_a_device() {
        let error =
            read_line::<ToDevice>(&mut b"bash: xedge-agent: not found\n".as_slice()).expect_err("text");
        assert!(error.to_string().contains("not found"), "{error}");
        assert!(read_line::<ToDevice>(&mut b"{\"type\":".as_slice()).is_err(), "cut off");
    }
}
