//! What the shape of a scenario cannot say: values in range, names that exist, keys that need each other.

use std::collections::BTreeMap;

use super::{Expectation, Implementation, Link, NetworkModel, Node, Profile, Role, Scenario};
use crate::ImageName;
use crate::stack::{NAME_RULE, is_name};
use crate::yaml::{Source, YamlError};

impl Scenario {
    /// Reads and checks one scenario; what depends on other files (images, stacks) is checked by the caller.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let scenario: Self = source.parse()?;
        scenario.check_simulation(source)?;
        scenario.check_nodes(source)?;
        scenario.check_network(source)?;
        scenario.check_profile(source)?;
        Ok(scenario)
    }

    /// What must hold.
    pub fn expectations(&self) -> Vec<Expectation> {
        match &self.expect {
            Some(list) => list.value.iter().map(|e| e.value.clone()).collect(),
            None => Expectation::SEED.to_vec(),
        }
    }

    fn check_simulation(&self, source: &Source) -> Result<(), YamlError> {
        let duration = &self.simulation.duration_s;
        if !duration.value.is_finite() || duration.value <= 0.0 || duration.value > 86_400.0 {
            return Err(source.error_at(duration, "`duration_s` must be more than 0 and at most 86400"));
        }
        match &self.expect {
            Some(list) if list.value.is_empty() => {
                Err(source.error_at(list, "`expect` is empty: a gate must claim something"))
            }
            _ => Ok(()),
        }
    }

    fn check_nodes(&self, source: &Source) -> Result<(), YamlError> {
        if self.nodes.value.is_empty() {
            return Err(source.error_at(&self.nodes, "`nodes` is empty"));
        }
        let mut seen = BTreeMap::new();
        for node in &self.nodes.value {
            node.check(source)?;
            if let Some(line) = seen.insert(&node.id.value, node.id.referenced.line()) {
                let message = format!("node `{}` is there twice, first on line {line}", node.id.value);
                return Err(source.error_at(&node.id, message));
            }
        }
        Ok(())
    }

    fn check_network(&self, source: &Source) -> Result<(), YamlError> {
        let Some(network) = &self.network else { return Ok(()) };
        let known: Vec<&str> = self.nodes.value.iter().map(|n| n.id.value.as_str()).collect();
        for end in network.links.iter().flat_map(|link| [&link.src, &link.dst]) {
            if !known.contains(&end.value.as_str()) {
                return Err(source.unknown_name(end, "node", &end.value, &known));
            }
        }
        if let Some(model) = network.model.as_ref().filter(|model| model.value == NetworkModel::Latency) {
            return Err(source.error_at(model, NO_LINKS));
        }
        if let Some(latency) = network.default_latency_us.as_ref().filter(|latency| latency.value > 0) {
            return Err(source.error_at(latency, NO_LINKS));
        }
        if let Some(loss) = network.default_loss_rate.as_ref().filter(|loss| loss.value > 0.0) {
            return Err(source.error_at(loss, NO_LINKS));
        }
        let is_shaped =
            |link: &&Link| link.latency_us.unwrap_or(0) > 0 || link.loss_rate.unwrap_or(0.0) > 0.0;
        match network.links.iter().find(is_shaped) {
            Some(link) => Err(source.error_at(&link.src, NO_LINKS)),
            None => Ok(()),
        }
    }

    fn check_profile(&self, source: &Source) -> Result<(), YamlError> {
        let production = self.profile.as_ref().filter(|p| p.value == Profile::Production);
        match (production, &self.stack) {
            (Some(profile), None) => Err(source
                .error_at(profile, "`profile: production` needs `stack`, the stack whose files are used")),
            (None, Some(stack)) => Err(source.error_at(stack, "`stack` needs `profile: production`")),
            _ => Ok(()),
        }
    }
}

impl Node {
    fn check(&self, source: &Source) -> Result<(), YamlError> {
        let id = &self.id.value;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty()
            || id.len() > 63
            || !id.chars().all(fits)
            || !id.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            let message = format!("`{id}` is no node id: up to 63 letters, digits, `-`, `_` and `.`");
            return Err(source.error_at(&self.id, message));
        }
        if let Some(count) = self.count.as_ref().filter(|count| count.value == 0 || count.value > 10_000) {
            return Err(source.error_at(count, "`count` must be 1 to 10000"));
        }
        if let Some(user) = self.config.user.as_ref().filter(|user| !is_name(user)) {
            let message = format!("`{user}` is no user name: {NAME_RULE}");
            return Err(source.error_at(&self.id, message));
        }
        if self.config.qos > 1 {
            return Err(source.error_at(&self.id, "`config.qos` of this node must be 0 or 1"));
        }
        match self.implementation {
            Implementation::Docker => self.check_docker(source),
            Implementation::Model | Implementation::PythonModel => self.check_model(source),
        }
    }

    fn check_docker(&self, source: &Source) -> Result<(), YamlError> {
        let Some(docker) = &self.docker else {
            return Err(source.error_at(&self.id, format!("node `{}` needs `docker`", self.id.value)));
        };
        if let Some(count) = self.count.as_ref().filter(|count| count.value != 1) {
            return Err(source.error_at(count, "`count` is for built-in models"));
        }
        let Some(image) = &docker.value.image else {
            return match &docker.value.build_context {
                Some(context) => Err(source.error_at(context, NO_DOCKERFILES)),
                None => {
                    Err(source.error_at(docker, "`docker` needs `image`, the name of an image in images/"))
                }
            };
        };
        match ImageName::from_reference(&image.value) {
            Ok(_) => Ok(()),
            Err(error) => Err(source.error_at(image, error.to_string())),
        }
    }

    fn check_model(&self, source: &Source) -> Result<(), YamlError> {
        if let Some(script) = &self.script {
            return Err(source.error_at(
                script,
                "model scripts are not there yet: leave out `script` for the built-in model",
            ));
        }
        if let Some(docker) = &self.docker {
            return Err(source.error_at(docker, "`docker` needs `implementation: docker`"));
        }
        if self.role == Role::Broker {
            let message = format!(
                "node `{}`: a broker has no built-in model, use `implementation: docker`",
                self.id.value
            );
            return Err(source.error_at(&self.id, message));
        }
        Ok(())
    }
}

/// What is said of an image that would have to be built from a Dockerfile.
pub const NO_DOCKERFILES: &str =
    "nothing is built from `build_context`: give images/ an image `from: dockerfile` and name it in `image`";

/// What is said of links with latency or loss: a run that ignored them would claim something about them.
const NO_LINKS: &str = "shaped links are not there yet: only direct ones without latency and loss can run";
