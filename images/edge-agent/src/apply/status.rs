//! What a stack is doing, in the words of the report, and its logs. Looks only, and takes no lock.

use std::collections::BTreeMap;
use std::io::Write;

use xedge_wire::{ReleaseSummary, ServiceStatus, StackStatus};

use super::{Agent, ApplyError};
use crate::state::{Installed, Journal, Operation, Phase};
use crate::{Result, records};

/// One stack, with what its services use where `measure`.
pub fn stack_status(agent: &Agent<'_>, stack: &str, measure: bool) -> Result<StackStatus> {
    let home = agent.stack(stack);
    let state = records::load_state(&home)?;
    let mut services = Vec::new();
    for (name, placed) in state.current.iter().flat_map(|current| &current.services) {
        let found = agent.engine.inspect(&placed.container)?.unwrap_or_default();
        let usage =
            if measure && found.running { Some(agent.engine.usage(&placed.container)?) } else { None };
        services.push(ServiceStatus {
            name: name.clone(),
            container: placed.name.clone(),
            image: if placed.image_name.is_empty() { &placed.image } else { &placed.image_name }.clone(),
            manifest: placed.manifest.clone(),
            running: found.running,
            health: found.health,
            restarts: found.restarts,
            exit_code: (!found.running).then_some(found.exit_code),
            usage,
        });
    }
    Ok(StackStatus {
        name: stack.to_owned(),
        current: state.current.as_ref().map(summary),
        previous: state.previous.as_ref().map(summary),
        pending: records::load_journal(&home)?.as_ref().map(pending),
        services,
    })
}

fn summary(release: &Installed) -> ReleaseSummary {
    let Installed { seq, version, config, since, .. } = release.clone();
    ReleaseSummary { seq, version, config, since }
}

fn pending(journal: &Journal) -> String {
    let what = match journal.operation {
        Operation::Install => format!("the installation of release {}", journal.to.seq),
        Operation::Rollback => format!("the way back to release {}", journal.to.seq),
        Operation::Remove | Operation::Purge => "the removal".to_owned(),
    };
    match journal.phase {
        Phase::Preparing => format!("{what} is being prepared"),
        Phase::Switching => format!("{what} is changing services over"),
        Phase::Committing => format!("{what} is being finished"),
        Phase::RollingBack => format!("{what} is being taken back"),
    }
}

/// Copies the log of one service, or of all one after the other, each line after its service's name where there are several.
pub fn logs(
    agent: &Agent<'_>,
    stack: &str,
    service: Option<&str>,
    lines: u32,
    follow: bool,
    to: &mut dyn Write,
) -> Result<()> {
    let state = records::load_state(&agent.stack(stack))?;
    let current = state.current.ok_or_else(|| ApplyError::NotInstalled { stack: stack.to_owned() })?;
    let wanted: BTreeMap<_, _> =
        current.services.iter().filter(|(name, _)| service.is_none_or(|service| service == *name)).collect();
    if wanted.is_empty() {
        let stack = format!("{stack}/{}", service.unwrap_or_default());
        return Err(ApplyError::NotInstalled { stack }.into());
    }
    let several = wanted.len() > 1;
    for (name, placed) in wanted {
        let mut out = Prefixed { prefix: several.then(|| format!("{name} | ")), fresh: true, to };
        agent.engine.logs(&placed.container, lines, follow && !several, &mut out)?;
    }
    Ok(())
}

/// Puts a word in front of each line.
struct Prefixed<'a> {
    prefix: Option<String>,
    fresh: bool,
    to: &'a mut dyn Write,
}

impl Write for Prefixed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(prefix) = &self.prefix else { return self.to.write(bytes) };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.fresh {
                self.to.write_all(prefix.as_bytes())?;
            }
            self.to.write_all(line)?;
            self.fresh = line.ends_with(b"\n");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
