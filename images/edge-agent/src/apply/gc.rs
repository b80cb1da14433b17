//! Frees what no release needs: members of the store, folders that containers mounted, heads of old releases, leftover
//! containers, versions of secrets that were replaced. Images and networks go with the release that they were for. Never
//! volumes, values or the newest version of a secret.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::verify::read_head;
use xedge_model::Digest;
use xedge_model::atomic::WriteError;

use super::{Agent, PATIENCE, tidy};
use crate::home::StackHome;
use crate::records::{self, Lock};
use crate::state::StackState;
use crate::{Error, Result, secrets};

/// What was freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Bytes of files.
    pub bytes: u64,
    /// Files and folders.
    pub entries: u64,
}

/// Frees what no release needs. What is being received just now stays; a stack with an operation under way is left alone.
pub fn gc(agent: &Agent<'_>) -> Result<Freed> {
    let _lock = Lock::take(agent.home, agent.clock, PATIENCE)?;
    let mut freed = Freed::default();
    for stack in records::stacks(agent.home)? {
        let home = agent.stack(&stack);
        if records::load_journal(&home)?.is_none() {
            tidy::sweep(*agent, &home, &stack)?;
            freed.add(folders(&home, &records::load_state(&home)?)?);
        }
    }
    freed.add(store(*agent)?);
    Ok(freed)
}

/// Removes folders, heads and replaced versions of secrets of a stack that the state does not speak of.
pub(super) fn folders(home: &StackHome, state: &StackState) -> Result<Freed> {
    let mut freed = Freed::default();
    let mounts: BTreeSet<Utf8PathBuf> =
        tidy::releases(state).flat_map(|release| &release.mounts).map(|digest| home.mount(digest)).collect();
    for path in entries(&home.root().join("mounts"))? {
        if !mounts.contains(&path) {
            freed.add(remove(&path)?);
        }
    }
    let mut values: BTreeSet<Utf8PathBuf> = secrets::files(home)?.into_iter().collect();
    let mounted = tidy::releases(state).flat_map(|release| &release.secrets);
    values.extend(mounted.map(|(name, version)| home.secret(name, *version)));
    for path in entries(&home.secrets())? {
        if !values.contains(&path) {
            freed.add(remove(&path)?);
        }
    }
    let heads: BTreeSet<Utf8PathBuf> = tidy::releases(state).map(|release| home.head(release.seq)).collect();
    for path in entries(&home.root().join("releases"))? {
        if !heads.contains(&path) {
            freed.add(remove(&path)?);
        }
    }
    Ok(freed)
}

/// Removes members that no release keeps and no transfer under way may still want.
pub(super) fn store(agent: Agent<'_>) -> Result<Freed> {
    let mut freed = Freed::default();
    let mut needed = BTreeSet::new();
    for stack in records::stacks(agent.home)? {
        let home = agent.stack(&stack);
        needed
            .extend(tidy::releases(&records::load_state(&home)?).flat_map(|release| release.members.clone()));
        if records::load_journal(&home)?.is_some() {
            return Ok(freed);
        }
        needed.extend(arriving(&home.incoming())?.unwrap_or_default());
    }
    let kept: BTreeSet<Utf8PathBuf> =
        needed.iter().flat_map(|digest| [agent.home.member(digest), agent.home.partial(digest)]).collect();
    for path in entries(&agent.home.store())? {
        if !kept.contains(&path) {
            freed.add(remove(&path)?);
        }
    }
    Ok(freed)
}

/// The members of a bundle whose head has arrived. It need not be believed: it only keeps what is there.
fn arriving(head: &Utf8Path) -> Result<Option<Vec<Digest>>> {
    let file = match File::open(head) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path: head.to_owned(), source }),
    };
    Ok(read_head(file).ok().map(|head| {
        let plan = &head.plan;
        plan.names().map(|name| plan.target(name).hashes.sha256().clone()).collect()
    }))
}

fn entries(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    match folder.read_dir_utf8() {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path().to_owned()).map_err(failed)).collect()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

fn remove(path: &Utf8Path) -> Result<Freed> {
    let failed = |source| Error::Write(WriteError::new(path, source));
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if found.is_dir() {
        let mut freed = Freed { bytes: 0, entries: 1 };
        for inner in entries(path)? {
            freed.add(remove(&inner)?);
        }
        fs::remove_dir(path).map_err(failed)?;
        return Ok(freed);
    }
    fs::remove_file(path).map_err(failed)?;
    Ok(Freed { bytes: found.len(), entries: 1 })
}

impl Freed {
    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.entries += other.entries;
    }
}
