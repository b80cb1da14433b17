//! Brings a planned release up: prepares it beside what runs, switches, watches, and commits or takes all of it back. The
//! plan hangs on a verified bundle; whoever calls this has seen to that.

use std::collections::{BTreeMap, BTreeSet};

use xedge_model::compose::Condition;
use xedge_model::{Digest, atomic};
use xedge_wire::{Applied, Event};

use super::well::Doctor;
use super::{Agent, ApplyError, Events, commit, names, switch, tidy, undo};
use crate::engine::{ContainerSpec, SEQ_LABEL, SERVICE_LABEL, SPEC_LABEL, STACK_LABEL};
use crate::home::StackHome;
use crate::plan::{ReleasePlan, ServicePlan, write_mounts};
use crate::state::{Accept, Checks, Drop, Installed, Journal, Operation, Phase, Placed, StackState};
use crate::{Result, TrustStore, records};

/// A release that is to run.
pub(super) struct Target<'a> {
    pub(super) version: String,
    pub(super) config: Option<Digest>,
    pub(super) data_version: u64,
    pub(super) checks: Checks,
    pub(super) plan: ReleasePlan,
    pub(super) stack: String,
    /// The number stands here.
    pub(super) accept: Accept,
    /// The members worth keeping.
    pub(super) members: Vec<Digest>,
    /// The versions of its secrets.
    pub(super) secrets: BTreeMap<String, u64>,
    /// Bytes of the bundle's head.
    pub(super) head: Vec<u8>,
    /// Loads the image with this manifest and gives its id.
    pub(super) load: &'a dyn Fn(&Digest, &mut Events<'_>) -> Result<String>,
    /// A container that was started by hand, in the place of a service.
    pub(super) adopted: Option<(String, Placed)>,
    /// Volumes that were there before, by name.
    pub(super) adopted_volumes: BTreeMap<String, String>,
}

/// What a release changes. Made by looking; nothing has been touched.
pub(super) struct Change {
    home: StackHome,
    state: StackState,
    journal: Journal,
    kept: Vec<String>,
}

/// Compares a release with what runs.
pub(super) fn compare(agent: Agent<'_>, target: &Target<'_>) -> Result<Change> {
    let home = agent.stack(&target.stack);
    let state = records::load_state(&home)?;
    let from = before(&state, target);
    let (mut services, mut kept) = (BTreeMap::new(), Vec::new());
    let gone = from.iter().flat_map(|from| from.services.keys());
    let mut changing: Vec<String> =
        gone.filter(|name| !target.plan.services.contains_key(*name)).cloned().collect();
    for name in &target.plan.order {
        let planned = &target.plan.services[name];
        let old = from.as_ref().and_then(|from| from.services.get(name));
        let new = place(target, name, planned);
        match old {
            Some(old) if is_the_same(agent, old, &new)? => {
                kept.push(name.clone());
                services.insert(
                    name.clone(),
                    Placed { container: old.container.clone(), image: old.image.clone(), ..new },
                );
            }
            _ => {
                ensure_free(agent, name, planned, from.as_ref())?;
                changing.push(name.clone());
                services.insert(name.clone(), new);
            }
        }
    }
    let to = installed(agent, target, services);
    let operation = Operation::Install;
    let after = Box::new(after(&state, from.as_ref(), &to, &changing, target));
    let (drop, accept) = (Drop::default(), Some(target.accept.clone()));
    let journal = Journal { operation, phase: Phase::Preparing, from, to, changing, after, drop, accept };
    Ok(Change { home, state, journal, kept })
}

impl Change {
    /// What would come of it.
    pub(super) fn preview(&self) -> Applied {
        let changed = self.journal.changing.iter().map(|service| (service.clone(), 0)).collect();
        applied(&self.journal, &self.home, changed, self.kept.clone(), true)
    }

    /// Names of the services that change.
    pub(super) fn changing(&self) -> &[String] {
        &self.journal.changing
    }

