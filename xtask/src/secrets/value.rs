//! What a value may be, and how one is made.

use xedge_sign::Zeroizing;

use super::{DEVELOPMENT, Error, Kind};
use crate::commands::Context;
use crate::error::Result;

/// Characters of a value that is made, where nobody says how many.
pub(crate) const DEFAULT_LENGTH: usize = 24;
/// The fewest characters that are made: 96 bits.
pub(crate) const SHORTEST: usize = 16;
/// The most bytes of a password: `mosquitto_sub` reads its options in lines of 1,024 bytes.
pub(crate) const LONGEST_PASSWORD: usize = 512;
/// The most bytes of a file: a chain of certificates fits, an archive does not.
pub(crate) const LARGEST_FILE: usize = 60_000;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How a development value begins, so that whoever meets it knows what it is.
const MARK: &str = "dev-";

/// A random value of `length` characters; one for development begins with a mark that says so.
pub(crate) fn generate(cx: &Context<'_>, environment: &str, length: usize) -> Result<Zeroizing<String>> {
    let mut random = Zeroizing::new(vec![0; length]);
    cx.environment.random(&mut random)?;
    let mut text = Zeroizing::new(String::with_capacity(MARK.len() + length));
    if environment == DEVELOPMENT {
        text.push_str(MARK);
    }
    text.extend(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])));
    // Programs take what begins with `-` for an option.
    if text.starts_with('-') {
        text.replace_range(..1, "x");
    }
    Ok(text)
}

/// The value as it is kept, or why it cannot be one. A file is kept byte for byte; a password loses one line ending.
pub(crate) fn check(name: &str, kind: Kind, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let refused = |why| Error::Value { name: name.to_owned(), why };
    match kind {
        Kind::Password => Ok(Zeroizing::new(password(name, bytes)?.as_bytes().to_vec())),
        Kind::File if bytes.is_empty() => Err(refused("is empty").into()),
        Kind::File if bytes.len() > LARGEST_FILE => Err(refused("is larger than 60,000 bytes").into()),
        Kind::File => Ok(Zeroizing::new(bytes.to_vec())),
    }
}

/// A password as its users type it.
pub(super) fn password(name: &str, bytes: &[u8]) -> Result<Zeroizing<String>> {
    let refused = |why| Error::Value { name: name.to_owned(), why };
    let text = std::str::from_utf8(bytes).map_err(|_| refused("is no UTF-8 text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let why = if text.is_empty() {
        "is empty"
    } else if text.len() > LONGEST_PASSWORD {
        "is longer than 512 bytes"
    } else if text.contains(['\n', '\r']) {
        "has more than one line"
    } else if text.chars().any(char::is_control) {
        "holds a control character"
    } else if text.trim() != text {
        "begins or ends with a space"
    } else {
        return Ok(Zeroizing::new(text.to_owned()));
    };
    Err(refused(why).into())
}

/// Whether a value says that it was made for development.
pub(super) fn is_marked(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{LARGEST_FILE, check, is_marked};
    use crate::secrets::Kind;

    fn why(kind: Kind, bytes: &[u8]) -> String {
        check("x", kind, bytes).unwrap_err().chain().join(" ")
    }

    #[test]
    fn a_password_is_one_line() {
        let kept = |bytes: &[u8]| check("x", Kind::Password, bytes).unwrap().to_vec();
        assert_eq!(kept(b"p w\n"), b"p w");
        assert_eq!(kept(b"pw\r\n"), b"pw");
        for (bytes, wanted) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"hunter2\n\n", "more than one line"),
            (b"hunter2\nhunter3\n", "more than one line"),
            (b" hunter2", "begins or ends with a space"),
            (b"hunter2\0", "control character"),
            (b"hunter2\xff", "no UTF-8"),
            (&[b'h'; 513], "longer than 512"),
        ] {
            let told = why(Kind::Password, bytes);
            assert!(told.contains(wanted) && !told.contains("hunter"), "{told}");
        }
    }

    #[test]
    fn a_file_is_kept_byte_for_byte() {
        assert_eq!(*check("x", Kind::File, b"\0\xff\n\n").unwrap(), b"\0\xff\n\n");
        assert!(why(Kind::File, b"").contains("is empty"));
        assert!(why(Kind::File, &vec![1; LARGEST_FILE + 1]).contains("larger than"));
    }

    #[test]
    fn development_values_are_known_by_their_mark() {
        assert!(is_marked(b"dev-abc") && !is_marked(b"device"));
    }
}
