//! From a verified bundle to a release that runs: what it is on this device, whether the device can take it, and then the
//! change itself.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use xedge_bundle::tuf::Target as Member;
use xedge_bundle::{Code, Manifest, Refusal, member};
use xedge_model::Digest;
use xedge_model::stack::SecretKind;
use xedge_wire::{Applied, Event};

use super::bring::{self, Target};
use super::{Agent, ApplyError, Events, Options, PATIENCE, adopt, recover};
use crate::check::{self, Look, Needs, ServiceNeeds};
use crate::plan::{Bounds, Input, ReleasePlan, plan};
use crate::records::{self, Lock};
use crate::staged::{Staged, is_layer};
use crate::state::{Accept, Check, Checks};
use crate::{Device, Result, TrustStore, secrets, values};

/// Installs a verified bundle, or checks whether it could be. Takes the device's lock: the caller must not hold it.
///
/// An error before the change leaves everything as it was; one of the change itself says what runs now.
pub fn install(
    agent: &Agent<'_>,
    trust: &mut TrustStore,
    staged: &Staged,
    options: &Options,
    events: &mut Events<'_>,
) -> Result<Applied> {
    let agent = *agent;
    let manifest = staged.manifest();
    let _lock = Lock::take(agent.home, agent.clock, PATIENCE)?;
    // Somebody else may have committed a release since the bundle was verified.
    *trust = TrustStore::open(agent.home)?;
    if options.check_only {
        // A look changes nothing, so it does not finish what was cut short either.
        if records::load_journal(&agent.stack(&manifest.stack))?.is_some() {
            return Err(ApplyError::Pending { stack: manifest.stack.clone() }.into());
        }
    } else {
        let _cut_short = recover::locked(agent, trust, &manifest.stack)?;
    }
    check_floor(trust, staged)?;
    events(Event::Checking);
    let device = Device::load(agent.home)?;
    let state = records::load_state(&agent.stack(&manifest.stack))?;
    let known = state.adopted_volumes.clone();
    let look = |trust| Look {
        home: agent.home,
        machine: agent.machine,
        engine: agent.engine,
        clock: agent.clock,
        device: &device,
        trust,
        agent: agent.version,
    };
    // A plan cannot be made without values and secrets: what can be said by then is said at once, with its codes.
    check::before_plan(&look(trust), manifest)?;
    let parts = Parts::read(agent, staged)?;
    let first = parts.plan(agent, staged, &device, &known)?;
    let adopt = match options.adopt.as_deref() {
        Some(name) if adopt::is_done(agent, name, &state)? => None,
        adopt => adopt,
    };
    let adoption = adopt.map(|name| adopt::find(agent, name, &manifest.stack, &first, &state)).transpose()?;
    let adopted_volumes = adoption.as_ref().map_or_else(BTreeMap::new, |found| found.volumes.clone());
    let plan = if adopted_volumes.is_empty() {
        first
    } else {
        let all = known.into_iter().chain(adopted_volumes.clone()).collect();
        parts.plan(agent, staged, &device, &all)?
    };
    let target = Target {
        stack: manifest.stack.clone(),
        version: manifest.version.clone(),
        config: Some(manifest.config.digest.clone()),
        data_version: manifest.data.version,
        checks: checks(manifest),
        plan,
        accept: Accept::of(staged.verified()),
        members: members(agent, staged)?,
        secrets: parts.secrets.clone(),
        head: staged.head().to_vec(),
        load: &|manifest, events| load(agent, staged, manifest, events),
        adopted: adoption.map(|found| (found.service, found.placed)),
        adopted_volumes,
    };
    let change = bring::compare(agent, &target)?;
    // `SERVICE=NAME`, or the name alone.
    let by_hand = adopt.map(|wanted| wanted.split_once('=').map_or(wanted, |(_, name)| name));
    let needs = needs(staged, &target.plan, change.changing(), by_hand.map(str::to_owned));
    check::check(&look(trust), manifest, &needs)?;
    if options.check_only {
        return Ok(change.preview());
    }
    trust.accept_root(staged.verified())?;
    change.carry_out(agent, trust, &target, events)
}

/// Refuses what has become older than what was accepted.
fn check_floor(trust: &TrustStore, staged: &Staged) -> Result<()> {
    let found = staged.verified().floor();
    let Some(least) = trust.floor(found.stack) else { return Ok(()) };
    if found.seq >= least.seq && found.timestamp_version >= least.timestamp_version {
        return Ok(());
    }
    let reason = format!("release {} came in meanwhile, and this one is number {}", least.seq, found.seq);
    Err(Refusal { code: Code::Rollback, member: member::BUNDLE.to_owned(), reason }.into())
}

