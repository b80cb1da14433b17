//! The form of `docker save`: `manifest.json` names a config and layers by path. Only digests in it are believed.

use serde::Deserialize;
use xedge_model::Digest;

use super::contents::Contents;
use super::{Imported, Problem, finish, name};
use crate::Error;

/// One image of `manifest.json`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

impl Saved {
    fn tags(&self) -> Vec<String> {
        self.repo_tags.clone().unwrap_or_default()
    }

    fn is(&self, wanted: &str) -> bool {
        let by_digest = digest_in(&self.config).is_some_and(|digest| digest.as_str() == wanted);
        by_digest || self.tags().iter().any(|tag| name::same(tag, wanted))
    }

    fn called(&self) -> String {
        let tags = self.tags();
        let digest =
            || digest_in(&self.config).map_or_else(|| self.config.clone(), |digest| digest.to_string());
        if tags.is_empty() { digest() } else { tags.join(" = ") }
    }
}

/// The image of the archive that is wanted.
pub(super) fn images(contents: &Contents<'_>, wanted: Option<&str>) -> Result<Vec<Imported>, Error> {
    let all: Vec<Saved> = contents.json("manifest.json", "a list of saved images")?;
    let saved = select(contents, &all, wanted)?;
    let config = contents.require(&saved.config)?;
    if let Some(claimed) = digest_in(&saved.config) {
        contents.same(&saved.config, &claimed, &config.digest)?;
    }
    let imported = finish::image(contents, &saved.config, &saved.layers, None)?;
    match imported {
        Ok(imported) => Ok(vec![imported.named(saved.tags())]),
        Err(platform) => Err(contents.problem(Problem::Platform { found: vec![platform] })),
    }
}

fn select<'a>(contents: &Contents<'_>, all: &'a [Saved], wanted: Option<&str>) -> Result<&'a Saved, Error> {
    let names = || all.iter().map(Saved::called).collect();
    let mut found: Vec<&Saved> =
        all.iter().filter(|saved| wanted.is_none_or(|wanted| saved.is(wanted))).collect();
    found.dedup();
    match (&found[..], wanted) {
        ([one], _) => Ok(one),
        ([], None) => {
            Err(contents
                .problem(Problem::NotAnArchive { why: "its manifest.json names no image".to_owned() }))
        }
        ([], Some(wanted)) => {
            Err(contents.problem(Problem::NoSuchImage { wanted: wanted.to_owned(), names: names() }))
        }
        _ => Err(contents.problem(Problem::Several { names: names() })),
    }
}

/// The digest in the name of a config: `HEX.json`, or `blobs/sha256/HEX`.
fn digest_in(path: &str) -> Option<Digest> {
    let last = path.rsplit('/').next()?;
    Digest::from_hex(last.strip_suffix(".json").unwrap_or(last)).ok()
}
