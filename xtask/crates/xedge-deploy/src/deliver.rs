//! The way of one release to one device: what it lacks, its secrets and values, the installation; and again from where it was
//! when the connection breaks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xedge_bundle::Code;
use xedge_model::stack::SecretReference;
use xedge_wire::{Applied, DeviceFacts, Event, Want};

use crate::bundle::BundleFile;
use crate::cancel::Cancel;
use crate::contact::Place;
use crate::error::{Error, OtherRoot, Result};
use crate::session::{Session, Wants};
use crate::transport::Transport;

/// What is waited before each new connection; as often in a row, and no more, one is made that brings nothing further.
pub const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];
/// How often a device may ask for the same without getting further.
const ROUNDS: u32 = 3;

/// What is to be delivered.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The bundle.
    pub bundle: &'a BundleFile,
    /// Values that only this device has.
    pub values: &'a BTreeMap<String, String>,
    /// Container that the release takes over.
    pub adopt: Option<&'a str>,
    /// Version of this xedge.
    pub version: &'a str,
    /// What is waited before each new connection, such as [`WAITS`].
    pub waits: &'a [Duration],
}

/// Sees a delivery as it goes.
pub trait Observer {
    /// The agent answered.
    fn connected(&mut self, agent: &str, device: &DeviceFacts) {
        let _ = (agent, device);
    }
    /// This many bytes more have to go.
    fn to_send(&mut self, bytes: u64) {
        let _ = bytes;
    }
    /// This many bytes more went.
    fn sent(&mut self, bytes: u64) {
        let _ = bytes;
    }
    /// Everything is there; the device installs it.
    fn complete(&mut self) {}
    /// A step of the installation.
    fn event(&mut self, event: &Event) {
        let _ = event;
    }
    /// The connection broke, and is made anew after a while.
    fn retrying(&mut self, error: &Error, wait: Duration) {
        let _ = (error, wait);
    }
}

/// Watches nothing.
impl Observer for () {}

/// Gives the contents of these secrets, in this order.
pub type Secrets<'a, S, E> = dyn FnMut(&[&SecretReference]) -> Result<Vec<S>, E> + 'a;

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// What the device says.
    pub applied: Applied,
    /// The device.
    pub device: DeviceFacts,
    /// Bytes that travelled, metadata included.
    pub sent: u64,
    /// How long they took.
    pub sending: Duration,
    /// How often the connection was made anew.
    pub retries: u32,
}

/// Delivers a release. `secrets` is asked for the contents of what the device lacks, in this order, before layers travel.
pub fn deliver<S: AsRef<[u8]>, E: From<Error>>(
    transport: &mut dyn Transport,
    place: &Place,
    delivery: &Delivery<'_>,
    cancel: &Cancel,
    secrets: &mut Secrets<'_, S, E>,
    observer: &mut dyn Observer,
) -> Result<Delivered, E> {
    check_values(delivery)?;
    let mut way =
        Way { secrets: BTreeMap::new(), lacks: BTreeMap::new(), got: 0, sent: 0, sending: Duration::ZERO };
    let (mut retries, mut tries) = (0, Tries { waits: delivery.waits, idle: 0 });
    loop {
        let before = way.got;
        let failed = match attempt(transport, place, delivery, cancel, &mut way, secrets, observer) {
            Ok((applied, device)) => {
                return Ok(Delivered { applied, device, sent: way.sent, sending: way.sending, retries });
            }
            Err(failed) => failed,
        };
        cancel.check()?;
        let error = match failed {
            Failed::Way(error) => error,
            Failed::Caller(error) => return Err(error),
        };
        tries.further(way.got > before);
        tries.reconnect(transport, cancel, error, observer)?;
        retries += 1;
    }
}

/// Does one step on a device, again on a new connection where it breaks. `waits` is as in [`Delivery`].
pub fn persist<T>(
    transport: &mut dyn Transport,
    cancel: &Cancel,
    waits: &[Duration],
    observer: &mut dyn Observer,
    step: &mut dyn FnMut(&dyn Transport, &mut dyn Observer) -> Result<T>,
) -> Result<T> {
    let (mut most, mut tries) = (0, Tries { waits, idle: 0 });
    loop {
        let mut counted = Counted { observer: &mut *observer, sent: 0 };
        let failed = match step(&*transport, &mut counted) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        // A step that goes on where it was counts what is there already.
        let sent = counted.sent;
        tries.further(sent > most);
        most = most.max(sent);
        cancel.check()?;
        tries.reconnect(transport, cancel, failed, observer)?;
    }
}

