//! `keys`: make all keys and the root that devices pin, or show the public halves. Production keys take the place of development
//! ones, which are kept; they are never replaced themselves.

use serde_json::json;
use xedge_bundle::member;
use xedge_sign::{KeyRing, NewKeys, PublicInfo, Role};

use super::Context;
use crate::cli::{Keys, PublicForm};
use crate::error::Result;
use crate::passphrase;
use crate::trust::{self, Trust};

/// Runs one of them.
pub(super) fn run(cx: &Context<'_>, command: &Keys) -> Result<()> {
    match command {
        Keys::Init { production } => init(cx, *production),
        Keys::Show { role, public } => show(cx, *role, *public),
    }
}

/// Prints the path of the root.
fn init(cx: &Context<'_>, production: bool) -> Result<()> {
    let trust = if production {
        let chosen = passphrase::choose(cx)?;
        let aside = Trust::set_aside_development(cx)?;
        if !aside.is_empty() {
            let folders: Vec<&str> = aside.iter().map(|folder| folder.as_str()).collect();
            cx.printer.good("moved", &format!("the development keys to {}", folders.join(" and ")));
            cx.printer.say("release again: production devices take nothing that development keys signed; a device that was enrolled for development: `cargo xtask deploy --reenroll`");
        }
        Trust::init(cx, NewKeys::Production(&chosen), &|_| Ok(chosen.clone()))?
    } else {
        Trust::init(cx, NewKeys::Development, &|name| Err(name.locked()))?
    };
    let folder = trust::keys_folder(cx)?;
    cx.printer.good("made", &format!("{} keys in {folder}", trust.status().as_str()));
    cx.printer.say(&trust::backup_hint(cx)?);
    cx.printer.data(trust::roots_folder(cx)?.join(member::root(trust.root.version)).as_str())
}

fn show(cx: &Context<'_>, role: Option<Role>, form: PublicForm) -> Result<()> {
    let folder = trust::keys_folder(cx)?;
    let ring = match role {
        Some(role) => KeyRing::open(&folder, &[role])?,
        None => KeyRing::open_present(&folder)?,
    };
    ring.public().iter().try_for_each(|info| print(cx, info, form))
}

fn print(cx: &Context<'_>, info: &PublicInfo, form: PublicForm) -> Result<()> {
    let (role, status, algorithm) =
        (info.role.as_str(), info.status.as_str(), info.role.algorithm().as_str());
    let (id, pem) = (info.key.key_id(), info.key.to_pem());
    if cx.printer.is_json() {
        return cx.printer.json(
            &json!({"role": role, "status": status, "algorithm": algorithm, "keyId": id, "public": pem}),
        );
    }
    match form {
        PublicForm::Pem => cx.printer.data(pem.trim_end()),
        PublicForm::Id => cx.printer.data(&format!("{role} {id} {algorithm} {status}")),
    }
}
