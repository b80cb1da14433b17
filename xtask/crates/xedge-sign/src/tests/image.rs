//! Tests of the signatures of images: their exact layout, and that they are signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use xedge_bundle::dsse::Envelope;
use xedge_model::Digest;
use xedge_oci::Descriptor;
use xedge_oci::descriptor::{INDEX, MANIFEST};

use super::bytes;
use crate::{Artifact, ImageKey, KeyStatus, Layer, SIGN_PREDICATE_TYPE, SIGSTORE_BUNDLE, referrer};

fn key() -> ImageKey {
    ImageKey::generate(KeyStatus::Development, bytes(1)).unwrap()
}

fn manifest(artifact: &Artifact) -> Value {
    let value: Value = serde_json::from_slice(&artifact.manifest).unwrap();
    let config = std::iter::once(&value["config"]);
    for (descriptor, blob) in config.chain(value["layers"].as_array().unwrap()).zip(&artifact.blobs) {
        assert_eq!(descriptor["digest"], Digest::of(blob).as_str());
        assert_eq!(descriptor["size"], blob.len());
    }
    assert_eq!(artifact.blobs.len(), 1 + value["layers"].as_array().unwrap().len());
    value
}

/// Whether openssl's and cosign's kind of signature is one of `message` by this key.
fn is_signed(key: &ImageKey, message: &[u8], base64: &str) -> bool {
    use p256::ecdsa::signature::Verifier as _;
    use p256::pkcs8::DecodePublicKey as _;
    let public = p256::ecdsa::VerifyingKey::from_public_key_pem(&key.verifying_key().to_pem()).unwrap();
    let signature = p256::ecdsa::DerSignature::try_from(&STANDARD.decode(base64).unwrap()[..]).unwrap();
    public.verify(message, &signature).is_ok()
}

#[test]
fn a_signature_tag_is_as_cosign_writes_it() {
    let (key, image) = (key(), Digest::of(b"image"));
    let artifact = key.sign_for_tag("registry.example/xedgesim/mosquitto", &image);
    assert_eq!(artifact, key.sign_for_tag("registry.example/xedgesim/mosquitto", &image));
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"registry.example/xedgesim/mosquitto"}},"image":{{"docker-manifest-digest":"{image}"}},"type":"cosign container image signature"}},"optional":{{"xedge.key":"development"}}}}"#
    );
    assert_eq!(String::from_utf8_lossy(&artifact.blobs[1]), payload);
    let manifest = manifest(&artifact);
    assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&json!(2), &json!(MANIFEST)));
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
    assert!(is_signed(&key, payload.as_bytes(), signature));
    assert!(!is_signed(&key, b"another payload", signature));
    let config: Value = serde_json::from_slice(&artifact.blobs[0]).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([layer["digest"]]));
    assert_eq!(ImageKey::signature_tag(&image), format!("sha256-{}.sig", image.hex()));
}

#[test]
fn a_bundle_is_as_sigstore_writes_it() {
    let (key, image) = (key(), Digest::of(b"image"));
    let bundle: Value = serde_json::from_slice(&key.sign_as_bundle(&image)).unwrap();
    assert_eq!(bundle["mediaType"], SIGSTORE_BUNDLE);
    let hint =
        STANDARD.decode(bundle["verificationMaterial"]["publicKey"]["hint"].as_str().unwrap()).unwrap();
    assert_eq!(crate::ed25519::hex(&hint), key.verifying_key().key_id().hex());
    let envelope = Envelope::parse("bundle", bundle["dsseEnvelope"].to_string().as_bytes()).unwrap();
    let verified = envelope.verify(&[key.verifying_key()]).unwrap();
    let statement: Value = serde_json::from_slice(verified.bytes()).unwrap();
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": image.hex() } }],
        "predicateType": SIGN_PREDICATE_TYPE,
        "predicate": {},
    });
    assert_eq!(statement, expected);
    assert!(verified.statement().is_err(), "an image's signature is no evidence");
}

#[test]
fn a_bundle_refers_to_its_image() {
    let key = key();
    let image = Descriptor::of(INDEX, b"{\"schemaVersion\":2}");
    let artifact = key.sign_as_referrer(&image, None);
    assert_eq!(artifact, key.sign_as_referrer(&image, None));
    let value = manifest(&artifact);
    assert_eq!(value["artifactType"], SIGSTORE_BUNDLE);
    assert_eq!(value["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(artifact.blobs, [b"{}".to_vec(), key.sign_as_bundle(&image.digest)]);
    assert_eq!(value["layers"][0]["mediaType"], SIGSTORE_BUNDLE);
    let subject = json!({ "mediaType": INDEX, "digest": image.digest, "size": image.size });
    assert_eq!(value["subject"], subject);
    let mut notes = json!({
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": SIGN_PREDICATE_TYPE,
    });
    assert_eq!(value["annotations"], notes);
    notes["org.opencontainers.image.created"] = "2024-01-01T00:00:00Z".into();
    let dated = key.sign_as_referrer(&image, Some("2024-01-01T00:00:00Z"));
    assert_eq!(manifest(&dated)["annotations"], notes);
}

#[test]
fn anything_can_refer_to_an_image() {
    let mut image = Descriptor::of(MANIFEST, b"{}");
    image.annotations = [("org.opencontainers.image.ref.name".to_owned(), "1.0".to_owned())].into();
    let layer = Layer::new("application/spdx+json", b"{\"spdxVersion\":\"SPDX-2.3\"}".to_vec());
    let artifact = referrer("application/spdx+json", &image, vec![layer], &[].into());
    let value = manifest(&artifact);
    assert_eq!(value["artifactType"], "application/spdx+json");
    assert!(value.get("annotations").is_none() && value["subject"].get("annotations").is_none());
    assert_eq!(artifact.descriptor(), Descriptor::of(MANIFEST, &artifact.manifest));
    assert!(String::from_utf8_lossy(&artifact.manifest).starts_with(r#"{"schemaVersion":2,"mediaType":"#));
}
