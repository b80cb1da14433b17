//! What can be wrong with an archive of somebody else's, and whose fault it is.

use xedge_model::{Class, Digest};

/// Why an archive or folder is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It ends in the middle, or its compression is broken.
    #[error("it is damaged or cut off: {why}")]
    Damaged {
        /// What the reader says.
        why: String,
    },
    /// It cannot be read.
    #[error("it cannot be read: {why}")]
    Unreadable {
        /// What the reader says.
        why: String,
    },
    /// It is no tar archive, or neither of `docker save` nor an OCI layout.
    #[error("it is no image archive: {why}")]
    NotAnArchive {
        /// What is missing or wrong.
        why: String,
    },
    /// A name or link that leads out of the archive or out of the image.
    #[error("{place} has {name:?}, which {why}")]
    UnsafeName {
        /// `the archive`, or a layer.
        place: String,
        /// The name or link as written.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two members of one name.
    #[error("it has `{name}` twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// Bytes that do not have the digest that the archive gives them.
    #[error("{what} has digest {found}, the archive says {claimed}")]
    WrongDigest {
        /// Which member, or what of it.
        what: String,
        /// The digest that the archive gives.
        claimed: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A member that is not as long as the archive says.
    #[error("{what} has {found} bytes, the archive says {claimed}")]
    WrongSize {
        /// Which member.
        what: String,
        /// Bytes by the archive.
        claimed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Something that is named and not there.
    #[error("it names {what}, which is not in it")]
    Missing {
        /// What is missing.
        what: String,
    },
    /// A document that is not what its place says.
    #[error("{member} is not {what}: {why}")]
    Garbage {
        /// The document.
        member: String,
        /// What it should be.
        what: &'static str,
        /// Where and how it is wrong.
        why: String,
    },
    /// A layer that is not a tar archive, or a broken one.
    #[error("layer {layer} is no tar archive: {why}")]
    BadLayer {
        /// The layer.
        layer: String,
        /// What is wrong.
        why: String,
    },
    /// A layer in a compression that older Engines do not read.
    #[error("layer {layer} is compressed with zstd, which Engines up to 22 cannot load")]
    Zstd {
        /// The layer.
        layer: String,
    },
    /// Documents that do not fit together.
    #[error("{what} does not fit: {why}")]
    Inconsistent {
        /// Which document.
        what: String,
        /// Why.
        why: String,
    },
    /// More than one image, and none was named.
    #[error("it holds several images: {}", names.join(", "))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// The image that was named is not in it.
    #[error("it has no image `{wanted}`, but {}", list(names))]
    NoSuchImage {
        /// The name that was asked for.
        wanted: String,
        /// The names that are there.
        names: Vec<String>,
    },
    /// No image for a platform that we know.
    #[error("it is for {}, and images here are for linux/amd64, linux/arm64 or linux/arm/v7", list(found))]
    Platform {
        /// The platforms it has.
        found: Vec<String>,
    },
    /// Two images for one platform under one name.
    #[error("it has two images for {platform} under one name")]
    PlatformTwice {
        /// The platform.
        platform: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none with a name".to_owned() } else { names.join(", ") }
}

impl Problem {
    /// Whose fault it is. What does not have its digest, or is cut off, is not believed at all.
    pub fn class(&self) -> Class {
        match self {
            Self::Unreadable { .. } => Class::Environment,
            Self::Damaged { .. }
            | Self::WrongDigest { .. }
            | Self::WrongSize { .. }
            | Self::Missing { .. }
            | Self::UnsafeName { .. } => Class::Integrity,
            Self::NotAnArchive { .. }
            | Self::Twice { .. }
            | Self::Garbage { .. }
            | Self::BadLayer { .. }
            | Self::Zstd { .. }
            | Self::Inconsistent { .. }
            | Self::Several { .. }
            | Self::NoSuchImage { .. }
            | Self::Platform { .. }
            | Self::PlatformTwice { .. } => Class::Input,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Damaged { .. } | Self::WrongSize { .. } | Self::Missing { .. } => {
                "was it copied whole? Save it again: `docker save --output FILE IMAGE`"
            }
            Self::WrongDigest { .. } => {
                "it was changed after it was made; take it from its source again: `docker save --output FILE IMAGE`"
            }
            Self::UnsafeName { .. } => {
                "no builder makes such a name: do not trust whoever made it; look at it with `tar --list --file FILE`"
            }
            Self::NotAnArchive { .. } => "make one with `docker save --output FILE IMAGE`",
            Self::Zstd { .. } => {
                "build it with gzip layers: `docker buildx build --output type=oci,compression=gzip,force-compression=true,dest=FILE .`"
            }
            Self::Several { .. } | Self::NoSuchImage { .. } => {
                "name one of them: `cargo xtask image import FILE --image IMAGE --name NAME`"
            }
            Self::Platform { .. } => {
                "build it for one of these: `docker buildx build --platform linux/amd64,linux/arm64 .`"
            }
            Self::PlatformTwice { .. }
            | Self::Unreadable { .. }
            | Self::Twice { .. }
            | Self::Garbage { .. }
            | Self::BadLayer { .. }
            | Self::Inconsistent { .. } => return None,
        };
        Some(text.to_owned())
    }
}
