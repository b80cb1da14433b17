//! A script or a container's program as one of the cast: its process, the stream to it, and what is said when it fails.

use std::process::ExitStatus;

use camino::Utf8Path;

use super::peer::{Peer, Trouble};
use super::plan::{ContainerCommand, ScriptPlan, VirtualPlan};
use super::script::{Log, Script};
use super::wire::Dialect;
use crate::engine::Engine;
use crate::{Error, ScriptFailure};

/// One who is led from outside.
pub(super) struct Member<'a> {
    pub(super) node: u32,
    pub(super) id: &'a str,
    pub(super) peer: Peer,
    program: Program<'a>,
}

/// What runs it.
enum Program<'a> {
    Script(&'a ScriptPlan, Box<Script>),
    /// In a container, which somebody else removes.
    Container(Log),
}

impl<'a> Member<'a> {
    /// Starts a script in a folder of its own.
    pub(super) async fn script(
        plan: &'a VirtualPlan,
        node: u32,
        script: &'a ScriptPlan,
        folder: &Utf8Path,
    ) -> Result<Self, Error> {
        let id = plan.nodes[node as usize].id.as_str();
        let started = Script::start(script, folder, plan.patience).await;
        let (process, peer) = started.map_err(|source| Error::NoPython { node: id.to_owned(), source })?;
        let mut program = Program::Script(script, Box::new(process));
        let mut peer = match peer {
            Ok(peer) => peer,
            Err(trouble) => return Err(program.failed(id, &trouble, None).await),
        };
        match peer.init(id, plan.seed, &script.config).await {
            Ok(()) => Ok(Self { node, id, peer, program }),
            Err(trouble) => Err(program.failed(id, &trouble, None).await),
        }
    }

    /// Starts a program in a container that runs.
    pub(super) async fn container(
        plan: &'a VirtualPlan,
        node: u32,
        command: &'a ContainerCommand,
        engine: &Engine,
        container: &str,
    ) -> Result<Self, Error> {
        let id = plan.nodes[node as usize].id.as_str();
        let attached = engine.exec_attached(container, &command.command).await?;
        let log = Log::default();
        log.follow(attached.errors);
        let mut peer = Peer::new(Dialect::Pipe, plan.patience, attached.output, attached.input);
        let mut program = Program::Container(log);
        match peer.init(id, plan.seed, &command.config).await {
            Ok(()) => Ok(Self { node, id, peer, program }),
            Err(trouble) => Err(program.failed(id, &trouble, None).await),
        }
    }

    /// What is said of it once it has failed in the step that began at `from`.
    pub(super) async fn failed(&mut self, trouble: &Trouble, from: u64) -> Error {
        self.program.failed(self.id, trouble, Some(from)).await
    }

    /// Waits until it has ended, or ends it; its log.
    pub(super) async fn end(&mut self) -> String {
        match &mut self.program {
            Program::Script(_, script) => {
                script.end().await;
                script.log()
            }
            Program::Container(log) => {
                log.settle().await;
                log.whole()
            }
        }
    }
}

impl Program<'_> {
    async fn failed(&mut self, id: &str, trouble: &Trouble, from: Option<u64>) -> Error {
        let when = from
            .map_or("at its start".to_owned(), |us| format!("at {}.{:06} s", us / 1_000_000, us % 1_000_000));
        let node = id.to_owned();
        match self {
            Self::Script(plan, script) => {
                let ended = match trouble {
                    Trouble::Gone => script.end().await,
                    Trouble::Silent(_) | Trouble::Nonsense(_) => {
                        script.kill().await;
                        None
                    }
                };
                let detail = ended.map_or_else(|| trouble.to_string(), how);
                Error::Script(Box::new(ScriptFailure {
                    node,
                    script: plan.shown.clone(),
                    line: plan.line,
                    when,
                    detail,
                    log: script.tail(),
                }))
            }
            Self::Container(log) => {
                if *trouble == Trouble::Gone {
                    log.settle().await;
                }
                Error::Lockstep { node, when, detail: trouble.to_string(), log: log.tail() }
            }
        }
    }
}

fn how(status: ExitStatus) -> String {
    status
        .code()
        .map_or_else(|| "a signal ended it".to_owned(), |code| format!("it ended with exit code {code}"))
}
