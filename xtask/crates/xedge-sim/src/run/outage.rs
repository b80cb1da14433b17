//! Which containers are down or held because the timeline wants it: whoever watches them looks away for that long. It
//! changes no container.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Planned outages of a run.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// How often each node's state was changed: odd while an outage goes on.
    changes: Mutex<BTreeMap<String, u64>>,
}

/// A look at a node that was in no outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calm(u64);

impl Outages {
    /// An outage begins. Before the order is given, so that nobody sees its effect first.
    pub(super) fn begin(&self, node: &str) {
        self.change(node, |changes| changes | 1);
    }

    /// The node is as it should be again.
    pub(super) fn end(&self, node: &str) {
        self.change(node, |changes| changes + changes % 2);
    }

    fn change(&self, node: &str, change: impl FnOnce(u64) -> u64) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = changes.entry(node.to_owned()).or_default();
        *changes = change(*changes);
    }

    /// `None` during an outage. What is found out between two looks that are equal was found out in no outage.
    pub(super) fn calm(&self, node: &str) -> Option<Calm> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = changes.get(node).copied().unwrap_or(0);
        changes.is_multiple_of(2).then_some(Calm(changes))
    }

    /// Whether the timeline changed this node at all.
    pub(super) fn was_disturbed(&self, node: &str) -> bool {
        self.calm(node) != Some(Calm(0))
    }
}

#[cfg(test)]
mod tests {
    use super::Outages;

    #[test]
    fn a_whole_outage_between_two_looks_is_seen() {
        let outages = Outages::default();
        let before = outages.calm("broker");
        assert!(before.is_some() && !outages.was_disturbed("broker"));
        outages.begin("broker");
        outages.begin("broker");
        assert_eq!(outages.calm("broker"), None);
        assert_eq!(outages.calm("gateway"), before, "another node is in none");
        outages.end("broker");
        outages.end("broker");
        let after = outages.calm("broker");
        assert!(after.is_some() && after != before && outages.was_disturbed("broker"));
    }
}
