//! `verify` and `doctor`: look, and change nothing.

use camino::Utf8Path;
use serde_json::json;
use xedge_agent::{Result, source_file};
use xedge_bundle::time;

use super::Context;

pub(super) fn verify(cx: &Context, file: &Utf8Path) -> Result<()> {
    let (trust, now) = cx.trust()?;
    let verified = source_file::verify_file(file, &trust, now)?;
    let manifest = verified.manifest();
    let expires = time::format(verified.expires());
    let report = json!({
        "stack": manifest.stack, "seq": manifest.seq, "version": manifest.version,
        "config": manifest.config.digest, "expires": expires, "keyStatus": manifest.key_status,
    });
    cx.printer.data(&report, || {
        let (stack, version, seq) = (&manifest.stack, &manifest.version, manifest.seq);
        vec![
            format!("{stack} {version} (release {seq}): every byte is as it was signed"),
            format!("  it may be installed until {expires}"),
        ]
    })
}

pub(super) fn doctor(cx: &Context) -> Result<()> {
    super::status::run(cx, None)
}
