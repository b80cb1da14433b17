//! How models connect: from the scenario's settings to what a connection needs. It opens nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use xedge_model::scenario::{ModelConfig, Protocol};

use super::{ContainerPlan, ModelSettings, RunPlan};
use crate::Error;
use crate::mqtt::client::KEEP_ALIVE;
use crate::mqtt::{Session, Tls, TlsError, Will};

/// How a model connects, after defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// Whether the broker forgets the session when the connection ends.
    pub clean: bool,
    /// How long the connection may be silent.
    pub keep_alive: Duration,
    /// What the broker publishes if the connection breaks; `{id}` in its topic becomes the client's id.
    pub will: Option<Will>,
    /// Version of MQTT.
    pub protocol: Protocol,
    /// Name in [`RunPlan::authorities`] of who must have signed the broker's certificate; `None` is without TLS.
    pub authority: Option<String>,
}

impl SessionSettings {
    pub(super) fn new(config: &ModelConfig) -> Self {
        let will = config.will.as_ref().map(|will| Will {
            topic: will.topic.clone(),
            payload: Bytes::copy_from_slice(will.payload.as_bytes()),
            qos: will.qos,
            retain: will.retain,
        });
        Self {
            clean: config.clean_session,
            keep_alive: config.keep_alive.map_or(KEEP_ALIVE, |span| span.0),
            will,
            protocol: config.protocol,
            authority: config.tls.as_ref().map(|tls| tls.ca.clone()),
        }
    }
}

/// A share in millionths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is from 0 to a million by then"
)]
pub(super) fn millionths(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1e6).round() as u32
}

impl RunPlan {
    /// The session of a model with a broker of this node.
    pub(crate) fn session(&self, settings: &ModelSettings, broker: &str) -> Result<Session, Error> {
        let SessionSettings { clean, keep_alive, will, protocol, .. } = (*settings.session).clone();
        Ok(Session { clean, keep_alive, will, protocol, tls: self.tls(settings, broker)? })
    }

    /// What a model checks the broker's certificate against; `None` without TLS.
    fn tls(&self, settings: &ModelSettings, broker: &str) -> Result<Option<Tls>, Error> {
        let Some(name) = &settings.session.authority else { return Ok(None) };
        let wrong = |why: String| Error::plan(&self.scenario_name, format!("`tls.ca: {name}`: {why}"));
        let pem = self.authorities.get(name).ok_or_else(|| wrong("there is no such file".to_owned()))?;
        Tls::new(pem, broker).map(Some).map_err(|error| wrong(error.to_string()))
    }

    /// Whether models agree on how the broker is reached, and trust somebody where they ask for encryption.
    pub(super) fn check_tls(&self) -> Result<(), Error> {
        let Some(broker) = self.broker()? else { return Ok(()) };
        let has = |model: &&super::ModelPlan| model.config.session.authority.is_some();
        let with = self.models.iter().find(has);
        if let (Some(one), Some(other)) = (with, self.models.iter().find(|model| !has(model))) {
            let message = format!(
                "{} uses TLS and {} does not, and the broker is reached at one port: give both `tls`, or none",
                one.id, other.id
            );
            return Err(Error::plan(&self.scenario_name, message));
        }
        let mut checked = BTreeSet::new();
        let new = |model: &&super::ModelPlan| checked.insert(model.config.session.authority.clone());
        self.models.iter().filter(new).try_for_each(|m| self.tls(&m.config, &broker.node_id).map(drop))
    }
}

impl ContainerPlan {
    /// How whoever asks it something is to encrypt; `None` is in the clear.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, TlsError> {
        let pem = self.extras.authority.as_deref();
        pem.map(|pem| Tls::new(pem, &self.node_id)).transpose()
    }
}
