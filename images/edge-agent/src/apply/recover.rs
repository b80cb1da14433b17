//! Finishes what was cut short: the first thing that every operation does, and what `watch` does after a boot. Repeating it
//! changes nothing.

use super::{Agent, Outcome, PATIENCE, commit, tidy, undo};
use crate::records::{self, Lock};
use crate::state::{Operation, Phase};
use crate::{Result, TrustStore};

/// What was found, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recovered {
    /// There was no operation under way.
    Nothing,
    /// The operation had not touched what runs; it is forgotten.
    Forgotten,
    /// The operation was taken back.
    Back {
        /// The release that did not come.
        seq: u64,
        /// What runs now.
        outcome: Outcome,
    },
    /// The operation was decided, and is now finished.
    Finished {
        /// What it was.
        operation: Operation,
        /// The release that runs now.
        seq: u64,
        /// What is still wrong with it.
        troubles: Vec<String>,
    },
}

/// Finishes what was cut short in one stack.
pub fn recover(agent: &Agent<'_>, trust: &mut TrustStore, stack: &str) -> Result<Recovered> {
    let _lock = Lock::take(agent.home, agent.clock, PATIENCE)?;
    // Somebody else may have accepted a release since the trust was read.
    *trust = TrustStore::open(agent.home)?;
    locked(*agent, trust, stack)
}

/// Finishes what was cut short in every stack. One stack's trouble does not keep the others from it.
pub fn recover_all(agent: &Agent<'_>, trust: &mut TrustStore) -> Result<Vec<(String, Result<Recovered>)>> {
    let _lock = Lock::take(agent.home, agent.clock, PATIENCE)?;
    *trust = TrustStore::open(agent.home)?;
    let stacks = records::stacks(agent.home)?;
    Ok(stacks
        .into_iter()
        .map(|stack| {
            let recovered = locked(*agent, trust, &stack);
            (stack, recovered)
        })
        .collect())
}

/// As [`recover`], for one who holds the lock.
pub(super) fn locked(agent: Agent<'_>, trust: &mut TrustStore, stack: &str) -> Result<Recovered> {
    let home = agent.stack(stack);
    let Some(journal) = records::load_journal(&home)? else {
        tidy::sweep(agent, &home, stack)?;
        return Ok(Recovered::Nothing);
    };
    match journal.phase {
        Phase::Preparing => {
            // Nothing that ran was touched, and nothing that was made runs.
            agent.clock.step("forget");
            records::clear_journal(&home)?;
            agent.clock.step("forgotten");
            tidy::after_undo(agent, &home, &journal, &records::load_state(&home)?);
            Ok(Recovered::Forgotten)
        }
        Phase::Switching | Phase::RollingBack => {
            let outcome = undo::undo(agent, &home, &journal)?;
            Ok(Recovered::Back { seq: journal.to.seq, outcome })
        }
        Phase::Committing => {
            let troubles = commit::finish(agent, trust, &home, &journal)?;
            Ok(Recovered::Finished { operation: journal.operation, seq: journal.to.seq, troubles })
        }
    }
}
