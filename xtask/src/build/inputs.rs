//! What one platform's manifest was made from, by digest: the key under which it is used again.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xedge_model::lock::PlatformLock;
use xedge_model::{Digest, Platform, atomic};
use xedge_oci::Layout;

use super::{Made, assemble};
use crate::commands::Context;
use crate::error::{Result, read_bytes};
use crate::payload::Programs;
use crate::project::ImageSource;

/// Raised with every change of the rules by which an image is assembled.
const RULES: u32 = 1;

/// The key of one platform's manifest.
pub(super) struct Inputs {
    stem: String,
    key: Digest,
    sbom: Utf8PathBuf,
}

impl PartialEq for Inputs {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    key: Digest,
    made: Made,
    sbom: Digest,
}

impl Inputs {
    /// Hashes everything that decides the result.
    pub(super) fn gather(
        cx: &Context<'_>,
        image: &ImageSource,
        platform: Platform,
        locked: &PlatformLock,
        programs: &Programs,
    ) -> Result<Self> {
        let mut files = Vec::new();
        for (path, file) in assemble::rootfs(&image.folder)? {
            files.push(json!([path, assemble::mode_of(&file)?, Digest::of(&read_bytes(&file)?)]));
        }
        let mut binaries = Vec::new();
        for program in &programs.programs {
            binaries.push(json!([program.path, Digest::of(&read_bytes(&program.file)?)]));
        }
        let definition = Digest::of(image.source.text().as_bytes());
        let all = json!({ "rules": RULES, "definition": definition, "platform": platform,
            "packages": locked.packages, "base": locked.base, "files": files, "programs": binaries });
        Ok(Self::of_values(cx, image, platform, &all))
    }

    /// The key of everything that is in `all`.
    pub(super) fn of_values(
        cx: &Context<'_>,
        image: &ImageSource,
        platform: Platform,
        all: &serde_json::Value,
    ) -> Self {
        let stem = format!("{}.{}", image.def.name.file_stem(), platform.file_stem());
        let sbom = super::sbom_file(cx, &image.def.name, platform);
        Self { stem, key: Digest::of(all.to_string().as_bytes()), sbom }
    }

    /// The manifest that these inputs gave before, if all of it is still in the layout.
    pub(super) fn made(&self, cx: &Context<'_>, layout: &Layout) -> Result<Option<Made>> {
        let Ok(text) = std::fs::read(self.file(cx)) else { return Ok(None) };
        // A damaged record only costs building again.
        let Ok(record) = serde_json::from_slice::<Record>(&text) else { return Ok(None) };
        // The SBOM lies in a file that another build may have written since.
        let has_sbom = || std::fs::read(&self.sbom).is_ok_and(|sbom| Digest::of(&sbom) == record.sbom);
        let is_whole = record.key == self.key && has_sbom() && layout.has_all(&record.made.manifest)?;
        Ok(is_whole.then_some(record.made))
    }

    /// Writes down what these inputs gave.
    pub(super) fn remember(&self, cx: &Context<'_>, made: &Made) -> Result<()> {
        let sbom = Digest::of(&read_bytes(&self.sbom)?);
        let record = Record { key: self.key.clone(), made: made.clone(), sbom };
        let text = serde_json::to_vec(&record).expect("a record has string keys only");
        Ok(atomic::write(&self.file(cx), &text, 0o644)?)
    }

    fn file(&self, cx: &Context<'_>) -> Utf8PathBuf {
        cx.project.output("inputs").join(format!("{}.json", self.stem))
    }
}
