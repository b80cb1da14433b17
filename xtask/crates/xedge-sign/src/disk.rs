//! Private files: read only if nobody else can read them, written whole and never over another one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use camino::Utf8Path;
use p256::elliptic_curve::zeroize::Zeroizing;

use crate::Error;

/// Far more than a key file has.
const MAX_BYTES: usize = 16 << 10;
const PRIVATE: u32 = 0o600;

/// The bytes of a file that nobody else can read.
pub(crate) fn read_private(path: &Utf8Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let fail = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    // Asked of the open file: what is checked is what is read.
    let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode });
    }
    // With room for all of it from the start: a buffer that grows leaves copies behind that are not wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(fail)?;
    if text.len() > MAX_BYTES {
        let problem = format!("it is longer than the {MAX_BYTES} bytes that a key file may have");
        return Err(Error::NotAKeyFile { path: path.to_owned(), problem });
    }
    Ok(text)
}

/// Like `xedge_model::atomic::write`, but of two processes that make a key at once only one wins.
pub(crate) fn write_new(path: &Utf8Path, text: &[u8]) -> Result<(), Error> {
    try_write_new(path, text).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::Write { path: path.to_owned(), source },
    })
}

fn try_write_new(path: &Utf8Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = tempfile::Builder::new()
        .prefix(".key-")
        .permissions(fs::Permissions::from_mode(PRIVATE))
        .tempfile_in(folder)?;
    beside.write_all(text)?;
    beside.as_file().sync_all()?;
    beside.persist_noclobber(path).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}
