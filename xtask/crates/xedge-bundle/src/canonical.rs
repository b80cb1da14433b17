//! The one way to write TUF metadata (FORMAT.md §3): a strict check of bytes, and a serialiser. Builds no value tree:
//! bytes that pass the check have one meaning for every JSON reader.
//!
//! For these values the form is the same as OLPC canonical JSON, so any TUF client hashes the same bytes.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

/// How deep objects and arrays may be nested.
pub const MAX_DEPTH: usize = 16;

/// Bytes that are not canonical JSON, and where that shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {problem}")]
pub struct NotCanonical {
    /// Offset of the byte from which on it is wrong.
    pub at: usize,
    /// What is wrong.
    pub problem: &'static str,
}

/// A value that has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to write metadata: {0}")]
pub struct Unfit(String);

/// Where the two parts of a metadata file lie in its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The value of `signatures`.
    pub signatures: Range<usize>,
    /// The value of `signed`: the bytes that signatures are over.
    pub signed: Range<usize>,
}

/// Checks that the bytes are one canonical value and nothing else.
pub fn check(bytes: &[u8]) -> Result<(), NotCanonical> {
    let mut parser = Parser { bytes, at: 0 };
    parser.value(0)?;
    parser.end()
}

/// Checks that the bytes are a canonical object of `signatures` and `signed`, and says where these lie.
pub fn parts(bytes: &[u8]) -> Result<Parts, NotCanonical> {
    let mut parser = Parser { bytes, at: 0 };
    let signatures = parser.part(br#"{"signatures":"#)?;
    let signed = parser.part(br#","signed":"#)?;
    parser.literal(b"}", "expected `}`")?;
    parser.end()?;
    Ok(Parts { signatures, signed })
}

/// The canonical bytes of a value; refuses null, negative numbers, fractions, and text that is not printable ASCII.
pub fn to_bytes(value: &Value) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    write(value, &mut bytes)?;
    check(&bytes).map_err(|error| Unfit(error.to_string()))?;
    Ok(bytes)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, problem: &'static str) -> Result<T, NotCanonical> {
        Err(NotCanonical { at: self.at, problem })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn literal(&mut self, text: &[u8], problem: &'static str) -> Result<(), NotCanonical> {
        if !self.bytes[self.at..].starts_with(text) {
            return self.fail(problem);
        }
        self.at += text.len();
        Ok(())
    }

    fn end(&self) -> Result<(), NotCanonical> {
        if self.at == self.bytes.len() { Ok(()) } else { self.fail("something follows the value") }
    }

    fn part(&mut self, before: &[u8]) -> Result<Range<usize>, NotCanonical> {
        self.literal(before, "expected an object of `signatures` and `signed`")?;
        let start = self.at;
        self.value(1)?;
        Ok(start..self.at)
    }

    fn value(&mut self, depth: usize) -> Result<(), NotCanonical> {
        if depth >= MAX_DEPTH {
            return self.fail("nested too deep");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b'0'..=b'9') => self.integer(),
            Some(b't') => self.literal(b"true", "expected `true`"),
            Some(b'f') => self.literal(b"false", "expected `false`"),
            _ => self.fail("expected an object, an array, a string, a whole number, `true` or `false`"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.closes(b'}') {
            return Ok(());
        }
        let mut last: Option<Vec<u8>> = None;
        loop {
            let key_at = self.at;
            let key = self.string()?;
            if last.is_some_and(|last| last >= key) {
                let problem = "keys are not sorted, or one is there twice";
                return Err(NotCanonical { at: key_at, problem });
            }
            last = Some(key);
            self.literal(b":", "expected `:`")?;
            self.value(depth + 1)?;
            if self.closes(b'}') {
                return Ok(());
            }
            self.literal(b",", "expected `,` or `}`")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.closes(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if self.closes(b']') {
                return Ok(());
            }
            self.literal(b",", "expected `,` or `]`")?;
        }
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// Reads a string and gives what it says, which is what keys are sorted by.
    fn string(&mut self) -> Result<Vec<u8>, NotCanonical> {
        self.literal(b"\"", "expected a string")?;
        let mut text = Vec::new();
        loop {
            match (self.peek(), self.bytes.get(self.at + 1)) {
                (Some(b'"'), _) => {
                    self.at += 1;
                    return Ok(text);
                }
                (Some(b'\\'), Some(escaped @ (b'"' | b'\\'))) => {
                    text.push(*escaped);
                    self.at += 2;
                }
                (Some(b'\\'), _) => return self.fail("an escape other than of `\"` and `\\`"),
                (Some(byte @ b' '..=b'~'), _) => {
                    text.push(byte);
                    self.at += 1;
                }
                _ => return self.fail("a string holds only printable ASCII, and ends"),
            }
        }
    }

    fn integer(&mut self) -> Result<(), NotCanonical> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = &self.bytes[start..self.at];
        if digits.len() > 1 && digits[0] == b'0' {
            return Err(NotCanonical { at: start, problem: "a number starts with 0" });
        }
        let fits = std::str::from_utf8(digits).is_ok_and(|text| text.parse::<u64>().is_ok());
        if fits { Ok(()) } else { Err(NotCanonical { at: start, problem: "a number of more than 64 bits" }) }
    }
}

fn write(value: &Value, to: &mut Vec<u8>) -> Result<(), Unfit> {
    match value {
        Value::Bool(value) => to.extend_from_slice(value.to_string().as_bytes()),
        Value::Number(number) => match number.as_u64() {
            Some(number) => to.extend_from_slice(number.to_string().as_bytes()),
            None => return Err(Unfit(format!("{number} is not a whole number from 0 on"))),
        },
        Value::String(text) => write_string(text, to)?,
        Value::Array(items) => write_list(items, *b"[]", to, write)?,
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            write_list(sorted, *b"{}", to, |(key, value), to| {
                write_string(key, to)?;
                to.push(b':');
                write(value, to)
            })?;
        }
        Value::Null => return Err(Unfit("null has no canonical form".to_owned())),
    }
    Ok(())
}

fn write_list<T>(
    items: impl IntoIterator<Item = T>,
    brackets: [u8; 2],
    to: &mut Vec<u8>,
    each: impl Fn(T, &mut Vec<u8>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    to.push(brackets[0]);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        each(item, to)?;
    }
    to.push(brackets[1]);
    Ok(())
}

fn write_string(text: &str, to: &mut Vec<u8>) -> Result<(), Unfit> {
    to.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => to.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => to.push(byte),
            _ => return Err(Unfit(format!("`{}` is not printable ASCII", text.escape_debug()))),
        }
    }
    to.push(b'"');
    Ok(())
}
