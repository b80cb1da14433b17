//! Who hears whom, over which links, and how much of it came through. One entry for each pair that exchanged something.

use super::link::Path;
use super::plan::{VirtualNode, VirtualPlan};
use crate::Error;

/// Pairs that a run may have: more is a scenario in which everybody hears everybody.
const MOST: usize = 4_000_000;

/// From one node to another.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) to: u32,
    /// Links on the way.
    pub(super) path: Path,
    /// Place of the sender among those that the receiver hears.
    pub(super) place: u32,
    /// When the last message arrives: one connection keeps its messages in order.
    pub(super) last: u64,
    pub(super) sent: u64,
    pub(super) arrived: u64,
    pub(super) lost: u64,
}

/// All routes, by sender.
#[derive(Debug)]
pub(super) struct Routes {
    by_sender: Vec<Vec<Route>>,
    /// How many senders each receiver hears.
    heard: Vec<u32>,
    /// How many routes of each sender are those of its topic or `to`; the others came from names in a script's messages.
    planned: Vec<u32>,
}

impl Routes {
    pub(super) fn new(plan: &VirtualPlan) -> Result<Self, Error> {
        let names = plan.names();
        let mut routes = Self {
            by_sender: vec![Vec::new(); plan.nodes.len()],
            heard: vec![0; plan.nodes.len()],
            planned: vec![0; plan.nodes.len()],
        };
        let mut count = 0;
        for (from, node) in (0..).zip(&plan.nodes) {
            let listeners = plan.listeners(&names, node);
            count += listeners.len();
            if count > MOST {
                let message =
                    format!("more than {MOST} pairs of nodes would hear each other: narrow `subscribe`");
                return Err(Error::plan(&plan.scenario_name, message));
            }
            for to in listeners {
                routes.add(plan, from, to);
                routes.planned[from as usize] += 1;
            }
        }
        Ok(routes)
    }

    fn add(&mut self, plan: &VirtualPlan, from: u32, to: u32) -> usize {
        let place = self.heard[to as usize];
        self.heard[to as usize] += 1;
        let path = path(plan, &plan.nodes[from as usize], &plan.nodes[to as usize]);
        let route = Route { to, path, place, last: 0, sent: 0, arrived: 0, lost: 0 };
        self.by_sender[from as usize].push(route);
        self.by_sender[from as usize].len() - 1
    }

    /// The route of a pair, made where it is not there yet.
    pub(super) fn between(&mut self, plan: &VirtualPlan, from: u32, to: u32) -> usize {
        let known = self.by_sender[from as usize].iter().position(|route| route.to == to);
        known.unwrap_or_else(|| self.add(plan, from, to))
    }

    /// How many routes a message of this node without destination takes.
    pub(super) fn planned(&self, from: u32) -> usize {
        self.planned[from as usize] as usize
    }

    pub(super) fn get(&mut self, from: u32, index: usize) -> &mut Route {
        &mut self.by_sender[from as usize][index]
    }

    pub(super) fn of(&self, from: u32) -> &[Route] {
        &self.by_sender[from as usize]
    }
}

/// The links between two nodes: the one that is listed for them, and those that they name; else the default.
fn path(plan: &VirtualPlan, from: &VirtualNode, to: &VirtualNode) -> Path {
    let mut path = Path::default();
    let is_end = |end: &str, node: &VirtualNode| end == node.group || end == node.id;
    let listed = plan
        .links
        .iter()
        .position(|link| link.ends.as_ref().is_some_and(|(src, dst)| is_end(src, from) && is_end(dst, to)));
    let own = from.via.map(|(up, _)| up).into_iter().chain(to.via.map(|(_, down)| down));
    listed.into_iter().chain(own).for_each(|link| path.push(link));
    if path.is_empty()
        && let Some(default) = plan.default_link
    {
        path.push(default);
    }
    path
}
