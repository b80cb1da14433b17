//! The containers of a run: made, started, watched, and always taken away again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use xedge_model::scenario::Role;

use super::Progress;
use super::outcome::ContainerFacts;
use crate::engine::{Creation, Engine, Labels, Status, volume_tar};
use crate::history::{Kind, Recorder};
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

/// Where containers of one run live.
pub(super) struct Stage<'a> {
    pub(super) engine: &'a Engine,
    pub(super) run_id: &'a str,
    pub(super) keep: bool,
    pub(super) limits: Limits,
    pub(super) credentials: &'a Credentials,
    pub(super) recorder: Recorder,
    pub(super) progress: &'a (dyn Fn(Progress) + Send + Sync),
    pub(super) labels: Labels,
    /// How often brokers publish their port.
    pub(super) published: usize,
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

    /// The part that needs no container: the run's own network.
    pub(super) async fn open(&self) -> Result<(), Error> {
        self.engine.create_network(&self.network(), &self.labels).await
    }

    /// Creates, fills and starts a container, and waits until it answers.
    pub(super) async fn run(&self, plan: &ContainerPlan) -> Result<ContainerFacts, Error> {
        (self.progress)(Progress::Starting { node: plan.node_id.clone() });
        self.check_platform(plan)?;
        let facts = self.create(plan).await?;
        let node: Arc<str> = Arc::from(plan.node_id.as_str());
        self.start(plan).await?;
        self.recorder.record(&node, Kind::Started { image: facts.image.clone() });
        let begun = Instant::now();
        self.ready(plan).await?;
        self.recorder.record(&node, Kind::Ready);
        (self.progress)(Progress::Ready { node: plan.node_id.clone(), waited: begun.elapsed() });
        Ok(facts)
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
        let mut volumes = BTreeMap::new();
        for (index, volume) in plan.volumes.iter().enumerate() {
            let volume_name = format!("{name}-{index}");
            self.engine.create_volume(&volume_name, &self.labels).await?;
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
        let network = self.network();
        let creation = Creation { name, plan, network: &network, volumes, published, labels: &self.labels };
        self.engine.create(&creation).await
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
        let mut last = "it was not asked".to_owned();
        while begun.elapsed() < self.limits.ready {
            let status = self.up(plan, "at once").await?;
            match self.answer(plan, &status, begun).await? {
                None => return Ok(()),
                Some(detail) => last = detail,
            }
            sleep(PAUSE).await;
        }
        let (node, waited_s) = (plan.node_id.clone(), self.limits.ready.as_secs());
        Err(Error::NotReady { node, waited_s, detail: last, log: self.tail(&plan.node_id).await })
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
            let broker = Broker { address, credentials: self.credentials, limit: self.limits.probe };
            return Ok(broker.answers().await.err().map(|refused| refused.to_string()));
        }
        let Some(check) = &status.health_check else {
            let up = begun.elapsed() >= self.limits.settle;
            return Ok((!up).then(|| "it has just been started".to_owned()));
        };
        let code = match self.engine.exec(&self.name(&plan.node_id), check, self.limits.probe).await {
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

    /// Where a broker is reached now. The Engine picks other ports at every start.
    pub(super) async fn addresses(&self, plan: &ContainerPlan) -> Result<Vec<SocketAddr>, Error> {
        self.engine.ports(&self.name(&plan.node_id), plan.service_port).await
    }

    /// State of a container that must be up.
    pub(super) async fn up(&self, plan: &ContainerPlan, when: &'static str) -> Result<Status, Error> {
        let status = self.engine.inspect(&self.name(&plan.node_id)).await?;
        if status.is_up() {
            return Ok(status);
        }
        let log = self.tail(&plan.node_id).await;
        if log.contains(BAD_FORMAT) || status.error.contains(BAD_FORMAT) {
            return Err(foreign(plan, format!("{}{log}", status.error)));
        }
        let extra = if status.oom_killed { ", out of memory" } else { "" };
        Err(Error::Exited { node: plan.node_id.clone(), when, code: status.exit_code, extra, log })
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

    /// Whether all containers are up.
    pub(super) async fn all_up(&self, plans: &[ContainerPlan]) -> Result<(), Error> {
        for plan in plans {
            self.up(plan, "during the run").await?;
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

    /// Removes everything of this run; what stays is named.
    pub(super) async fn clear(&self) -> Vec<String> {
        let mut problem = String::new();
        let mut clean = 0;
        for _ in 0..20 {
            match self.clear_once().await {
                // An order that was under way when the run was cancelled can still be carried out: look twice.
                Ok(true) if clean > 0 => return Vec::new(),
                Ok(true) => clean += 1,
                Ok(false) => clean = 0,
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
        for object in &objects {
            self.engine.remove(object.kind, &object.id).await?;
        }
        Ok(objects.is_empty())
    }
}

/// What the kernel and the C library say of a program for another architecture.
const BAD_FORMAT: &str = "exec format error";

fn foreign(plan: &ContainerPlan, detail: String) -> Error {
    Error::ForeignPlatform { node: plan.node_id.clone(), platform: plan.platform, detail }
}
