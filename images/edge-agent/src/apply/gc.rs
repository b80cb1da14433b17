//! Frees what no release needs: members of the store, folders that containers mounted, heads of old releases, leftover
//! containers, versions of secrets that were replaced, images of a release that did not come, files that a killed process left.
//! Networks and other images go with the release that they were for. Never volumes, values or the newest version of a secret.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::verify::read_head;
use xedge_model::Digest;
use xedge_model::atomic::WriteError;

use super::{Agent, PATIENCE, heads, tidy};
use crate::home::StackHome;
use crate::records::{self, Lock};
use crate::state::StackState;
use crate::{Error, Result, secrets};

/// How names of files begin that are written beside another one, to take its place.
const ATOMIC: &str = ".write-";
/// Seconds after which nobody is at work any more on a file that only exists for the moment.
const AT_WORK: i64 = 3600;

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
            let state = records::load_state(&home)?;
            freed.add(abandoned(*agent, &home, &state)?);
            freed.add(folders(&home, &state)?);
        }
        for folder in [home.root().to_owned(), home.secrets()] {
            freed.add(temporaries(*agent, &folder, &[ATOMIC])?);
        }
    }
    freed.add(temporaries(*agent, agent.home.root(), &[ATOMIC, "incoming-", "pull-"])?);
    freed.add(store(*agent)?);
    Ok(freed)
}

/// The images of a release that came a while ago and was not installed, and its head, where a later release runs since.
fn abandoned(agent: Agent<'_>, home: &StackHome, state: &StackState) -> Result<Freed> {
    let incoming = home.incoming();
    if !is_old(agent, &incoming) {
        return Ok(Freed::default());
    }
    tidy::images(agent, heads::images(agent, &incoming).iter().map(String::as_str))?;
    let read = |source| Error::Read { path: incoming.clone(), source };
    let seq = read_head(File::open(&incoming).map_err(read)?).ok().map(|head| head.manifest.seq);
    // What is not even a head keeps nothing.
    let overtaken = state.current.as_ref().is_some_and(|current| seq <= Some(current.seq));
    if overtaken { remove(&incoming) } else { Ok(Freed::default()) }
}

/// Removes files whose names begin so, and that were written a while ago.
fn temporaries(agent: Agent<'_>, folder: &Utf8Path, prefixes: &[&str]) -> Result<Freed> {
    let mut freed = Freed::default();
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) && path.is_file() && is_old(agent, &path) {
            freed.add(remove(&path)?);
        }
    }
    Ok(freed)
}

/// Whether a file is there and no process can still be at it. By a clock that is behind none is.
fn is_old(agent: Agent<'_>, path: &Utf8Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mtime() < agent.clock.unix() - AT_WORK)
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
