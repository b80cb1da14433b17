//! The device's side of a conversation with a host (xedge-wire): what the device is, what it lacks, members as they come, and
//! the installation. It believes nothing that is not signed, holds one piece in memory, and writes no byte that it did not ask for.

pub(crate) mod head;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use xedge_bundle::{Code, Offer};
use xedge_model::Digest;
use xedge_wire::{Event, Inventory, Member, Problem, ToDevice, ToHost, WIRE, read_line, write_line};

use crate::apply::{Agent, Options};
use crate::check::{self, Look};
use crate::engine::Engine;
use crate::facts::{Machine, device_facts};
use crate::home::StackHome;
use crate::install::install;
use crate::records::Lock;
use crate::staged::{missing, platform};
use crate::store::Store;
use crate::{Clock, Device, Error, Home, Result, TransferError, TrustStore, secrets, values};

/// How long a session waits for another process that changes the device.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a session works with.
#[derive(Clone, Copy)]
pub struct Served<'a> {
    /// Where everything lies.
    pub home: &'a Home,
    /// The machine.
    pub machine: &'a Machine,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Version of the agent.
    pub version: &'a str,
    /// Connects to the Engine, which need not be there for a greeting.
    pub connect: &'a dyn Fn() -> Result<Box<dyn Engine>>,
}

/// Answers until the host hangs up. Every error is told to the host; one after which nobody knows what comes next ends the
/// session.
pub fn serve(served: &Served<'_>, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<()> {
    let mut session =
        Session { served: *served, input, output, engine: OnceCell::new(), received: None, other_wire: None };
    while let Some(message) = session.next()? {
        match session.answer(message) {
            Ok(()) => {}
            Err(Trouble::Told(error)) => session.fail(&error)?,
            Err(Trouble::Lost(error)) => {
                // Where the host is gone, this says less than the error itself.
                let _told = session.fail(&error);
                return Err(error);
            }
        }
    }
    Ok(())
}

struct Session<'a> {
    served: Served<'a>,
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
    engine: OnceCell<Box<dyn Engine>>,
    received: Option<Received>,
    /// The version that the host speaks, where it is another one.
    other_wire: Option<u32>,
}

/// The head of a bundle that was sent and judged.
struct Received {
    offer: Offer,
    /// Tells this head from another one of the same stack.
    head: Digest,
    stack: StackHome,
    /// What was asked for last: the first byte that is missing, by member.
    wanted: BTreeMap<String, u64>,
}

/// An error, and whether both sides still agree on what comes next.
enum Trouble {
    /// The request failed; the next one may come.
    Told(Error),
    /// What comes next is lost.
    Lost(Error),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Told(error.into())
    }
}

type Answer = std::result::Result<(), Trouble>;

