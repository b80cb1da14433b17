//! All models of a run: started, led through the phases, ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use xedge_model::scenario::Role;

use super::client::{Addresses, Client};
use super::cloud::Cloud;
use super::gateway::Gateway;
use super::sensor::{Schedule, Sensor};
use super::{Behaviour, Phase, Tally};
use crate::history::Recorder;
use crate::link::Links;
use crate::mqtt::Login;
use crate::plan::{ModelPlan, RunPlan};

/// Connections that are opened at the same time; mosquitto's backlog is 100.
const AT_ONCE: usize = 64;

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
    pub(crate) async fn start(setting: &Setting<'_>) -> Self {
        let mut fleet = Self { tasks: JoinSet::new(), phase: watch::Sender::new(Phase::Prepare) };
        let turnstile = Arc::new(Semaphore::new(at_once(setting.links)));
        let plan = setting.plan;
        for roles in [&[Role::Gateway, Role::Cloud][..], &[Role::Sensor]] {
            let (ready, mut arrived) = mpsc::unbounded_channel();
            let mut waiting = 0;
            for (index, (in_role, model)) in
                indexed(plan).enumerate().filter(|(_, (_, m))| roles.contains(&m.role))
            {
                let client = Client {
                    id: Arc::from(model.id.as_str()),
                    login: Login::new(&model.id, model.config.user.as_deref(), &plan.credentials, false),
                    settings: model.config.clone(),
                    addresses: Addresses { now: setting.addresses.clone(), index },
                    route: setting.links.route(&model.id, &model.group, setting.broker),
                    recorder: setting.recorder.clone(),
                    phase: fleet.phase.subscribe(),
                    turnstile: turnstile.clone(),
                    ready: Some(ready.clone()),
                };
                fleet.tasks.spawn(client.run(behaviour(setting, model, in_role)));
                waiting += 1;
            }
            let all = async {
                for _ in 0..waiting {
                    arrived.recv().await;
                }
            };
            drop(timeout(plan.limits.connect, all).await);
        }
        fleet
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

fn behaviour(setting: &Setting<'_>, model: &ModelPlan, index: usize) -> Box<dyn Behaviour> {
    let (recorder, tally) = (setting.recorder.clone(), setting.tally.clone());
    match model.role {
        Role::Sensor => Box::new(Sensor::new(model, index, Schedule::of(model, setting.plan), tally)),
        Role::Gateway => Box::new(Gateway::new(model, index, recorder, tally)),
        Role::Cloud | Role::Broker | Role::Service => Box::new(Cloud::new(model, recorder, tally)),
    }
}
