//! `enroll`: pins a root because a person says so, and says who the device is.

use std::io::Read as _;
use std::time::Duration;

use serde_json::json;
use xedge_agent::records::Lock;
use xedge_agent::trust::{Enrolment, Outcome, enrol};
use xedge_agent::{Device, Error, Result};

use super::{Context, service};
use crate::cli::Enroll;
use crate::system;

/// More than a root may have (FORMAT.md §3).
const MAX_ROOT: u64 = 1 << 20;

pub(super) fn run(cx: &Context, args: &Enroll) -> Result<()> {
    let root = if args.root == "-" { from_stdin()? } else { super::read(&args.root)? };
    let _lock = Lock::take(&cx.home, &cx.clock, Duration::from_secs(10))?;
    let device = device(cx, args)?;
    let how = if args.again { Enrolment::Again } else { Enrolment::First };
    let (trust, outcome) = enrol(&cx.home, &root, &device, how)?;
    let watched = if args.no_service { service::State::NotAsked } else { service::set_up(cx)? };
    let report = json!({
        "id": device.id, "class": device.class, "root": trust.fingerprint(), "status": trust.status(),
        "changed": outcome == Outcome::Pinned, "service": watched.word(),
    });
    cx.printer.data(&report, || {
        vec![
            format!("device {}", device.id),
            format!("trusts the {} root {}", trust.status().as_str(), trust.fingerprint()),
            watched.in_words(),
        ]
    })
}

/// The device as it is, or a new one, with what was given.
fn device(cx: &Context, args: &Enroll) -> Result<Device> {
    let mut device = if let Some(device) = Device::find(&cx.home)? {
        device
    } else {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| super::spawn("getrandom", &std::io::Error::other(error)))?;
        Device::new(cx.machine.machine_id().as_deref(), &random)
    };
    device.engine = match (&cx.engine, device.engine.take()) {
        (Some(named), _) => Some(named.to_string()),
        (None, Some(settled)) => Some(settled),
        // One that does not answer yet is found again before the first release.
        (None, None) => system::find().ok().filter(|socket| system::connect(socket).is_ok()),
    };
    let settings = &mut device.settings;
    settings.volume_root = args.volume_root.clone().or(settings.volume_root.take());
    settings.max_memory = args.max_memory.or(settings.max_memory);
    settings.max_nano_cpus = args.max_cpus.or(settings.max_nano_cpus);
    settings.board = args.board.clone().or(settings.board.take());
    if let Some(class) = &args.class {
        device.class.clone_from(class);
    }
    Ok(device)
}

fn from_stdin() -> Result<Vec<u8>> {
    let mut root = Vec::new();
    let read = std::io::stdin().lock().take(MAX_ROOT).read_to_end(&mut root);
    read.map_err(|source| Error::Given { what: "the root".to_owned(), reason: source.to_string() })?;
    Ok(root)
}