/// How often nothing got further, and how often that may be.
struct Tries<'a> {
    waits: &'a [Duration],
    idle: usize,
}

impl Tries<'_> {
    fn further(&mut self, is_further: bool) {
        if is_further {
            self.idle = 0;
        }
    }

    /// Waits and connects, until it works or was tried often enough.
    fn reconnect(
        &mut self,
        transport: &mut dyn Transport,
        cancel: &Cancel,
        mut error: Error,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        loop {
            let Some(wait) = self.waits.get(self.idle).filter(|_| error.may_pass()) else {
                return Err(error);
            };
            self.idle += 1;
            observer.retrying(&error, *wait);
            cancel.sleep(*wait)?;
            match transport.connect() {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
    }
}

/// Counts what a step sent.
struct Counted<'a> {
    observer: &'a mut dyn Observer,
    sent: u64,
}

impl Observer for Counted<'_> {
    fn connected(&mut self, agent: &str, device: &DeviceFacts) {
        self.observer.connected(agent, device);
    }

    fn to_send(&mut self, bytes: u64) {
        self.observer.to_send(bytes);
    }

    fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        self.observer.sent(bytes);
    }

    fn complete(&mut self) {
        self.observer.complete();
    }

    fn event(&mut self, event: &Event) {
        self.observer.event(event);
    }

    fn retrying(&mut self, error: &Error, wait: Duration) {
        self.observer.retrying(error, wait);
    }
}

/// What is kept from one connection to the next.
struct Way<S> {
    secrets: BTreeMap<String, (u32, S)>,
    /// The least that the device ever said to lack of each member.
    lacks: BTreeMap<String, u64>,
    /// Bytes of members that arrived, as the device says: what went out may be lost on the way.
    got: u64,
    sent: u64,
    sending: Duration,
}

impl<S> Way<S> {
    /// Takes note of what the device lacks now.
    fn note(&mut self, wants: &[Want]) {
        let lacks = |want: &Want| (want.name.clone(), want.length.saturating_sub(want.from));
        let now: BTreeMap<String, u64> = wants.iter().map(lacks).collect();
        for (name, least) in &mut self.lacks {
            let left = now.get(name).copied().unwrap_or(0);
            self.got += least.saturating_sub(left);
            *least = left.min(*least);
        }
        for (name, left) in now {
            self.lacks.entry(name).or_insert(left);
        }
    }
}

enum Failed<E> {
    Way(Error),
    Caller(E),
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Way(error)
    }
}

fn attempt<S: AsRef<[u8]>, E>(
    transport: &dyn Transport,
    place: &Place,
    delivery: &Delivery<'_>,
    cancel: &Cancel,
    way: &mut Way<S>,
    secrets: &mut Secrets<'_, S, E>,
    observer: &mut dyn Observer,
) -> Result<(Applied, DeviceFacts), Failed<E>> {
    let bundle = delivery.bundle;
    let manifest = bundle.manifest();
    let mut session = Session::open(transport, place, delivery.version)?;
    observer.connected(session.agent(), session.device());
    check_root(transport.host(), session.device(), bundle)?;
    let start = Instant::now();
    let mut wants = session.head(bundle)?;
    way.sent += bundle.head_length();
    way.note(&wants.members);
    let missing: Vec<&String> =
        wants.values.iter().filter(|name| !delivery.values.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(values_missing(delivery, transport.host(), &missing).into());
    }
    let asked = std::mem::take(&mut wants.secrets);
    let lacks = |name: &String| asked.contains(name) && !way.secrets.contains_key(name);
    let declared: Vec<&SecretReference> =
        manifest.config.secrets.iter().filter(|declared| lacks(&declared.name)).collect();
    if !declared.is_empty() {
        let contents = secrets(&declared).map_err(Failed::Caller)?;
        let named = declared.iter().map(|one| (one.name.clone(), one.owner));
        way.secrets.extend(named.zip(contents).map(|((name, owner), content)| (name, (owner, content))));
    }
    transfer(&mut session, delivery, wants, way, cancel, observer)?;
    way.sending += start.elapsed();
    for (name, (owner, value)) in &way.secrets {
        session.secret(&manifest.stack, name, *owner, value.as_ref())?;
    }
    if !delivery.values.is_empty() {
        session.values(&manifest.stack, delivery.values)?;
    }
    if !way.secrets.is_empty() || !delivery.values.is_empty() {
        // They have no answer of their own: where one failed, nothing may be installed behind it.
        session.want()?;
    }
    observer.complete();
    let applied = session.apply(delivery.adopt, &mut |event| observer.event(event))?;
    Ok((applied, session.device().clone()))
}

