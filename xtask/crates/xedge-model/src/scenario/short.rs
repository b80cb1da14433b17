//! The short form: a production scenario without `nodes` runs every service of its stack. Only names are filled in here.

use super::{Docker, Implementation, ModelConfig, Mounts, Node, Ports, Role, Scenario};
use crate::yaml::{Spanned, beside, nowhere};

/// What stands for a key that is not there.
pub(super) fn no_nodes() -> Spanned<Vec<Node>> {
    nowhere(Vec::new())
}

impl Scenario {
    /// Whether it leaves the nodes to its stack.
    pub fn is_short(&self) -> bool {
        self.nodes.value.is_empty() && self.nodes.referenced.line() == 0
    }

    /// Whether no model takes part: only services, which themselves say what can be claimed of them.
    pub fn has_no_models(&self) -> bool {
        self.nodes.value.iter().all(Node::is_real)
    }

    /// Whether all of it can run in virtual time: models, scripts and lockstep containers only.
    pub fn is_virtual(&self) -> bool {
        !self.is_short() && !self.nodes.value.iter().any(Node::is_real)
    }

    /// Whether links may be there that nothing goes through: a matrix takes one at a time.
    pub(super) fn links_may_idle(&self) -> bool {
        self.matrix.is_some()
    }

    /// Fills in the short form: a node for each of these services, given with the image that it names.
    pub fn run_all_of<'a>(&mut self, services: impl Iterator<Item = (&'a str, &'a str)>) {
        let Some(stack) = &self.stack else { return };
        let nodes = services
            .map(|(service, image)| {
                let docker = Docker {
                    image: Some(beside(stack, image.to_owned())),
                    build_context: None,
                    ports: Ports::default(),
                    environment: std::collections::BTreeMap::new(),
                    command: None,
                    volumes: Mounts::default(),
                    lockstep: None,
                };
                Node {
                    id: beside(stack, service.to_owned()),
                    role: Role::Service,
                    implementation: Implementation::Docker,
                    port: None,
                    docker: Some(beside(stack, docker)),
                    service: Some(beside(stack, service.to_owned())),
                    script: None,
                    count: None,
                    via: None,
                    process: None,
                    limits: None,
                    volumes: std::collections::BTreeMap::new(),
                    config: ModelConfig::default(),
                }
            })
            .collect();
        self.nodes = beside(stack, nodes);
    }
}
