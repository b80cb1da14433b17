//! Makes small bundles in memory with keys that are always the same, for tests. The bytes are those of a real bundle: what reads
//! them is the code that devices run.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Serialize;
use xedge_model::image::Mode;
use xedge_model::stack::{ConfigFile, DeviceValue, SecretKind, SecretReference, config_digest};
use xedge_model::{Digest, Platform};

use xedge_bundle::dsse::{Envelope, Signature, pae};
use xedge_bundle::manifest::{
    Compatibility, Config, Data, Emulated, EvidenceEntry, Gate, Lock, Manifest, Probe, Sbom, Service,
};
use xedge_bundle::statement::{
    Engine, EngineKind, Honesty, KeyStatus, PlatformRun, RunRecord, Simulated, Statement, Subject,
    TestResult, Verdict,
};
use xedge_bundle::tuf::{
    Extension, Key, MetaFile, RoleKeys, Roles, Root, RootExtension, SPEC_VERSION, STAMPS, Snapshot, Stamp,
    Targets, Timestamp,
};
use xedge_bundle::{canonical, member, pieces, tar};

pub(crate) const NOW: i64 = 1_800_000_000;
const LATER: i64 = NOW + 1000;
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const IMAGE: &str = "xedgesim/broker";

/// Numbers of keys.
pub(crate) const ROOT: u8 = 1;
pub(crate) const RELEASE: u8 = 11;
pub(crate) const STAMP: u8 = 12;
pub(crate) const GATE: u8 = 21;
pub(crate) const IMAGES: u8 = 22;

/// A root to be made: its signers need not be those that it names.
#[derive(Clone)]
pub(crate) struct RootPlan {
    pub(crate) version: u64,
    pub(crate) keys: Vec<u8>,
    pub(crate) threshold: usize,
    pub(crate) signers: Vec<u8>,
    pub(crate) expires: i64,
    pub(crate) status: KeyStatus,
    /// The keys of targets, and of snapshot and timestamp.
    pub(crate) online: [u8; 2],
}

/// Members by name: the kind and the bytes of each.
pub(crate) type Members = BTreeMap<String, (String, Vec<u8>)>;

/// Everything that a bundle is made from.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) roots: Vec<RootPlan>,
    /// Unix times at which timestamp, snapshot and targets expire.
    pub(crate) expires: [i64; 3],
    /// Who signs timestamp, snapshot and targets.
    pub(crate) signers: [Vec<u8>; 3],
    pub(crate) status: KeyStatus,
    pub(crate) restamp: u64,
    pub(crate) manifest: Manifest,
    pub(crate) statement: Statement,
    pub(crate) evidence_key: u8,
    /// Members with their kinds, beside `bundle.json` and evidence.
    pub(crate) members: Members,
    pub(crate) change_targets: fn(&mut Targets),
}

/// The members of a finished bundle, in order.
#[derive(Clone)]
pub(crate) struct Parts(pub(crate) Vec<(String, Vec<u8>)>);

