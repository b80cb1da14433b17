//! One run from start to report: brokers, other containers, models, drain, checks, clearing up.

pub mod container;
mod descriptors;
mod guard;
mod host;
mod outage;
pub mod outcome;
mod port;
mod process;
mod resources;
mod restart;
mod service;
mod stage;
mod start;
mod timeless;
mod timeline;

pub use resources::Resources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use xedge_model::scenario::Expectation;

use self::guard::{Aftermath, guarded};
use self::host::Host;
use self::outage::Outages;
use self::outcome::{ContainerFacts, Facts, Outcome};
use self::resources::Watch;
use self::service::Services;
use self::stage::Stage;
use self::timeline::Timeline;
use crate::check::{self, Claim, Faults, Findings, Roster, Seen, State, Verdict, stats};
use crate::engine::Engine;
use crate::history::{History, Kind, Recorder};
use crate::link::{Gates, Links};
use crate::model::{Fleet, Setting, Tally, stimulus};
use crate::plan::{ContainerPlan, Place, RunPlan};
use crate::probe::Broker;
use crate::{Error, RunLock, report};

/// Models for each publication of a broker's port; one proxy of the Engine carries about 3,000 connections.
const MODELS_PER_PORT: usize = 2_500;
/// From the order to publish to the first planned send, so that every model has heard it.
const LEAD: Duration = Duration::from_millis(200);

/// How far a run is, for whoever watches.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A container is being made.
    Starting {
        /// Its node.
        node: String,
    },
    /// A container answers.
    Ready {
        /// Its node.
        node: String,
        /// Since its start.
        waited: Duration,
    },
    /// A container that is to complete has.
    Completed {
        /// Its node.
        node: String,
        /// Since its start.
        waited: Duration,
    },
    /// A phase begins.
    Phase {
        /// `prepare`, `publish` or `watch`, `drain`, `check` or `stop`.
        name: &'static str,
    },
    /// The timeline did something, or saw its effect.
    Fault {
        /// What.
        what: String,
    },
    /// A claim was decided.
    Claim(Claim),
    /// Virtual time went by.
    Passed {
        /// How much of it, in each of two runs.
        virtual_time: Duration,
        /// On the clock of this machine.
        took: Duration,
    },
    /// Something went wrong that does not change the verdict.
    Warning(String),
}

pub use timeless::run_virtual;

/// Runs a plan. Whatever happens, the report folder gets history and logs, and everything in the Engine is removed, unless
/// the plan says to keep it. Sending `true` through `cancel` ends the run with [`Error::Interrupted`].
///
/// A claim that does not hold is no error: it is in the outcome's verdict.
pub async fn run(
    engine: &Engine,
    plan: &RunPlan,
    place: &Place,
    progress: &(dyn Fn(Progress) + Send + Sync),
    cancel: watch::Receiver<bool>,
) -> Result<Outcome, Error> {
    plan.validate()?;
    descriptors::make_room(plan)?;
    let lock = RunLock::take(&place.locks, &plan.run_id)?;
    let recorder = Recorder::new(Instant::now());
    let stage = stage(engine, plan, place, &lock, recorder.clone(), progress);
    let measurement = Measurement { plan, stage: &stage, roster: Roster::of(plan) };
    // A whole run is a large future: on the heap, so that those of the callers stay small.
    let body = Box::pin(measurement.run());
    let (measured, aftermath) = guarded(&stage, &plan.containers, cancel, body).await;
    let history = recorder.take();
    let raw = report::raw(&place.report, plan, &history, &aftermath.logs);
    let result = measured.map(|measured| measurement.conclude(measured, &history, aftermath));
    let reported = raw.and_then(|()| match &result {
        Ok(outcome) => report::outcome(&place.report, outcome),
        Err(error) => report::error(&place.report, plan, error),
    });
    drop(lock);
    match (result, reported) {
        (Ok(_), Err(unreported)) => Err(unreported),
        (Err(error), Err(unreported)) => {
            // A full disk must not turn the finding into a fault of the machine.
            progress(Progress::Warning(unreported.to_string()));
            Err(error)
        }
        (result, Ok(())) => result,
    }
}

