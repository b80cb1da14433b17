//! `verify`: a bundle, offline, from a root that is trusted already.

use std::fs::File;
use std::io::BufReader;

use camino::Utf8Path;
use serde_json::json;
use xedge_bundle::verify::{Trust, Verified, verify};
use xedge_bundle::{ReadError, time};

use super::Context;
use crate::cli::Verify;
use crate::error::{Error, Result};
use crate::release::bundle::Shown;
use crate::trust;

/// Prints what was verified.
pub(super) fn run(cx: &Context<'_>, flags: &Verify) -> Result<()> {
    let file = cx.environment.folder()?.join(&flags.file);
    let verified = check(cx, &file, flags.root.as_deref())??;
    let (manifest, until) = (verified.manifest(), time::format(verified.expires()));
    if cx.printer.is_json() {
        return cx.printer.json(&json!({
            "stack": manifest.stack,
            "seq": manifest.seq,
            "version": manifest.version,
            "keyStatus": manifest.key_status,
            "root": verified.root().version,
            "config": manifest.config.digest,
            "installableUntil": until,
        }));
    }
    if manifest.key_status == xedge_sign::KeyStatus::Development {
        cx.printer.warn("signed with development keys: a device that is enrolled for production refuses it");
    }
    let (stack, version, seq) = (&manifest.stack, &manifest.version, manifest.seq);
    cx.printer.data(&format!("{stack} {version} (release {seq}) verified; new installs until {until}"))
}

/// What verification comes to; the outer error is one of reaching file and root.
pub(super) fn check(
    cx: &Context<'_>,
    file: &Utf8Path,
    root: Option<&Utf8Path>,
) -> Result<std::result::Result<Verified, ReadError>> {
    let root = trust::pinned(cx, root)?;
    let opened = File::open(file).map_err(|source| Error::Read { path: file.to_owned(), source })?;
    let mut shown = Shown(cx.printer.bytes_bar(0, file.file_name().unwrap_or("bundle")));
    let trust = Trust { root: &root, floor: None };
    let now = cx.environment.now_unix();
    let verified = verify(BufReader::with_capacity(1 << 20, opened), &trust, now, &mut shown);
    shown.0.finish_and_clear();
    Ok(verified)
}
