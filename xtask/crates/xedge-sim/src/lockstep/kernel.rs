//! Virtual time: takes one event after the other and lets built-in nodes act on it. It keeps counts, never a list of what
//! was, so that an hour needs no more memory than a second. Scripts and containers are led by [`super::drive`].

use std::collections::{BTreeMap, BinaryHeap};

use xedge_model::scenario::Role;

use super::histogram::Histogram;
use super::link::{Links, Passed};
use super::node::{Body, Gateway, Heard, Sensor};
use super::plan::{VirtualNode, VirtualPlan};
use super::queue::{Event, Queue};
use super::route::Routes;
use super::trace::{Mark, Record, Trace};
use crate::Error;
use crate::model::Schedule;

/// After the end gateways close their windows faster: nothing new comes, and the last readings must get out.
const DRAIN_WINDOW_US: u64 = 500_000;

/// What happens at a node.
#[derive(Debug)]
pub(super) enum What {
    /// It is its turn.
    Fire,
    /// It says this: a script's message with a destination or without.
    Say(Option<u32>, Body),
    /// A message arrives.
    Arrive(Message),
}

/// A message under way.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) from: u32,
    pub(super) route: u32,
    pub(super) seq: u64,
    pub(super) sent: u64,
    pub(super) body: Body,
}

/// A node's part in the run.
#[derive(Debug)]
enum Part {
    Sensor(Sensor),
    Gateway(Gateway),
    Cloud(BTreeMap<u32, Heard>),
    /// Led from outside: what arrives waits here.
    External(BinaryHeap<Event<Message>>),
}

/// Counts of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Messages that it sent, each counted once however many hear it.
    pub(super) sent: u64,
    /// Messages that arrived.
    pub(super) received: u64,
    /// Messages that it sent to nobody.
    pub(super) unrouted: u64,
}

pub(super) struct Kernel<'a> {
    plan: &'a VirtualPlan,
    pub(super) duration: u64,
    parts: Vec<Part>,
    pub(super) counts: Vec<Counts>,
    pub(super) routes: Routes,
    pub(super) links: Links,
    queue: Queue<What>,
    pub(super) trace: Trace,
    pub(super) latency: Histogram,
    order: u64,
    draining: bool,
}

impl<'a> Kernel<'a> {
    pub(super) fn new(plan: &'a VirtualPlan) -> Result<Self, Error> {
        plan.validate()?;
        let count = plan.nodes.len();
        let mut kernel = Self {
            plan,
            duration: micros(plan.duration),
            parts: Vec::with_capacity(count),
            counts: vec![Counts::default(); count],
            routes: Routes::new(plan)?,
            links: Links::new(&plan.links, plan.seed),
            queue: Queue::new(),
            trace: Trace::new(plan.nodes.iter().any(VirtualNode::is_external)),
            latency: Histogram::new(),
            order: 0,
            draining: false,
        };
        for (number, node) in (0..).zip(&plan.nodes) {
            let part = kernel.part(number, node);
            kernel.parts.push(part);
        }
        Ok(kernel)
    }

    fn part(&mut self, number: u32, node: &VirtualNode) -> Part {
        if node.is_external() {
            return Part::External(BinaryHeap::new());
        }
        match node.role {
            Role::Sensor => {
                let seed = self.plan.seed;
                let schedule = Schedule::new(&node.id, seed, node.every, self.plan.duration).jittered(
                    &node.id,
                    seed,
                    node.jitter_ppm,
                );
                self.push(schedule.due_us(1), number, What::Fire);
                Part::Sensor(Sensor { schedule, sent: 0 })
            }
            Role::Gateway => {
                let gateway = Gateway::new(micros(node.every));
                self.push(gateway.tick, number, What::Fire);
                Part::Gateway(gateway)
            }
            Role::Cloud | Role::Broker | Role::Service => Part::Cloud(BTreeMap::new()),
        }
    }

    fn push(&mut self, time: u64, node: u32, what: What) {
        self.order += 1;
        self.queue.push(Event { time, node, order: self.order, what });
    }

    /// Takes everything before `limit`, in order.
    pub(super) fn run_before(&mut self, limit: u64) {
        while let Some(Event { time, node, order, what }) = self.queue.pop_before(limit) {
            match what {
                What::Fire => self.fire(time, node),
                What::Say(to, body) => self.say(time, node, to, body),
                What::Arrive(message) => self.arrive(time, node, order, &message),
            }
        }
    }

