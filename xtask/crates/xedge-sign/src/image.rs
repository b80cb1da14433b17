//! Signatures of images in the two layouts that cosign reads: the `.sig` tag and the bundle that refers to the image. Pure bytes: pushes
//! nothing, and says nothing about what an image does.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use xedge_bundle::VerifyingKey;
use xedge_bundle::dsse::{PAYLOAD_TYPE, pae};
use xedge_bundle::statement::{KeyStatus, STATEMENT_TYPE};
use xedge_model::Digest;
use xedge_oci::Descriptor;
use xedge_oci::descriptor::CONFIG;

use crate::SigningKey;
use crate::referrer::{Artifact, Layer, artifact, referrer};

/// Media type of a sigstore bundle.
pub const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What a statement says that is an image's signature.
pub const SIGN_PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// The key that signs images, and its status. It signs no evidence.
#[derive(Debug)]
pub struct ImageKey {
    key: SigningKey,
    status: KeyStatus,
}

#[derive(Serialize)]
struct SimpleSigning<'a> {
    critical: Critical<'a>,
    optional: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
struct Critical<'a> {
    identity: Identity<'a>,
    image: Image<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Identity<'a> {
    docker_reference: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image<'a> {
    docker_manifest_digest: &'a Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: &'static str,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Hint,
}

#[derive(Serialize)]
struct Hint {
    hint: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: &'static str,
    signatures: [Signature; 1],
}

#[derive(Serialize)]
struct Signature {
    sig: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject<'a>; 1],
    predicate_type: &'static str,
    predicate: Nothing,
}

/// An empty object.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Subject<'a> {
    digest: BTreeMap<&'static str, &'a str>,
}

impl ImageKey {
    pub(crate) fn new(key: SigningKey, status: KeyStatus) -> Self {
        Self { key, status }
    }

    /// Makes a key in memory; `random` fills a buffer with bytes of a cryptographic random source.
    pub fn generate(status: KeyStatus, random: impl FnMut(&mut [u8])) -> Result<Self, crate::Error> {
        Ok(Self { key: SigningKey::generate(random)?, status })
    }

    /// Whether it is a development or a production key; `.sig` payloads name it.
    pub fn status(&self) -> KeyStatus {
        self.status
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// The tag, beside the image, that a `.sig` manifest is pushed to.
    pub fn signature_tag(manifest: &Digest) -> String {
        format!("sha256-{}.sig", manifest.hex())
    }

    /// What the `.sig` tag holds: a signature of the image `reference` (registry and repository, without tag) at `manifest`.
    pub fn sign_for_tag(&self, reference: &str, manifest: &Digest) -> Artifact {
        let payload = to_json(&SimpleSigning {
            critical: Critical {
                identity: Identity { docker_reference: reference },
                image: Image { docker_manifest_digest: manifest },
                kind: "cosign container image signature",
            },
            optional: [("xedge.key", self.status.as_str())].into(),
        });
        let mut layer = Layer::new(SIMPLE_SIGNING, payload);
        layer.annotations = [(SIGNATURE.to_owned(), self.base64(&layer.bytes))].into();
        let config = Layer::new(CONFIG, tag_config(&Digest::of(&layer.bytes)));
        artifact(None, config, vec![layer], None, &BTreeMap::new())
    }

    /// The sigstore bundle that signs the image whose manifest or index has this digest.
    pub fn sign_as_bundle(&self, image: &Digest) -> Vec<u8> {
        let statement = to_json(&Statement {
            kind: STATEMENT_TYPE,
            subject: [Subject { digest: [("sha256", image.hex())].into() }],
            predicate_type: SIGN_PREDICATE_TYPE,
            predicate: Nothing {},
        });
        to_json(&Bundle {
            media_type: SIGSTORE_BUNDLE,
            verification_material: Material { public_key: Hint { hint: self.hint() } },
            dsse_envelope: Envelope {
                signatures: [Signature { sig: self.base64(&pae(PAYLOAD_TYPE, &statement)) }],
                payload: STANDARD.encode(&statement),
                payload_type: PAYLOAD_TYPE,
            },
        })
    }

    /// The bundle as an artifact that refers to the image; `created` (RFC 3339) is left out if the same image is to give the same
    /// bytes at any time.
    pub fn sign_as_referrer(&self, image: &Descriptor, created: Option<&str>) -> Artifact {
        let note = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut annotations = BTreeMap::from([
            note("dev.sigstore.bundle.content", "dsse-envelope"),
            note("dev.sigstore.bundle.predicateType", SIGN_PREDICATE_TYPE),
        ]);
        annotations.extend(created.map(|time| note("org.opencontainers.image.created", time)));
        let layer = Layer::new(SIGSTORE_BUNDLE, self.sign_as_bundle(&image.digest));
        referrer(SIGSTORE_BUNDLE, image, vec![layer], &annotations)
    }

    fn base64(&self, message: &[u8]) -> String {
        STANDARD.encode(self.key.sign(message))
    }

    /// How cosign names a key: base64 of the SHA-256 of its SPKI DER.
    fn hint(&self) -> String {
        let key = self.verifying_key();
        let hex = key.key_id().hex().as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).expect("a digest is ASCII");
            u8::from_str_radix(text, 16).expect("a digest is hexadecimal")
        };
        STANDARD.encode(hex.map(byte).collect::<Vec<u8>>())
    }
}

/// The image config of a `.sig` manifest: of no system, with the payload as its one layer, as cosign writes it.
fn tag_config(payload: &Digest) -> Vec<u8> {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    let text = format!(
        r#"{{"architecture":"","created":"{NEVER}","history":[{{"created":"{NEVER}"}}],"os":"","rootfs":{{"type":"layers","diff_ids":["{payload}"]}},"config":{{}}}}"#
    );
    text.into_bytes()
}

fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("signature documents have string keys and no failing serialisers")
}
