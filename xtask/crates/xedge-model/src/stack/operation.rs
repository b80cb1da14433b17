//! What a stack.yaml says about its operation on a device: boards, data, probes and patience. None of it is read by a container,
//! so none of it is part of the configuration.

use serde::Deserialize;

use super::probe::{Data, MAX_WAIT_S, Probe, SETTLE_S, START_S, board_name, is_board};
use super::{SecretReference, StackDef};
use crate::compose::{Compose, Protocol, Service};
use crate::duration::Span;
use crate::yaml::{Source, Spanned, YamlError};

/// One probe as the file has it: a service and one question. Ports are those inside the container.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeDef {
    /// The service.
    service: Spanned<String>,
    /// The port takes a connection.
    #[serde(default)]
    tcp: Option<Spanned<u16>>,
    /// The port answers HTTP.
    #[serde(default)]
    http: Option<Spanned<u16>>,
    /// The port answers MQTT.
    #[serde(default)]
    mqtt: Option<Spanned<u16>>,
    /// The command succeeds in the container.
    #[serde(default)]
    command: Option<Spanned<Vec<String>>>,
    /// What HTTP is asked for; `/` when not given.
    #[serde(default)]
    path: Option<Spanned<String>>,
    /// Who logs in to MQTT.
    #[serde(default)]
    secret: Option<Spanned<String>>,
}

/// What a device needs to know of a stack that no container reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The boards that it is for, sorted; any where there is none.
    pub boards: Vec<String>,
    /// What it writes, and who can read that.
    pub data: Data,
    /// What must answer after a start, sorted; ports are those of the device.
    pub probes: Vec<Probe>,
    /// How long everything must stay well after it answered, in seconds.
    pub settle_s: u32,
    /// How long a service may take to answer after its start, in seconds.
    pub start_s: u32,
}

impl StackDef {
    /// What a device needs to know, given the Compose file that was rendered from this stack. Every published TCP port that no
    /// probe asks is asked whether it takes a connection.
    pub fn operation(&self, source: &Source, compose: &Compose) -> Result<Operation, YamlError> {
        let secrets = self.references();
        let mut probes = Vec::new();
        for def in &self.probes {
            probes.push(def.value.resolve(source, compose, &secrets)?);
        }
        for (name, service) in compose.start_order() {
            for port in published(service).filter_map(|port| port.host) {
                let is_asked = |probe: &Probe| probe.service() == name && probe.port() == Some(port);
                if !probes.iter().any(is_asked) {
                    probes.push(Probe::Tcp { service: name.to_owned(), port });
                }
            }
        }
        probes.sort_by(|a, b| a.order().cmp(&b.order()));
        // Two probes of the file may come to the same.
        probes.dedup();
        let mut boards: Vec<String> = self.boards.iter().map(|board| board.value.clone()).collect();
        boards.sort();
        Ok(Operation {
            boards,
            data: self.data.as_ref().map(|data| data.value).unwrap_or_default(),
            probes,
            settle_s: seconds(source, self.settle.as_ref(), 0, SETTLE_S)?,
            start_s: seconds(source, self.start.as_ref(), 1, START_S)?,
        })
    }

    /// What can be said without a rendered Compose file.
    pub(super) fn check_operation(&self, source: &Source) -> Result<(), YamlError> {
        for (index, board) in self.boards.iter().enumerate() {
            if !is_board(&board.value) {
                let message = format!("`{}` is no name of a board", board.value.escape_debug());
                let name = board_name(&board.value);
                let hint =
                    format!("write it as `xedge-agent doctor` shows it on the board, such as `{name}`");
                return Err(source.error_with_hint(board, message, hint));
            }
            if self.boards[..index].iter().any(|earlier| earlier.value == board.value) {
                return Err(source.error_at(board, format!("the board `{}` is there twice", board.value)));
            }
        }
        if let Some(data) = self.data.as_ref().filter(|data| data.value.floor > data.value.version) {
            let message = "`floor` is above `version`: the release could not read its own data";
            return Err(source.error_at(data, message));
        }
        seconds(source, self.settle.as_ref(), 0, SETTLE_S)?;
        seconds(source, self.start.as_ref(), 1, START_S)?;
        let secrets = self.references();
        self.probes.iter().try_for_each(|probe| probe.value.check(source, probe, &secrets))
    }
}

