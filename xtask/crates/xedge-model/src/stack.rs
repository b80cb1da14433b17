//! `templates/stacks/<name>/stack.yaml`.

/// A stack definition.
#[derive(Clone, Debug)]
pub struct StackDef;
