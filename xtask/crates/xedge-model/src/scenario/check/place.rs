//! Where in the file a value or key stands, by the keys that lead to it: for problems that only show after reading.

use crate::tree::{At, Tree, Value};
use crate::yaml::{Source, YamlError};

/// A problem with the value that these keys and list positions lead to, or with the nearest one around it.
pub fn wrong(source: &Source, path: &[&str], message: impl Into<String>) -> YamlError {
    source.error_in(find(source, path).value, message, None)
}

/// The same, with what to do about it.
pub(super) fn wrong_with_hint(
    source: &Source,
    path: &[&str],
    message: impl Into<String>,
    hint: impl Into<String>,
) -> YamlError {
    source.error_in(find(source, path).value, message, Some(hint.into()))
}

/// A problem with the last key itself.
pub(super) fn wrong_key(
    source: &Source,
    path: &[&str],
    message: impl Into<String>,
    hint: Option<String>,
) -> YamlError {
    source.error_in(find(source, path).key, message, hint)
}

/// Of an entry of a map, the places of its key and its value; of one of a list, the same place twice.
struct Found {
    key: At,
    value: At,
}

fn find(source: &Source, path: &[&str]) -> Found {
    let mut tree = match Tree::parse(source) {
        Ok(tree) => tree,
        // It was read before, with types: a value such as `.nan` is the one that is no value without.
        Err(error) => return Found { key: error.place(), value: error.place() },
    };
    let mut key = tree.at;
    for step in path {
        let next = match &mut tree.value {
            Value::Map(entries) => entries.iter().position(|(key, _)| key.name == *step).map(|index| {
                let (key, value) = entries.swap_remove(index);
                (key.at, value)
            }),
            Value::List(items) => step
                .parse()
                .ok()
                .filter(|index| *index < items.len())
                .map(|index: usize| items.swap_remove(index))
                .map(|item| (item.at, item)),
            _ => None,
        };
        let Some((at, value)) = next else { break };
        (key, tree) = (at, value);
    }
    Found { key, value: tree.at }
}