    /// A script or container says something at this time, which is not in the past.
    pub(super) fn external_says(&mut self, time: u64, node: u32, to: Option<u32>, body: Body) {
        self.push(time, node, What::Say(to, body));
    }

    /// What a script or container hears in the step that ends at `limit`. What was sent too late for the step before is
    /// heard at the beginning of this one: time never goes back.
    pub(super) fn heard_before(&mut self, node: u32, from: u64, limit: u64) -> Vec<(u64, Message)> {
        let mut heard = Vec::new();
        let Part::External(inbox) = &mut self.parts[node as usize] else { return Vec::new() };
        while inbox.peek().is_some_and(|event| event.time < limit) {
            let Some(event) = inbox.pop() else { break };
            heard.push((event.time.max(from), event.order, event.what));
        }
        let taken = |(time, order, message): (u64, u64, Message)| {
            self.arrived(time, node, order, &message);
            (time, message)
        };
        heard.into_iter().map(taken).collect()
    }

    /// The end of the run: from here on only what is under way goes on.
    pub(super) fn drain(&mut self, drain_us: u64) {
        self.draining = true;
        for number in 0..self.plan.nodes.len() {
            let node = u32::try_from(number).unwrap_or(u32::MAX);
            self.hurry(self.duration, node);
        }
        self.run_before(self.duration + drain_us);
    }

    /// While draining, a gateway with readings closes its window soon.
    fn hurry(&mut self, now: u64, node: u32) {
        if let Part::Gateway(gateway) = &mut self.parts[node as usize]
            && gateway.has_readings()
        {
            let soon = now + gateway.every.min(DRAIN_WINDOW_US);
            if gateway.tick <= now || gateway.tick > soon {
                gateway.tick = soon;
                self.push(soon, node, What::Fire);
            }
        }
    }

    fn fire(&mut self, time: u64, node: u32) {
        match &mut self.parts[node as usize] {
            Part::Sensor(sensor) => {
                let value = sensor.schedule.next_value();
                sensor.sent += 1;
                let next = sensor.sent + 1;
                let due = (next <= sensor.schedule.count()).then(|| sensor.schedule.due_us(next));
                let body = Body::Reading(u32::try_from(value).unwrap_or(u32::MAX));
                self.say(time, node, None, body);
                if let Some(due) = due {
                    self.push(due, node, What::Fire);
                }
            }
            // Another time was set since this one was planned.
            Part::Gateway(gateway) if gateway.tick != time => {}
            Part::Gateway(gateway) => {
                let window = gateway.close();
                if !self.draining {
                    gateway.tick = time + gateway.every;
                    let next = gateway.tick;
                    self.push(next, node, What::Fire);
                }
                if let Some(window) = window {
                    self.say(time, node, None, Body::Window(Box::new(window)));
                }
            }
            Part::Cloud(_) | Part::External(_) => {}
        }
    }

    /// A node sends a message, to one node or to all that listen.
    fn say(&mut self, time: u64, node: u32, to: Option<u32>, body: Body) {
        let counts = &mut self.counts[node as usize];
        counts.sent += 1;
        let seq = counts.sent;
        self.note(Mark::Sent, time, node, (node, seq), &body);
        let routes = match to {
            Some(to) => {
                let route = self.routes.between(self.plan, node, to);
                route..route + 1
            }
            None => 0..self.routes.planned(node),
        };
        if routes.is_empty() {
            self.counts[node as usize].unrouted += 1;
            self.note(Mark::Unrouted, time, node, (node, seq), &body);
            return;
        }
        let last = routes.end - 1;
        for route in routes.start..last {
            self.pass(time, node, route, seq, body.clone());
        }
        self.pass(time, node, last, seq, body);
    }

    fn pass(&mut self, time: u64, from: u32, index: usize, seq: u64, body: Body) {
        let route = self.routes.get(from, index);
        route.sent += 1;
        let size =
            if route.path.is_empty() { 0 } else { body.size(&self.plan.nodes[from as usize], seq, time) };
        match self.links.pass(&route.path, time, size) {
            Passed::Lost(link) => {
                route.lost += 1;
                self.note(Mark::Lost, time, from, (link, seq), &body);
            }
            Passed::At(arrival) => {
                let (arrival, to) = (arrival.max(route.last), route.to);
                route.last = arrival;
                let route = u32::try_from(index).unwrap_or(u32::MAX);
                self.deliver(arrival, to, Message { from, route, seq, sent: time, body });
            }
        }
    }

