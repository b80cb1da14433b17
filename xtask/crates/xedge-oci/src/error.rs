//! Everything that can go wrong with an image on disk, and whose fault it is. Prints nothing.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::atomic::WriteError;
use xedge_model::{Class, Digest, Failure, ImageName, Platform};

use crate::import::Problem;

/// An image, layer or layout that cannot be written, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that the operating system does not let us read or remove.
    #[error("failed to use {path}")]
    Io {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An archive that cannot be written to where it should go.
    #[error("failed to write the archive of `{image}`")]
    Archive {
        /// The image.
        image: ImageName,
        /// What the writer says.
        source: io::Error,
    },
    /// A path or link target that has no place in a layer.
    #[error("failed to put {path:?} into a layer: {why}")]
    UnsafePath {
        /// The path or target as given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two things of different kinds on one path.
    #[error("failed to put the {new} `{path}` into a layer: `{at}` is a {old} already")]
    Clash {
        /// What should be put in.
        path: Utf8PathBuf,
        /// Its kind.
        new: &'static str,
        /// What stands in the way: the same path or a parent.
        at: Utf8PathBuf,
        /// The kind of what stands in the way.
        old: &'static str,
    },
    /// Two different files that become one path when `/bin`, `/lib` and the like move below `/usr`.
    #[error("failed to move `{from}` to `{to}`: something else is there already")]
    UsrClash {
        /// The path before the move.
        from: Utf8PathBuf,
        /// The path after the move.
        to: Utf8PathBuf,
    },
    /// A hard link to nothing, to itself or to something that is not a file.
    #[error("failed to write the hard link `{path}`: its target `{target}` is not a file of the same layer")]
    DanglingLink {
        /// The link.
        path: Utf8PathBuf,
        /// Where it points.
        target: Utf8PathBuf,
    },
    /// A blob whose bytes are not those of its digest.
    #[error("failed to verify blob {digest} in {path}: its bytes have digest {found}")]
    CorruptBlob {
        /// The digest that names the blob.
        digest: Digest,
        /// The file.
        path: Utf8PathBuf,
        /// The digest of what is in the file.
        found: Digest,
    },
    /// A blob whose length is not that of its descriptor: truncated, or the descriptor lies.
    #[error("failed to verify blob {digest} in {path}: expected {expected} bytes, found {found}")]
    WrongSize {
        /// The digest that names the blob.
        digest: Digest,
        /// The file.
        path: Utf8PathBuf,
        /// Bytes by the descriptor.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// A blob that is named and not there.
    #[error("failed to find blob {digest}: there is no file {path}")]
    MissingBlob {
        /// The digest that names the blob.
        digest: Digest,
        /// Where the file should be.
        path: Utf8PathBuf,
    },
    /// A JSON file that is not what its place or media type says.
    #[error("failed to read {path} as {what}")]
    Garbage {
        /// The file.
        path: Utf8PathBuf,
        /// What it should be.
        what: &'static str,
        /// Where and how it is wrong.
        source: serde_json::Error,
    },
    /// A folder that is not an OCI layout.
    #[error("failed to open {path} as an OCI layout: {why}")]
    NotALayout {
        /// The folder.
        path: Utf8PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// Documents that do not fit together, although each has its digest.
    #[error("failed to use the image document {digest}: {why}")]
    Inconsistent {
        /// The document.
        digest: Digest,
        /// What does not fit.
        why: String,
    },
    /// A layer of another kind than the oldest Engine reads, or one that may not be copied.
    #[error("failed to use layer {layer} of type {media_type}: {why}")]
    UnsupportedLayer {
        /// The layer.
        layer: Digest,
        /// Its media type.
        media_type: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A layer that has its own digest but is no archive.
    #[error("failed to read layer {layer} as an archive")]
    BrokenLayer {
        /// The layer.
        layer: Digest,
        /// What the reader says.
        source: io::Error,
    },
    /// A layer with a name that leads out of it.
    #[error("failed to accept layer {layer}: {name:?} has no place in a layer, {why}")]
    UnsafeLayer {
        /// The layer.
        layer: Digest,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A layer whose content is not what the config says.
    #[error("failed to verify the content of layer {layer}: the config says {expected}, it has {found}")]
    LyingLayer {
        /// The layer.
        layer: Digest,
        /// By the config.
        expected: Digest,
        /// By its bytes.
        found: Digest,
    },
    /// A layout that names one image twice.
    #[error("failed to read {path}: it names image `{image}` twice")]
    NamedTwice {
        /// The layout's `index.json`.
        path: Utf8PathBuf,
        /// The name.
        image: ImageName,
    },
    /// An image that was not built, or a name with a slip in it.
    #[error("failed to find image `{image}` in {layout}")]
    UnknownImage {
        /// The name asked for.
        image: ImageName,
        /// The layout's folder.
        layout: Utf8PathBuf,
        /// A name that is there and looks like it.
        near: Option<ImageName>,
    },
    /// An archive or folder of somebody else's that is not taken over.
    #[error("failed to import {from}: {problem}")]
    Import {
        /// Where it came from, as the caller called it.
        from: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// An image that was built for other platforms only.
    #[error("failed to find platform {platform} of image `{image}`: it was built for {built}")]
    UnknownPlatform {
        /// The image.
        image: ImageName,
        /// The platform asked for.
        platform: Platform,
        /// The platforms there are.
        built: String,
    },
}

impl Error {
    /// An I/O error with its file; an [`enum@Error`] that travelled inside an [`io::Error`] comes out unchanged.
    pub fn from_io(path: &Utf8Path, source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(own) => own,
            Err(source) => Self::Io { path: path.to_owned(), source },
        }
    }
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } | Self::Archive { .. } => Class::Environment,
            Self::Write(error) => error.class(),
            Self::Import { problem, .. } => problem.class(),
            Self::UnsafePath { .. }
            | Self::Clash { .. }
            | Self::UsrClash { .. }
            | Self::DanglingLink { .. }
            | Self::Garbage { .. }
            | Self::NotALayout { .. }
            | Self::Inconsistent { .. }
            | Self::UnsupportedLayer { .. }
            | Self::BrokenLayer { .. }
            | Self::UnsafeLayer { .. }
            | Self::NamedTwice { .. }
            | Self::UnknownImage { .. }
            | Self::UnknownPlatform { .. } => Class::Input,
            Self::CorruptBlob { .. }
            | Self::WrongSize { .. }
            | Self::MissingBlob { .. }
            | Self::LyingLayer { .. } => Class::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write(error) => error.hint(),
            Self::Import { problem, .. } => problem.hint(),
            Self::CorruptBlob { path, .. } | Self::WrongSize { path, .. } => {
                Some(format!("remove {path} and make it again: `cargo xtask build`"))
            }
            Self::Garbage { .. } => Some(
                "if xedge wrote it, remove the layout's folder and make it again: `cargo xtask build`"
                    .to_owned(),
            ),
            Self::MissingBlob { .. } => Some("make it again: `cargo xtask build`".to_owned()),
            Self::NotALayout { .. } => Some("a layout is made by `cargo xtask build`".to_owned()),
            Self::NamedTwice { .. } => {
                Some("remove one of the two, or build it again: `cargo xtask build`".to_owned())
            }
            Self::UnknownImage { image, near, .. } => Some(match near {
                Some(near) => format!("did you mean `{near}`? To build it: `cargo xtask build {near}`"),
                None => format!("build it first: `cargo xtask build {image}`"),
            }),
            Self::UnknownPlatform { image, .. } => {
                Some(format!("build it first: `cargo xtask build {image}`"))
            }
            Self::UnsupportedLayer { .. } => Some(
                "have its owner push it with gzip layers, or pack it again yourself: `skopeo copy --dest-compress-format gzip docker://FROM docker://TO`"
                    .to_owned(),
            ),
            Self::BrokenLayer { .. } | Self::UnsafeLayer { .. } | Self::LyingLayer { .. } => {
                Some("whoever made the image made it wrong, or means harm: take another one".to_owned())
            }
            Self::Io { .. }
            | Self::Archive { .. }
            | Self::UnsafePath { .. }
            | Self::Clash { .. }
            | Self::UsrClash { .. }
            | Self::DanglingLink { .. }
            | Self::Inconsistent { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use xedge_model::{Class, Failure};

    use super::Error;

    #[test]
    fn an_error_of_ours_comes_out_of_an_io_error_unchanged() {
        let own = Error::NotALayout { path: "l".into(), why: "x".to_owned() };
        let carried = Error::from_io("file".into(), io::Error::other(own));
        assert!(matches!(carried, Error::NotALayout { .. }));
        let foreign = Error::from_io("file".into(), io::ErrorKind::PermissionDenied.into());
        assert_eq!(foreign.class(), Class::Environment);
    }

    #[test]
    fn no_text_repeats_its_source() {
        let source = serde_json::from_str::<u8>("x").unwrap_err();
        let io = || io::Error::other("disk on fire");
        let errors = [
            Error::Io { path: "f".into(), source: io() },
            Error::Garbage { path: "f".into(), what: "an image index", source },
            xedge_model::atomic::WriteError::new("f".into(), io()).into(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.starts_with("failed to ") && !text.ends_with('.'), "{text}");
            assert!(!text.contains(&error.source().unwrap().to_string()), "{text}");
        }
    }
}