/// What containers of a run are made with.
fn stage<'a>(
    engine: &'a Engine,
    plan: &'a RunPlan,
    place: &Place,
    lock: &RunLock,
    recorder: Recorder,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
) -> Stage<'a> {
    Stage {
        engine: Host::new(engine),
        run_id: &plan.run_id,
        keep: plan.keep,
        limits: plan.limits,
        credentials: &plan.credentials,
        links: Links::new(&plan.links, plan.seed),
        gates: Gates::default(),
        recorder,
        progress,
        labels: Stage::labels(&plan.run_id, plan.keep, place, lock),
        published: plan.models.len().div_ceil(MODELS_PER_PORT).max(1),
        outages: Outages::default(),
    }
}

/// What the part of a run with containers gives.
struct Measured {
    containers: Vec<ContainerFacts>,
    claims: Vec<Claim>,
    resources: BTreeMap<String, Resources>,
}

struct Measurement<'a> {
    plan: &'a RunPlan,
    stage: &'a Stage<'a>,
    roster: Roster,
}

impl Measurement<'_> {
    async fn run(&self) -> Result<Measured, Error> {
        self.phase("prepare");
        let containers = &self.plan.containers;
        let _measuring = self.stage.links.measure();
        let broker = self.plan.broker()?;
        self.stage.open(containers).await?;
        let facts = start::all(self.stage, containers).await?;
        let mut services = Services::of(self.stage, self.plan);
        services.answer().await?;
        let mut claims = match broker {
            Some(broker) => self.ask_all(broker).await?,
            None => Vec::new(),
        };
        let resources = Watch::of(self.stage, &self.plan.expectations);
        tokio::select! {
            published = self.publish(broker) => published?,
            error = self.stage.watch(containers) => return Err(error),
            error = services.watch() => return Err(error),
            error = resources.watch() => return Err(error),
        }
        self.stage.all_up(containers).await?;
        self.phase("check");
        claims.extend(services.conclude().await?);
        if let Some(broker) = broker
            && self.plan.expectations.contains(&Expectation::RetainedSurvivesRestart)
        {
            claims.push(restart::retained_survives(self.stage, self.plan, broker).await?);
        }
        Ok(Measured { containers: facts, claims, resources: resources.found() })
    }

    async fn ask_all(&self, broker: &ContainerPlan) -> Result<Vec<Claim>, Error> {
        let mut claims = Vec::new();
        for expectation in &self.plan.expectations {
            claims.extend(self.ask(expectation, broker).await?);
        }
        Ok(claims)
    }

    fn phase(&self, name: &'static str) {
        self.stage.recorder.record(&Arc::from("run"), Kind::Phase { name });
        (self.stage.progress)(Progress::Phase { name });
    }

    /// The claim of an expectation that is a question to a fresh broker.
    async fn ask(&self, expectation: &Expectation, plan: &ContainerPlan) -> Result<Option<Claim>, Error> {
        let address = *self.addresses(plan).await?.first().expect("`addresses` gives at least one");
        let tls = plan.tls().map_err(|error| Error::plan(self.stage.run_id, error.to_string()))?;
        let (credentials, limit) = (&self.plan.credentials, self.plan.limits.probe);
        let broker = Broker { address, credentials, limit, tls: tls.as_ref() };
        let claim = match expectation {
            // `Stage::run` has ended with an error where there was no CONNACK.
            Expectation::BrokerStarts => Claim::new(expectation, State::Held, "the broker answers a CONNECT"),
            Expectation::LoginAccepted(user) => broker.login_accepted(user).await,
            Expectation::AnonymousRefused => broker.anonymous_refused().await,
            Expectation::WrongPasswordRefused(user) => broker.wrong_password_refused(user).await,
            Expectation::SensorsPublish
            | Expectation::GatewayReceives
            | Expectation::EndToEnd
            | Expectation::RetainedSurvivesRestart
            | Expectation::ServiceHealthy(_)
            | Expectation::ServiceAnswers(..)
            | Expectation::ServiceRuns(..)
            | Expectation::Measure(_)
            | Expectation::Logs { .. } => return Ok(None),
        };
        let kind = Kind::Probe { name: claim.id.clone(), result: claim.text.clone() };
        self.stage.recorder.record(&Arc::from(plan.node_id.as_str()), kind);
        Ok(Some(claim))
    }

    async fn addresses(&self, plan: &ContainerPlan) -> Result<Vec<std::net::SocketAddr>, Error> {
        let addresses = self.stage.addresses(plan).await?;
        if addresses.is_empty() {
            self.stage.up(plan, "during the run").await?;
            let action = format!("find the published port of {}", plan.node_id);
            return Err(Error::EngineRefused {
                action,
                status: 0,
                message: "no port is published".to_owned(),
            });
        }
        Ok(addresses)
    }

    /// Models connect, publish for the planned time, and what is under way arrives. Without models, time passes.
    async fn publish(&self, broker: Option<&ContainerPlan>) -> Result<(), Error> {
        let Some(broker) = broker.filter(|_| !self.plan.models.is_empty()) else {
            self.phase("watch");
            let start = Instant::now();
            let timeline =
                Timeline { stage: self.stage, plan: self.plan, addresses: watch::Sender::default() };
            timeline.run(start).await?;
            sleep_until(start + self.plan.duration).await;
            return Ok(());
        };
        let tally = Arc::new(Tally::new(self.plan));
        let addresses = watch::Sender::new(self.addresses(broker).await?);
        let setting = Setting {
            plan: self.plan,
            addresses: addresses.subscribe(),
            broker: &broker.node_id,
            links: &self.stage.links,
            recorder: self.stage.recorder.clone(),
            tally: tally.clone(),
        };
        let fleet = Fleet::start(&setting).await?;
        self.phase("publish");
        let start = Instant::now() + LEAD;
        fleet.publish(start);
        // What is done last may go on after the last reading was due: it is over before messages have to have arrived.
        Timeline { stage: self.stage, plan: self.plan, addresses }.run(start).await?;
        sleep_until(start + self.plan.duration).await;
        self.phase("drain");
        fleet.drain();
        let end = Instant::now() + self.plan.limits.drain;
        while !tally.is_drained() && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
        fleet.end().await;
        Ok(())
    }

    fn conclude(&self, measured: Measured, history: &History, aftermath: Aftermath) -> Outcome {
        let plan = self.plan;
        let Measured { containers, claims: probed, resources } = measured;
        let links = self.stage.links.stats();
        let seen = Seen::of(history, &self.roster);
        let faults = Faults::of(&plan.timeline, history).with_readings(history, &seen, &self.roster);
        let send_lag = stats::send_lag(history, &self.roster, &faults);
        let findings = Findings {
            seen: &seen,
            roster: &self.roster,
            delivery: stats::delivery_latency(history, &faults),
            acknowledgement: stats::ack_latency(history, &self.roster, &faults),
            faults: &faults,
            resources: &resources,
        };
        let claims: Vec<Claim> = plan
            .expectations
            .iter()
            .filter_map(|expectation| {
                check::from_history(expectation, &findings)
                    .or_else(|| check::from_logs(expectation, &aftermath.logs))
                    .or_else(|| probed.iter().find(|c| c.id == expectation.to_string()).cloned())
            })
            .chain(faults.claims())
            .chain(check::links_used(&links))
            .chain(check::generator_kept_up(send_lag.as_ref(), plan.limits.lag_p99))
            .collect();
        for claim in &claims {
            (self.stage.progress)(Progress::Claim(claim.clone()));
        }
        let facts = Facts {
            scenario: plan.scenario_name.clone(),
            run_id: plan.run_id.clone(),
            seed: plan.seed,
            duration: plan.duration,
            shortened: plan.shortened,
            kept: plan.keep,
            engine: self.stage.engine.facts().clone(),
            containers,
            links,
            stimulus: stimulus(plan),
            send_lag,
            ack_latency: findings.acknowledgement.all,
            delivery_latency: findings.delivery.all,
            faults: faults.into_list(),
            resources,
            virtual_time: None,
        };
        let verdict = Verdict::over(&claims);
        Outcome { verdict, claims, nodes: stats::per_node(history), facts, leftovers: aftermath.leftovers }
    }
}