    /// Makes it so.
    pub(super) fn carry_out(
        self,
        agent: Agent<'_>,
        trust: &mut TrustStore,
        target: &Target<'_>,
        events: &mut Events<'_>,
    ) -> Result<Applied> {
        let Self { home, state, mut journal, kept } = self;
        for service in &kept {
            events(Event::Keeping { service: service.clone() });
        }
        let same = journal.changing.is_empty()
            && state.current.as_ref().is_some_and(|current| same_release(current, &journal.to));
        if same {
            trust.accept(&target.stack, &target.accept)?;
            tidy::after_commit(agent, &home, &Journal { after: Box::new(state), ..journal.clone() });
            return Ok(applied(&journal, &home, BTreeMap::new(), kept, true));
        }
        agent.clock.step("begin");
        tidy::take_reserve(&home)?;
        agent.clock.step("reserved");
        records::save_journal(&home, &journal)?;
        agent.clock.step("preparing");
        let prepared = prepare(agent, target, &home, &mut journal, events).and_then(|()| {
            journal.drop = to_drop(&state, &journal);
            journal.phase = Phase::Switching;
            agent.clock.step("prepared");
            records::save_journal(&home, &journal)
        });
        if let Err(cause) = prepared {
            // Nothing that runs was touched. Whether the journal says so or is gone makes no difference to the next one.
            if records::clear_journal(&home).is_ok() {
                tidy::after_undo(agent, &home, &journal, &state);
            }
            return Err(cause);
        }
        let away = run(agent, trust, &home, &mut journal, events)?;
        Ok(applied(&journal, &home, away, kept, false))
    }
}

/// Carries out a journal that is written down as [`Phase::Switching`], to its commit or back.
pub(super) fn run(
    agent: Agent<'_>,
    trust: &mut TrustStore,
    home: &StackHome,
    journal: &mut Journal,
    events: &mut Events<'_>,
) -> Result<BTreeMap<String, u64>> {
    agent.clock.step("switching");
    let (checks, secrets) = (journal.to.checks.clone(), journal.to.secrets.clone());
    let doctor = Doctor { agent, home, checks: &checks, secrets: &secrets };
    let switched = switch::switch(&doctor, journal, events).and_then(|away| {
        doctor.settle(&journal.to, events)?;
        agent.clock.step("settled");
        tidy::release_reserve(home)?;
        decide(home, journal).map(|()| away)
    });
    let stack = tidy::stack_name(home);
    let away = match switched {
        Ok(away) => away,
        Err(cause) => {
            events(Event::RollingBack { reason: reason(&cause) });
            tidy::release_reserve(home).ok();
            let cause = Box::new(cause);
            return match undo::undo(agent, home, journal) {
                Ok(outcome) => {
                    events(Event::RolledBack);
                    Err(ApplyError::Undone { stack, seq: journal.to.seq, outcome, cause }.into())
                }
                Err(_) => Err(ApplyError::Unfinished { stack, cause }.into()),
            };
        }
    };
    journal.phase = Phase::Committing;
    agent.clock.step("committing");
    commit::finish(agent, trust, home, journal)
        .map_err(|cause| ApplyError::Unfinished { stack, cause: Box::new(cause) })?;
    events(Event::Committed);
    Ok(away)
}

/// Writes down that the new release stays. An error may come after the file was replaced: then what is there counts, because
/// whoever finds it would go on from it.
fn decide(home: &StackHome, journal: &Journal) -> Result<()> {
    let decided = records::save_journal(home, &Journal { phase: Phase::Committing, ..journal.clone() });
    match (decided, records::load_journal(home)) {
        (Err(_), Ok(Some(found))) if found.phase == Phase::Committing => Ok(()),
        (decided, _) => decided,
    }
}

