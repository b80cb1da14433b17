//! `uninstall`: every stack goes, then the service, then the program. What cannot be had back goes only when it is asked for.

use std::fs;

use serde_json::json;
use xedge_agent::apply::{self, Data};
use xedge_agent::{Result, TrustStore, home, records};
use xedge_model::atomic::WriteError;

use super::{Context, service};

const LINK: &str = "/usr/local/bin/xedge-agent";

pub(super) fn run(cx: &Context, data: Data) -> Result<()> {
    let mut stacks = Vec::new();
    if !records::stacks(&cx.home)?.is_empty() {
        let engine = cx.connect()?;
        // Going away needs no clock that can be believed.
        let mut trust = TrustStore::open(&cx.home)?;
        stacks = apply::remove_all(&cx.agent(engine.as_ref()), &mut trust, data, &mut |_event| ())?;
    }
    if cx.home.root() == home::DEFAULT {
        service::take_down()?;
        remove_link()?;
    }
    let gone = if data == Data::Purge { cx.home.root().to_owned() } else { cx.home.programs() };
    if gone.exists() {
        fs::remove_dir_all(&gone).map_err(|source| WriteError::new(&gone, source))?;
    }
    let report = json!({ "removed": stacks, "purged": data == Data::Purge });
    cx.printer.data(&report, || {
        let left = match data {
            Data::Purge => "nothing of it is left".to_owned(),
            Data::Keep => format!("data, secrets and trust stay in {} and in the Engine", cx.home.root()),
        };
        vec![format!("xedge-agent is gone with {} stacks; {left}", stacks.len())]
    })
}

/// The link, where it is ours: a file of that name that somebody else put there stays.
fn remove_link() -> Result<()> {
    let ours = fs::read_link(LINK).is_ok_and(|to| to.starts_with(home::DEFAULT));
    if ours {
        fs::remove_file(LINK).map_err(|source| WriteError::new(LINK.into(), source))?;
    }
    Ok(())
}
