//! All models of a run: started, led through the phases, ended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use xedge_model::scenario::Role;

use super::client::{Client, Station};
use super::cloud::Cloud;
use super::gateway::Gateway;
use super::outbox::Outbox;
use super::sensor::{Schedule, Sensor};
use super::{Behaviour, Phase, Tally};
use crate::Error;
use crate::history::Recorder;
use crate::link::Links;
use crate::mqtt::Login;
use crate::plan::{ModelPlan, RunPlan};

/// Connections that are opened at the same time; mosquitto's backlog is 100.
const AT_ONCE: usize = 64;

/// What each of thousands of logins takes, where passwords are hashed a thousand times.
const SLOW_LOGIN: Duration = Duration::from_millis(10);
/// What a login takes without links, at most.
const QUICK: Duration = Duration::from_millis(20);
/// Limits how much more slow links allow.
const MOST_ROUNDS: usize = 16;

/// What models connect to and write to.
pub(crate) struct Setting<'a> {
    pub(crate) plan: &'a RunPlan,
    /// Where the broker is reached now; models are spread over these.
    pub(crate) addresses: watch::Receiver<Vec<SocketAddr>>,
    /// Node of the broker.
    pub(crate) broker: &'a str,
    pub(crate) links: &'a Links,
    pub(crate) recorder: Recorder,
    pub(crate) tally: Arc<Tally>,
}

/// Models that run. Dropping it ends them at once.
pub(crate) struct Fleet {
    tasks: JoinSet<()>,
    phase: watch::Sender<Phase>,
}

impl Fleet {
    /// Starts all models and waits until they are connected and subscribed: first those that listen, so that nothing is
    /// sent to nobody. Who is not there after the plan's limit is left out; the claims will show it.
    pub(crate) async fn start(setting: &Setting<'_>) -> Result<Self, Error> {
        let mut fleet = Self { tasks: JoinSet::new(), phase: watch::Sender::new(Phase::Prepare) };
        let stations = stations(setting)?;
        let plan = setting.plan;
        for roles in [&[Role::Gateway, Role::Cloud][..], &[Role::Sensor]] {
            let (ready, mut arrived) = mpsc::unbounded_channel();
            let mut waiting = 0;
            for (index, (in_role, model)) in
                indexed(plan).enumerate().filter(|(_, (_, m))| roles.contains(&m.role))
            {
                let Some(station) = stations.get(model.group.as_str()) else { continue };
                let id: Arc<str> = Arc::from(model.id.as_str());
                let behaviour = behaviour(setting, model, id.clone(), in_role);
                let client = Client {
                    id,
                    subscribe: model.config.subscribe.as_str().into(),
                    station: station.clone(),
                    index,
                    route: setting.links.route(&model.id, &model.group, setting.broker),
                    phase: fleet.phase.subscribe(),
                    ready: Some(ready.clone()),
                    arriving: BTreeSet::new(),
                    outbox: Outbox::new(&model.config),
                    model: behaviour,
                    connection: None,
                };
                fleet.tasks.spawn(Box::new(client).run());
                waiting += 1;
            }
            let all = async {
                for _ in 0..waiting {
                    arrived.recv().await;
                }
            };
            drop(timeout(patience(plan, waiting), all).await);
        }
        Ok(fleet)
    }

    /// The publishing phase begins at `start`.
    pub(crate) fn publish(&self, start: Instant) {
        self.phase.send_replace(Phase::Publish(start));
    }

    /// The drain phase begins.
    pub(crate) fn drain(&self) {
        self.phase.send_replace(Phase::Drain);
    }

    /// All models say goodbye; who does not within two seconds is cut off.
    pub(crate) async fn end(mut self) {
        self.phase.send_replace(Phase::End);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        drop(timeout(Duration::from_secs(2), all).await);
    }
}

/// How many may connect at once: over a slow link each is longer about it, most of which the broker does not notice.
fn at_once(links: &Links) -> usize {
    let rounds = links.longest_round_trip().as_millis() / QUICK.as_millis();
    AT_ONCE * usize::try_from(rounds).unwrap_or(usize::MAX).clamp(1, MOST_ROUNDS)
}

/// What the models of each node share.
fn stations<'a>(setting: &Setting<'a>) -> Result<BTreeMap<&'a str, Arc<Station>>, Error> {
    let turnstile = Arc::new(Semaphore::new(at_once(setting.links)));
    let mut stations = BTreeMap::new();
    for model in &setting.plan.models {
        if stations.contains_key(model.group.as_str()) {
            continue;
        }
        let session = Arc::new(setting.plan.session(&model.config, setting.broker)?);
        let user = model.config.user.as_deref();
        let login = Login::new(&model.id, user, &setting.plan.credentials, session);
        let station = Station {
            qos: model.config.qos,
            user: login.user,
            session: login.session,
            addresses: setting.addresses.clone(),
            recorder: setting.recorder.clone(),
            turnstile: turnstile.clone(),
        };
        stations.insert(model.group.as_str(), Arc::new(station));
    }
    Ok(stations)
}

/// How long models have to connect: brokers take some hundreds a second.
fn patience(plan: &RunPlan, models: u32) -> Duration {
    plan.limits.connect.max(SLOW_LOGIN * models)
}

/// Every model with its number among those of its role, which is its place in the tally.
fn indexed(plan: &RunPlan) -> impl Iterator<Item = (usize, &ModelPlan)> {
    let (mut sensors, mut gateways) = (0.., 0..);
    plan.models.iter().map(move |model| {
        let number = match model.role {
            Role::Sensor => sensors.next(),
            Role::Gateway => gateways.next(),
            Role::Cloud | Role::Broker | Role::Service => None,
        };
        (number.unwrap_or_default(), model)
    })
}

fn behaviour(setting: &Setting<'_>, model: &ModelPlan, id: Arc<str>, index: usize) -> Box<dyn Behaviour> {
    let (recorder, tally) = (setting.recorder.clone(), setting.tally.clone());
    match model.role {
        Role::Sensor => Box::new(Sensor::new(model, id, index, Schedule::of(model, setting.plan), tally)),
        Role::Gateway => Box::new(Gateway::new(model, id, index, recorder, tally)),
        Role::Cloud | Role::Broker | Role::Service => Box::new(Cloud::new(id, recorder, tally)),
    }
}
