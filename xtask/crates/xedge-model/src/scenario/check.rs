//! What the shape of a scenario cannot say: values in range, names that exist, keys that need each other.

mod claims;
mod links;
mod nodes;
mod place;
mod timeline;

pub use place::wrong;

use super::{Expectation, FORMAT, Profile, Scenario};
use crate::format;
use crate::yaml::{Source, YamlError};

impl Scenario {
    /// Reads and checks one scenario; what depends on other files (images, stacks) is checked by the caller.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let scenario: Self = format::parse(source, FORMAT)?;
        scenario.check_simulation(source)?;
        claims::check_list(&scenario, source)?;
        claims::check_runs(&scenario, source)?;
        scenario.check_nodes(source)?;
        scenario.check_profile(source)?;
        if !scenario.is_short() {
            scenario.check_references(source)?;
        }
        Ok(scenario)
    }

    /// What must hold; `None` without models and `expect`, where the services themselves say what can be claimed.
    pub fn expectations(&self) -> Option<Vec<Expectation>> {
        match &self.expect {
            Some(list) => Some(list.value.iter().map(|e| e.value.clone()).collect()),
            None if self.has_no_models() => None,
            // Models alone have no broker to start.
            None if self.is_virtual() => Some(Expectation::SEED[1..].to_vec()),
            None => Some(Expectation::SEED.to_vec()),
        }
    }

    /// Whether what claims, links and the timeline name is there. For the short form this is known once it is filled in.
    pub fn check_references(&self, source: &Source) -> Result<(), YamlError> {
        links::check(self, source)?;
        timeline::check(self, source)?;
        claims::check_nodes(self, source)
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
        if self.simulation.time_quantum_us.is_some_and(|quantum| quantum == 0 || quantum > 3_600_000_000) {
            let message = "`time_quantum_us` must be 1 to 3600000000";
            return Err(place::wrong(source, &["simulation", "time_quantum_us"], message));
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
        nodes::check(self, source)
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

#[cfg(test)]
mod tests;
