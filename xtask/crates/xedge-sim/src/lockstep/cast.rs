//! The scripts and containers of one passage: started, led from step to step, ended. It owns their processes and decides
//! nothing about time.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use futures_util::future::try_join_all;

use super::kernel::Kernel;
use super::member::Member;
use super::node::{Body, Said};
use super::peer::Trouble;
use super::plan::{Runs, VirtualNode, VirtualPlan};
use super::wire::{Heard, Spoken};
use crate::Error;
use crate::engine::Engine;

/// Everybody who is led from outside.
pub(super) struct Cast<'a> {
    plan: &'a VirtualPlan,
    names: BTreeMap<&'a str, u32>,
    members: Vec<Member<'a>>,
}

/// Where the cast finds what it needs outside: a folder for scripts, and the container of each node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Scripts work in folders below it.
    pub(crate) folder: Utf8PathBuf,
    /// What runs the containers.
    pub(crate) engine: Option<Engine>,
    /// Name in the engine, by node.
    pub(crate) containers: BTreeMap<String, String>,
}

impl<'a> Cast<'a> {
    /// Starts all of them at the same time and waits until each is ready.
    pub(super) async fn start(plan: &'a VirtualPlan, around: &Surroundings) -> Result<Self, Error> {
        let external = (0..).zip(&plan.nodes).filter(|(_, node)| node.is_external());
        let members = try_join_all(external.map(|(number, node)| member(plan, number, node, around))).await?;
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
                return Err(member.failed(&trouble, from).await);
            }
        }
        for member in &mut self.members {
            let spoken = match member.peer.answer().await {
                Ok(spoken) => spoken,
                Err(trouble) => return Err(member.failed(&trouble, from).await),
            };
            for event in spoken {
                if let Err(what) = say(self.plan, &self.names, kernel, member.node, from, event) {
                    return Err(member.failed(&Trouble::Nonsense(what), from).await);
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
            logs.insert(member.id.to_owned(), member.end().await);
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

async fn member<'a>(
    plan: &'a VirtualPlan,
    number: u32,
    node: &'a VirtualNode,
    around: &Surroundings,
) -> Result<Member<'a>, Error> {
    match &node.runs {
        Runs::Script(script) => Member::script(plan, number, script, &around.folder.join(&node.id)).await,
        Runs::Container(command) => {
            let place = around.engine.as_ref().zip(around.containers.get(&node.id));
            let missing = || Error::plan(&plan.scenario_name, format!("{} has no container", node.id));
            let (engine, container) = place.ok_or_else(missing)?;
            Member::container(plan, number, command, engine, container).await
        }
        Runs::Model => Err(Error::plan(&plan.scenario_name, format!("{} is led by nobody", node.id))),
    }
}
