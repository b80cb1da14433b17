//! `new`: a project, or an image, scenario or stack of one.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::Context;
use crate::cli::{New, NewCommand};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::scaffold::{self, Base, Order};
use crate::ui::Printer;

/// Makes a project; needs none. Prints its folder.
pub(super) fn project(environment: &Environment, printer: &Printer, flags: &New) -> Result<()> {
    let order = Order {
        folder: flags.folder.as_deref().unwrap_or(Utf8Path::new(".")),
        name: flags.name.as_deref(),
        source: flags.xedge.clone(),
    };
    let made = scaffold::make(environment, &order)?;
    for note in &made.notes {
        printer.warn(note);
    }
    printer.good(
        "made",
        &format!("the project {} with {} files, on xedge from {}", made.name, made.files.len(), made.source),
    );
    printer.say("next, in its folder: `cargo xtask sim`, then `cargo xtask release`; the first one compiles xedge, which takes minutes");
    if printer.is_json() {
        return printer.json(&json!({"project": made.name, "folder": made.folder, "files": made.files}));
    }
    printer.data(made.folder.as_str())
}

/// Adds one thing to a project. Prints the files.
pub(super) fn run(cx: &Context<'_>, command: &NewCommand) -> Result<()> {
    match command {
        NewCommand::Image { name, dockerfile, from, debian, entrypoint } => {
            let base = base(cx, name, dockerfile.as_deref(), from.as_deref(), debian, entrypoint)?;
            tell(cx, &scaffold::image(&cx.project, name, &base)?)?;
            cx.printer.say(&format!("next: `cargo xtask build {name}`, then commit its image.lock.json"));
        }
        NewCommand::Scenario { name, stack } => {
            tell(cx, &scaffold::scenario(&cx.project, name, stack.as_deref())?)?;
            cx.printer
                .say(&format!("next: `cargo xtask sim {name}`, and `{name}` under `gate` in stack.yaml"));
        }
        NewCommand::Stack { name, service } => {
            let (files, notes) = scaffold::stack(&cx.project, name, service)?;
            for note in notes {
                cx.printer.warn(&note);
            }
            tell(cx, &files)?;
            cx.printer
                .say(&format!("next: `cargo xtask render --stack {name}`, `cargo xtask sim {name}_smoke`"));
        }
    }
    Ok(())
}

fn tell(cx: &Context<'_>, files: &[Utf8PathBuf]) -> Result<()> {
    files.iter().try_for_each(|file| {
        if cx.printer.is_json() {
            cx.printer.json(&json!({ "file": file }))
        } else {
            cx.printer.data(file.as_str())
        }
    })
}

fn base(
    cx: &Context<'_>,
    name: &str,
    dockerfile: Option<&Utf8Path>,
    from: Option<&str>,
    debian: &[String],
    entrypoint: &[String],
) -> Result<Base> {
    if let Some(reference) = from {
        return Ok(Base::Reference(reference.to_owned()));
    }
    if let [first, ..] = debian {
        let guess = vec![format!("/usr/bin/{first}")];
        if entrypoint.is_empty() {
            cx.printer.warn(&format!(
                "the entrypoint {} is a guess: see `apt-file list {first}`, or name it with `--entrypoint`",
                guess[0]
            ));
        }
        let entrypoint = if entrypoint.is_empty() { guess } else { entrypoint.to_vec() };
        return Ok(Base::Debian { packages: debian.to_vec(), entrypoint });
    }
    let ours = cx.project.root().join("images").join(name);
    let path = match dockerfile {
        Some(path) => cx.environment.folder()?.join(path),
        None if ours.join("Dockerfile").is_file() => ours,
        None => {
            let why = format!("nothing says what it is made of, and there is no images/{name}/Dockerfile");
            return Err(scaffold::Error::Image { name: name.to_owned(), why }.into());
        }
    };
    let real = path.canonicalize_utf8().map_err(|source| Error::Read { path, source })?;
    Ok(Base::Dockerfile(real))
}