impl ProbeDef {
    /// Exactly one question, what belongs to another one not beside it.
    fn check(
        &self,
        source: &Source,
        at: &Spanned<Self>,
        secrets: &[SecretReference],
    ) -> Result<(), YamlError> {
        let ports = [&self.tcp, &self.http, &self.mqtt];
        let asked = ports.iter().filter(|port| port.is_some()).count() + usize::from(self.command.is_some());
        if asked != 1 {
            let message =
                "a probe has exactly one of `tcp: PORT`, `http: PORT`, `mqtt: PORT` and `command: [..]`";
            return Err(source.error_at(at, message));
        }
        if let Some(path) = self.path.as_ref().filter(|_| self.http.is_none()) {
            return Err(source.error_at(path, "`path` belongs to `http`"));
        }
        if let Some(secret) = self.secret.as_ref().filter(|_| self.mqtt.is_none()) {
            return Err(source.error_at(secret, "`secret` belongs to `mqtt`"));
        }
        let port = ports.into_iter().flatten().next().map_or(0, |port| port.value);
        self.probe(port).check(secrets).map_err(|problem| match (&self.path, &self.secret) {
            (Some(path), _) => source.error_at(path, problem),
            (_, Some(secret)) => source.error_at(secret, problem),
            (None, None) => source.error_at(at, problem),
        })
    }

    /// The probe, with the port of the device that leads to the container's.
    fn resolve(
        &self,
        source: &Source,
        compose: &Compose,
        secrets: &[SecretReference],
    ) -> Result<Probe, YamlError> {
        let name = &self.service.value;
        let services: Vec<(&str, &Service)> = compose.start_order();
        let Some((_, service)) = services.iter().find(|(found, _)| found == name) else {
            let known: Vec<&str> = services.iter().map(|(name, _)| *name).collect();
            return Err(source.unknown_name(&self.service, "service", name, &known));
        };
        let Some(at) = [&self.tcp, &self.http, &self.mqtt].into_iter().flatten().next() else {
            return Ok(self.probe(0));
        };
        let leads_there = |port: &&crate::compose::Port| port.container == at.value && port.host.is_some();
        let Some(port) = published(service).find(leads_there).and_then(|port| port.host) else {
            let message = format!("no port of the device leads to port {} of {name}", at.value);
            let hint = "publish it under `ports` in the Compose template, or ask with `command: [..]`, which runs in the container";
            return Err(source.error_with_hint(at, message, hint.to_owned()));
        };
        let secret = self.secret.as_ref().filter(|secret| !compose.secrets.contains_key(&secret.value));
        if let Some(secret) = secret.filter(|secret| secrets.iter().any(|known| known.name == secret.value)) {
            let message =
                format!("no service reads the secret `{}`, so a device does not have it", secret.value);
            return Err(source.error_at(secret, message));
        }
        Ok(self.probe(port))
    }

    fn probe(&self, port: u16) -> Probe {
        let service = self.service.value.clone();
        if let Some(command) = &self.command {
            return Probe::Command { service, command: command.value.clone() };
        }
        if self.mqtt.is_some() {
            let secret = self.secret.as_ref().map(|secret| secret.value.clone());
            return Probe::Mqtt { service, port, secret };
        }
        if self.http.is_some() {
            let path = self.path.as_ref().map_or("/", |path| &path.value).to_owned();
            return Probe::Http { service, port, path };
        }
        Probe::Tcp { service, port }
    }
}

fn published(service: &Service) -> impl Iterator<Item = &crate::compose::Port> {
    service.ports.0.iter().filter(|port| port.protocol == Protocol::Tcp)
}

/// Whole seconds within the bounds of a device's patience.
fn seconds(
    source: &Source,
    span: Option<&Spanned<Span>>,
    least: u32,
    otherwise: u32,
) -> Result<u32, YamlError> {
    let Some(span) = span else { return Ok(otherwise) };
    let time = span.value.0;
    let whole = u32::try_from(time.as_secs()).ok().filter(|_| time.subsec_nanos() == 0);
    whole.filter(|seconds| (least..=MAX_WAIT_S).contains(seconds)).ok_or_else(|| {
        let message = format!("`{}` is not between {least}s and {MAX_WAIT_S}s in whole seconds", span.value);
        source.error_at(span, message)
    })
}
