//! Secrets of an environment: passwords of users, and files. They lie in the data folder, one file each, never in the
//! project, a digest, an argument or a log. A simulation takes those of `development` and no others.

mod declared;
mod error;
mod export;
mod store;
mod value;

use std::collections::BTreeMap;

use xedge_config::Rendered;
use xedge_model::stack::SecretKind;
use xedge_sign::Zeroizing;

use crate::commands::Context;
use crate::error::Result;

pub(crate) use declared::{Declared, Kind, environments, find};
pub(crate) use error::Error;
pub(crate) use export::{contents, export, salts};
pub(crate) use store::Store;
pub(crate) use value::{DEFAULT_LENGTH, LARGEST_FILE, check, generate};

/// The environment of simulations; no device gets its values.
pub(crate) const DEVELOPMENT: &str = "development";

/// The values that one run needs.
#[derive(Default)]
pub(crate) struct Values {
    /// Passwords by user.
    pub(crate) passwords: BTreeMap<String, String>,
    /// Contents by the name of a file secret.
    pub(crate) files: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Values {
    /// Everything that must not be shown: passwords by user, and each longer line of files, by names that come after those of
    /// all users and are none.
    pub(crate) fn shown_nowhere(&self) -> BTreeMap<String, String> {
        let mut all = self.passwords.clone();
        for (name, bytes) in &self.files {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.lines().map(str::trim).filter(|line| line.len() >= value::SHORTEST);
            all.extend(
                lines.enumerate().map(|(number, line)| (format!("~{name} {number}"), line.to_owned())),
            );
        }
        all
    }
}

/// The development values of these users and of the file secrets of a rendered stack, made where there are none.
pub(crate) fn development(cx: &Context<'_>, users: &[String], rendered: Option<&Rendered>) -> Result<Values> {
    let files: Vec<&str> = rendered
        .into_iter()
        .flat_map(Rendered::secrets)
        .filter(|secret| secret.kind == SecretKind::File)
        .map(|secret| secret.name.as_str())
        .collect();
    let mut values = Values::default();
    if users.is_empty() && files.is_empty() {
        return Ok(values);
    }
    let store = Store::open(cx, DEVELOPMENT)?;
    for user in users {
        let bytes = value(cx, &store, user)?;
        values.passwords.insert(user.clone(), value::password(user, &bytes)?.to_string());
    }
    if let (Some(rendered), false) = (rendered, files.is_empty()) {
        let samples = declared::samples(cx, rendered.stack())?;
        for name in files {
            let bytes = match (store.read(name)?, samples.get(name)) {
                (None, Some(sample)) => Zeroizing::new(sample.clone().into_bytes()),
                (Some(bytes), _) => bytes,
                (None, None) => value(cx, &store, name)?,
            };
            values.files.insert(name.to_owned(), bytes);
        }
    }
    Ok(values)
}

/// Whether a value was made for development, or is one that development uses.
pub(crate) fn is_development(cx: &Context<'_>, bytes: &[u8]) -> Result<bool> {
    if value::is_marked(bytes) {
        return Ok(true);
    }
    let store = Store::open(cx, DEVELOPMENT)?;
    for name in store.names()?.keys() {
        let same = store.read(name)?.is_some_and(|kept| kept.trim_ascii_end() == bytes.trim_ascii_end());
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The value that is there, else a new one.
fn value(cx: &Context<'_>, store: &Store, name: &str) -> Result<Zeroizing<Vec<u8>>> {
    if let Some(bytes) = store.read(name)? {
        return Ok(bytes);
    }
    let made = generate(cx, DEVELOPMENT, DEFAULT_LENGTH)?;
    if store.create(name, made.as_bytes())? {
        return Ok(Zeroizing::new(made.as_bytes().to_vec()));
    }
    // A run beside this one made it in between.
    Ok(store.read(name)?.unwrap_or_default())
}