pub(crate) fn signing(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub(crate) fn public(number: u8) -> Key {
    Key::ed25519(&signing(number).verifying_key().to_bytes())
}

fn p256_key(number: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap()
}

fn spki(number: u8) -> String {
    STANDARD.encode(xedge_bundle::VerifyingKey::from(*p256_key(number).verifying_key()).to_der())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A metadata file around a role, signed by these keys.
pub(crate) fn sign(role: &impl Serialize, signers: &[u8]) -> Vec<u8> {
    let signed = canonical::to_bytes(&serde_json::to_value(role).unwrap()).unwrap();
    let mut signatures: Vec<(String, String)> = signers
        .iter()
        .map(|number| {
            let signature = signing(*number).sign(&signed).to_bytes();
            (public(*number).id(), hex(&signature))
        })
        .collect();
    signatures.sort();
    file(&signatures, &signed)
}

/// A metadata file with these signatures as they are.
pub(crate) fn file(signatures: &[(String, String)], signed: &[u8]) -> Vec<u8> {
    let list: Vec<String> =
        signatures.iter().map(|(id, sig)| format!(r#"{{"keyid":"{id}","sig":"{sig}"}}"#)).collect();
    let mut bytes = format!(r#"{{"signatures":[{}],"signed":"#, list.join(",")).into_bytes();
    bytes.extend_from_slice(signed);
    bytes.push(b'}');
    bytes
}

impl RootPlan {
    pub(crate) fn new(version: u64, keys: &[u8], signers: &[u8]) -> Self {
        let (keys, signers) = (keys.to_vec(), signers.to_vec());
        Self {
            version,
            keys,
            threshold: 1,
            signers,
            expires: LATER,
            status: KeyStatus::Development,
            online: [RELEASE, STAMP],
        }
    }

    pub(crate) fn root(&self) -> Root {
        let all = self.keys.iter().copied().chain(self.online);
        let role = |keys: &[u8], threshold| {
            let mut keyids: Vec<String> = keys.iter().map(|number| public(*number).id()).collect();
            keyids.sort();
            RoleKeys { keyids, threshold }
        };
        Root {
            kind: "root".into(),
            consistent_snapshot: false,
            expires: self.expires,
            keys: all.map(|number| (public(number).id(), public(number))).collect(),
            roles: Roles {
                root: role(&self.keys, self.threshold),
                snapshot: role(&self.online[1..], 1),
                targets: role(&self.online[..1], 1),
                timestamp: role(&self.online[1..], 1),
            },
            spec_version: SPEC_VERSION.into(),
            version: self.version,
            xedge: RootExtension {
                gate: vec![spki(GATE)],
                image_sign: vec![spki(IMAGES)],
                status: self.status,
            },
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        sign(&self.root(), &self.signers)
    }
}

impl Forge {
    pub(crate) fn new() -> Self {
        let (mut members, index, manifests) = images(LAYER, &[7; 1500]);
        let manifest = describe(index, manifests);
        for (name, kind, bytes) in [
            (member::config(&Digest::of(CONF)), "config", CONF),
            (member::config(&Digest::of(COMPOSE)), "config", COMPOSE),
            (member::lock(&IMAGE.parse().unwrap()), "lock", LOCK),
            (member::sbom(&IMAGE.parse().unwrap(), Platform::LinuxAmd64), "sbom", SBOM),
            (member::sbom(&IMAGE.parse().unwrap(), Platform::LinuxArm64), "sbom", SBOM),
        ] {
            members.insert(name, (kind.to_owned(), bytes.to_vec()));
        }
        Self {
            roots: vec![RootPlan::new(1, &[ROOT], &[ROOT])],
            expires: [LATER; 3],
            signers: [vec![STAMP], vec![STAMP], vec![RELEASE]],
            status: KeyStatus::Development,
            restamp: 0,
            statement: state(&manifest),
            manifest,
            evidence_key: GATE,
            members,
            change_targets: |_| {},
        }
    }

    pub(crate) fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut forge = Self::new();
        change(&mut forge);
        forge
    }

    /// Makes the images anew around another layer.
    pub(crate) fn replace_layer(&mut self, layer: &[u8]) {
        let (blobs, index, manifests) = images(LAYER, layer);
        self.members.retain(|name, _| !name.starts_with("blob."));
        self.members.extend(blobs);
        (self.manifest.services[0].index, self.manifest.services[0].manifests) = (index, manifests);
        self.statement = state(&self.manifest);
    }

    pub(crate) fn trusted(&self) -> Vec<u8> {
        self.roots[0].bytes()
    }

    pub(crate) fn set_status(&mut self, status: KeyStatus) {
        self.status = status;
        self.roots.iter_mut().for_each(|root| root.status = status);
        self.manifest.key_status = status;
        self.statement.predicate.xedge.key_status = status;
    }

    pub(crate) fn evidence(&self) -> Vec<u8> {
        let payload = self.statement.to_bytes("forge").unwrap();
        let key = p256_key(self.evidence_key);
        let signature: p256::ecdsa::Signature =
            p256::ecdsa::signature::Signer::sign(&key, &pae(xedge_bundle::dsse::PAYLOAD_TYPE, &payload));
        let id = xedge_bundle::VerifyingKey::from(*key.verifying_key()).key_id().hex().to_owned();
        let der = signature.to_der().as_bytes().to_vec();
        Envelope::new("forge", payload, vec![Signature { key_id: id, der }]).to_json()
    }

    pub(crate) fn parts(&self) -> Parts {
        let mut manifest = self.manifest.clone();
        let evidence = self.evidence();
        for entry in &mut manifest.gate.evidence {
            entry.digest = Digest::of(&evidence);
        }
        self.parts_with(&manifest.to_bytes(), &evidence)
    }

    /// The whole bundle around these bytes of `bundle.json` and of the evidence.
    pub(crate) fn parts_with(&self, manifest: &[u8], evidence: &[u8]) -> Parts {
        let mut members = self.members.clone();
        members.insert(member::BUNDLE.into(), ("bundle".into(), manifest.to_vec()));
        members.insert(member::evidence("pipeline"), ("evidence".into(), evidence.to_vec()));
        let target =
            |(kind, bytes): &(String, Vec<u8>)| pieces::pieces(bytes.as_slice()).unwrap().target(kind);
        let mut targets = Targets {
            kind: "targets".into(),
            expires: self.expires[2],
            spec_version: SPEC_VERSION.into(),
            targets: members.iter().map(|(name, member)| (name.clone(), target(member))).collect(),
            version: self.manifest.seq,
            xedge: Extension { status: self.status },
        };
        (self.change_targets)(&mut targets);
        let targets_bytes = sign(&targets, &self.signers[2]);
        let named = (member::TARGETS, targets.version, targets_bytes.as_slice());
        let snapshot = sign(&Snapshot(self.stamp("snapshot", self.expires[1], named)), &self.signers[1]);
        let named = (member::SNAPSHOT, self.stamp_version(), snapshot.as_slice());
        let timestamp = sign(&Timestamp(self.stamp("timestamp", self.expires[0], named)), &self.signers[0]);
        let mut parts: Vec<(String, Vec<u8>)> =
            self.roots.iter().map(|root| (member::root(root.version), root.bytes())).collect();
        parts.push((member::TIMESTAMP.into(), timestamp));
        parts.push((member::SNAPSHOT.into(), snapshot));
        parts.push((member::TARGETS.into(), targets_bytes));
        let mut rest: Vec<(String, Vec<u8>)> =
            members.into_iter().map(|(name, (_, bytes))| (name, bytes)).collect();
        rest.sort_by(|a, b| member::member_order(&a.0).cmp(&member::member_order(&b.0)));
        parts.extend(rest);
        Parts(parts)
    }

    fn stamp_version(&self) -> u64 {
        self.manifest.seq * STAMPS + self.restamp
    }

    fn stamp(&self, kind: &str, expires: i64, (name, version, bytes): (&str, u64, &[u8])) -> Stamp {
        let file = MetaFile { hashes: Digest::of(bytes).into(), length: bytes.len() as u64, version };
        Stamp {
            kind: kind.into(),
            expires,
            meta: [(name.to_owned(), file)].into(),
            spec_version: SPEC_VERSION.into(),
            version: self.stamp_version(),
            xedge: Extension { status: self.status },
        }
    }
}

impl Parts {
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in &self.0 {
            bytes.extend_from_slice(&tar::header(name, content.len() as u64));
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(tar::BLOCK), 0);
        }
        bytes.resize(bytes.len() + 2 * tar::BLOCK, 0);
        bytes
    }

    /// The bytes to the end of `bundle.json`.
    pub(crate) fn head(&self) -> Vec<u8> {
        let end = self.0.iter().position(|(name, _)| name == member::BUNDLE).unwrap();
        let mut bytes = Parts(self.0[..=end].to_vec()).tar();
        bytes.truncate(bytes.len() - 2 * tar::BLOCK);
        bytes
    }
}

/// An index, two manifests, two configurations and one layer; the index's digest, and those of the manifests.
fn images(kind: &str, layer: &[u8]) -> (Members, Digest, BTreeMap<Platform, Digest>) {
    let mut members = BTreeMap::new();
    let mut blob = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        members.insert(member::blob(&digest), (kind.to_owned(), bytes.to_vec()));
        format!(r#""mediaType":"{kind}","digest":"{digest}","size":{}"#, bytes.len())
    };
    let diff_id = Digest::of(layer);
    let layer = blob(kind, layer);
    let mut entries = Vec::new();
    let mut manifests = BTreeMap::new();
    for platform in Platform::USUAL {
        let architecture = platform.oci_architecture();
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
        );
        let config = blob(CONFIG, config.as_bytes());
        let bytes = format!(r#"{{"schemaVersion":2,"config":{{{config}}},"layers":[{{{layer}}}]}}"#);
        let descriptor = blob(MANIFEST, bytes.as_bytes());
        entries
            .push(format!(r#"{{{descriptor},"platform":{{"architecture":"{architecture}","os":"linux"}}}}"#));
        manifests.insert(platform, Digest::of(bytes.as_bytes()));
    }
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    blob(INDEX, index.as_bytes());
    (members, Digest::of(index.as_bytes()), manifests)
}

const CONF: &[u8] = b"listener 1883\n# site @{site}\n";
const COMPOSE: &[u8] = b"services: {broker: {}}\n";
const LOCK: &[u8] = b"{\"packages\":[]}\n";
const SBOM: &[u8] = b"{\"spdxVersion\":\"SPDX-2.3\"}\n";

fn describe(index: Digest, manifests: BTreeMap<Platform, Digest>) -> Manifest {
    let image: xedge_model::ImageName = IMAGE.parse().unwrap();
    let file =
        |path: &str, bytes| ConfigFile { path: path.into(), mode: Mode(0o644), digest: Digest::of(bytes) };
    let files = vec![file("broker/broker.conf", CONF), file("compose.yaml", COMPOSE)];
    let secret = |name: &str, kind| SecretReference {
        name: name.into(),
        kind,
        users: vec!["sensor".into()],
        owner: 1883,
    };
    let secrets =
        vec![secret("login", SecretKind::MosquittoOptions), secret("passwords", SecretKind::MosquittoPasswd)];
    let device_values = vec![DeviceValue {
        name: "site".into(),
        pattern: "[a-z]+".into(),
        sample: "lab".into(),
        max_length: 16,
    }];
    let digest = config_digest("edge", &files, &secrets, &device_values);
    let sbom = |platform| Sbom { image: image.clone(), platform, digest: Digest::of(SBOM) };
    Manifest {
        format: 1,
        stack: "edge".into(),
        seq: 7,
        version: "1.0.0".into(),
        key_status: KeyStatus::Development,
        tool: "0.1.0".into(),
        revision: None,
        compatibility: Compatibility {
            platforms: Platform::USUAL.to_vec(),
            boards: vec![],
            agent: "0.1.0".into(),
            engine_api: "1.41".into(),
        },
        data: Data { version: 1, floor: 1 },
        services: vec![Service { name: "broker".into(), image: image.clone(), index, manifests }],
        config: Config { digest, environment: "production".into(), files, secrets, device_values },
        gate: Gate {
            scenarios: vec!["pipeline".into()],
            emulated: Emulated::Accepted,
            evidence: vec![EvidenceEntry {
                scenario: "pipeline".into(),
                scenario_digest: Digest::of(b"scenario"),
                digest: Digest::of(b""),
            }],
        },
        locks: vec![Lock { image: image.clone(), digest: Digest::of(LOCK) }],
        sboms: Platform::USUAL.map(sbom).to_vec(),
        probes: vec![
            Probe::Tcp { service: "broker".into(), port: 1883 },
            Probe::Mqtt { service: "broker".into(), port: 1883, secret: Some("login".into()) },
            Probe::Command { service: "broker".into(), command: vec!["true".into()] },
        ],
        settle_s: 10,
        start_s: 60,
    }
}

/// Evidence that says what it should about a release.
pub(crate) fn state(manifest: &Manifest) -> Statement {
    let service = &manifest.services[0];
    let run = |(platform, digest): (&Platform, &Digest)| PlatformRun {
        image: service.image.clone(),
        platform: *platform,
        manifest: Some(digest.clone()),
        simulated: if *platform == Platform::LinuxAmd64 { Simulated::Native } else { Simulated::Emulated },
        reason: None,
    };
    let config = manifest.config.digest.clone();
    let subject = service.manifests.values().map(|digest| Subject::new("image", digest.clone()));
    Statement {
        subject: subject.chain([Subject::new("config", config.clone())]).collect(),
        predicate: TestResult {
            result: Verdict::Passed,
            configuration: vec![],
            url: None,
            passed_tests: vec!["delivery".into()],
            warned_tests: vec![],
            failed_tests: vec![],
            xedge: RunRecord {
                format: xedge_bundle::statement::FORMAT,
                tool_version: "0.1.0".into(),
                scenario: "pipeline".into(),
                scenario_digest: Digest::of(b"scenario"),
                seed: 1,
                level: xedge_model::scenario::Level::default(),
                duration_ms: 1000,
                engine: Engine { kind: EngineKind::Docker, version: "1".into() },
                honesty: [Honesty::L1].into(),
                platforms: service.manifests.iter().map(run).collect(),
                config_digest: Some(config),
                trace: None,
                runs: None,
                key_status: manifest.key_status,
            },
        },
    }
}
