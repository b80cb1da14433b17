//! The entries of a tar inside a .deb, checked one by one; the tar format itself is the `tar` crate's business.

use std::collections::BTreeMap;
use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use tar::EntryType;

use super::{DataEntry, Kind, invalid};
use crate::Error;

/// A tar ends with two blocks of zeros (POSIX ustar).
const END_MARK: u64 = 1024;

/// Hands each entry to `visit`, then checks that the tar has a proper end, and gives its reader back.
pub(super) fn walk<R: Read, E: From<Error>>(
    file: &str,
    reader: R,
    limit: u64,
    mut visit: impl FnMut(DataEntry<'_>) -> Result<(), E>,
) -> Result<R, E> {
    let broken = |error: io::Error| E::from(Error::reading(file, error));
    let mut archive = tar::Archive::new(Tail { reader, left: limit, zeros: 0 });
    let mut seen = Seen::default();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let Some(head) = Head::of(&entry, &mut seen).map_err(broken)? else { continue };
        let mut content = Content { left: entry.size(), reader: &mut entry };
        visit(head.with(&mut content))?;
    }
    archive.into_inner().finish().map_err(broken)
}

/// What a header says, before the content is there.
struct Head {
    path: Utf8PathBuf,
    kind: HeadKind,
    mode: u32,
    uid: u32,
    gid: u32,
}

enum HeadKind {
    File(u64),
    Dir,
    Symlink(String),
    Hardlink(Utf8PathBuf),
}

impl Head {
    /// `None` for the root folder, which every package has.
    fn of<R: Read>(entry: &tar::Entry<'_, R>, seen: &mut Seen) -> io::Result<Option<Self>> {
        let header = entry.header();
        let raw = entry.path_bytes();
        let raw = text(&raw)?;
        let kind = header.entry_type();
        let Some(path) = normal(raw)? else {
            let root = kind == EntryType::Directory;
            return if root { Ok(None) } else { Err(invalid("the root is not a folder")) };
        };
        let link = || {
            let target =
                entry.link_name_bytes().ok_or_else(|| invalid(format!("`{path}` links to nothing")))?;
            text(&target).map(str::to_owned)
        };
        let kind = match kind {
            EntryType::Regular if !raw.ends_with('/') => HeadKind::File(entry.size()),
            EntryType::Directory => HeadKind::Dir,
            EntryType::Symlink => HeadKind::Symlink(target(&path, link()?)?),
            EntryType::Link => HeadKind::Hardlink(seen.file(&path, &link()?)?),
            other => return Err(invalid(format!("`{path}` is neither file, folder nor link ({other:?})"))),
        };
        seen.add(&path, &kind)?;
        let id =
            |number: u64| u32::try_from(number).map_err(|_| invalid(format!("`{path}` has no real owner")));
        let (uid, gid) = (id(header.uid()?)?, id(header.gid()?)?);
        Ok(Some(Self { kind, mode: header.mode()? & 0o7777, uid, gid, path }))
    }

    fn with(self, reader: &mut dyn Read) -> DataEntry<'_> {
        let kind = match self.kind {
            HeadKind::File(size) => Kind::File { mode: self.mode, size, reader },
            HeadKind::Dir => Kind::Dir { mode: self.mode },
            HeadKind::Symlink(target) => Kind::Symlink(target),
            HeadKind::Hardlink(path) => Kind::Hardlink(path),
        };
        DataEntry { path: self.path, kind, uid: self.uid, gid: self.gid }
    }
}

/// UTF-8 without control characters, NUL included: what every name in Debian is.
fn text(bytes: &[u8]) -> io::Result<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| {
        invalid(format!("`{}` is no name for a file", String::from_utf8_lossy(bytes).escape_debug()))
    })
}

/// A path without `./` and final slash; `None` for the root itself.
fn normal(raw: &str) -> io::Result<Option<Utf8PathBuf>> {
    let path = if raw == "." { "" } else { raw.strip_prefix("./").unwrap_or(raw) };
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() && raw.starts_with('.') {
        return Ok(None);
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(invalid(format!("the path `{raw}` is absolute or leads elsewhere")));
    }
    Ok(Some(path.into()))
}

fn target(path: &Utf8Path, target: String) -> io::Result<String> {
    if target.is_empty() { Err(invalid(format!("`{path}` links to nothing"))) } else { Ok(target) }
}

/// The paths so far, and what they are: a path has one meaning only, and only folders have something below them.
#[derive(Default)]
struct Seen(BTreeMap<Utf8PathBuf, Meaning>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    File,
    Dir,
    Symlink,
}

impl Seen {
    fn add(&mut self, path: &Utf8Path, kind: &HeadKind) -> io::Result<()> {
        let not_a_folder = |parent: &&Utf8Path| self.0.get(*parent).is_some_and(|m| *m != Meaning::Dir);
        if let Some(parent) = path.ancestors().skip(1).find(not_a_folder) {
            return Err(invalid(format!("`{path}` lies below `{parent}`, which is not a folder")));
        }
        let meaning = match kind {
            HeadKind::File(_) | HeadKind::Hardlink(_) => Meaning::File,
            HeadKind::Dir => Meaning::Dir,
            HeadKind::Symlink(_) => Meaning::Symlink,
        };
        match self.0.insert(path.to_owned(), meaning) {
            None => Ok(()),
            Some(_) => Err(invalid(format!("`{path}` is there twice"))),
        }
    }

    /// The earlier file that a hard link names.
    fn file(&self, path: &Utf8Path, target: &str) -> io::Result<Utf8PathBuf> {
        let known = |target: &Utf8PathBuf| self.0.get(target) == Some(&Meaning::File);
        let wrong = || invalid(format!("`{path}` is a hard link to `{target}`, which is no earlier file"));
        normal(target)?.filter(known).ok_or_else(wrong)
    }
}

/// The content of one entry, which ends after its size and not before.
struct Content<'a, R> {
    reader: &'a mut R,
    left: u64,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Counts what the tar crate reads: bytes against a limit, and the zeros at the end, which it does not ask for.
struct Tail<R> {
    reader: R,
    left: u64,
    zeros: u64,
}

impl<R: Read> Tail<R> {
    fn finish(mut self) -> io::Result<R> {
        let mut rest = [0; 4096];
        loop {
            match self.read(&mut rest)? {
                0 if self.zeros >= END_MARK => return Ok(self.reader),
                0 => return Err(invalid("the archive inside is cut off")),
                count if rest[..count].iter().all(|byte| *byte == 0) => (),
                _ => return Err(invalid("there is data after the end of the archive inside")),
            }
        }
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left =
            self.left.checked_sub(count as u64).ok_or_else(|| invalid("the archive inside is too large"))?;
        match buffer[..count].iter().rposition(|byte| *byte != 0) {
            Some(last) => self.zeros = (count - 1 - last) as u64,
            None => self.zeros += count as u64,
        }
        Ok(count)
    }
}
