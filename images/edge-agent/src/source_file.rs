//! A bundle as a file or in a folder, such as on a stick: verified as a whole first, then staged, and hashed once more on the
//! way, since a medium may be another one by then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::{Offer, Verified, member, read_offer, tar, verify};
use xedge_model::atomic;

use crate::check::{self, Look};
use crate::staged::{missing, platform};
use crate::store::Store;
use crate::{Error, Result, TransferError, TrustStore};

/// How a bundle's file is called.
const EXTENSION: &str = "xedge";

/// The bundles of a path: the file itself, or of a folder the newest that this device may take of each stack, by stack. Files
/// that are refused are left aside, unless there is no other.
pub fn find(path: &Utf8Path, trust: &TrustStore, now: i64) -> Result<Vec<Utf8PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut newest: BTreeMap<String, (u64, u64, Utf8PathBuf)> = BTreeMap::new();
    let mut refused = None;
    for file in bundles(path)? {
        match offer(&file, trust, now) {
            Ok((offer, _)) => {
                let (stack, seq) = (offer.manifest().stack.clone(), offer.manifest().seq);
                let found = (seq, offer.timestamp_version(), file);
                if newest.get(&stack).is_none_or(|best| (best.0, best.1) < (found.0, found.1)) {
                    newest.insert(stack, found);
                }
            }
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    match (newest.is_empty(), refused) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(TransferError::NoBundle { folder: path.to_owned() }.into()),
        (false, _) => Ok(newest.into_values().map(|(_, _, file)| file).collect()),
    }
}

/// Verifies a file to its last byte.
pub fn verify_file(path: &Utf8Path, trust: &TrustStore, now: i64) -> Result<Verified> {
    let (offer, _) = offer(path, trust, now)?;
    let stack = &offer.manifest().stack;
    Ok(verify(open(path)?, &trust.trust(stack), now, &mut ())?)
}

/// Verifies a file, and brings its head and what the device lacks of it to where they are installed from. Gives the head.
/// What this device cannot take is refused before anything is read to its end or written.
pub fn stage(look: &Look<'_>, path: &Utf8Path, now: i64) -> Result<Utf8PathBuf> {
    let Look { home, engine, trust, .. } = *look;
    let (offer, length) = offer(path, trust, now)?;
    check::early(look, offer.manifest())?;
    let _verified = verify_file(path, trust, now)?;
    let head = home.stack(&offer.manifest().stack).incoming();
    let mut file = open(path)?;
    let copied = |to: &mut File| {
        let copied = io::copy(&mut file.by_ref().take(length), to)?;
        if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    atomic::write_with(&head, 0o600, copied)?;
    let (store, platform) = (Store::new(home), platform(engine)?);
    loop {
        let missing = missing(&offer, &store, platform, engine)?;
        if missing.members.is_empty() {
            return Ok(head);
        }
        check::room(home, engine, &missing.needs())?;
        for want in missing.members {
            let at = offset(&offer, length, &want.name) + want.from;
            let seek = file.seek(SeekFrom::Start(at));
            seek.map_err(|source| Error::Read { path: path.to_owned(), source })?;
            store.receive(&want.name, offer.plan().target(&want.name), want.from, &mut file)?;
        }
    }
}

/// Where the bytes of a member are: all that is before them has a length that is signed.
fn offset(offer: &Offer, head: u64, name: &str) -> u64 {
    let plan = offer.plan();
    let before = plan.names().filter(|found| *found != member::BUNDLE).take_while(|found| *found != name);
    let length = |name: &str| {
        let length = plan.target(name).length;
        tar::BLOCK as u64 + length + tar::padding(length) as u64
    };
    head + before.map(length).sum::<u64>() + tar::BLOCK as u64
}

/// What a file offers, and how long its head is.
fn offer(path: &Utf8Path, trust: &TrustStore, now: i64) -> Result<(Offer, u64)> {
    let stack = read_offer(open(path)?, &trust.trust_any(), now)?.manifest().stack.clone();
    let mut file = open(path)?;
    let offer = read_offer(&mut file, &trust.trust(&stack), now)?;
    let head = file.stream_position().map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok((offer, head))
}

fn bundles(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().map_err(read)? {
        let path = entry.map_err(read)?.into_path();
        let hidden = path.file_name().is_some_and(|name| name.starts_with('.'));
        if path.extension() == Some(EXTENSION) && path.is_file() && !hidden {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn open(path: &Utf8Path) -> Result<File> {
    File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
