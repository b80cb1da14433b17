//! The device's side of a conversation with a host (xedge-wire): what the device is, what it lacks, members as they come, and
//! the installation. It believes nothing that is not signed, holds one piece in memory, and writes no byte that it did not ask for.

mod head;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use xedge_bundle::Offer;
use xedge_model::{Class, Failure};
use xedge_wire::{Event, Inventory, Member, Problem, ToDevice, ToHost, WIRE, read_line, write_line};

use crate::apply::{Agent, Options};
use crate::check::{self, Look};
use crate::engine::Engine;
use crate::facts::{Machine, device_facts};
use crate::records::Lock;
use crate::staged::{Staged, missing, platform};
use crate::store::Store;
use crate::{Clock, Device, Error, Home, Result, TransferError, TrustStore, apply, secrets, values};

/// How long a session waits for another process that changes the device.
pub const PATIENCE: Duration = Duration::from_secs(60);

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
    pub engine: &'a dyn Fn() -> Result<Box<dyn Engine>>,
}

/// Answers until the host hangs up. An error was told to the host as far as it can be told; it ends the session where the two
/// sides no longer agree on what comes next.
pub fn serve(served: &Served<'_>, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<()> {
    let mut session = Session { served: *served, input, output, engine: None, received: None };
    while let Some(message) = session.next()? {
        match session.answer(message) {
            Ok(()) => {}
            Err(Trouble::Told(error)) => session.fail(&error)?,
            Err(Trouble::Lost(error)) => {
                // The host may be gone; the error says more than that.
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
    engine: Option<Box<dyn Engine>>,
    received: Option<Received>,
}

/// The head of a bundle that was sent and judged.
struct Received {
    offer: Offer,
    /// What tells this head from another one of the same stack.
    head: xedge_model::Digest,
    /// What was asked for last: the byte from which on, by member.
    wanted: BTreeMap<String, u64>,
}

/// An error, and whether both sides still agree on what comes next.
enum Trouble {
    /// The request failed; the next one may come.
    Told(Error),
    /// Nobody knows what comes next.
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
        match message {
            ToDevice::Hello { wire, .. } => self.hello(wire),
            ToDevice::Inventory => self.inventory(),
            ToDevice::Head { bytes } => self.head(bytes),
            ToDevice::Member(member) => self.member(&member),
            ToDevice::Want => self.want(),
            ToDevice::Secret { stack, name, owner, bytes } => self.secret(&stack, &name, owner, bytes),
            ToDevice::Values { stack, values } => self.values(&stack, &values),
            ToDevice::Apply { adopt, check_only } => self.apply(Options { adopt, check_only }),
        }
    }

    fn hello(&mut self, wire: u32) -> Answer {
        if wire != WIRE {
            return Err(TransferError::Wire { host: wire, agent: WIRE }.into());
        }
        let engine = self.engine().ok().and_then(|engine| engine.facts().ok());
        let Served { home, machine, clock, version, .. } = self.served;
        let device = Box::new(device_facts(home, machine, clock, engine)?);
        self.say(&ToHost::Hello { wire: WIRE, agent: version.to_owned(), device })
    }

    fn inventory(&mut self) -> Answer {
        let chains = self.engine()?.chains()?;
        let members = Store::new(self.served.home).members()?;
        self.say(&ToHost::Inventory(Inventory { chains, members }))
    }

    /// Keeps the bytes beside, whatever they are, so that the next message is found behind them; then judges them.
    fn head(&mut self, bytes: u64) -> Answer {
        self.received = None;
        let trust = TrustStore::open(self.served.home);
        let kept = head::keep(self.served.home, &mut self.input, bytes).map_err(Trouble::Lost)?;
        let trust = trust?;
        let (offer, head) = kept.judge(&trust, trust.now(self.served.clock))?;
        let Served { home, machine, clock, version, .. } = self.served;
        let (device, engine) = (Device::load(home)?, self.engine()?);
        let look = Look { home, machine, engine, clock, device: &device, trust: &trust, agent: version };
        check::early(&look, offer.manifest())?;
        kept.place(&home.stack(&offer.manifest().stack))?;
        self.received = Some(Received { offer, head, wanted: BTreeMap::new() });
        self.want()
    }

    fn want(&mut self) -> Answer {
        let store = Store::new(self.served.home);
        let engine = self.engine()?;
        let platform = platform(engine)?;
        let received = self.received.as_ref().ok_or(HEAD_FIRST("want"))?;
        let missing = missing(&received.offer, &store, platform, self.engine_again()?)?;
        let config = &received.offer.manifest().config;
        let stack = self.served.home.stack(&received.offer.manifest().stack);
        let secrets = secrets::missing(&stack, &config.secrets)?;
        let known = values::load(&stack)?;
        let names = config.device_values.iter().map(|value| &value.name);
        let values = names.filter(|name| !known.contains_key(*name)).cloned().collect();
        let wanted = missing.members.iter().map(|want| (want.name.clone(), want.from)).collect();
        if let Some(received) = &mut self.received {
            received.wanted = wanted;
        }
        self.say(&ToHost::Wants { members: missing.members, secrets, values })
    }
}
