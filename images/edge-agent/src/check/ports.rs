//! Ports that the release publishes and somebody else listens at, and who that is.

use std::net::IpAddr;

use xedge_bundle::{Code, Manifest};

use super::{Look, Needs, Obstacle};
use crate::Result;
use crate::engine::spec::PortSpec;
use crate::engine::{Published, STACK_LABEL};
use crate::facts::{Holder, Listener, Machine};

/// Processes that only pass a published port on to a container.
const PROXIES: [&str; 3] = ["docker-proxy", "rootlessport", "conmon"];

/// Ports that are taken, by service and port.
pub(super) fn taken(look: &Look<'_>, manifest: &Manifest, needs: &Needs) -> Result<Vec<Obstacle>> {
    let published = look.engine.published()?;
    let listeners = look.machine.listeners();
    // `NAME`, or `SERVICE=NAME`.
    let adopted = needs.adopt.as_deref().and_then(|name| name.rsplit('=').next());
    let mut found = Vec::new();
    for (service, wanted) in &needs.services {
        for port in wanted.ports.iter().filter(|port| port.host != 0) {
            let by_container = published.iter().find(|other| collide(port, &other.port));
            let ours = |other: &Published| {
                other.labels.get(STACK_LABEL) == Some(&manifest.stack)
                    || adopted.is_some_and(|name| name == other.container)
            };
            match by_container {
                Some(other) if ours(other) => {}
                Some(other) => found.push(by_other_container(service, port, other)),
                None => {
                    let here: Vec<&Listener> =
                        listeners.iter().filter(|listener| is_at(listener, port)).collect();
                    if let Some(first) = here.first() {
                        let holders = look.machine.holders(&here);
                        let holder = here.iter().find_map(|listener| listener.holder(&holders));
                        found.push(by_process(service, port, first, holder));
                    }
                }
            }
        }
    }
    Ok(found)
}

/// A wanted port at which an Engine's own process listens although no container has it. Docker's (20.10) can come up like that
/// after a power cut that met a container on its way, and then refuses the port to all until it is started in order.
pub(crate) fn kept_for_nobody(
    machine: &Machine,
    published: &[Published],
    wanted: &[PortSpec],
) -> Option<u16> {
    let listeners = machine.listeners();
    let is_kept = |port: &&PortSpec| {
        let here: Vec<&Listener> = listeners.iter().filter(|listener| is_at(listener, port)).collect();
        let holders = machine.holders(&here);
        let mut held = here.iter().filter_map(|listener| listener.holder(&holders));
        held.any(|holder| PROXIES.contains(&holder.name.as_str()))
    };
    let nobodys = |port: &&PortSpec| !published.iter().any(|other| collide(port, &other.port));
    wanted.iter().filter(|port| port.host != 0).filter(nobodys).find(is_kept).map(|port| port.host)
}

fn by_other_container(service: &str, port: &PortSpec, other: &Published) -> Obstacle {
    let container = &other.container;
    let (whose, fix) = match other.labels.get(STACK_LABEL) {
        Some(stack) => (
            format!("of the stack {stack}"),
            format!("give one of them another port, or `xedge-agent remove {stack}`"),
        ),
        None => (
            "started by hand".to_owned(),
            format!("take it over with `--adopt {container}`, or `docker stop {container}`"),
        ),
    };
    let reason = format!(
        "port {}, for the service {service}, is taken by the container {container}, {whose}",
        words(port)
    );
    Obstacle::new(Code::PortTaken, reason, fix)
}

fn by_process(service: &str, port: &PortSpec, listener: &Listener, holder: Option<&Holder>) -> Obstacle {
    let start = format!("port {}, for the service {service}, is taken", words(port));
    let look = || format!("see who: `sudo ss -lnp 'sport = :{}'`", listener.port);
    let Some(Holder { pid, name, arguments, unit }) = holder else {
        return Obstacle::new(Code::PortTaken, start, look());
    };
    if PROXIES.contains(&name.as_str()) {
        let to = arguments.windows(2).find(|pair| pair[0] == "-container-ip").map(|pair| pair[1].clone());
        let to = to.map(|address| format!(" at {address}")).unwrap_or_default();
        let reason = format!("{start} by a container{to} of another Engine");
        return Obstacle::new(Code::PortTaken, reason, format!("find it with `docker ps` there; {}", look()));
    }
    let of = unit.as_ref().map(|unit| format!(" of {unit}")).unwrap_or_default();
    let reason = format!("{start} by {}{of}, process {pid}", name.escape_debug());
    let fix = match unit {
        Some(unit) => format!("stop it, now and at boot: `sudo systemctl disable --now {unit}`"),
        None => format!("end it: `sudo kill {pid}`"),
    };
    Obstacle::new(Code::PortTaken, reason, fix)
}

fn words(port: &PortSpec) -> String {
    format!("{}/{}", port.host, port.protocol)
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|address: &IpAddr| !address.is_unspecified())
}

fn is_at(listener: &Listener, port: &PortSpec) -> bool {
    listener.port == port.host
        && listener.protocol.as_str() == port.protocol
        && listener.collides(address(&port.address))
}

fn collide(one: &PortSpec, other: &PortSpec) -> bool {
    let apart = matches!((address(&one.address), address(&other.address)), (Some(a), Some(b)) if a != b);
    one.host == other.host && one.protocol == other.protocol && !apart
}