/// What a plan is made of.
struct Parts {
    files: BTreeMap<Utf8PathBuf, Vec<u8>>,
    images: BTreeMap<String, Vec<u8>>,
    values: BTreeMap<String, String>,
    secrets: BTreeMap<String, u64>,
}

impl Parts {
    fn read(agent: Agent<'_>, staged: &Staged) -> Result<Self> {
        let manifest = staged.manifest();
        let home = agent.stack(&manifest.stack);
        let mut parts = Self {
            files: BTreeMap::new(),
            images: BTreeMap::new(),
            values: values::load(&home)?,
            secrets: BTreeMap::new(),
        };
        for file in &manifest.config.files {
            parts.files.insert(file.path.clone(), staged.file(&file.digest)?);
        }
        for service in &manifest.services {
            parts.images.insert(service.name.clone(), staged.image(&service.name)?.config.clone());
        }
        let missing = secrets::missing(&home, &manifest.config.secrets)?;
        for secret in manifest.config.secrets.iter().filter(|secret| !missing.contains(&secret.name)) {
            parts.secrets.insert(secret.name.clone(), secrets::version(&home, &secret.name)?);
        }
        Ok(parts)
    }

    fn plan(
        &self,
        agent: Agent<'_>,
        staged: &Staged,
        device: &Device,
        adopted: &BTreeMap<String, String>,
    ) -> Result<ReleasePlan> {
        let manifest = staged.manifest();
        let settings = &device.settings;
        plan(&Input {
            manifest,
            platform: staged.platform(),
            files: &self.files,
            images: &self.images,
            home: &agent.stack(&manifest.stack),
            bounds: Bounds {
                volume_root: settings.volume_root.clone(),
                memory: settings.max_memory,
                nano_cpus: settings.max_nano_cpus,
            },
            values: &self.values,
            secrets: &self.secrets,
            adopted,
        })
    }
}

fn load(agent: Agent<'_>, staged: &Staged, manifest: &Digest, events: &mut Events<'_>) -> Result<String> {
    let image = staged.images().get(manifest).expect("a plan names images of the bundle");
    let bytes = image.layers.iter().filter(|layer| !layer.here).map(|layer| layer.length).sum();
    if let Some(id) = agent.engine.image(&image.config_digest, &image.manifest)? {
        return Ok(id);
    }
    events(Event::Loading { image: image.name.clone(), bytes });
    staged.load(image, agent.engine)
}

/// What must answer, with the user of each secret that is a password and nothing else.
fn checks(manifest: &Manifest) -> Checks {
    let user = |secret: &str| {
        let found = manifest.config.secrets.iter().find(|found| found.name == secret)?;
        (found.kind == SecretKind::Password).then(|| found.users.first().cloned()).flatten()
    };
    let check = |probe: &xedge_model::stack::Probe| Check {
        user: probe.secret().and_then(user),
        probe: probe.clone(),
    };
    Checks {
        probes: manifest.probes.iter().map(check).collect(),
        settle_s: manifest.settle_s.into(),
        start_s: manifest.start_s.into(),
    }
}

/// The members that the next transfer need not bring: the small ones, and the layers where the Engine gives none back.
fn members(agent: Agent<'_>, staged: &Staged) -> Result<Vec<Digest>> {
    let thin = agent.engine.facts()?.thin_loads;
    let worth = |(name, target): &(&String, &Member)| !thin || !is_layer(name, target);
    let targets = staged.targets().targets.iter().filter(worth);
    let mut members: Vec<Digest> = targets
        .filter(|(name, _)| name.as_str() != member::BUNDLE)
        .map(|(_, target)| target.hashes.sha256().clone())
        .collect();
    members.sort();
    members.dedup();
    Ok(members)
}

/// What the device must have room for.
fn needs(staged: &Staged, plan: &ReleasePlan, changing: &[String], adopt: Option<String>) -> Needs {
    let mut images: BTreeMap<&Digest, u64> = BTreeMap::new();
    for service in changing {
        let manifest = plan.services.get(service).and_then(|planned| planned.spec.manifest.as_ref());
        if let Some(image) = manifest.and_then(|manifest| staged.images().get(manifest)) {
            let layers = image.layers.iter().filter(|layer| !layer.here);
            images.insert(&image.manifest, layers.map(|layer| layer.length).sum());
        }
    }
    let service = |(name, planned): (&String, &crate::plan::ServicePlan)| {
        let needs = ServiceNeeds { memory: planned.spec.limits.memory, ports: planned.spec.ports.clone() };
        (name.clone(), needs)
    };
    Needs {
        services: plan.services.iter().map(service).collect(),
        layers: images.values().sum(),
        // All of it is in the store by now.
        store: 0,
        adopt,
    }
}
