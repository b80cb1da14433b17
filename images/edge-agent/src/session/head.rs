//! The head of a bundle on its way in: kept beside whatever it is, judged, and moved to its stack.

use std::fs::{self, File};
use std::io::{self, Read, Write};

use camino::Utf8PathBuf;
use xedge_bundle::{Manifest, Offer};
use xedge_model::atomic::WriteError;
use xedge_model::{Digest, Hasher};

use crate::home::StackHome;
use crate::staged::read_head;
use crate::{Error, Home, Result, TransferError, TrustStore};

/// The longest head: roots, the other metadata and `bundle.json` at their limits (FORMAT.md §3), and their tar headers.
pub(crate) const MAX: u64 = (4 << 20) + (16 << 10) + (16 << 10) + (8 << 20) + (4 << 20) + (2 << 20);

/// A head that nobody has judged. Its file goes unless it is placed.
pub(crate) struct Kept {
    path: Utf8PathBuf,
    digest: Digest,
}

/// Writes what comes to a file of this process, and reads on to the end also where that fails.
pub(crate) fn keep(home: &Home, input: &mut dyn Read, bytes: u64) -> Result<Kept> {
    if bytes > MAX {
        return Err(TransferError::TooLong { what: "the head".to_owned(), bytes, most: MAX }.into());
    }
    let path = home.root().join(format!("incoming-{}", std::process::id()));
    let failed = |source| WriteError::new(&path, source);
    fs::create_dir_all(home.root()).map_err(failed)?;
    let mut file = File::create(&path).map_err(failed)?;
    let mut kept = Kept { path: path.clone(), digest: Digest::of(b"") };
    let (mut left, mut hasher, mut buffer) = (bytes, Hasher::new(), vec![0; 64 << 10]);
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = input.read(&mut buffer[..most]).and_then(|count| match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        });
        let count = count.map_err(|source| Error::Bundle { member: "head".to_owned(), source })?;
        file.write_all(&buffer[..count]).map_err(failed)?;
        hasher.update(&buffer[..count]);
        left -= count as u64;
    }
    file.sync_all().map_err(failed)?;
    kept.digest = hasher.finish();
    Ok(kept)
}

/// Where the head that was sent here still lies: in its stack as the one that comes, or with the release that runs, where another
/// session has installed it meanwhile.
pub(crate) fn find(stack: &StackHome, head: &Digest, manifest: &Manifest) -> Result<Utf8PathBuf> {
    for path in [stack.incoming(), stack.head(manifest.seq)] {
        match File::open(&path).and_then(|mut file| Digest::of_reader(&mut file)) {
            Ok(found) if found == *head => return Ok(path),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Read { path, source }),
        }
    }
    Err(TransferError::Replaced { stack: manifest.stack.clone() }.into())
}

impl Kept {
    /// What it offers, and its digest.
    pub(crate) fn judge(&self, trust: &TrustStore, now: i64) -> Result<(Offer, Digest)> {
        Ok((read_head(&self.path, trust, now)?, self.digest.clone()))
    }

    /// Makes it the head that its stack is about to install.
    pub(crate) fn place(&self, stack: &StackHome) -> Result<()> {
        let path = stack.incoming();
        let failed = |source| Error::from(WriteError::new(&path, source));
        fs::create_dir_all(stack.root()).map_err(failed)?;
        fs::rename(&self.path, &path).map_err(failed)?;
        File::open(stack.root()).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It was placed, or it goes; a file that stays is overwritten by the next process of that number.
        let _gone = fs::remove_file(&self.path);
    }
}
