//! The ar container of a .deb (deb(5), ar(5)), read strictly; what its members hold is not looked at here.

use std::io::{self, Read};

use super::invalid;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;
/// More than any package, less than what the ten digits could say.
const MAX_MEMBER: u64 = 4 << 30;

/// An open container, at the start of a member's header.
pub(super) struct Archive<R> {
    reader: R,
    /// What of the member at hand was not read yet.
    left: u64,
    /// Whether a byte of padding follows the member at hand.
    padded: bool,
}

/// The bytes of one member.
pub(super) struct Body<'a, R>(&'a mut Archive<R>);

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let archive = &mut *self.0;
        let count = (&mut archive.reader).take(archive.left).read(buffer)?;
        archive.left -= count as u64;
        Ok(count)
    }
}

/// One member's header.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    time: i64,
    size: u64,
}

impl Member {
    /// What follows `control.tar` or `data.tar`, for example `.xz`.
    pub(super) fn extension(&self) -> &str {
        self.name.split_once(".tar").map_or("", |(_, extension)| extension)
    }
}

impl<R: Read> Archive<R> {
    /// Checks the magic.
    pub(super) fn open(mut reader: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(invalid("this is not a Debian package"));
        }
        Ok(Self { reader, left: 0, padded: false })
    }

    /// Reads the first member, the format's version, and gives its time in Unix seconds.
    pub(super) fn version(&mut self) -> io::Result<i64> {
        let member = self.member()?;
        if member.name != "debian-binary" {
            return Err(invalid(format!("the first member is `{}`", member.name)));
        }
        let mut text = String::new();
        self.body(&member).take(16).read_to_string(&mut text)?;
        if text != "2.0\n" || member.size != 4 {
            return Err(invalid(format!("the format `{}` is not known", text.trim_end())));
        }
        self.end_member()?;
        Ok(member.time)
    }

    /// Reads the header of the next member, which must be the archive of that name.
    pub(super) fn tar(&mut self, name: &str) -> io::Result<Member> {
        let member = self.member()?;
        match member.name.strip_prefix(name) {
            Some("" | ".gz" | ".xz" | ".zst") => Ok(member),
            _ => Err(invalid(format!("the member `{}` stands where `{name}` must be", member.name))),
        }
    }

    /// The bytes of a member; to be read to their end before [`Self::end_member`].
    pub(super) fn body(&mut self, member: &Member) -> Body<'_, R> {
        self.left = member.size;
        self.padded = !member.size.is_multiple_of(2);
        Body(self)
    }

    /// Checks that the member was there to its end, and reads the byte that pads one of odd size.
    pub(super) fn end_member(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut pad = *b"\n";
        if self.padded {
            self.reader.read_exact(&mut pad)?;
        }
        if pad == *b"\n" { Ok(()) } else { Err(invalid("a member is longer than its header says")) }
    }

    /// Checks that nothing follows.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match io::copy(&mut (&mut self.reader).take(1), &mut io::sink())? {
            0 => Ok(()),
            _ => Err(invalid("there is data after the last member")),
        }
    }

    fn member(&mut self) -> io::Result<Member> {
        let mut header = [0; HEADER];
        self.reader.read_exact(&mut header)?;
        parse(&header).ok_or_else(|| invalid("a member's header is broken"))
    }
}

/// Name, time, owner, group, mode, size and an end mark, in columns that are filled up with blanks.
fn parse(header: &[u8; HEADER]) -> Option<Member> {
    let text = std::str::from_utf8(header).ok()?;
    let column = |from: usize, to: usize| text.get(from..to).map(|column| column.trim_end_matches(' '));
    let name = column(0, 16)?;
    let name = name.strip_suffix('/').unwrap_or(name).to_owned();
    let time = i64::try_from(number(column(16, 28)?)?).ok()?;
    let size = number(column(48, 58)?)?;
    (text.ends_with("`\n") && size <= MAX_MEMBER).then_some(Member { name, time, size })
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}
