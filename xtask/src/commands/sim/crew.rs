//! Runs scenarios one after the other, or side by side as far as the machine has room; tells of each as it ends. Each has
//! its own network, names and report in any case.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use xedge_model::Class;
use xedge_sim::Engine;

use super::super::Context;
use crate::error::Result;
use crate::simulate::budget::{self, Share};
use crate::simulate::{self, Finished, Flags, Phase, Prepared, Ready};

/// What every run of this command shares.
pub(super) struct Crew<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) engine: Option<&'a Engine>,
    pub(super) flags: Flags,
    pub(super) phase: Phase,
    pub(super) cancel: watch::Receiver<bool>,
    pub(super) runtime: &'a Handle,
}

/// Told of each scenario as it ends; gives the class that it came to.
type Told<'a> = dyn FnMut(usize, &Result<Finished>, Duration) -> Result<Option<Class>> + 'a;

/// Without an Engine, and for a user who wants to stop, the rest would only fail the same way.
fn ends_all(class: Option<Class>) -> bool {
    matches!(class, Some(Class::Environment | Class::Interrupted))
}

impl<'a> Crew<'a> {
    /// Runs them all.
    pub(super) fn run(&self, all: &[&'a Prepared], jobs: Option<u32>, told: &mut Told<'_>) -> Result<()> {
        let jobs = jobs.map(|jobs| jobs as usize);
        let machine = Share::of_machine();
        let shares: Vec<Share> = all.iter().map(|one| Share::of(&one.scenario)).collect();
        let has_pair = |(index, share): (usize, &Share)| {
            let rest = shares.iter().skip(index + 1);
            rest.clone().any(|other| budget::fits(*other, &[*share], machine, jobs))
        };
        if shares.iter().enumerate().any(has_pair) {
            self.side_by_side(all, &shares, machine, jobs, told)
        } else {
            self.in_a_row(all, told)
        }
    }

    fn in_a_row(&self, all: &[&'a Prepared], told: &mut Told<'_>) -> Result<()> {
        for (index, prepared) in all.iter().enumerate() {
            let started = Instant::now();
            let finished = self.ready(self.cx, prepared).and_then(|ready| self.one(self.cx, &ready));
            if ends_all(Self::end(self.cx, index, &finished, started.elapsed(), told)?) {
                break;
            }
        }
        Ok(())
    }

    /// Everything is built first: compilers beside a run would be part of what is measured.
    fn side_by_side(
        &self,
        all: &[&'a Prepared],
        shares: &[Share],
        machine: Share,
        jobs: Option<usize>,
        told: &mut Told<'_>,
    ) -> Result<()> {
        let printers: Vec<_> = all.iter().map(|one| self.cx.printer.prefixed(&one.name)).collect();
        let contexts: Vec<Context<'_>> =
            printers.iter().map(|printer| Context { printer, ..self.cx.clone() }).collect();
        let mut waiting = VecDeque::new();
        for (index, prepared) in all.iter().enumerate() {
            let started = Instant::now();
            match self.ready(&contexts[index], prepared) {
                Ok(ready) => waiting.push_back((index, ready)),
                Err(error) => {
                    if ends_all(Self::end(&contexts[index], index, &Err(error), started.elapsed(), told)?) {
                        return Ok(());
                    }
                }
            }
        }
        // What must be alone comes last: nobody waits for it.
        waiting.make_contiguous().sort_by_key(|(index, _)| shares[*index].alone);
        let (sender, receiver) = mpsc::channel();
        let (contexts, shares) = (&contexts, shares);
        std::thread::scope(|scope| {
            let mut running: Vec<(usize, Share)> = Vec::new();
            loop {
                while let Some((index, _)) = waiting.front() {
                    let beside: Vec<Share> = running.iter().map(|(_, share)| *share).collect();
                    if !budget::fits(shares[*index], &beside, machine, jobs) {
                        break;
                    }
                    running.push((*index, shares[*index]));
                    let (Some((index, ready)), sender) = (waiting.pop_front(), sender.clone()) else { break };
                    scope.spawn(move || {
                        let started = Instant::now();
                        let finished = self.one(&contexts[index], &ready);
                        // The receiver lives as long as this scope.
                        let _ = sender.send((index, finished, started.elapsed()));
                    });
                }
                if running.is_empty() {
                    return Ok(());
                }
                let Ok((index, finished, took)) = receiver.recv() else { return Ok(()) };
                running.retain(|(other, _)| *other != index);
                if ends_all(Self::end(&contexts[index], index, &finished, took, told)?) {
                    waiting.clear();
                }
            }
        })
    }

    fn ready(&self, cx: &Context<'_>, prepared: &'a Prepared) -> Result<Ready<'a>> {
        let full = Duration::from_secs_f64(prepared.scenario.simulation.duration_s.value);
        let seconds = self.flags.duration.map_or(full, |wanted| wanted.min(full)).as_secs_f64();
        cx.printer.say(&format!("{} ({seconds} s)", prepared.name));
        self.runtime.block_on(simulate::ready(cx, self.engine, prepared, self.flags))
    }

    fn one(&self, cx: &Context<'_>, ready: &Ready<'_>) -> Result<Finished> {
        let run = simulate::run(cx, self.engine, ready, self.flags, &self.phase, self.cancel.clone());
        self.runtime.block_on(run)
    }

    fn end(
        cx: &Context<'_>,
        index: usize,
        finished: &Result<Finished>,
        took: Duration,
        told: &mut Told<'_>,
    ) -> Result<Option<Class>> {
        if let Err(error) = finished {
            cx.printer.report(error);
        }
        told(index, finished, took)
    }
}
