//! A tar archive member by member, with bounded memory whatever its headers say. Knows nothing of images.

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

const BLOCK: usize = 512;
/// Longest pax record set, and longest name in an extension header.
const MAX_EXTENSION: u64 = 1 << 20;

/// One member, without its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Name as written, extension headers applied.
    pub(super) path: String,
    /// Link target as written, or empty.
    pub(super) link: String,
    pub(super) kind: EntryType,
    /// Length of the content in bytes.
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
}

/// Goes through an archive. Cut off: [`io::ErrorKind::UnexpectedEof`]; not a tar: [`io::ErrorKind::InvalidData`].
pub(super) struct Walk<R> {
    reader: R,
    /// Bytes of the member's content that were not read yet.
    left: u64,
    padding: u64,
    /// Whether an archive may end without its two empty blocks.
    lenient: bool,
}

/// What extension headers say about the member after them.
#[derive(Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    mtime: Option<i64>,
}

impl<R: Read> Walk<R> {
    /// An archive that must have its end mark: one that is cut between two members is told.
    pub(super) fn strict(reader: R) -> Self {
        Self { reader, left: 0, padding: 0, lenient: false }
    }

    /// An archive whose bytes are checked by digest anyway.
    pub(super) fn lenient(reader: R) -> Self {
        Self { lenient: true, ..Self::strict(reader) }
    }

    /// The next member; `None` at the end mark.
    pub(super) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut extension = Extension::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = header.entry_size()?;
            match kind {
                EntryType::XHeader => self.read_pax(size, &mut extension)?,
                EntryType::GNULongName => extension.path = Some(self.long_name(size)?),
                EntryType::GNULongLink => extension.link = Some(self.long_name(size)?),
                EntryType::XGlobalHeader => self.expect(size),
                EntryType::GNUSparse => return Err(bad("it has a sparse file")),
                _ => {
                    let member = member(&header, extension, size);
                    self.expect(member.size);
                    return Ok(Some(member));
                }
            }
        }
    }

    /// The content of the member that came last.
    pub(super) fn body(&mut self) -> Body<'_, R> {
        Body { walk: self }
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip(&mut self) -> io::Result<()> {
        let wanted = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.reader).take(wanted), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK];
        match fill(&mut self.reader, &mut block)? {
            0 if self.lenient => return Ok(None),
            BLOCK => {}
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        if block == [0; BLOCK] {
            return Ok(None);
        }
        if !is_header(&block) {
            return Err(bad("a header's checksum is wrong"));
        }
        Ok(Some(Header::from_byte_slice(&block).clone()))
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(bad("a name is too long"));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.body().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> io::Result<String> {
        let bytes = self.extension(size)?;
        Ok(text(bytes.split(|byte| *byte == 0).next().unwrap_or_default()))
    }

    fn read_pax(&mut self, size: u64, into: &mut Extension) -> io::Result<()> {
        let bytes = self.extension(size)?;
        for record in PaxExtensions::new(&bytes) {
            let record = record?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => into.path = Some(text(value)),
                b"linkpath" => into.link = Some(text(value)),
                b"size" => into.size = Some(number(value).ok_or_else(|| bad("a size is no number"))?),
                b"mtime" => into.mtime = number(value.split(|byte| *byte == b'.').next().unwrap_or_default()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn member(header: &Header, extension: Extension, size: u64) -> Member {
    let kind = header.entry_type();
    // Whatever their header says, these have no content (POSIX, ustar interchange format).
    let is_empty = kind.is_dir()
        || kind.is_symlink()
        || kind.is_hard_link()
        || kind.is_character_special()
        || kind.is_block_special()
        || kind.is_fifo();
    Member {
        path: extension.path.unwrap_or_else(|| text(&header.path_bytes())),
        link: extension.link.unwrap_or_else(|| text(&header.link_name_bytes().unwrap_or_default())),
        kind,
        size: if is_empty { 0 } else { extension.size.unwrap_or(size) },
        mtime: extension
            .mtime
            .unwrap_or_else(|| header.mtime().ok().and_then(|t| t.try_into().ok()).unwrap_or(0)),
    }
}

/// The content of one member; ends where it ends, and fails where the archive ends before it.
pub(super) struct Body<'a, R> {
    walk: &'a mut Walk<R>,
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.walk.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if room == 0 {
            return Ok(0);
        }
        let read = self.walk.reader.read(&mut buffer[..room])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.walk.left -= read as u64;
        Ok(read)
    }
}

/// Reads until the buffer is full or the reader ends; returns how much there was.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether a block is a member's header: its checksum is right. An archive of nothing has an empty block first.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.first_chunk::<BLOCK>() else { return false };
    let sum = |range: std::ops::Range<usize>| block[range].iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The checksum counts its own eight bytes as spaces.
    let wanted = sum(0..148) + 8 * 32 + sum(156..BLOCK);
    Header::from_byte_slice(block).cksum().is_ok_and(|found| found == wanted)
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}
