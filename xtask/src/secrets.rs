//! Development passwords: made on first use in the data folder, marked as such, never in the project or a digest.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use xedge_model::atomic;

use crate::environment::Environment;
use crate::error::{Result, read_text};
use crate::project::Project;

const NOTE: &str =
    "Development passwords, made by `cargo xtask sim` on first use. A production device never gets them.\n";
const LENGTH: usize = 24;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The passwords of these users, made where there are none.
pub(crate) fn development(
    project: &Project,
    environment: &Environment,
    users: &[String],
) -> Result<BTreeMap<String, String>> {
    let folder = project.home()?.join("secrets/development");
    let note = folder.join("README");
    if !users.is_empty() && !note.exists() {
        atomic::write(&note, NOTE.as_bytes(), 0o600)?;
    }
    users.iter().map(|user| Ok((user.clone(), password(&folder.join(user), environment)?))).collect()
}

fn password(file: &Utf8PathBuf, environment: &Environment) -> Result<String> {
    if file.exists() {
        return Ok(read_text(file)?.trim_end().to_owned());
    }
    let mut random = [0; LENGTH];
    environment.random(&mut random)?;
    let text: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect();
    atomic::write(file, format!("{text}\n").as_bytes(), 0o600)?;
    Ok(text)
}
