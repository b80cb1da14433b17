//! Reading a .deb (deb(5)) as a stream: control data first, then each file to a visitor; nothing is written to disk.
//!
//! Maintainer scripts are listed, never run. Paths are names for an image's layer: whoever unpacks them on a real file
//! system must not follow links on the way. Hostile input is an integrity error, found before the visitor sees it
//! where that can be; a short or damaged stream shows at the latest at the end, so that a visitor's results count
//! only when [`read`] has returned.

use std::io::{self, BufRead, BufReader, Read};

use camino::Utf8PathBuf;

use crate::Error;

mod ar;
mod decode;
mod files;

/// The largest unpacked data member, in bytes; Debian's largest packages have about 5 GB.
const MAX_DATA: u64 = 8 << 30;
/// The largest unpacked control member, in bytes.
const MAX_CONTROL: u64 = 64 << 20;
/// The largest `control` or `md5sums` file, in bytes.
const MAX_TEXT: u64 = 16 << 20;

const BUFFER: usize = 64 << 10;

/// What a package says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebControl {
    /// The `control` file, as it is.
    pub control: String,
    /// The `md5sums` file, if there is one.
    pub md5sums: Option<String>,
    /// Names of the maintainer scripts, ordered; they do not run in an image that is assembled.
    pub scripts: Vec<String>,
    /// When the package was built, in Unix seconds: the time in the header of the first member.
    pub date_unix: i64,
}

/// One entry of a package's data.
pub struct DataEntry<'a> {
    /// Path relative to the root, without a leading `./` and a final slash; no `.` or `..` in it.
    pub path: Utf8PathBuf,
    /// What it is.
    pub kind: Kind<'a>,
    /// Number of the owner.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
}

/// The kinds of entries that are accepted. Modes are permission bits, with set-user-id, set-group-id and sticky.
pub enum Kind<'a> {
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Size in bytes.
        size: u64,
        /// The content: `size` bytes, or an error. What is left unread is skipped.
        reader: &'a mut dyn Read,
    },
    /// A folder.
    Dir {
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link and its target as it stands there: absolute, or relative to the link's folder.
    Symlink(String),
    /// A second name of a file that came earlier in the same package.
    Hardlink(Utf8PathBuf),
}

/// Reads a package from its first to its last byte. `file` names it in errors.
pub fn read<E: From<Error>>(
    file: &str,
    reader: impl Read,
    visit: impl FnMut(DataEntry<'_>) -> Result<(), E>,
) -> Result<DebControl, E> {
    let broken = |error: io::Error| E::from(Error::reading(file, error));
    let mut archive = ar::Archive::open(reader).map_err(broken)?;
    let date_unix = archive.version().map_err(broken)?;
    let control = control(file, &mut archive)?;
    let member = archive.tar("data.tar").map_err(broken)?;
    let content = member_content(&mut archive, &member).map_err(broken)?;
    let rest = files::walk(file, content, MAX_DATA, visit)?;
    rest.finish().map_err(broken)?;
    archive.end_member().map_err(broken)?;
    archive.finish().map_err(broken)?;
    Ok(DebControl { date_unix, ..control })
}

fn control<R: Read>(file: &str, archive: &mut ar::Archive<R>) -> Result<DebControl, Error> {
    let broken = |error: io::Error| Error::reading(file, error);
    let member = archive.tar("control.tar").map_err(broken)?;
    let content = member_content(archive, &member).map_err(broken)?;
    let (mut control, mut md5sums, mut scripts) = (None, None, Vec::new());
    let rest = files::walk(file, content, MAX_CONTROL, |entry| {
        let Kind::File { size, reader, .. } = entry.kind else { return Ok(()) };
        match entry.path.as_str() {
            "control" => control = Some(text(size, reader).map_err(broken)?),
            "md5sums" => md5sums = Some(text(size, reader).map_err(broken)?),
            name @ ("preinst" | "postinst" | "prerm" | "postrm" | "config") => scripts.push(name.to_owned()),
            _ => (),
        }
        Ok::<(), Error>(())
    })?;
    rest.finish().map_err(broken)?;
    archive.end_member().map_err(broken)?;
    scripts.sort();
    let control = control.ok_or_else(|| Error::malformed(file, "it has no control file"))?;
    Ok(DebControl { control, md5sums, scripts, date_unix: 0 })
}

fn text(size: u64, reader: &mut dyn Read) -> io::Result<String> {
    if size > MAX_TEXT {
        return Err(invalid(format!("a text of {size} bytes is too long")));
    }
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok(text)
}

/// The decompressed content of the member that the archive stands at.
fn member_content<'a, R: Read>(
    archive: &'a mut ar::Archive<R>,
    member: &ar::Member,
) -> io::Result<decode::Decoder<BufReader<ar::Body<'a, R>>>> {
    decode::Decoder::new(member.extension(), BufReader::with_capacity(BUFFER, archive.body(member)))
}

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

/// An error unless `reader` is at its end.
fn expect_end(reader: &mut impl BufRead) -> io::Result<()> {
    match reader.fill_buf()? {
        [] => Ok(()),
        _ => Err(invalid("there is data after the end")),
    }
}

#[cfg(test)]
mod tests;