impl Session<'_> {
    fn next(&mut self) -> Result<Option<ToDevice>> {
        match read_line(&mut self.input) {
            Ok(message) => Ok(message),
            Err(error) => {
                let error = Error::from(TransferError::from(error));
                let _told = self.fail(&error);
                Err(error)
            }
        }
    }

    fn answer(&mut self, message: ToDevice) -> Answer {
        if let (Some(host), false) = (self.other_wire, matches!(message, ToDevice::Hello { .. })) {
            // What comes behind the message is not known in another version.
            return Err(Trouble::Lost(TransferError::Wire { host, agent: WIRE }.into()));
        }
        match message {
            ToDevice::Hello { wire, .. } => self.hello(wire),
            ToDevice::Inventory => self.inventory(),
            ToDevice::Head { bytes } => self.head(bytes),
            ToDevice::Member(member) => self.member(&member),
            ToDevice::Want => self.want(),
            ToDevice::Secret { stack, name, owner, bytes } => self.secret(&stack, &name, owner, bytes),
            ToDevice::Values { stack, values } => self.values(&stack, &values),
            ToDevice::Apply { adopt, check_only } => self.apply(&Options { adopt, check_only }),
        }
    }

    fn hello(&mut self, wire: u32) -> Answer {
        // The host decides what to do about another version: it may bring a newer agent.
        self.other_wire = (wire != WIRE).then_some(wire);
        let engine = self.engine().and_then(Engine::facts).ok();
        let Served { home, machine, clock, version, .. } = self.served;
        let device = Box::new(device_facts(home, machine, clock, engine)?);
        Ok(self.say(&ToHost::Hello { wire: WIRE, agent: version.to_owned(), device })?)
    }

    fn inventory(&mut self) -> Answer {
        let chains = self.engine()?.chains()?;
        let members = Store::new(self.served.home).members()?;
        Ok(self.say(&ToHost::Inventory(Inventory { chains, members }))?)
    }

    fn head(&mut self, bytes: u64) -> Answer {
        self.received = None;
        // Kept beside, whatever it is: the next message comes behind it.
        let kept = head::keep(self.served.home, &mut self.input, bytes).map_err(Trouble::Lost)?;
        let Served { home, machine, clock, version, .. } = self.served;
        let trust = TrustStore::open(home)?;
        let (offer, head) = kept.judge(&trust, trust.believable_now(clock)?)?;
        let (device, engine) = (Device::load(home)?, self.engine()?);
        let look = Look { home, machine, engine, clock, device: &device, trust: &trust, agent: version };
        check::early(&look, offer.manifest())?;
        let stack = home.stack(&offer.manifest().stack);
        kept.place(&stack)?;
        self.received = Some(Received { offer, head, stack, wanted: BTreeMap::new() });
        self.want()
    }

    fn want(&mut self) -> Answer {
        let received = self.received("want")?;
        let (config, engine) = (&received.offer.manifest().config, self.engine()?);
        let store = Store::new(self.served.home);
        let missing = missing(&received.offer, &store, platform(engine)?, engine)?;
        check::room(self.served.home, engine, &missing.needs())?;
        let secrets = secrets::missing(&received.stack, &config.secrets)?;
        let known = values::load(&received.stack)?;
        let names = config.device_values.iter().map(|value| &value.name);
        let values = names.filter(|name| !known.contains_key(*name)).cloned().collect();
        let wanted = missing.members.iter().map(|want| (want.name.clone(), want.from)).collect();
        if let Some(received) = &mut self.received {
            received.wanted = wanted;
        }
        Ok(self.say(&ToHost::Wants { members: missing.members, secrets, values })?)
    }

    /// Takes what was asked for and nothing else. After an error nobody knows how much of the member is still to come.
    fn member(&mut self, member: &Member) -> Answer {
        let Some(received) = &mut self.received else {
            return Err(Trouble::Lost(head_first("member").into()));
        };
        let name = member.name.as_str();
        let unwanted = || Trouble::Lost(TransferError::Unwanted { member: name.to_owned() }.into());
        let target = received.offer.targets().targets.get(name).ok_or_else(unwanted)?;
        let expected = received.wanted.remove(name).ok_or_else(unwanted)?;
        if member.offset != expected || member.bytes != target.length - expected {
            let (member, from) = (name.to_owned(), member.offset);
            return Err(Trouble::Lost(TransferError::Offset { member, from, expected }.into()));
        }
        let store = Store::new(self.served.home);
        store.receive(name, target, expected, &mut self.input).map_err(Trouble::Lost)
    }

    fn secret(&mut self, stack: &str, name: &str, owner: u32, bytes: u64) -> Answer {
        let most = secrets::MAX_BYTES as u64;
        let what = || format!("the secret `{}`", name.escape_debug());
        if bytes > most {
            return Err(Trouble::Lost(TransferError::TooLong { what: what(), bytes, most }.into()));
        }
        let mut value = Vec::new();
        let read = self.input.take(bytes).read_to_end(&mut value);
        if read.map_err(|error| Trouble::Lost(lost(error)))? as u64 != bytes {
            return Err(Trouble::Lost(lost(io::ErrorKind::UnexpectedEof.into())));
        }
        let received = self.received("secret")?;
        let manifest = received.offer.manifest();
        let declared = manifest.config.secrets.iter().any(|found| found.name == name && found.owner == owner);
        if manifest.stack != stack || !declared {
            return Err(TransferError::Undeclared { what: what() }.into());
        }
        let _lock = self.lock()?;
        secrets::put(&received.stack, name, owner, &value)?;
        Ok(())
    }

    fn values(&mut self, stack: &str, given: &BTreeMap<String, String>) -> Answer {
        let received = self.received("values")?;
        let manifest = received.offer.manifest();
        let declared = |name: &String| manifest.config.device_values.iter().any(|value| value.name == *name);
        if manifest.stack != stack {
            return Err(
                TransferError::Undeclared { what: format!("values of {}", stack.escape_debug()) }.into()
            );
        }
        if let Some(strange) = given.keys().find(|name| !declared(name)) {
            let what = format!("the value `{}`", strange.escape_debug());
            return Err(TransferError::Undeclared { what }.into());
        }
        let _lock = self.lock()?;
        Ok(values::merge(&received.stack, given)?)
    }

    fn apply(&mut self, options: &Options) -> Answer {
        let received = self.received("apply")?;
        let head = head::find(&received.stack, &received.head, received.offer.manifest())?;
        self.engine()?;
        let Self { served, output, engine, .. } = self;
        let engine = engine.get().ok_or_else(|| head_first("apply"))?.as_ref();
        let Served { home, machine, clock, version, .. } = *served;
        let agent = Agent { home, engine, machine, clock, version };
        // A host that went away does not stop what was begun: the outcome is on the device.
        let mut event = |event: Event| drop(send(*output, &ToHost::Event(event)));
        event(Event::Verifying);
        let applied = install(&agent, &head, options, &mut event)?;
        Ok(self.say(&ToHost::Applied(applied))?)
    }

    fn received(&self, message: &'static str) -> Result<&Received, Error> {
        self.received.as_ref().ok_or_else(|| head_first(message).into())
    }

    /// The Engine; asked for again where it was not there before.
    fn engine(&self) -> Result<&dyn Engine> {
        if self.engine.get().is_none() {
            let engine = (self.served.connect)()?;
            return Ok(self.engine.get_or_init(|| engine).as_ref());
        }
        Ok(self.engine.get().expect("it was just looked at").as_ref())
    }

    fn lock(&self) -> Result<Lock> {
        Lock::take(self.served.home, self.served.clock, PATIENCE)
    }

    fn fail(&mut self, error: &Error) -> Result<()> {
        // A host waits and asks again where somebody else is at work.
        let busy = matches!(error, Error::Busy { .. }).then_some(Code::Busy.as_str());
        self.say(&ToHost::Failed(Problem::of(error, error.code().or(busy))))
    }

    fn say(&mut self, message: &ToHost) -> Result<()> {
        send(self.output, message).map_err(lost)
    }
}

fn send(mut output: &mut dyn Write, message: &ToHost) -> io::Result<()> {
    write_line(&mut output, message)?;
    output.flush()
}

fn lost(error: io::Error) -> Error {
    TransferError::Frame(error.into()).into()
}

fn head_first(message: &'static str) -> TransferError {
    TransferError::Order { message, needs: "the head of a bundle" }
}

#[cfg(test)]
mod tests;
