//! The scripts and containers of one passage: started, led from step to step, ended. It owns their processes and decides
//! nothing about time.

use std::collections::BTreeMap;
use std::process::ExitStatus;

use camino::Utf8Path;
use futures_util::future::try_join_all;

use super::kernel::Kernel;
use super::node::{Body, Said};
use super::peer::{Peer, Trouble};
use super::plan::{Runs, ScriptPlan, VirtualPlan};
use super::script::Script;
use super::wire::{Heard, Spoken};
use crate::Error;

/// Everybody who is led from outside.
pub(super) struct Cast<'a> {
    plan: &'a VirtualPlan,
    names: BTreeMap<&'a str, u32>,
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    node: u32,
    id: &'a str,
    script: &'a ScriptPlan,
    peer: Peer,
    process: Script,
}

impl<'a> Cast<'a> {
    /// Starts all of them at the same time and waits until each is ready. Scripts work in folders below `folder`.
    pub(super) async fn start(plan: &'a VirtualPlan, folder: &Utf8Path) -> Result<Self, Error> {
        let starting = (0..).zip(&plan.nodes).filter_map(|(number, node)| match &node.runs {
            Runs::Script(script) => {
                Some(Member::start(plan, number, &node.id, script, folder.join(&node.id)))
            }
            Runs::Model | Runs::Container(_) => None,
        });
        let members = try_join_all(starting).await?;
        Ok(Self { plan, names: plan.names(), members })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// One step: everybody hears what arrived, acts, and says what it sends; then the built-in nodes act.
    pub(super) async fn step(&mut self, kernel: &mut Kernel<'_>, from: u64, until: u64) -> Result<(), Error> {
        for member in &mut self.members {
            let heard = kernel.heard_before(member.node, from, until);
            let heard: Vec<Heard> = heard
                .into_iter()
                .map(|(time, message)| {
                    let src = &self.plan.nodes[message.from as usize];
                    let (kind, payload) = message.body.for_script(src, message.seq, message.sent);
                    let size = message.body.size(src, message.seq, message.sent);
                    let (src, dst) = (src.id.clone(), member.id.to_owned());
                    Heard { time, kind, src, dst, payload, size }
                })
                .collect();
            if let Err(trouble) = member.peer.advance(until, &heard).await {
                return Err(member.failed(&trouble, Some(from)).await);
            }
        }
        for member in &mut self.members {
            let spoken = match member.peer.answer().await {
                Ok(spoken) => spoken,
                Err(trouble) => return Err(member.failed(&trouble, Some(from)).await),
            };
            for event in spoken {
                if let Err(what) = say(self.plan, &self.names, kernel, member.node, from, event) {
                    return Err(member.failed(&Trouble::Nonsense(what), Some(from)).await);
                }
            }
        }
        kernel.run_before(until);
        kernel.trace.end_step();
        Ok(())
    }

    /// Ends everybody and gives their logs.
    pub(super) async fn end(mut self) -> BTreeMap<String, String> {
        for member in &mut self.members {
            member.peer.shutdown().await;
        }
        let mut logs = BTreeMap::new();
        for member in &mut self.members {
            member.process.end().await;
            logs.insert(member.id.to_owned(), member.process.log());
        }
        logs
    }
}

/// Takes what a node says into the run, unless it is said in the past or to nobody.
fn say(
    plan: &VirtualPlan,
    names: &BTreeMap<&str, u32>,
    kernel: &mut Kernel<'_>,
    node: u32,
    from: u64,
    event: Spoken,
) -> Result<(), String> {
    let Spoken { time, kind, dst, payload, size } = event;
    if time < from {
        return Err(format!(
            "it sends `{kind}` at {time} µs, and the step began at {from} µs: the past is over"
        ));
    }
    let to = match dst {
        None => None,
        Some(dst) => match plan.find(names, &dst) {
            Some(to) => Some(to),
            None => return Err(unknown(names, &kind, &dst)),
        },
    };
    let text = payload.to_string().into_bytes().into_boxed_slice();
    let size = size.unwrap_or(text.len() as u64);
    kernel.external_says(time, node, to, Body::Said(Box::new(Said { kind, payload, text, size })));
    Ok(())
}

fn unknown(names: &BTreeMap<&str, u32>, kind: &str, dst: &str) -> String {
    let known: Vec<&str> = names.keys().copied().collect();
    let help = xedge_model::yaml::near(dst, known.iter().copied()).map_or_else(
        || format!("known: {}", known[..known.len().min(10)].join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    format!("it sends `{kind}` to `{dst}`, and there is no such node; {help}")
}

impl<'a> Member<'a> {
    async fn start(
        plan: &'a VirtualPlan,
        node: u32,
        id: &'a str,
        script: &'a ScriptPlan,
        folder: camino::Utf8PathBuf,
    ) -> Result<Self, Error> {
        let started = Script::start(script, &folder, plan.patience).await;
        let (mut process, peer) =
            started.map_err(|source| Error::NoPython { node: id.to_owned(), source })?;
        let mut peer = match peer {
            Ok(peer) => peer,
            Err(trouble) => return Err(failed(id, script, &mut process, &trouble, None).await),
        };
        match peer.init(id, plan.seed, &script.config).await {
            Ok(()) => Ok(Self { node, id, script, peer, process }),
            Err(trouble) => Err(failed(id, script, &mut process, &trouble, None).await),
        }
    }

    async fn failed(&mut self, trouble: &Trouble, at: Option<u64>) -> Error {
        failed(self.id, self.script, &mut self.process, trouble, at).await
    }
}

/// What is said of a script that failed, once it has ended.
async fn failed(
    id: &str,
    script: &ScriptPlan,
    process: &mut Script,
    trouble: &Trouble,
    at: Option<u64>,
) -> Error {
    let ended = match trouble {
        Trouble::Gone => process.end().await,
        Trouble::Silent(_) | Trouble::Nonsense(_) => {
            process.kill().await;
            None
        }
    };
    let detail = ended.map_or_else(|| trouble.to_string(), how);
    let when =
        at.map_or("at its start".to_owned(), |us| format!("at {}.{:06} s", us / 1_000_000, us % 1_000_000));
    Error::Script {
        node: id.to_owned(),
        script: script.shown.clone(),
        line: script.line,
        when,
        detail,
        log: process.tail(),
    }
}

fn how(status: ExitStatus) -> String {
    status
        .code()
        .map_or_else(|| "a signal ended it".to_owned(), |code| format!("it ended with exit code {code}"))
}
