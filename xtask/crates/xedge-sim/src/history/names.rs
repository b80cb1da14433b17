//! Names as numbers: each string is kept once. It does not know what a name stands for.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Strings by number, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    numbers: BTreeMap<Arc<str>, u64>,
    names: Vec<Arc<str>>,
}

impl Names {
    /// The number of a name, a new one for a new name.
    pub(super) fn number(&mut self, name: &Arc<str>) -> u64 {
        if let Some(number) = self.numbers.get(&**name) {
            return *number;
        }
        let number = self.names.len() as u64;
        self.numbers.insert(name.clone(), number);
        self.names.push(name.clone());
        number
    }

    /// The name with a number that [`Names::number`] gave.
    pub(super) fn name(&self, number: u64) -> Option<Arc<str>> {
        self.names.get(usize::try_from(number).ok()?).cloned()
    }
}
