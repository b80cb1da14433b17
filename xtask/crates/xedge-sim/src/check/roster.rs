//! Who took part and what was planned: the part of a plan that checks need.

use xedge_model::scenario::Role;

use crate::model::Schedule;
use crate::plan::RunPlan;

/// All nodes that readings pass.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// Sensors.
    pub sensors: Vec<SensorEntry>,
    /// Gateways, models and containers.
    pub gateways: Vec<GatewayEntry>,
    /// Clouds.
    pub clouds: Vec<CloudEntry>,
}

/// A sensor.
#[derive(Clone, Debug)]
pub struct SensorEntry {
    /// Its id.
    pub id: String,
    /// Topic that it publishes to.
    pub topic: String,
    /// Quality of service.
    pub qos: u8,
    /// Whether its readings are acknowledged (`QoS` 1 or 2).
    pub acknowledged: bool,
    /// How many readings were planned.
    pub planned: u64,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct GatewayEntry {
    /// The id that it uses upstream.
    pub id: String,
    /// Filter and upstream topic of a model; `None` for a container, of which only upstream messages are seen.
    pub model: Option<(String, String)>,
}

/// A cloud.
#[derive(Clone, Debug)]
pub struct CloudEntry {
    /// Its id.
    pub id: String,
    /// Topic filter.
    pub filter: String,
}

impl Roster {
    /// The roster of a plan.
    pub fn of(plan: &RunPlan) -> Self {
        let sensors = plan.models_of(Role::Sensor).map(|m| SensorEntry {
            id: m.id.clone(),
            topic: m.config.topic.clone(),
            acknowledged: m.config.qos > 0,
            qos: m.config.qos,
            planned: Schedule::of(m, plan).count(),
        });
        let models = plan.models_of(Role::Gateway).map(|m| GatewayEntry {
            id: m.id.clone(),
            model: Some((m.config.subscribe.clone(), m.config.topic.clone())),
        });
        let containers = plan.gateway_container_ids().into_iter().map(|id| GatewayEntry { id, model: None });
        let clouds = plan
            .models_of(Role::Cloud)
            .map(|m| CloudEntry { id: m.id.clone(), filter: m.config.subscribe.clone() });
        Self {
            sensors: sensors.collect(),
            gateways: models.chain(containers).collect(),
            clouds: clouds.collect(),
        }
    }
}
