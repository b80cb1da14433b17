//! A session with the agent of a device: the host's side of xedge-wire over one command. It asks and reports; what to send is not
//! decided here.

use std::collections::BTreeMap;

use serde::Serialize;
use xedge_wire::{
    Applied, DeviceFacts, Event, Inventory, Member, ToDevice, ToHost, WIRE, Want, read_line, write_line,
};

use crate::bundle::BundleFile;
use crate::contact::{NOT_FOUND, Place};
use crate::error::{Error, Result};
use crate::process::Process;
use crate::transport::{Transport, words};

const MARKER: &str = "xedge-session";

/// An open session.
#[derive(Debug)]
pub struct Session {
    host: String,
    /// `None` once it has broken.
    process: Option<Process>,
    agent: String,
    device: DeviceFacts,
}

/// What the device lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Members, in the order of the bundle.
    pub members: Vec<Want>,
    /// Secrets by name.
    pub secrets: Vec<String>,
    /// Values by name.
    pub values: Vec<String>,
}

impl Session {
    /// Starts the agent's side and greets it. `version` is that of this xedge.
    pub fn open(transport: &dyn Transport, place: &Place, version: &str) -> Result<Self> {
        let line = format!("{}; exec {}", words(["echo", MARKER]), place.command(&["session"]));
        let mut process = transport.start(&words(["sh", "-c", &line]), "talk to the agent")?;
        if !matches!(process.skip_to(MARKER), Ok(true)) {
            return Err(process.failed());
        }
        let (host, device) = (transport.host().to_owned(), DeviceFacts::default());
        let mut session = Self { host, process: Some(process), agent: String::new(), device };
        let hello = ToDevice::Hello { wire: WIRE, version: version.to_owned() };
        match session.ask(&hello, &mut |_| ())? {
            ToHost::Hello { wire, agent, .. } if wire > WIRE => {
                Err(Error::Newer { host: session.host.clone(), agent, theirs: wire, ours: WIRE })
            }
            ToHost::Hello { wire, agent, .. } if wire < WIRE => {
                Err(Error::Older { host: session.host.clone(), agent })
            }
            ToHost::Hello { agent, device, .. } => {
                (session.agent, session.device) = (agent, *device);
                Ok(session)
            }
            other => Err(session.surprise("a greeting", &other)),
        }
    }

    /// Version of the agent.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The device.
    pub fn device(&self) -> &DeviceFacts {
        &self.device
    }

    /// What the device already has of any bundle.
    pub fn inventory(&mut self) -> Result<Inventory> {
        match self.ask(&ToDevice::Inventory, &mut |_| ())? {
            ToHost::Inventory(inventory) => Ok(inventory),
            other => Err(self.surprise("its inventory", &other)),
        }
    }

    /// Sends metadata and `bundle.json`; gives what the device lacks of the rest.
    pub fn head(&mut self, bundle: &BundleFile) -> Result<Wants> {
        self.say(&ToDevice::Head { bytes: bundle.head_length() })?;
        let sent = bundle.copy_head(&mut |part| self.raw(part));
        self.sent(sent)?;
        self.wants("a head")
    }

    /// Sends what is missing of a member; `sent` is told the bytes as they go.
    pub fn member(&mut self, bundle: &BundleFile, want: &Want, sent: &mut dyn FnMut(u64)) -> Result<()> {
        let length = bundle.member_length(&want.name);
        if length != Some(want.length) || want.from > want.length {
            let reason = format!("it wants bytes of `{}` that the bundle does not have", want.name);
            return Err(Error::Command { host: self.host.clone(), what: "send".to_owned(), detail: reason });
        }
        let bytes = want.length - want.from;
        self.say(&ToDevice::Member(Member { name: want.name.clone(), offset: want.from, bytes }))?;
        let done = bundle.copy(&want.name, want.from, bytes, &mut |part| {
            self.raw(part)?;
            sent(part.len() as u64);
            Ok(())
        });
        self.sent(done)
    }

    /// What the device still lacks.
    pub fn want(&mut self) -> Result<Wants> {
        self.say(&ToDevice::Want)?;
        self.wants("what it still lacks")
    }

    /// Sends the value of a secret, owned by a user's number on the device.
    pub fn secret(&mut self, stack: &str, name: &str, owner: u32, value: &[u8]) -> Result<()> {
        let (stack, name, bytes) = (stack.to_owned(), name.to_owned(), value.len() as u64);
        self.say(&ToDevice::Secret { stack, name, owner, bytes })?;
        let sent = self.raw(value).map_err(|()| None);
        self.sent(sent)
    }

    /// Sends values that only this device has.
    pub fn values(&mut self, stack: &str, values: &BTreeMap<String, String>) -> Result<()> {
        self.say(&ToDevice::Values { stack: stack.to_owned(), values: values.clone() })
    }

