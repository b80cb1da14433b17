//! `lock --update` of an image on a base: where the tag points now, what is new there, and the digest in image.yaml.

use xedge_model::image::From;
use xedge_model::lock::LockedBase;
use xedge_model::yaml::Source;
use xedge_model::{ImageDef, Platform, Reference};
use xedge_oci::Blobs;
use xedge_oci::base::{Look, changes};

use super::{Origin, manifest};
use crate::commands::Context;
use crate::error::{Error, Result};
use crate::locks;
use crate::project::ImageSource;

/// The reference with the digest that its tag names now. A digest without a tag follows nothing; a tag without a digest
/// is followed by the lock alone.
pub(crate) async fn follow(cx: &Context<'_>, reference: &Reference) -> Result<Option<Reference>> {
    let (Some(tag), Some(old)) = (reference.tag(), reference.digest()) else { return Ok(None) };
    let found = Origin::of(cx, reference).await?.tag(tag).await?;
    if found == *old {
        return Ok(None);
    }
    cx.printer.say(&format!("{} moved: {old} -> {found}", reference.without_digest()));
    Ok(Some(reference.at(&found)))
}

/// Says what is new in one platform's base. What an old base was may be gone from its registry; then that is said.
pub(crate) async fn report(
    cx: &Context<'_>,
    reference: &Reference,
    platform: Platform,
    old: &LockedBase,
    new: &LockedBase,
) -> Result<()> {
    let origin = Origin::of(cx, reference).await?;
    let new = look(cx, &origin, new).await?;
    match look(cx, &origin, old).await {
        Ok(old) => {
            for line in changes(&old, &new) {
                cx.printer.say(&format!("  {platform} {line}"));
            }
        }
        Err(_) => cx.printer.say(&format!("  {platform} {} is gone, so it is not compared", old.manifest)),
    }
    Ok(())
}

async fn look(cx: &Context<'_>, origin: &Origin, base: &LockedBase) -> Result<Look> {
    let store = locks::store(cx);
    let (digest, bytes) = origin.document(&store, Some(&base.manifest), None).await?;
    let manifest = manifest(&digest, &bytes)?;
    let config = origin.small_blob(&store, &manifest.config).await?;
    let look = Look::new(&manifest, &config)?;
    // Packages are worth a line each, but not that an update fails: of an old base, layers may be gone.
    Ok(look.clone().with_packages(&Blobs::in_folder(store.folder())).unwrap_or(look))
}

/// The text of image.yaml with the new digest where the old one stands behind `from:`, and nothing else changed.
pub(crate) fn rewritten(image: &ImageSource, old: &Reference, new: &Reference) -> Result<String> {
    let is_right = |text: &String| {
        let def = ImageDef::parse(&Source::new(image.source.file(), text.clone()));
        matches!(def, Ok(ImageDef { from: From::Image(found), .. }) if found == *new)
    };
    Ok(replaced(image.source.text(), old, new).filter(is_right).ok_or_else(|| Error::BadFile {
        path: image.folder.join("image.yaml"),
        reason: format!("`from: {old}` is not written in one piece: write `from: {new}` yourself"),
    })?)
}

fn replaced(text: &str, old: &Reference, new: &Reference) -> Option<String> {
    let from = text.lines().map(|line| line.as_ptr() as usize - text.as_ptr() as usize);
    let key = from.zip(text.lines()).find(|(_, line)| line.starts_with("from:"))?.0;
    let (old, new) = (old.to_string(), new.to_string());
    let at = key + text[key..].find(&old)?;
    Some(format!("{}{new}{}", &text[..at], &text[at + old.len()..]))
}

#[cfg(test)]
mod tests {
    use xedge_model::{Digest, Reference};

    use super::replaced;

    #[test]
    fn only_the_digest_behind_from_is_replaced() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let reference: Reference = format!("h.example/x:1@{old}").parse().unwrap();
        let moved = reference.at(&new);
        for (before, after) in [
            (
                format!("# was {reference}\nfrom: {reference} # why\nx: 1\n"),
                format!("# was {reference}\nfrom: {moved} # why\nx: 1\n"),
            ),
            (format!("from:   \"{reference}\"\r\nx: 1"), format!("from:   \"{moved}\"\r\nx: 1")),
            (format!("from: >-\n  {reference}\n"), format!("from: >-\n  {moved}\n")),
        ] {
            assert_eq!(replaced(&before, &reference, &moved), Some(after));
        }
        assert_eq!(replaced("from: other\n", &reference, &moved), None);
        assert_eq!(replaced(&format!("  from: {reference}\n"), &reference, &moved), None);
    }
}
