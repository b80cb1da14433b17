//! Stopping early: a flag that loops look at, and the child processes that must not outlive it. Installs no signal handler.

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};

/// How often waiting looks at the flag.
const TICK: Duration = Duration::from_millis(50);

/// Shared by everything that one deployment starts.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    flag: AtomicBool,
    /// Children that nobody has waited for yet: their numbers are theirs until then.
    children: Mutex<BTreeSet<i32>>,
}

impl Cancel {
    /// Stops: every loop ends at its next look, and every child is asked to end.
    pub fn cancel(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        for id in self.children().iter() {
            if let Some(pid) = Pid::from_raw(*id) {
                // One that has ended by itself is no trouble.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }

    /// Whether it was stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }

    /// An error once it was stopped.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Waits, unless it is stopped in the meantime.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let mut left = time;
        while !left.is_zero() {
            self.check()?;
            let tick = left.min(TICK);
            thread::sleep(tick);
            left -= tick;
        }
        self.check()
    }

    pub(crate) fn add(&self, child: &Child) {
        self.children().insert(number(child));
        if self.is_cancelled() {
            // It was started while everything was being stopped.
            self.cancel();
        }
    }

    /// Looks whether a child has ended; once it has, it is nobody's any more.
    pub(crate) fn reap(&self, child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
        let mut children = self.children();
        let ended = child.try_wait()?;
        if ended.is_some() {
            children.remove(&number(child));
        }
        Ok(ended)
    }

    fn children(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap_or_default()
}
