//! The containers of a run: made, started, watched, and always taken away again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};
use xedge_model::scenario::Role;

use super::Progress;
use super::host::Host;
use super::outage::Outages;
use super::outcome::ContainerFacts;
use crate::engine::{Creation, Labels, Status, volume_tar};
use crate::history::{Kind, Recorder};
use crate::link::{Gates, Links, Naming};
use crate::plan::{ContainerPlan, Credentials, Limits, Place, VolumePlan, redact};
use crate::probe::Broker;
use crate::sweep::{HOST, KEEP, LOCK, RUN};
use crate::{Error, RunLock};

/// Log lines in an error.
const TAIL: usize = 20;
/// Pause between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause between two looks at containers that should just run.
const WATCH: Duration = Duration::from_secs(1);

/// How long an Engine that ended a container may go on answering before it is gone itself.
const GOES: Duration = Duration::from_secs(2);
/// When something happened that nobody asked for.
const DURING: &str = "during the run";

/// What engines call the place without network.
const OFFLINE: &str = "none";

/// Where containers of one run live.
pub(super) struct Stage<'a> {
    pub(super) engine: Host<'a>,
    pub(super) run_id: &'a str,
    pub(super) keep: bool,
    pub(super) limits: Limits,
    pub(super) credentials: &'a Credentials,
    pub(super) links: Links,
    /// Where containers enter links.
    pub(super) gates: Gates,
    pub(super) recorder: Recorder,
    pub(super) progress: &'a (dyn Fn(Progress) + Send + Sync),
    pub(super) labels: Labels,
    /// How often brokers publish their port.
    pub(super) published: usize,
    /// What the timeline does to containers.
    pub(super) outages: Outages,
}

