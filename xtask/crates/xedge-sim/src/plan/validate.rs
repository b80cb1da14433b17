//! What must be right with a plan before anything is started. Pure: it only looks.

use std::collections::BTreeSet;

use xedge_model::scenario::{Expectation, Role};

use super::{ContainerPlan, FilePlan, ModelPlan, RetainedProbe, RunPlan, start_order, timeline};
use crate::Error;
use crate::mqtt::topic;

/// The largest message of a model: with its topic, a packet of 1 MiB.
const LARGEST: usize = 1_000_000;

impl RunPlan {
    /// Refuses a plan that could not be run, or whose claims could hold without anything having happened.
    pub fn validate(&self) -> Result<(), Error> {
        self.check_names()?;
        self.check_models()?;
        self.check_links()?;
        for expectation in &self.expectations {
            self.check_expectation(expectation)?;
        }
        if self.expectations.is_empty() {
            return Err(self.wrong("it claims nothing"));
        }
        self.containers.iter().try_for_each(|c| self.check_container(c))?;
        timeline::check(self).map_err(|message| self.wrong(message))?;
        start_order(&self.containers).map(drop).map_err(|left| {
            let ids: Vec<&str> = left.iter().map(|c| c.node_id.as_str()).collect();
            self.wrong(format!("these wait for each other, or for what is not there: {}", ids.join(", ")))
        })
    }

    fn wrong(&self, message: impl Into<String>) -> Error {
        Error::plan(&self.scenario_name, message)
    }

    fn check_names(&self) -> Result<(), Error> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.run_id.is_empty() || self.run_id.len() > 40 || !self.run_id.chars().all(fits) {
            return Err(self.wrong(format!("`{}` is no run id", self.run_id)));
        }
        let ids = self.containers.iter().map(|c| &c.node_id).chain(self.models.iter().map(|m| &m.id));
        let mut seen = BTreeSet::new();
        for id in ids {
            if !is_node_id(id) {
                return Err(self.wrong(format!("`{id}` is no node id")));
            }
            if !seen.insert(id) {
                return Err(self.wrong(format!("two nodes would be called `{id}`")));
            }
        }
        match self.models.iter().find(|m| !is_node_id(&m.group)) {
            Some(model) => Err(self.wrong(format!("`{}` is no node id", model.group))),
            None => Ok(()),
        }
    }

    fn check_models(&self) -> Result<(), Error> {
        self.check_tls()?;
        let long =
            |(user, secret): &(&String, &super::Secret)| user.len().max(secret.expose().len()) > 65_000;
        if self.credentials.iter().any(|entry| long(&entry)) {
            return Err(self.wrong("a user or password has more than 65000 bytes, which MQTT cannot carry"));
        }
        for model in &self.models {
            let settings = &model.config;
            if settings.every.is_zero() {
                return Err(self.wrong(format!("`every` of {} is 0", model.id)));
            }
            self.check_session(model)?;
            if let Some(user) = settings.user.as_ref().filter(|user| !self.credentials.contains_key(*user)) {
                return Err(self.wrong(format!("{} logs in as `{user}`, which has no password", model.id)));
            }
            if model.role != Role::Cloud && !topic::is_name(&settings.topic) {
                return Err(self.wrong(format!("`{}` of {} is no topic", settings.topic, model.id)));
            }
            if model.role != Role::Sensor && !topic::is_filter(&settings.subscribe) {
                return Err(
                    self.wrong(format!("`{}` of {} is no topic filter", settings.subscribe, model.id))
                );
            }
        }
        Ok(())
    }

    fn check_session(&self, model: &ModelPlan) -> Result<(), Error> {
        let (settings, id) = (&model.config, &model.id);
        if settings.qos > 2 {
            return Err(self.wrong(format!("`qos` of {id} is {}: 0, 1 or 2", settings.qos)));
        }
        if settings.payload > LARGEST {
            return Err(self.wrong(format!("`payload` of {id} is more than {LARGEST} bytes")));
        }
        if settings.session.keep_alive.is_zero() || settings.session.keep_alive.as_secs() > 65_535 {
            return Err(self.wrong(format!("`keep_alive` of {id} is not between 1s and 65535s")));
        }
        match &settings.session.will {
            Some(will) if !topic::is_name(&will.topic) => {
                Err(self.wrong(format!("`{}` of the will of {id} is no topic", will.topic)))
            }
            Some(will) if will.qos > 2 => {
                Err(self.wrong(format!("`qos` of the will of {id} is {}: 0, 1 or 2", will.qos)))
            }
            Some(will) if will.payload.len() > 65_535 => {
                Err(self
                    .wrong(format!("the will of {id} has more than 65535 bytes, which MQTT cannot carry")))
            }
            _ => Ok(()),
        }
    }

    fn check_expectation(&self, expectation: &Expectation) -> Result<(), Error> {
        let needs = |what: &str| Err(self.wrong(format!("`{expectation}` needs {what}")));
        let acknowledged = self.models_of(Role::Sensor).any(|m| m.config.qos > 0);
        match expectation {
            Expectation::SensorsPublish if self.models_of(Role::Sensor).next().is_none() => needs("a sensor"),
            Expectation::GatewayReceives if !self.has_gateway() => needs("a gateway"),
            Expectation::GatewayReceives if self.unheard() => {
                needs("a cloud that hears the gateway's container")
            }
            Expectation::EndToEnd if !acknowledged => {
                needs("a sensor with `qos: 1` or 2, so that something is acknowledged")
            }
            Expectation::EndToEnd if !self.has_gateway() => needs("a gateway"),
            Expectation::EndToEnd if self.unheard() => needs("a cloud that hears the gateway's container"),
            Expectation::LoginAccepted(user) | Expectation::WrongPasswordRefused(user)
                if !self.credentials.contains_key(user) =>
            {
                needs(&format!("the password of `{user}`"))
            }
            Expectation::RetainedSurvivesRestart => self.check_retained(),
            claim => match claim.service() {
                Some(id) => self.check_service(claim, id),
                None => Ok(()),
            },
        }
    }

    fn check_service(&self, claim: &Expectation, id: &str) -> Result<(), Error> {
        let Some(container) = self.containers.iter().find(|c| c.node_id == id) else {
            return Err(self.wrong(format!("`{claim}` is about no container of the run")));
        };
        if container.extras.completes {
            return Err(self.wrong(format!("`{claim}`: {id} is to complete before the others start")));
        }
        match claim {
            Expectation::ServiceAnswers(_, port) if !container.publishes(*port) => {
                Err(self.wrong(format!("`{claim}`: {id} does not publish that port")))
            }
            _ => Ok(()),
        }
    }

    fn check_retained(&self) -> Result<(), Error> {
        let probe = self.retained_probe();
        if !topic::is_name(&probe.topic) {
            return Err(self.wrong(format!("`{}` of the retained probe is no topic", probe.topic)));
        }
        match probe.publisher.iter().chain(&probe.reader).find(|user| !self.credentials.contains_key(*user)) {
            Some(user) => {
                Err(self.wrong(format!("the retained probe logs in as `{user}`, which has no password")))
            }
            None => Ok(()),
        }
    }

    fn has_gateway(&self) -> bool {
        self.gateway_containers().next().is_some() || self.models_of(Role::Gateway).next().is_some()
    }

    fn unheard(&self) -> bool {
        self.gateway_containers().next().is_some() && self.models_of(Role::Cloud).next().is_none()
    }

    /// The ids that gateway containers use upstream: `GATEWAY_ID` of their environment, else the node's id.
    pub(crate) fn gateway_container_ids(&self) -> Vec<String> {
        self.gateway_containers().map(|c| c.env.get("GATEWAY_ID").unwrap_or(&c.node_id).clone()).collect()
    }

    fn gateway_containers(&self) -> impl Iterator<Item = &ContainerPlan> {
        self.containers.iter().filter(|c| c.role == Role::Gateway)
    }

    /// The retained probe of the plan, or one that goes the way of the first sensor and the first gateway: what
    /// access rules allow to them.
    pub fn retained_probe(&self) -> RetainedProbe {
        let derived = || {
            let sensor = self.models_of(Role::Sensor).next();
            let reader = self.models_of(Role::Gateway).next();
            let publisher = sensor.and_then(|m| m.config.user.clone());
            RetainedProbe {
                reader: reader.map_or_else(|| publisher.clone(), |m| m.config.user.clone()),
                publisher,
                topic: sensor.map_or_else(|| "xedge/retained".to_owned(), |m| m.config.topic.clone()),
            }
        };
        self.retained.clone().unwrap_or_else(derived)
    }

    fn check_container(&self, container: &ContainerPlan) -> Result<(), Error> {
        container.validate().map_err(|message| self.wrong(format!("node {}: {message}", container.node_id)))
    }
}

