//! What the shape of a scenario cannot say: values in range, names that exist, keys that need each other.

use std::collections::BTreeMap;

use super::expect::is_node_id;
use super::{Expectation, FORMAT, Implementation, Node, Profile, Role, Scenario};
use crate::stack::{NAME_RULE, is_name};
use crate::yaml::{Source, YamlError};
use crate::{ImageName, format};

impl Scenario {
    /// Reads and checks one scenario; what depends on other files (images, stacks) is checked by the caller.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let scenario: Self = format::parse(source, FORMAT)?;
        scenario.check_simulation(source)?;
        scenario.check_nodes(source)?;
        scenario.check_network(source)?;
        scenario.check_profile(source)?;
        if !scenario.is_short() {
            scenario.check_services(source)?;
        }
        Ok(scenario)
    }

    /// What must hold; `None` without models and `expect`, where the services themselves say what can be claimed.
    pub fn expectations(&self) -> Option<Vec<Expectation>> {
        match &self.expect {
            Some(list) => Some(list.value.iter().map(|e| e.value.clone()).collect()),
            None if self.has_no_models() => None,
            None => Some(Expectation::SEED.to_vec()),
        }
    }

    /// Whether the nodes that claims are about run as containers. For the short form this is known once it is filled in.
    pub fn check_services(&self, source: &Source) -> Result<(), YamlError> {
        let real = self.nodes.value.iter().filter(|node| node.is_real());
        let known: Vec<&str> = real.map(|node| node.id.value.as_str()).collect();
        for claim in self.expect.iter().flat_map(|list| &list.value) {
            if let Some(id) = claim.value.node().filter(|id| !known.contains(id)) {
                return Err(source.unknown_name(claim, "container", id, &known));
            }
        }
        Ok(())
    }

    fn check_simulation(&self, source: &Source) -> Result<(), YamlError> {
        let duration = &self.simulation.duration_s;
        if !duration.value.is_finite() || duration.value <= 0.0 || duration.value > 86_400.0 {
            return Err(source.error_at(duration, "`duration_s` must be more than 0 and at most 86400"));
        }
        let ready = self.simulation.ready_s.as_ref();
        if let Some(ready) = ready.filter(|s| !s.value.is_finite() || s.value <= 0.0 || s.value > 3_600.0) {
            return Err(source.error_at(ready, "`ready_s` must be more than 0 and at most 3600"));
        }
        let Some(list) = &self.expect else { return Ok(()) };
        if list.value.is_empty() {
            return Err(source.error_at(list, "`expect` is empty: a gate must claim something"));
        }
        for claim in &list.value {
            if let Expectation::ServiceRuns(_, time) = &claim.value
                && time.0.as_secs_f64() > duration.value
            {
                let message = format!("the run is watched for {} s (`duration_s`)", duration.value);
                return Err(source.error_at(claim, message));
            }
        }
        Ok(())
    }

    fn check_nodes(&self, source: &Source) -> Result<(), YamlError> {
        if self.is_short() {
            let is_production = self.profile.as_ref().is_some_and(|p| p.value == Profile::Production);
            let hint = "only with `profile: production` and `stack` does the stack say what runs".to_owned();
            let missing = || source.error_with_hint(&self.nodes, "missing field `nodes`", hint);
            return if is_production { Ok(()) } else { Err(missing()) };
        }
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
        Ok(())
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
        if !is_node_id(id) {
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
        if self.config.qos > 2 {
            return Err(source.error_at(&self.id, "`config.qos` of this node must be 0, 1 or 2"));
        }
        match self.implementation {
            Implementation::Docker => self.check_docker(source),
            Implementation::Model | Implementation::PythonModel => self.check_model(source),
            Implementation::Process => self.check_process(source),
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
                Some(_) => Ok(()),
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
        if let Some(docker) = &self.docker {
            return Err(source.error_at(docker, "`docker` needs `implementation: docker`"));
        }
        if self.script.is_none() && matches!(self.role, Role::Broker | Role::Service) {
            let message = format!(
                "node `{}`: a {} has no built-in model, use `implementation: docker`",
                self.id.value,
                self.role.as_str()
            );
            return Err(source.error_at(&self.id, message));
        }
        Ok(())
    }

    fn check_process(&self, source: &Source) -> Result<(), YamlError> {
        let Some(process) = &self.process else {
            return Err(source.error_at(&self.id, format!("node `{}` needs `process`", self.id.value)));
        };
        if process.value.command.value.is_empty() {
            return Err(source.error_at(&process.value.command, "`command` is empty"));
        }
        Ok(())
    }
}
