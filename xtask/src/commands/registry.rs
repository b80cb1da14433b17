//! `registry`: log in somewhere, look at the embedded one, or serve it.

use std::io::Read as _;

use xedge_registry::server::Store;
use xedge_registry::{Login, Target, save_login};
use xedge_sign::Zeroizing;

use super::Context;
use crate::cli::{ReachArgs, Registry};
use crate::error::{Error, Result};
use crate::registry;

/// The longest password that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// Runs one of them.
pub(super) fn run(cx: &Context<'_>, command: &Registry) -> Result<()> {
    match command {
        Registry::Login { host, username, password_stdin: _, reach } => login(cx, host, username, reach),
        Registry::Ls => ls(cx),
        Registry::Serve { port } => serve(cx, *port),
    }
}

fn login(cx: &Context<'_>, host: &str, user: &str, reach: &ReachArgs) -> Result<()> {
    let target: Target = host.parse()?;
    let password = password()?;
    let client = registry::client(cx, reach)?;
    match super::runtime()?.block_on(client.login(&target, user, &password))? {
        Login::Accepted => cx.printer.good("accepted", &format!("{user} at {}", target.host())),
        Login::NotAskedFor => cx.printer.warn(&format!(
            "{} asks nobody for a password, so this one proves nothing; it is kept all the same",
            target.host()
        )),
    }
    let file = registry::logins(cx)?;
    save_login(&file, &target, user, &password)?;
    cx.printer.say(&format!("kept in {file}"));
    Ok(())
}

/// The password on stdin, without the line ending after it.
fn password() -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| Error::Password(error.to_string()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Error::Password("it is empty".to_owned()).into());
    }
    Ok(Zeroizing::new(line.to_owned()))
}

fn ls(cx: &Context<'_>) -> Result<()> {
    let store = Store::open(&registry::folder(cx)?)?;
    for (name, tag, digest) in store.tagged()? {
        cx.printer.data(&format!("{name}:{tag}@{digest}"))?;
    }
    Ok(())
}

fn serve(cx: &Context<'_>, port: u16) -> Result<()> {
    super::runtime()?.block_on(async {
        let running = registry::serve(cx, port).await?;
        cx.printer.data(&running.address().to_string())?;
        cx.printer.say("serving on loopback until interrupted (Ctrl-C)");
        let interrupted = tokio::signal::ctrl_c().await;
        running.stop().await;
        interrupted.map_err(|source| Error::Spawn { program: "the handler of Ctrl-C".into(), source })?;
        Err(Error::Interrupted.into())
    })
}