impl ContainerPlan {
    /// Whether this TCP port can be reached from outside.
    pub fn publishes(&self, port: u16) -> bool {
        self.extras.published_tcp.contains(&port) || (self.role == Role::Broker && self.service_port == port)
    }

    /// What is wrong with this container's plan.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if !is_node_id(&self.node_id) {
            return Err("its name is no node id".to_owned());
        }
        if self.extras.process.as_ref().is_some_and(|process| process.command.is_empty()) {
            return Err("it is a program without a name".to_owned());
        }
        if self.accepted_ids.is_empty() && self.extras.process.is_none() {
            return Err("no digest says which image is the right one".to_owned());
        }
        self.tls().map_err(|error| format!("the authority of its certificate: {error}"))?;
        if !matches!(self.role, Role::Broker | Role::Gateway | Role::Service) {
            return Err("only brokers, gateways and services run as containers".to_owned());
        }
        let names =
            self.volumes.iter().filter_map(|volume| volume.name.as_ref()).chain(&self.extras.networks);
        if let Some(name) = names.into_iter().find(|name| !is_node_id(name)) {
            return Err(format!("`{name}` is no name of a volume or network"));
        }
        for volume in &self.volumes {
            let path = &volume.mount_path;
            if !path.starts_with('/') || path == "/" || path.split('/').any(|part| part == "..") {
                return Err(format!("`{path}` is no place for a volume"));
            }
            volume.files.iter().try_for_each(FilePlan::validate)?;
        }
        Ok(())
    }
}

impl FilePlan {
    fn validate(&self) -> Result<(), String> {
        let bad = |part: &str| matches!(part, "" | "." | "..");
        if self.path.split('/').any(bad) || self.path.contains('\0') {
            return Err(format!("`{}` is no path inside of a volume", self.path));
        }
        if self.mode > 0o7777 {
            return Err(format!("mode {:o} of `{}` has more than permission bits", self.mode, self.path));
        }
        Ok(())
    }
}

/// Ids become names in the Engine and of files.
fn is_node_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=80).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(fits)
}
