//! A bundle that lies on the device, and has been verified as a whole: its head, and its members in the store. Changes nothing.
//!
//! Layers may be absent: those of other platforms, and those that the Engine already has. Which these are follows from
//! configs that were signed, so nobody else can say so.

mod parts;
mod reader;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

use camino::Utf8Path;
use xedge_bundle::tuf::{Target, Targets};
use xedge_bundle::{Code, Manifest, Offer, ReadError, Refusal, Verified, member, read_offer, verify_thin};
use xedge_model::{Digest, Platform};

pub use parts::{Image, Missing, missing};

use crate::engine::{Engine, ImageLoad};
use crate::store::Store;
use crate::{Error, Home, Result, TransferError, TrustStore, check};

/// A verified bundle. Only [`Staged::verify`] makes one.
#[derive(Debug)]
#[must_use]
pub struct Staged {
    store: Store,
    head: Vec<u8>,
    platform: Platform,
    verified: Verified,
    images: BTreeMap<Digest, Image>,
}

/// Judges the head of a bundle: what it is, whether it hangs on the root, and whether it is older than what was here.
pub fn read_head(head: &Utf8Path, trust: &TrustStore, now: i64) -> Result<Offer> {
    judge(|| File::open(head).map_err(|source| Error::Read { path: head.to_owned(), source }), trust, now)
}

fn judge<R: Read>(open: impl Fn() -> Result<R>, trust: &TrustStore, now: i64) -> Result<Offer> {
    // The stack decides which floor it is, and is believed only once the signatures are; so the head is read twice.
    let offer = read_offer(open()?, &trust.trust_any(), now)?;
    Ok(read_offer(open()?, &trust.trust(&offer.manifest().stack), now)?)
}

impl Staged {
    /// Verifies the bundle of this head with its members in the store, just as it would be verified as one file. An error names
    /// what is not there; a member that is there and wrong is thrown away, so that it can be sent again.
    pub fn verify(
        home: &Home,
        head: &Utf8Path,
        trust: &TrustStore,
        now: i64,
        engine: &dyn Engine,
    ) -> Result<Self> {
        // Once: from here on it counts, whoever puts another one in its place.
        let head = fs::read(head).map_err(|source| Error::Read { path: head.to_owned(), source })?;
        let offer = judge(|| Ok(head.as_slice()), trust, now)?;
        let store = Store::new(home);
        let platform = platform(engine)?;
        let missing = missing(&offer, &store, platform, engine)?;
        if let Some(first) = missing.members.first() {
            return Err(TransferError::Incomplete {
                member: first.name.clone(),
                count: missing.members.len(),
            }
            .into());
        }
        let absent = parts::absent(&offer, &missing.images);
        let trust = trust.trust(&offer.manifest().stack);
        let reader = reader::Whole::new(&store, &head, &offer, &absent);
        let verified = match verify_thin(reader, &trust, now, &absent, &mut ()) {
            Ok(verified) => verified,
            Err(error) => {
                discard(&store, &offer, &error)?;
                return Err(error.into());
            }
        };
        let images = missing.images;
        Ok(Self { store, head, platform, verified, images })
    }

    /// What the verifier found: root, versions, evidence.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What the release is.
    pub fn manifest(&self) -> &Manifest {
        self.verified.manifest()
    }

    /// The members with their lengths and digests.
    pub fn targets(&self) -> &Targets {
        self.verified.targets()
    }

    /// The platform of this device's containers.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The bytes of the head that was verified, to be kept with the release.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The content of a rendered file, hashed again.
    pub fn file(&self, digest: &Digest) -> Result<Vec<u8>> {
        let name = member::config(digest);
        let target = self.target(&name)?;
        self.store.read(digest, target.length)
    }

    /// The image of a service for this device's platform.
    pub fn image(&self, service: &str) -> Result<&Image> {
        let found = self.manifest().services.iter().find(|found| found.name == service);
        let manifest = found.and_then(|service| service.manifests.get(&self.platform));
        manifest.and_then(|digest| self.images.get(digest)).ok_or_else(|| no_platform(self.platform).into())
    }

    /// The images of this device's platform, each once, by the digest of the manifest.
    pub fn images(&self) -> &BTreeMap<Digest, Image> {
        &self.images
    }

    /// Loads an image into the Engine; what the Engine has of it by then is asked anew.
    pub fn load(&self, image: &Image, engine: &dyn Engine) -> Result<String> {
        let layers = image.marked(&engine.chains()?);
        engine.load(&ImageLoad {
            manifest: &image.manifest,
            config: &image.config,
            config_digest: &image.config_digest,
            layers: &layers,
            open: &|digest| self.open_layer(digest),
        })
    }

    /// Opens the blob of a layer, which may be absent where the Engine has it.
    pub fn open_layer(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.store.open(digest)?))
    }

    fn target(&self, name: &str) -> Result<&Target> {
        let refuse = || Refusal::new(Code::MemberMissing, name, "the signed list does not name it");
        self.targets().targets.get(name).ok_or_else(|| refuse().into())
    }
}

/// The platform of the Engine's containers.
pub fn platform(engine: &dyn Engine) -> Result<Platform> {
    let architecture = engine.facts()?.architecture;
    check::platform(&architecture).ok_or(TransferError::Architecture { architecture }.into())
}

/// Whether a member is a layer: the only kind that may be absent.
pub fn is_layer(name: &str, target: &Target) -> bool {
    let kind = target.custom.kind.as_str();
    name.starts_with("blob.")
        && (kind.starts_with("application/vnd.oci.image.layer.")
            || kind.starts_with("application/vnd.docker.image.rootfs."))
}

/// Throws away the member that is to blame, so that the next transfer brings it anew.
fn discard(store: &Store, offer: &Offer, error: &ReadError) -> Result<()> {
    match error {
        ReadError::Refused(Refusal { code: Code::Digest | Code::Truncated, member, .. }) => {
            match offer.targets().targets.get(member.as_str()) {
                Some(target) => store.discard(target.hashes.sha256()),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn no_platform(platform: Platform) -> Refusal {
    let reason = format!("it has no image for {platform}, which is what this device's Engine runs");
    Refusal::new(Code::Platform, member::BUNDLE, reason)
}