fn reason(cause: &crate::Error) -> String {
    let text = cause.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Everything that can be made beside what runs.
fn prepare(
    agent: Agent<'_>,
    target: &Target<'_>,
    home: &StackHome,
    journal: &mut Journal,
    events: &mut Events<'_>,
) -> Result<()> {
    let plan = &target.plan;
    let seq = journal.to.seq;
    let mut images = BTreeMap::new();
    for service in &journal.changing {
        let Some(manifest) = plan.services.get(service).and_then(|planned| planned.spec.manifest.as_ref())
        else {
            continue;
        };
        if !images.contains_key(manifest) {
            images.insert(manifest.clone(), (target.load)(manifest, events)?);
            agent.clock.step("loaded");
        }
        if let (Some(placed), Some(id)) = (journal.to.services.get_mut(service), images.get(manifest)) {
            placed.image.clone_from(id);
        }
    }
    // From here on the images are found again by whoever takes this back.
    records::save_journal(home, journal)?;
    agent.clock.step("images");
    write_mounts(home, &plan.mounts)?;
    agent.clock.step("mounts");
    atomic::write(&home.head(seq), &target.head, 0o600)?;
    agent.clock.step("head");
    let ours = BTreeMap::from([(STACK_LABEL.to_owned(), target.stack.clone())]);
    for network in &plan.networks {
        agent.engine.ensure_network(network, &ours)?;
        agent.clock.step("network");
    }
    for volume in &plan.volumes {
        agent.engine.ensure_volume(volume, &ours)?;
        agent.clock.step("volume");
    }
    for name in &journal.changing {
        let Some(planned) = plan.services.get(name) else { continue };
        let placed = journal.to.services.get_mut(name).expect("planned services are placed");
        let spec = ContainerSpec { image: placed.image.clone(), ..planned.spec.clone() };
        let mut labels = ours.clone();
        labels.insert(SERVICE_LABEL.to_owned(), name.clone());
        labels.insert(SEQ_LABEL.to_owned(), seq.to_string());
        labels.insert(SPEC_LABEL.to_owned(), spec.digest().to_string());
        placed.container = agent.engine.create(&names::fresh(&planned.name, seq), &spec, &labels)?;
        agent.clock.step("created");
    }
    if let Some(current) = &mut journal.after.current {
        current.services.clone_from(&journal.to.services);
    }
    Ok(())
}

/// What runs before: the current release, and in it the container that is taken over.
fn before(state: &StackState, target: &Target<'_>) -> Option<Installed> {
    let mut from = state.current.clone();
    if let Some((service, placed)) = &target.adopted {
        let by_hand = from.get_or_insert_with(|| Installed {
            version: "by hand".to_owned(),
            checks: Checks { probes: Vec::new(), settle_s: 3, start_s: 60 },
            ..Installed::default()
        });
        by_hand.services.insert(service.clone(), placed.clone());
    }
    from
}

fn place(target: &Target<'_>, name: &str, planned: &ServicePlan) -> Placed {
    let waits_for_end = |other: &ServicePlan| other.depends_on.get(name) == Some(&Condition::Completed);
    Placed {
        container: String::new(),
        name: planned.name.clone(),
        image: String::new(),
        image_name: planned.image.to_string(),
        manifest: planned.spec.manifest.clone(),
        spec: Some(planned.spec.digest()),
        restart: planned.spec.restart,
        attempts: planned.spec.restart_attempts,
        memory: planned.spec.limits.memory,
        ports: planned.spec.ports.clone(),
        stop_grace_s: planned.stop_grace.as_secs(),
        ends: target.plan.services.values().any(waits_for_end),
    }
}

/// Whether the container that is there is the one that would be made, and runs.
fn is_the_same(agent: Agent<'_>, old: &Placed, new: &Placed) -> Result<bool> {
    if old.spec.is_none() || old.spec != new.spec || old.name != new.name {
        return Ok(false);
    }
    let found = agent.engine.inspect(&old.container)?;
    Ok(found
        .is_some_and(|found| found.name == old.name && (found.running || (new.ends && found.exit_code == 0))))
}

/// The name of a service must be free, or belong to what it takes over from.
fn ensure_free(
    agent: Agent<'_>,
    service: &str,
    planned: &ServicePlan,
    from: Option<&Installed>,
) -> Result<()> {
    let Some(found) = agent.engine.inspect(&planned.name)? else { return Ok(()) };
    let ours = from.iter().flat_map(|from| from.services.values()).any(|old| old.container == found.id);
    if ours {
        return Ok(());
    }
    Err(ApplyError::NameTaken { name: planned.name.clone(), service: service.to_owned() }.into())
}

fn installed(agent: Agent<'_>, target: &Target<'_>, services: BTreeMap<String, Placed>) -> Installed {
    let plan = &target.plan;
    Installed {
        seq: target.accept.seq,
        version: target.version.clone(),
        config: target.config.clone(),
        data_version: target.data_version,
        since: agent.clock.unix(),
        services,
        order: plan.order.clone(),
        checks: target.checks.clone(),
        networks: plan.networks.iter().map(|network| network.name.clone()).collect(),
        volumes: plan.volumes.clone(),
        mounts: plan.mounts.iter().map(|folder| folder.digest.clone()).collect(),
        members: target.members.clone(),
        secrets: target.secrets.clone(),
    }
}

/// The state once the release is committed. A release that changes no container does not push out the one to go back to, and
/// one that only makes containers anew that died does not either: the way back would lead to those.
fn after(
    state: &StackState,
    from: Option<&Installed>,
    to: &Installed,
    changing: &[String],
    target: &Target<'_>,
) -> StackState {
    let stays = changing.is_empty() || from.is_some_and(|from| is_made_of_the_same(from, to));
    let previous = if stays { state.previous.clone() } else { from.cloned() };
    let mut adopted_volumes = state.adopted_volumes.clone();
    adopted_volumes.extend(target.adopted_volumes.clone());
    let mut adopted = state.adopted.clone();
    adopted.extend(target.adopted.iter().map(|(service, placed)| (service.clone(), placed.name.clone())));
    StackState { current: Some(to.clone()), previous, adopted_volumes, adopted }
}

/// What the state speaks of now and will not afterwards.
pub(super) fn to_drop(state: &StackState, journal: &Journal) -> Drop {
    let kept = undo::kept(&journal.after);
    let after = || tidy::releases(&journal.after);
    let images: BTreeSet<&String> =
        after().flat_map(|release| release.services.values().map(|placed| &placed.image)).collect();
    let networks: BTreeSet<&String> = after().flat_map(|release| &release.networks).collect();
    let going = || tidy::releases(state).flat_map(|release| release.services.values());
    let unique = |all: BTreeSet<String>| all.into_iter().collect();
    Drop {
        containers: unique(
            going().map(|placed| placed.container.clone()).filter(|id| !kept.contains(id.as_str())).collect(),
        ),
        images: unique(
            going().map(|placed| placed.image.clone()).filter(|id| !images.contains(id)).collect(),
        ),
        networks: unique(
            tidy::releases(state)
                .flat_map(|release| release.networks.clone())
                .filter(|name| !networks.contains(name))
                .collect(),
        ),
        volumes: Vec::new(),
    }
}

/// Whether nothing but the moment differs.
fn same_release(current: &Installed, to: &Installed) -> bool {
    Installed { since: current.since, ..to.clone() } == *current
}

/// Whether nothing but the moment and the containers themselves differ.
fn is_made_of_the_same(current: &Installed, to: &Installed) -> bool {
    let mut made = to.clone();
    for (name, placed) in &mut made.services {
        if let Some(current) = current.services.get(name) {
            placed.container.clone_from(&current.container);
            placed.image.clone_from(&current.image);
        }
    }
    same_release(current, &made)
}

fn applied(
    journal: &Journal,
    home: &StackHome,
    changed: BTreeMap<String, u64>,
    kept: Vec<String>,
    unchanged: bool,
) -> Applied {
    let (stack, seq, version) = (tidy::stack_name(home), journal.to.seq, journal.to.version.clone());
    Applied { stack, seq, version, changed, kept, unchanged }
}
