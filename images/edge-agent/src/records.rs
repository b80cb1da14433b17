//! What the device remembers of each stack, on disk, and the lock of whoever changes it. Absent is absent; anything else that
//! is not just what was written is an error.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::time::Duration;

use camino::Utf8PathBuf;
use rustix::fs::{FlockOperation, flock};
use xedge_model::atomic::WriteError;
use xedge_model::stack::is_name;

use crate::home::StackHome;
use crate::state::{Journal, StackState};
use crate::{Clock, Error, Home, Result, sealed};

/// What runs, and what ran before; nothing of either where the stack was never installed.
pub fn load_state(stack: &StackHome) -> Result<StackState> {
    Ok(sealed::read(&stack.state())?.unwrap_or_default())
}

/// Writes that down.
pub fn save_state(stack: &StackHome, state: &StackState) -> Result<()> {
    sealed::write(&stack.state(), state)
}

/// The operation under way; `None` where there is none.
pub fn load_journal(stack: &StackHome) -> Result<Option<Journal>> {
    sealed::read(&stack.journal())
}

/// Writes down how far the operation is.
pub fn save_journal(stack: &StackHome, journal: &Journal) -> Result<()> {
    sealed::write(&stack.journal(), journal)
}

/// There is no operation any more.
pub fn clear_journal(stack: &StackHome) -> Result<()> {
    sealed::remove(&stack.journal())
}

/// Names of the stacks that have a folder, sorted.
pub fn stacks(home: &Home) -> Result<Vec<String>> {
    let path = home.stacks();
    let failed = |source| Error::Read { path: path.clone(), source };
    let entries = match path.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if is_name(entry.file_name()) && entry.file_type().map_err(failed)?.is_dir() {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Held by whoever changes something on the device. It goes when the process ends, however it ends.
#[derive(Debug)]
#[must_use]
pub struct Lock(File);

/// Said aloud, and not left to the closing of the file: a child that is just being started has a copy of it for a moment.
impl Drop for Lock {
    fn drop(&mut self) {
        let _unlocked = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Takes the lock; waits up to `patience` for somebody else to finish.
    pub fn take(home: &Home, clock: &dyn Clock, patience: Duration) -> Result<Self> {
        let path = home.lock();
        let mut file = open(&path)?;
        let give_up = clock.monotonic() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) if clock.monotonic() < give_up => {
                    clock.sleep(Duration::from_millis(100));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy { holder: holder(&mut file) }),
                Err(error) => return Err(WriteError::new(&path, error.into()).into()),
            }
        }
        // Only for the message that somebody else gets: it may fail.
        let _said = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Self(file))
    }
}

fn open(path: &Utf8PathBuf) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |source| Error::Write(WriteError::new(path, source));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(failed)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests;
