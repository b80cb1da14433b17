//! What `bundle.json` must be in itself (FORMAT.md §4 and §6). Looks at no other member.

use std::collections::BTreeSet;

use xedge_model::Platform;
use xedge_model::stack::{MAX_WAIT_S, Probe, RelPath, config_digest, is_board, is_name};

use super::{Config, FORMAT, Gate, Manifest, Service};
use crate::member;
use crate::refusal::{Code, Refusal};
use crate::tuf::STAMPS;

type Check = Result<(), String>;

impl Manifest {
    /// Refuses a description that contradicts itself. A writer asks this too, before it signs anything.
    pub fn check(&self) -> Result<(), Refusal> {
        let contradiction = |reason| Refusal::new(Code::Contradiction, member::BUNDLE, reason);
        self.check_head().map_err(contradiction)?;
        self.check_compatibility().map_err(contradiction)?;
        check_services(&self.services, &self.compatibility.platforms).map_err(contradiction)?;
        check_config(&self.config).map_err(contradiction)?;
        self.gate.check().map_err(contradiction)?;
        self.check_operation().map_err(contradiction)?;
        self.check_documents().map_err(contradiction)?;
        let Config { files, secrets, device_values, digest, .. } = &self.config;
        let found = config_digest(&self.stack, files, secrets, device_values);
        if found != *digest {
            let reason = format!("`config.digest` is {digest}, but its parts give {found}");
            return Err(Refusal::new(Code::ConfigDigest, member::BUNDLE, reason));
        }
        Ok(())
    }

    fn check_head(&self) -> Check {
        ensure(self.format == FORMAT, || format!("it has format {}", self.format))?;
        ensure(is_name(&self.stack), || "`stack` is no name".into())?;
        ensure((1..u64::MAX / STAMPS).contains(&self.seq), || format!("`seq` is {}", self.seq))?;
        ensure(is_tag(&self.version), || "`version` cannot be a tag in a registry".into())?;
        ensure(is_short_text(&self.tool), || "`tool` is no version".into())?;
        ensure(self.revision.as_deref().is_none_or(is_short_text), || "`revision` is no revision".into())
    }

    fn check_compatibility(&self) -> Check {
        let compatibility = &self.compatibility;
        let platforms = &compatibility.platforms;
        ensure(!platforms.is_empty() && sorted(platforms), || "`platforms` is empty or not sorted".into())?;
        let boards = &compatibility.boards;
        ensure(sorted(boards), || "`boards` is not sorted, or has one twice".into())?;
        if let Some(bad) = boards.iter().find(|board| !is_board(board)) {
            return Err(format!("`{}` is no name of a board", bad.escape_debug()));
        }
        ensure(is_numbers(&compatibility.agent, 3), || "`agent` is not MAJOR.MINOR.PATCH".into())?;
        ensure(is_numbers(&compatibility.engine_api, 2), || "`engineApi` is not MAJOR.MINOR".into())
    }

    /// What a device does with it: the data that it leaves, and how it is asked whether it is well.
    fn check_operation(&self) -> Check {
        ensure(self.data.floor <= self.data.version, || {
            "`data.floor` is above `data.version`: the release could not read its own data".into()
        })?;
        let order: Vec<_> = self.probes.iter().map(Probe::order).collect();
        ensure(sorted(&order), || "`probes` is not sorted, or has one twice".into())?;
        for probe in &self.probes {
            let known = self.services.iter().any(|service| service.name == probe.service());
            ensure(known, || {
                format!("a probe is of {}, which is no service", probe.service().escape_debug())
            })?;
            probe.check(&self.config.secrets)?;
        }
        ensure(self.settle_s <= MAX_WAIT_S, || format!("`settleS` is {}", self.settle_s))?;
        ensure((1..=MAX_WAIT_S).contains(&self.start_s), || format!("`startS` is {}", self.start_s))
    }

