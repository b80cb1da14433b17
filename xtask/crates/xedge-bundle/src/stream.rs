//! A tar file as it passes: headers, bytes, padding, end (FORMAT.md §2). Holds one buffer and never goes back.

use std::io::{self, Read};

use crate::member::{self, Kind};
use crate::refusal::{Code, ReadError, Refusal};
use crate::tar::{self, BLOCK};

/// What is read at once, in bytes.
const BUFFER: usize = 1 << 20;
/// The name of what follows the last member, in refusals.
const END: &str = "end of file";

/// A bundle that is being read.
pub(crate) struct Stream<R> {
    reader: R,
    buffer: Vec<u8>,
    seen: Vec<String>,
}

impl<R: Read> Stream<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; BUFFER], seen: Vec::new() }
    }

    /// The header of a member whose name is one of `expected` and whose size is not known yet. A later root means that the
    /// first of these is missing, any other member that the last is.
    pub(crate) fn open(&mut self, expected: &[&str]) -> Result<(String, u64), ReadError> {
        let likely = expected.last().copied().unwrap_or(END);
        let block = self.block(likely)?;
        match tar::parse(&block) {
            Some((name, size)) if expected.contains(&name.as_str()) => {
                self.seen.push(name.clone());
                Ok((name, size))
            }
            found => {
                let due = match &found {
                    None => nearest(expected, &block),
                    Some((name, _)) if is_root(name) => expected.first().copied().unwrap_or(END),
                    Some(_) => likely,
                };
                Err(self.misplaced(found, due, |_| true).into())
            }
        }
    }

    /// The header of the first root, whose version is not known yet.
    pub(crate) fn open_root(&mut self) -> Result<(String, u64), ReadError> {
        let name = "N.root.json";
        let block = self.block(name)?;
        match tar::parse(&block) {
            Some((name, size)) if is_root(&name) => {
                self.seen.push(name.clone());
                Ok((name, size))
            }
            found => Err(self.misplaced(found, name, |_| true).into()),
        }
    }

    /// The header of exactly this member; `known` says which names the bundle has.
    pub(crate) fn expect(
        &mut self,
        name: &str,
        size: u64,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), ReadError> {
        let block = self.block(name)?;
        if block != tar::header(name, size) {
            return Err(self.misplaced(tar::parse(&block), name, known).into());
        }
        self.seen.push(name.to_owned());
        Ok(())
    }

    /// Passes the bytes of a member on as they come, and then the padding.
    pub(crate) fn body(
        &mut self,
        name: &str,
        size: u64,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReadError> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            let count = match self.reader.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(truncated(name).into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ReadError::Io { member: name.to_owned(), source }),
            };
            each(&self.buffer[..count])
                .map_err(|source| ReadError::Io { member: name.to_owned(), source })?;
            left -= count as u64;
        }
        self.padding(name, size)
    }

    /// Reads the end blocks, and makes sure that nothing follows.
    pub(crate) fn end(&mut self, known: impl Fn(&str) -> bool) -> Result<(), ReadError> {
        for _ in 0..2 {
            let block = self.block(END)?;
            if let Some(found) = tar::parse(&block) {
                return Err(self.misplaced(Some(found), END, known).into());
            }
            if !is_zero(&block) {
                let reason = "it is not two blocks of zero bytes";
                return Err(Refusal::new(Code::TarHeader, END, reason).into());
            }
        }
        match self.fill(END, &mut [0])? {
            0 => Ok(()),
            _ => Err(Refusal::new(Code::TrailingBytes, END, "something follows it").into()),
        }
    }

    fn block(&mut self, name: &str) -> Result<[u8; BLOCK], ReadError> {
        let mut block = [0; BLOCK];
        if self.fill(name, &mut block)? == BLOCK { Ok(block) } else { Err(truncated(name).into()) }
    }

    fn padding(&mut self, name: &str, size: u64) -> Result<(), ReadError> {
        let mut block = [0; BLOCK];
        let padding = &mut block[..tar::padding(size)];
        if self.fill(name, padding)? < padding.len() {
            return Err(truncated(name).into());
        }
        if is_zero(padding) {
            return Ok(());
        }
        Err(Refusal::new(Code::Padding, name, "the bytes after it are not zero").into())
    }

    /// Reads as many bytes as there are, up to the length of `to`.
    fn fill(&mut self, name: &str, to: &mut [u8]) -> Result<usize, ReadError> {
        let mut done = 0;
        while done < to.len() {
            match self.reader.read(&mut to[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Io { member: name.to_owned(), source }),
            }
        }
        Ok(done)
    }

    /// Why the header that was found is not the expected one.
    fn misplaced(
        &self,
        found: Option<(String, u64)>,
        expected: &str,
        known: impl Fn(&str) -> bool,
    ) -> Refusal {
        let Some((name, size)) = found else {
            let reason = "its header is not the one that a member of its name and size has";
            return Refusal::new(Code::TarHeader, expected, reason);
        };
        if name == expected {
            let reason = format!("its header says {size} bytes, which the signed list does not");
            return Refusal::new(Code::TarHeader, expected, reason);
        }
        if self.seen.contains(&name) {
            let reason = format!("it is there a second time, where {expected} must be");
            return Refusal::new(Code::MemberOrder, name, reason);
        }
        if member::kind_of(&name).is_none() || !known(&name) {
            let reason = format!("no such member belongs here, but {expected} does");
            return Refusal::new(Code::MemberUnknown, name, reason);
        }
        Refusal::new(Code::MemberMissing, expected, format!("{name} stands in its place"))
    }
}

/// The bytes of a small member in memory. The length was limited before.
pub(crate) fn held<R: Read>(stream: &mut Stream<R>, name: &str, size: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    stream.body(name, size, |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })?;
    Ok(bytes)
}

/// Refuses a member that is longer than it may be.
pub(crate) fn limit(name: &str, size: u64, most: usize) -> Result<(), Refusal> {
    if usize::try_from(size).is_ok_and(|size| size <= most) {
        return Ok(());
    }
    Err(Refusal::new(Code::Limits, name, format!("{size} bytes are more than the {most} that it may have")))
}

/// Which of the names a damaged header most likely had.
fn nearest<'a>(expected: &[&'a str], block: &[u8; BLOCK]) -> &'a str {
    let distance =
        |name: &&&str| tar::header(name, 0)[..100].iter().zip(block).filter(|(a, b)| a != b).count();
    expected.iter().min_by_key(distance).copied().unwrap_or(END)
}

fn is_root(name: &str) -> bool {
    matches!(member::kind_of(name), Some(Kind::Root(_)))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn truncated(name: &str) -> Refusal {
    Refusal::new(Code::Truncated, name, "the file ends before it does")
}