    fn deliver(&mut self, time: u64, node: u32, message: Message) {
        if let Part::External(inbox) = &mut self.parts[node as usize] {
            self.order += 1;
            inbox.push(Event { time, node, order: self.order, what: message });
        } else {
            self.push(time, node, What::Arrive(message));
        }
    }

    fn arrive(&mut self, time: u64, node: u32, order: u64, message: &Message) {
        let place = self.arrived(time, node, order, message);
        match &mut self.parts[node as usize] {
            Part::Gateway(gateway) => {
                gateway.take(place, message.body.value());
                if self.draining {
                    self.hurry(time, node);
                }
            }
            Part::Cloud(heard) => {
                if let Body::Window(window) = &message.body {
                    let heard = heard.entry(message.from).or_default();
                    heard.readings += window.readings;
                    heard.total = heard.total.max(window.total);
                }
            }
            Part::Sensor(_) | Part::External(_) => {}
        }
    }

    /// Counts an arrival; gives the sender's place at the receiver.
    fn arrived(&mut self, time: u64, node: u32, order: u64, message: &Message) -> u32 {
        self.counts[node as usize].received += 1;
        let route = self.routes.get(message.from, message.route as usize);
        route.arrived += 1;
        let place = route.place;
        if self.plan.nodes[message.from as usize].role == Role::Sensor {
            self.latency.add(time - message.sent);
        }
        let Message { from, seq, .. } = *message;
        let number = message.body.number();
        let record = Record { time, node, order, mark: Mark::Arrived, other: from, seq, number, bytes: None };
        self.trace.record(record);
        place
    }

    fn note(&mut self, mark: Mark, time: u64, node: u32, (other, seq): (u32, u64), body: &Body) {
        self.order += 1;
        let bytes = if mark == Mark::Sent { body.bytes() } else { None };
        let (order, number) = (self.order, body.number());
        self.trace.record(Record { time, node, order, mark, other, seq, number, bytes });
    }

    /// Puts what is still under way into the trace, in order, and says how much it is.
    pub(super) fn leave(&mut self) -> u64 {
        let mut left: Vec<(u64, u32, u32, u64)> = Vec::new();
        for event in self.queue.drain() {
            if let What::Arrive(message) = event.what {
                left.push((event.time, event.node, message.from, message.seq));
            }
        }
        for (node, part) in (0..).zip(&mut self.parts) {
            if let Part::External(inbox) = part {
                left.extend(inbox.drain().map(|event| (event.time, node, event.what.from, event.what.seq)));
            }
        }
        left.sort_unstable();
        self.trace.end_step();
        for (time, node, other, seq) in &left {
            let (time, node, other, seq) = (*time, *node, *other, *seq);
            let mark = Mark::InFlight;
            self.trace.record(Record { time, node, order: 0, mark, other, seq, number: 0, bytes: None });
        }
        left.len() as u64
    }

    /// What a built-in cloud heard of each gateway.
    pub(super) fn cloud(&self, node: u32) -> Option<&BTreeMap<u32, Heard>> {
        match &self.parts[node as usize] {
            Part::Cloud(heard) => Some(heard),
            Part::Sensor(_) | Part::Gateway(_) | Part::External(_) => None,
        }
    }

    /// How many messages a built-in gateway took in.
    pub(super) fn gateway(&self, node: u32) -> Option<u64> {
        match &self.parts[node as usize] {
            Part::Gateway(gateway) => Some(gateway.total()),
            Part::Sensor(_) | Part::Cloud(_) | Part::External(_) => None,
        }
    }

    /// How many readings a built-in sensor was to send.
    pub(super) fn planned(&self, node: u32) -> Option<u64> {
        match &self.parts[node as usize] {
            Part::Sensor(sensor) => Some(sensor.schedule.count()),
            Part::Gateway(_) | Part::Cloud(_) | Part::External(_) => None,
        }
    }
}

pub(super) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
