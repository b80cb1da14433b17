//! What the tests share: settings that do not wait, a small image and what is left of a push.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use xedge_model::{Class, Digest, Failure};

use super::fake::Fake;
use crate::{
    Blob, BlobSource, Client, Error, Event, Manifest, MemoryBlobs, OCI_INDEX, OCI_MANIFEST, Progress,
    PushImage, Pushed, Repository, Result, Settings, Silent, Tag, TagKind, Target,
};

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::new("xedge-tests");
    settings.retry.tries = 4;
    settings.retry.base = Duration::from_millis(2);
    settings.retry.max = Duration::from_millis(40);
    settings.timeouts.helper = Duration::from_secs(20);
    settings
}

pub(crate) fn client() -> Client {
    Client::new(settings()).unwrap()
}

pub(crate) fn repository(fake: &Fake) -> Repository {
    let target: Target = format!("{}/site", fake.host).parse().unwrap();
    target.repository(&"app".parse().unwrap()).unwrap()
}

pub(crate) fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

pub(crate) fn manifest(text: &str, media_type: &str) -> Manifest {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    Manifest { digest: Digest::of(&bytes), bytes, media_type: media_type.to_owned() }
}

/// An image and the content of its blobs.
pub(crate) struct Sample {
    pub(crate) image: PushImage,
    pub(crate) contents: Vec<Bytes>,
}

pub(crate) fn sample(fake: &Fake, seed: u8) -> Sample {
    let contents: Vec<Bytes> = vec![
        vec![seed; 10].into(),
        (0..3_000_000_u32).map(|i| (i % 251) as u8 ^ seed).collect::<Vec<u8>>().into(),
    ];
    let child = manifest(&format!("{{\"child\":{seed}}}"), OCI_MANIFEST);
    let index = manifest(&format!("{{\"index\":{seed},\"child\":\"{}\"}}", child.digest), OCI_INDEX);
    let tags = vec![Tag::new("1.0", TagKind::Version).unwrap(), Tag::new("latest", TagKind::Moving).unwrap()];
    let blobs = contents.iter().map(|bytes| blob(bytes)).collect();
    let repository = repository(fake);
    let image = PushImage { repository, index, manifests: vec![child], blobs, tags, mount_from: Vec::new() };
    Sample { image, contents }
}

impl Sample {
    pub(crate) fn source(&self) -> Arc<dyn BlobSource> {
        Arc::new(MemoryBlobs::new(self.contents.iter().cloned()))
    }

    pub(crate) async fn push(&self, client: &Client) -> Result<Pushed> {
        let plan = client.plan(self.image.clone()).await?;
        client.push(&plan, &self.source(), &silent()).await
    }

    /// The digest of the big blob.
    pub(crate) fn big(&self) -> &Digest {
        &self.image.blobs[1].digest
    }
}

pub(crate) fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}

/// Writes down what it sees.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Vec<Event>>);

impl Notes {
    pub(crate) fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(wanted)
    }
}

impl Progress for Notes {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// Gives the right length with a flipped bit.
pub(crate) struct Damaged(pub(crate) Arc<dyn BlobSource>);

impl BlobSource for Damaged {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        let mut bytes = Vec::new();
        self.0.open(digest)?.read_to_end(&mut bytes)?;
        bytes[0] ^= 1;
        Ok(Box::new(io::Cursor::new(bytes)))
    }
}

/// The whole chain of an error as one text.
pub(crate) fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        text = format!("{text}: {next}");
        source = next.source();
    }
    text
}

pub(crate) fn is(error: &Error, class: Class, part: &str) {
    assert_eq!(error.class(), class, "{}", text(error));
    assert!(text(error).contains(part), "`{part}` is not in `{}`", text(error));
}

/// A push can be spawned: its futures move between threads.
#[expect(dead_code, reason = "it only has to compile")]
fn futures_are_send(client: &Client, sample: &Sample, plan: &crate::Plan, artifact: crate::PushArtifact) {
    fn check(_: impl Send) {}
    let (source, silent) = (sample.source(), silent());
    check(client.plan(sample.image.clone()));
    check(client.push(plan, &source, &silent));
    check(client.push_artifact(artifact, &source, &silent));
    check(client.referrers(&sample.image.repository, sample.big()));
}
