//! From a scenario's model nodes to single MQTT clients.

use std::sync::Arc;

use xedge_model::scenario::Scenario;

use super::{ModelPlan, ModelSettings, SessionSettings};

/// The built-in models of a scenario, `count` expanded: `id` alone, or `id-1`, `id-2`, …
///
/// # Examples
/// A node `sensor` with `count: 2` gives clients `sensor-1` and `sensor-2`, which publish to `sensors/sensor-1` and
/// `sensors/sensor-2`.
pub fn expand(scenario: &Scenario) -> Vec<ModelPlan> {
    let models = scenario.nodes.value.iter().filter(|node| node.is_built_in());
    models
        .flat_map(|node| {
            let group = node.id.value.as_str();
            let ids: Vec<String> = match &node.count {
                Some(count) => (1..=count.value).map(|n| format!("{group}-{n}")).collect(),
                None => vec![group.to_owned()],
            };
            let session = Arc::new(SessionSettings::new(&node.config));
            ids.into_iter().map(move |id| {
                let session = session.clone();
                let config = ModelSettings { session, ..ModelSettings::new(&node.config, node.role, &id) };
                ModelPlan { config, group: group.to_owned(), role: node.role, id }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xedge_model::scenario::Scenario;
    use xedge_model::yaml::Source;

    use super::expand;

    const YAML: &str = "
simulation: { duration_s: 10, seed: 42 }
nodes:
  - { id: broker, type: mqtt_broker, implementation: docker, docker: { image: xedgesim/mosquitto } }
  - { id: s, type: sensor_model, count: 2, config: { every: 250ms, user: dev } }
  - { id: gw, type: gateway_model }
  - { id: c, type: cloud }
";

    #[test]
    fn counts_and_defaults_are_filled_in() {
        let models = expand(&Scenario::parse(&Source::new("s.yaml", YAML)).unwrap());
        let ids: Vec<&str> = models.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["s-1", "s-2", "gw", "c"]);
        assert_eq!(models[1].config.topic, "sensors/s-2");
        assert_eq!(models[1].config.every, Duration::from_millis(250));
        assert_eq!(models[1].config.user.as_deref(), Some("dev"));
        assert_eq!(
            (models[2].config.topic.as_str(), models[2].config.subscribe.as_str()),
            ("upstream/gw", "sensors/+")
        );
        assert_eq!(models[2].config.every, Duration::from_secs(5));
        assert_eq!(
            (models[3].config.topic.as_str(), models[3].config.subscribe.as_str()),
            ("", "upstream/+")
        );
    }
}