    /// Installs the bundle of the last head; `event` sees every step.
    pub fn apply(&mut self, adopt: Option<&str>, event: &mut dyn FnMut(&Event)) -> Result<Applied> {
        let apply = ToDevice::Apply { adopt: adopt.map(str::to_owned), check_only: false };
        match self.ask(&apply, event)? {
            ToHost::Applied(applied) => Ok(applied),
            other => Err(self.surprise("an installation", &other)),
        }
    }

    /// The error of a device that asks for the same again and again.
    pub(crate) fn stuck(&self, member: &str) -> Error {
        Error::Command {
            host: self.host.clone(),
            what: "send what it lacks".to_owned(),
            detail: format!("it asks for `{member}` again and again"),
        }
    }

    fn wants(&mut self, question: &'static str) -> Result<Wants> {
        match self.answer(&mut |_| ())? {
            ToHost::Wants { members, secrets, values } => Ok(Wants { members, secrets, values }),
            other => Err(self.surprise(question, &other)),
        }
    }

    fn ask(&mut self, message: &ToDevice, event: &mut dyn FnMut(&Event)) -> Result<ToHost> {
        self.say(message)?;
        self.answer(event)
    }

    /// The answer that comes after any number of events.
    fn answer(&mut self, event: &mut dyn FnMut(&Event)) -> Result<ToHost> {
        loop {
            let process = self.process.as_mut().ok_or_else(|| gone(&self.host))?;
            match read_line::<ToHost>(process.output()) {
                Ok(Some(ToHost::Event(step))) => event(&step),
                Ok(Some(ToHost::Failed(problem))) => return Err(Error::device(&self.host, problem)),
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) | Err(xedge_wire::FrameError::Io(_)) => return Err(self.broken()),
                // A line that was cut off in the middle is a connection that broke.
                Err(source) => {
                    let process = self.process.take().ok_or_else(|| gone(&self.host))?;
                    let ended = process.finish()?;
                    let (host, what) = (self.host.clone(), "talk to the agent".to_owned());
                    if ended.is_broken() {
                        return Err(Error::Broken { host, what, detail: ended.complaints });
                    }
                    return Err(Error::Protocol { host, source });
                }
            }
        }
    }

    fn say(&mut self, message: &impl Serialize) -> Result<()> {
        let mut line = Vec::new();
        write_line(&mut line, message).expect("messages have string keys, and memory does not fail");
        let written = self.raw(&line).map_err(|()| None);
        self.sent(written)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.process.as_mut().ok_or(())?.write(bytes).map_err(drop)
    }

    fn sent(&mut self, sent: Result<(), Option<Error>>) -> Result<()> {
        match sent {
            Ok(()) => Ok(()),
            Err(Some(ours)) => Err(ours),
            // The device hung up. It may have said why.
            Err(None) => loop {
                let Some(process) = self.process.as_mut() else { return Err(gone(&self.host)) };
                match read_line::<ToHost>(process.output()) {
                    Ok(Some(ToHost::Failed(problem))) => return Err(Error::device(&self.host, problem)),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return Err(self.broken()),
                }
            },
        }
    }

    fn broken(&mut self) -> Error {
        match self.process.take() {
            Some(process) if self.agent.is_empty() => unanswered(process),
            Some(process) => hung_up(process),
            None => gone(&self.host),
        }
    }

    fn surprise(&self, question: &'static str, answer: &ToHost) -> Error {
        let answer = match answer {
            ToHost::Hello { .. } => "a greeting",
            ToHost::Inventory(_) => "an inventory",
            ToHost::Wants { .. } => "what it lacks",
            ToHost::Event(_) => "a step",
            ToHost::Applied(_) => "that it was installed",
            ToHost::Failed(_) => "a problem",
        };
        Error::Answer { host: self.host.clone(), question, answer }
    }
}

/// What was called ended before its greeting: with an exit code of its own, trying again does not help.
fn unanswered(process: Process) -> Error {
    let (host, what) = (process.host().to_owned(), process.what().to_owned());
    match process.finish() {
        Err(error) => error,
        Ok(ended) if ended.is_broken() || ended.code == Some(0) => {
            Error::Broken { host, what, detail: ended.complaints }
        }
        Ok(ended) if ended.code == Some(NOT_FOUND) => Error::NoAgent { host },
        Ok(ended) => Error::Command { host, what, detail: ended.complaints },
    }
}

/// The agent ended in the middle of a session: whatever its exit code, the connection is gone, and a new one may do.
fn hung_up(process: Process) -> Error {
    let (host, what) = (process.host().to_owned(), process.what().to_owned());
    match process.finish() {
        Err(error) => error,
        Ok(ended) => Error::Broken { host, what, detail: ended.complaints },
    }
}

fn gone(host: &str) -> Error {
    Error::Broken { host: host.to_owned(), what: "talk to the agent".to_owned(), detail: String::new() }
}