/// Sends what is wanted until nothing is.
fn transfer<S>(
    session: &mut Session,
    delivery: &Delivery<'_>,
    mut wants: Wants,
    way: &mut Way<S>,
    cancel: &Cancel,
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut rounds = 0;
    while !wants.members.is_empty() {
        observer.to_send(wants.members.iter().map(|want| want.length.saturating_sub(want.from)).sum());
        for want in &wants.members {
            cancel.check()?;
            session.member(delivery.bundle, want, &mut |bytes| {
                way.sent += bytes;
                observer.sent(bytes);
            })?;
        }
        let next = session.want()?;
        way.note(&next.members);
        rounds = if next.members == wants.members { rounds + 1 } else { 0 };
        if rounds >= ROUNDS {
            let name = next.members.first().map(|want| want.name.clone()).unwrap_or_default();
            return Err(session.stuck(&name));
        }
        wants = next;
    }
    Ok(())
}

/// The device would refuse it too; here it is known which way out there is.
fn check_root(host: &str, device: &DeviceFacts, bundle: &BundleFile) -> Result<()> {
    let (Some(pinned), Some(status)) = (&device.root, &device.status) else { return Ok(()) };
    if bundle.has_root(pinned) || *status == bundle.manifest().key_status.as_str() {
        return Ok(());
    }
    Err(Error::OtherRoot(Box::new(OtherRoot {
        host: host.to_owned(),
        device: status.clone(),
        pinned: pinned.to_string(),
        bundle: bundle.manifest().key_status.as_str().to_owned(),
        ours: bundle.root().to_string(),
        // The same for both is the device's own to refuse: it knows more roots than the one it shows.
        code: Code::DevelopmentKeys,
    })))
}

/// Values that were given must be declared, and fit.
fn check_values(delivery: &Delivery<'_>) -> Result<()> {
    let manifest = delivery.bundle.manifest();
    let declared = &manifest.config.device_values;
    let mut problems = Vec::new();
    for (name, value) in delivery.values {
        match declared.iter().find(|one| one.name == *name) {
            None => problems.push(format!("it has no device value `{name}`")),
            Some(one) => {
                problems.extend(
                    one.check(value).err().map(|why| format!("the value of `{name}` does not fit: {why}")),
                );
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let known: Vec<String> =
        declared.iter().map(|one| format!("`--set {}={}`", one.name, one.sample)).collect();
    let hint = if known.is_empty() {
        "the stack declares none under `device_values`".to_owned()
    } else {
        format!("as in the gate: {}", known.join(" "))
    };
    Err(Error::Values { stack: manifest.stack.clone(), problems, hint })
}

fn values_missing(delivery: &Delivery<'_>, host: &str, missing: &[&String]) -> Error {
    let manifest = delivery.bundle.manifest();
    let sample = |name: &str| {
        let declared = manifest.config.device_values.iter().find(|one| one.name == name);
        declared.map_or("VALUE", |one| one.sample.as_str())
    };
    let problems = missing.iter().map(|name| format!("{host} has no value for `{name}`")).collect();
    let flags: Vec<String> = missing.iter().map(|name| format!("--set {name}={}", sample(name))).collect();
    let hint = format!("give it once, such as `{}`", flags.join(" "));
    Error::Values { stack: manifest.stack.clone(), problems, hint }
}