impl Stage<'_> {
    /// The labels that everything of a run carries.
    pub(super) fn labels(run_id: &str, keep: bool, place: &Place, lock: &RunLock) -> Labels {
        let labels = [(RUN, run_id), (LOCK, lock.path().as_str()), (HOST, place.host.as_str())];
        let keep = keep.then_some((KEEP, "true"));
        labels.into_iter().chain(keep).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Name of a container in the Engine.
    pub(super) fn name(&self, node: &str) -> String {
        format!("xedge-{}-{node}", self.run_id)
    }

    fn network(&self) -> String {
        format!("xedge-{}", self.run_id)
    }

    /// The networks of a container: the one that all share, those that its plan names, or none.
    fn networks(&self, plan: &ContainerPlan) -> Vec<String> {
        // A program of this machine is in its network.
        if plan.extras.process.is_some() {
            return Vec::new();
        }
        if plan.extras.offline {
            return vec![OFFLINE.to_owned()];
        }
        if plan.extras.networks.is_empty() {
            return vec![self.network()];
        }
        plan.extras.networks.iter().map(|name| self.named_network(name)).collect()
    }

    /// The engine's name of one of a plan's networks; the common one has no name there.
    fn named_network(&self, name: &str) -> String {
        if name.is_empty() { self.network() } else { format!("{}-{name}", self.network()) }
    }

    /// The part that needs no container: the run's own networks.
    pub(super) async fn open(&self, plans: &[ContainerPlan]) -> Result<(), Error> {
        let names: BTreeSet<String> = plans.iter().flat_map(|plan| self.networks(plan)).collect();
        for name in names.iter().filter(|name| *name != OFFLINE) {
            self.engine.create_network(name, &self.labels).await?;
        }
        let naming = Naming { container: &|node| self.name(node), network: &|name| self.named_network(name) };
        self.gates.plan(&self.engine, &self.links, plans, &naming).await?;
        let shared = plans.iter().flat_map(|plan| &plan.volumes).filter_map(|volume| volume.name.as_deref());
        for name in shared.collect::<BTreeSet<&str>>() {
            self.engine.create_volume(&self.shared_volume(name), &self.labels).await?;
        }
        Ok(())
    }

    fn shared_volume(&self, name: &str) -> String {
        format!("{}-volume-{name}", self.network())
    }

    /// Creates, fills and starts a container, and waits until it answers.
    pub(super) async fn run(&self, plan: &ContainerPlan) -> Result<ContainerFacts, Error> {
        let (facts, begun) = self.launch(plan).await?;
        self.settle(plan, begun).await?;
        Ok(facts)
    }

    /// Creates, fills and starts a container, and says when that was.
    pub(super) async fn launch(&self, plan: &ContainerPlan) -> Result<(ContainerFacts, Instant), Error> {
        (self.progress)(Progress::Starting { node: plan.node_id.clone() });
        self.check_platform(plan)?;
        let networks = self.networks(plan);
        self.gates.open(&self.engine, &networks, false)?;
        let facts = self.create(plan).await?;
        self.start(plan).await?;
        self.gates.open(&self.engine, &networks, true)?;
        self.recorder.record(&Arc::from(plan.node_id.as_str()), Kind::Started { image: facts.image.clone() });
        Ok((facts, Instant::now()))
    }

    /// Waits until a container that was started at `begun` answers, or has completed.
    pub(super) async fn settle(&self, plan: &ContainerPlan, begun: Instant) -> Result<(), Error> {
        let node: Arc<str> = Arc::from(plan.node_id.as_str());
        if plan.extras.completes {
            let code = self.completed(plan).await?;
            self.recorder.record(&node, Kind::Completed { code });
            (self.progress)(Progress::Completed { node: plan.node_id.clone(), waited: begun.elapsed() });
        } else {
            self.ready(plan).await?;
            self.recorder.record(&node, Kind::Ready);
            (self.progress)(Progress::Ready { node: plan.node_id.clone(), waited: begun.elapsed() });
        }
        Ok(())
    }

    /// Waits until a container that is to complete has ended, with 0.
    async fn completed(&self, plan: &ContainerPlan) -> Result<i64, Error> {
        let begun = Instant::now();
        while begun.elapsed() < self.limits.ready {
            let status = self.engine.inspect(&self.name(&plan.node_id)).await?;
            match status {
                Status { running: true, .. } | Status { restarting: true, .. } => {}
                Status { exit_code: 0, .. } if status.error.is_empty() => return Ok(0),
                status => return Err(self.exited(plan, &status, "before it had completed").await),
            }
            sleep(PAUSE).await;
        }
        Err(self.not_ready(plan, self.limits.ready, "it has not completed".to_owned()).await)
    }

    fn check_platform(&self, plan: &ContainerPlan) -> Result<(), Error> {
        let foreign = self.engine.facts().emulates(plan.platform);
        if foreign == plan.emulated {
            return Ok(());
        }
        let architecture = &self.engine.facts().architecture;
        let how = if plan.emulated { "emulated" } else { "native" };
        let message = format!(
            "node {}: {} is planned as {how}, and the Engine's machine is {architecture}",
            plan.node_id, plan.platform
        );
        Err(Error::plan(self.run_id, message))
    }

    async fn create(&self, plan: &ContainerPlan) -> Result<ContainerFacts, Error> {
        let name = self.name(&plan.node_id);
        if let Some(process) = &plan.extras.process {
            self.engine.processes.create(&name, process)?;
            return Ok(ContainerFacts {
                node: plan.node_id.clone(),
                role: plan.role,
                image: format!("none: the program {}", process.command.first().map_or("", String::as_str)),
                platform: plan.platform,
                emulated: false,
            });
        }
        let mut volumes = BTreeMap::new();
        for (index, volume) in plan.volumes.iter().enumerate() {
            let volume_name = match &volume.name {
                Some(shared) => self.shared_volume(shared),
                None => format!("{name}-{index}"),
            };
            if volume.name.is_none() {
                self.engine.create_volume(&volume_name, &self.labels).await?;
            }
            volumes.insert(volume.mount_path.clone(), volume_name);
        }
        self.fill_read_only(plan, &volumes).await?;
        self.create_as(&name, plan, &volumes).await?;
        let image = self.engine.inspect(&name).await?.image;
        if !plan.accepted_ids.iter().any(|id| id.as_str() == image) {
            return Err(Error::wrong_image(&plan.node_id, &image, &plan.accepted_ids));
        }
        let (node, platform) = (plan.node_id.clone(), plan.platform);
        let found = self.engine.image_platform(&image).await?;
        if found != platform.as_str() {
            return Err(Error::WrongPlatform { node, image, found, platform });
        }
        self.fill(&name, plan.volumes.iter().filter(|v| !v.read_only)).await?;
        Ok(ContainerFacts { node, role: plan.role, image, platform, emulated: plan.emulated })
    }

    async fn create_as(
        &self,
        name: &str,
        plan: &ContainerPlan,
        volumes: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let published = if plan.role == Role::Broker { self.published } else { 0 };
        let networks = self.networks(plan);
        let (network, further) = networks.split_first().expect("`networks` gives at least one");
        let labels = &self.labels;
        let plan = &self.told(plan);
        let creation = Creation { name, plan, network, further, volumes, published, labels };
        self.engine.create(&creation).await
    }

    /// The plan with the names under which the container finds others through links.
    fn told<'p>(&self, plan: &'p ContainerPlan) -> Cow<'p, ContainerPlan> {
        let hosts = self.gates.hosts(&plan.node_id);
        if hosts.is_empty() {
            return Cow::Borrowed(plan);
        }
        let mut plan = plan.clone();
        plan.extras.extra_hosts.extend(hosts);
        Cow::Owned(plan)
    }

    /// The Engine takes no files into a volume that is mounted read-only, so a container that is never started mounts
    /// it first.
    async fn fill_read_only(
        &self,
        plan: &ContainerPlan,
        volumes: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        if !plan.volumes.iter().any(|v| v.read_only) {
            return Ok(());
        }
        let name = format!("{}-fill", self.name(&plan.node_id));
        let mut filler = plan.clone();
        filler.volumes.iter_mut().for_each(|v| v.read_only = false);
        self.create_as(&name, &filler, volumes).await?;
        self.fill(&name, plan.volumes.iter().filter(|v| v.read_only)).await?;
        self.engine.remove(crate::engine::Kind::Container, &name).await
    }

    async fn fill(&self, container: &str, volumes: impl Iterator<Item = &VolumePlan>) -> Result<(), Error> {
        for volume in volumes {
            if let Some(tar) = volume_tar(volume).map_err(Error::Archive)? {
                self.engine.upload(container, &volume.mount_path, tar).await?;
            }
        }
        Ok(())
    }

    /// Starts a container; one that the kernel cannot execute is an error of its own.
    pub(super) async fn start(&self, plan: &ContainerPlan) -> Result<(), Error> {
        match self.engine.start(&self.name(&plan.node_id)).await {
            Err(Error::EngineRefused { message, .. } | Error::Embedded { message, .. })
                if message.contains(BAD_FORMAT) =>
            {
                Err(foreign(plan, message))
            }
            other => other,
        }
    }

    /// Waits until a broker gives a CONNACK, and until another container's health check passes, or, without one, until
    /// it has been up for a while.
    pub(super) async fn ready(&self, plan: &ContainerPlan) -> Result<(), Error> {
        let begun = Instant::now();
        let patience = self.patience(plan);
        let mut last = "it was not asked".to_owned();
        while begun.elapsed() < patience {
            let status = self.up(plan, "at once").await?;
            match self.answer(plan, &status, begun).await? {
                None => return Ok(()),
                Some(detail) => last = detail,
            }
            sleep(PAUSE).await;
        }
        Err(self.not_ready(plan, patience, last).await)
    }

    /// How long a container has to its first answer: what its health check says, within the run's limit. An emulated one
    /// has all of it.
    fn patience(&self, plan: &ContainerPlan) -> Duration {
        let pace = plan.extras.health_pace.filter(|_| !plan.emulated);
        pace.map_or(self.limits.ready, |pace| pace.patience.min(self.limits.ready))
    }

    async fn not_ready(&self, plan: &ContainerPlan, waited: Duration, detail: String) -> Error {
        let log = self.tail(&plan.node_id).await;
        Error::NotReady { node: plan.node_id.clone(), waited_s: waited.as_secs(), detail, log }
    }

    /// What is still missing for a container to count as ready.
    async fn answer(
        &self,
        plan: &ContainerPlan,
        status: &Status,
        begun: Instant,
    ) -> Result<Option<String>, Error> {
        if plan.role == Role::Broker {
            let Some(address) = self.addresses(plan).await?.first().copied() else {
                return Ok(Some("its port is not published yet".to_owned()));
            };
            let tls = plan.tls().map_err(|error| Error::plan(self.run_id, error.to_string()))?;
            let (credentials, limit) = (self.credentials, self.limits.probe);
            let broker = Broker { address, credentials, limit, tls: tls.as_ref() };
            return Ok(broker.answers().await.err().map(|refused| refused.to_string()));
        }
        let Some(check) = &status.health_check else {
            let up = begun.elapsed() >= self.limits.settle;
            return Ok((!up).then(|| "it has just been started".to_owned()));
        };
        self.asked(plan, check).await
    }

    /// What a container's health check says now; `None` is a pass.
    pub(super) async fn health(&self, plan: &ContainerPlan) -> Result<Option<String>, Error> {
        match self.up(plan, DURING).await?.health_check {
            Some(check) => self.asked(plan, &check).await,
            None => Ok(Some("it has no health check".to_owned())),
        }
    }

    async fn asked(&self, plan: &ContainerPlan, check: &[String]) -> Result<Option<String>, Error> {
        let limit = plan.extras.health_pace.map_or(self.limits.probe, |pace| pace.timeout);
        let limit = if plan.emulated { limit.max(self.limits.probe) } else { limit };
        let code = match self.engine.exec(&self.name(&plan.node_id), check, limit).await {
            // It may end between the look at it and the question: the next look tells.
            Err(Error::EngineRefused { message, .. } | Error::Embedded { message, .. }) => {
                return Ok(Some(message));
            }
            other => other?,
        };
        Ok(match code {
            Some(0) => None,
            Some(code) => Some(format!("its health check ends with {code}")),
            None => Some("its health check does not end".to_owned()),
        })
    }

    /// Where a port is reached now, if the container publishes it. The Engine picks others at every start.
    pub(super) async fn port(&self, plan: &ContainerPlan, port: u16) -> Result<Option<SocketAddr>, Error> {
        Ok(self.engine.ports(&self.name(&plan.node_id), port).await?.first().copied())
    }

    /// Where a broker is reached now. The Engine picks other ports at every start.
    pub(super) async fn addresses(&self, plan: &ContainerPlan) -> Result<Vec<SocketAddr>, Error> {
        self.engine.ports(&self.name(&plan.node_id), plan.service_port).await
    }

    /// State of a container that must be up.
    pub(super) async fn up(&self, plan: &ContainerPlan, when: &'static str) -> Result<Status, Error> {
        let status = self.engine.inspect(&self.name(&plan.node_id)).await?;
        if status.is_up() { Ok(status) } else { Err(self.exited(plan, &status, when).await) }
    }

    async fn exited(&self, plan: &ContainerPlan, status: &Status, when: &'static str) -> Error {
        let log = self.tail(&plan.node_id).await;
        if log.contains(BAD_FORMAT) || status.error.contains(BAD_FORMAT) {
            return foreign(plan, format!("{}{log}", status.error));
        }
        let how = if status.running {
            " and was started again".to_owned()
        } else {
            let extra = if status.oom_killed { ", out of memory" } else { "" };
            format!(" with exit code {}{extra}", status.exit_code)
        };
        Error::Exited { node: plan.node_id.clone(), when, how, log }
    }

    /// Ends only with an error: as soon as one of the containers is not up, or the Engine does not answer.
    pub(super) async fn watch(&self, plans: &[ContainerPlan]) -> Error {
        loop {
            sleep(WATCH).await;
            if let Err(error) = self.all_up(plans).await {
                return error;
            }
        }
    }

    /// Whether all containers are up that are not to complete, and are not down because the timeline wants it.
    pub(super) async fn all_up(&self, plans: &[ContainerPlan]) -> Result<(), Error> {
        for plan in plans.iter().filter(|plan| !plan.extras.completes) {
            let before = self.outages.calm(&plan.node_id);
            let up = self.up(plan, DURING).await;
            if before.is_some() && self.outages.calm(&plan.node_id) == before {
                up?;
            } else if let Err(error @ Error::EngineLost { .. }) = up {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops a container with SIGTERM and records its exit code.
    pub(super) async fn stop(&self, plan: &ContainerPlan) -> Result<i64, Error> {
        let name = self.name(&plan.node_id);
        self.engine.stop(&name, plan.stop_grace).await?;
        let code = self.engine.inspect(&name).await?.exit_code;
        self.recorder.record(&Arc::from(plan.node_id.as_str()), Kind::Stopped { code });
        Ok(code)
    }

    /// The error of a run, or, where containers ended because the Engine itself does, that one: an Engine that shuts down
    /// ends them first and hangs up after.
    pub(super) async fn cause(&self, error: Error) -> Error {
        if !matches!(error, Error::Exited { when: DURING, .. }) {
            return error;
        }
        let end = Instant::now() + GOES;
        while Instant::now() < end {
            if let Err(lost @ Error::EngineLost { .. }) = self.engine.answers().await {
                return lost;
            }
            sleep(PAUSE).await;
        }
        error
    }

    async fn tail(&self, node: &str) -> String {
        let log = self.engine.logs(&self.name(node), Some(TAIL)).await.unwrap_or_default();
        redact(String::from_utf8_lossy(&log).trim_end(), self.credentials)
    }

    /// The whole log of every container; what cannot be read is left out.
    pub(super) async fn logs(&self, plans: &[ContainerPlan]) -> BTreeMap<String, String> {
        let mut logs = BTreeMap::new();
        for plan in plans {
            if let Ok(log) = self.engine.logs(&self.name(&plan.node_id), None).await {
                let text = redact(&String::from_utf8_lossy(&log), self.credentials);
                logs.insert(plan.node_id.clone(), text);
            }
        }
        logs
    }

    /// Removes everything of this run; what stays is named. An order that was under way when the run was cut short can
    /// still be carried out: then it looks twice.
    pub(super) async fn clear(&self, cut_short: bool) -> Vec<String> {
        self.engine.processes.clear().await;
        let mut problem = String::new();
        let (mut clean, enough) = (0, if cut_short { 2 } else { 1 });
        for _ in 0..20 {
            match self.clear_once().await {
                Ok(true) if clean + 1 == enough => return Vec::new(),
                Ok(true) => clean += 1,
                Ok(false) => {
                    clean = 0;
                    continue;
                }
                Err(error @ Error::EngineLost { .. }) => {
                    problem = error.to_string();
                    break;
                }
                Err(error) => problem = error.to_string(),
            }
            sleep(PAUSE).await;
        }
        vec![format!("objects with the label {RUN}={}: {problem}", self.run_id)]
    }

    async fn clear_once(&self) -> Result<bool, Error> {
        let objects = self.engine.labelled(&format!("{RUN}={}", self.run_id)).await?;
        // Sorted: containers first, then what they use.
        for same in objects.chunk_by(|a, b| a.kind == b.kind) {
            try_join_all(same.iter().map(|object| self.engine.remove(object.kind, &object.id))).await?;
        }
        Ok(objects.is_empty())
    }
}

/// What the kernel and the C library say of a program for another architecture.
const BAD_FORMAT: &str = "exec format error";

fn foreign(plan: &ContainerPlan, detail: String) -> Error {
    Error::ForeignPlatform { node: plan.node_id.clone(), platform: plan.platform, detail }
}