    /// Locks and SBOMs.
    fn check_documents(&self) -> Check {
        let locks: Vec<_> = self.locks.iter().map(|lock| &lock.image).collect();
        ensure(sorted(&locks), || "`locks` is not sorted, or has an image twice".into())?;
        let sboms: Vec<_> = self.sboms.iter().map(|sbom| (&sbom.image, sbom.platform)).collect();
        ensure(sorted(&sboms), || "`sboms` is not sorted, or has one twice".into())?;
        let files: BTreeSet<_> = self.config.files.iter().map(|file| &file.digest).collect();
        let count = self.gate.evidence.len() + locks.len() + sboms.len() + files.len();
        let members = self.members();
        ensure(members.len() == count, || "two images have the same name of a member".into())?;
        match members.keys().find(|name| member::kind_of(name).is_none()) {
            Some(name) => Err(format!("`{name}` can be no member's name")),
            None => Ok(()),
        }
    }
}

impl Gate {
    fn check(&self) -> Check {
        ensure(!self.scenarios.is_empty(), || "`gate.scenarios` is empty".into())?;
        ensure(sorted(&self.scenarios), || "`gate.scenarios` is not sorted, or has one twice".into())?;
        if let Some(bad) = self.scenarios.iter().find(|scenario| !is_name(scenario)) {
            return Err(format!("`{}` is no name of a scenario", bad.escape_debug()));
        }
        let evidence = self.evidence.iter().map(|evidence| &evidence.scenario);
        ensure(self.scenarios.iter().eq(evidence), || {
            "`gate.evidence` does not have one entry for each of `gate.scenarios`".into()
        })
    }
}

fn check_services(services: &[Service], platforms: &[Platform]) -> Check {
    let names: Vec<_> = services.iter().map(|service| &service.name).collect();
    ensure(!names.is_empty() && sorted(&names), || {
        "`services` is empty, not sorted or has one twice".into()
    })?;
    for service in services {
        ensure(is_name(&service.name), || format!("`{}` is no name", service.name.escape_debug()))?;
        ensure(service.manifests.keys().eq(platforms), || {
            format!("service {} does not have exactly the platforms of `compatibility`", service.name)
        })?;
        let mut others = services.iter().filter(|other| other.image == service.image);
        ensure(others.all(|o| o.index == service.index && o.manifests == service.manifests), || {
            format!("the image of service {} has two indexes", service.name)
        })?;
    }
    Ok(())
}

fn check_config(config: &Config) -> Check {
    ensure(is_name(&config.environment), || "`config.environment` is no name".into())?;
    let paths: Vec<_> = config.files.iter().map(|file| &file.path).collect();
    ensure(!paths.is_empty() && sorted(&paths), || "`config.files` is empty or not sorted".into())?;
    for (index, path) in paths.iter().enumerate() {
        ensure(path.as_str().parse::<RelPath>().is_ok(), || format!("`{path}` is no path below its folder"))?;
        let before = &paths[..index];
        ensure(!before.iter().any(|folder| path.starts_with(folder)), || {
            format!("`{path}` is below another file")
        })?;
    }
    if let Some(file) = config.files.iter().find(|file| file.mode.0 & 0o7022 != 0) {
        return Err(format!("{} would be writable by others, or have special bits", file.path));
    }
    let secrets: Vec<_> = config.secrets.iter().map(|secret| &secret.name).collect();
    ensure(sorted(&secrets), || "`config.secrets` is not sorted, or has one twice".into())?;
    ensure(secrets.iter().all(|name| is_name(name)), || "a secret has no proper name".into())?;
    let values: Vec<_> = config.device_values.iter().map(|value| &value.name).collect();
    ensure(sorted(&values), || "`config.deviceValues` is not sorted, or has one twice".into())?;
    config.device_values.iter().try_for_each(|value| value.check_declaration().map_err(|e| e.to_string()))
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(problem()) }
}

/// Strictly ascending, so each once.
fn sorted<T: PartialOrd>(items: &[T]) -> bool {
    items.is_sorted_by(|a, b| a < b)
}

/// A tag of the OCI distribution specification.
fn is_tag(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(inner)
}

fn is_short_text(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whole numbers with points between them.
fn is_numbers(text: &str, count: usize) -> bool {
    let is_number = |part: &str| part.parse::<u32>().is_ok_and(|number| number.to_string() == part);
    text.split('.').count() == count && text.split('.').all(is_number)
}
