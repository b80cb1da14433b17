//! The passphrase of production keys: from a file, or asked for at a terminal; never from an argument or the environment.

use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use xedge_sign::{Passphrase, Zeroizing};

use crate::commands::Context;
use crate::error::{Error, Result, read_text};

/// The shortest passphrase that new keys are encrypted with, in characters.
const SHORTEST: usize = 12;

/// The passphrase of keys that exist.
pub(crate) fn read(cx: &Context<'_>) -> Result<Passphrase> {
    match &cx.passphrase_file {
        Some(file) => from_file(&cx.environment.folder()?.join(file)),
        None => ask(cx, "passphrase of the keys: "),
    }
}

/// A passphrase for new keys; a person types it twice.
pub(crate) fn choose(cx: &Context<'_>) -> Result<Passphrase> {
    let chosen = read(cx)?;
    if chosen.length() < SHORTEST {
        return Err(Error::Passphrase(format!("it has fewer than {SHORTEST} characters")).into());
    }
    if cx.passphrase_file.is_none() && ask(cx, "the same again: ")? != chosen {
        return Err(Error::Passphrase("the two are not the same".to_owned()).into());
    }
    Ok(chosen)
}

fn from_file(file: &Utf8Path) -> Result<Passphrase> {
    let mode =
        file.metadata().map_err(|source| Error::Read { path: file.to_owned(), source })?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::Passphrase(format!("others can read {file}: `chmod 600 {file}`")).into());
    }
    let text = Zeroizing::new(read_text(file)?);
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Passphrase::new(&Zeroizing::new(line.to_owned()))?),
        _ => Err(Error::Passphrase(format!("the first line of {file} is empty")).into()),
    }
}

fn ask(cx: &Context<'_>, question: &str) -> Result<Passphrase> {
    if !cx.printer.can_ask() {
        return Err(Error::Passphrase("no file is named, and nobody is at a terminal".to_owned()).into());
    }
    let typed = rpassword::prompt_password(question).map_err(|error| Error::Passphrase(error.to_string()))?;
    Ok(Passphrase::new(&Zeroizing::new(typed))?)
}
