//! Networks: a namespace with a bridge for each network of a run, a namespace for each container. Nothing is put into the
//! network of this machine. A namespace lives as long as somebody has it open or runs in it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::locked;
use crate::plan::ContainerExtras;

/// The first of the subnets, one for each network of this process; other processes have the same, since none sees another's.
const SUBNET: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
const SUBNETS: u16 = 128;
const PREFIX: u8 = 16;
const BRIDGE: &str = "runs0";

/// An open network namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    fd: OwnedFd,
}

impl Namespace {
    fn new() -> io::Result<Self> {
        let fd = apart(|| {
            enter_new(UnshareFlags::NEWNET)?;
            Ok(OwnedFd::from(File::open("/proc/thread-self/ns/net")?))
        })?;
        Ok(Self { fd })
    }

    /// Where other processes find it while this one lives.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd())
    }

    /// Has iproute2 carry out orders in it, a line each.
    fn ip(&self, orders: &str) -> io::Result<()> {
        apart(|| {
            move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))?;
            let mut command = Command::new("ip");
            command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().map_err(|error| {
                io::Error::new(error.kind(), format!("`ip` of iproute2 cannot be run: {error}"))
            })?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(orders.as_bytes())?;
            }
            let done = child.wait_with_output()?;
            if done.status.success() {
                return Ok(());
            }
            Err(io::Error::other(format!("`ip` said: {}", String::from_utf8_lossy(&done.stderr).trim())))
        })
    }
}

/// Runs something on a thread of its own, whose namespaces may change.
pub(super) fn apart<T: Send>(body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, body)?;
        thread.join().map_err(|_| io::Error::other("the thread in the namespace panicked"))?
    })
}

/// Gives this thread a new namespace. Descriptors stay shared, so the call's one danger is not there.
#[expect(
    deprecated,
    reason = "the replacement is unsafe because of `UnshareFlags::FILES`, which is not used"
)]
fn enter_new(what: UnshareFlags) -> io::Result<()> {
    Ok(rustix::thread::unshare(what)?)
}

/// Gives this thread mounts that nobody else sees: they go with the last process that has them.
pub(super) fn own_mounts() -> io::Result<()> {
    enter_new(UnshareFlags::NEWNS)?;
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// A network of a run.
#[derive(Debug)]
pub(super) struct Network {
    bridge: Namespace,
    subnet: u16,
    /// How many have ever joined. A number is not given twice: the kernel takes a moment to remove an interface.
    joined: AtomicU16,
    /// Those of all networks of this process: a container's hosts file names the others of each that it is in.
    members: Arc<Mutex<Vec<Member>>>,
}

/// A container's place in a network.
#[derive(Clone, Debug)]
struct Member {
    container: String,
    subnet: u16,
    address: Ipv4Addr,
    names: Vec<String>,
    extra: Vec<(String, String)>,
    hosts: Utf8PathBuf,
}

/// What a container gets from its network.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) namespace: Namespace,
    pub(super) address: Ipv4Addr,
}

impl Network {
    /// A network beside these.
    pub(super) fn beside<'a>(others: impl Iterator<Item = &'a Arc<Self>> + Clone) -> io::Result<Self> {
        let free = |subnet: &u16| others.clone().all(|other| other.subnet != *subnet);
        let subnet = (0..SUBNETS).find(free).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let members = others.clone().next().map(|other| other.members.clone()).unwrap_or_default();
        let bridge = Namespace::new()?;
        let gateway = address(subnet, 1);
        bridge.ip(&format!(
            "link set lo up\nlink add {BRIDGE} type bridge\naddr add {gateway}/{PREFIX} dev {BRIDGE}\nlink set {BRIDGE} up\n"
        ))?;
        Ok(Self { bridge, subnet, joined: AtomicU16::new(0), members })
    }

    /// Where the bridge is, which reaches every container.
    pub(super) fn path(&self) -> String {
        self.bridge.path()
    }

    /// Gives a container its namespace, address and hosts file, and tells the others its names.
    pub(super) fn join(
        &self,
        container: &str,
        node: &str,
        extras: &ContainerExtras,
        hosts: &Utf8Path,
    ) -> io::Result<Joined> {
        let namespace = Namespace::new()?;
        namespace.ip("link set lo up\n")?;
        let address = self.plug(&namespace, 0, container, node, extras, hosts)?;
        Ok(Joined { namespace, address })
    }

    /// Gives a container that is in a network another interface, the one with this number, in this one.
    pub(super) fn join_too(
        &self,
        joined: &Joined,
        number: usize,
        container: &str,
        node: &str,
        extras: &ContainerExtras,
        hosts: &Utf8Path,
    ) -> io::Result<()> {
        self.plug(&joined.namespace, number, container, node, extras, hosts).map(drop)
    }

    fn plug(
        &self,
        namespace: &Namespace,
        interface: usize,
        container: &str,
        node: &str,
        extras: &ContainerExtras,
        hosts: &Utf8Path,
    ) -> io::Result<Ipv4Addr> {
        let mut members = locked(&self.members);
        // The gateway is number 1, and the last address is everybody's.
        let number = self.joined.fetch_add(1, Ordering::Relaxed).checked_add(2).filter(|n| *n < u16::MAX);
        let number = number.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let address = address(self.subnet, number);
        let peer = format!("port{number}");
        namespace.ip(&format!(
            "link add eth{interface} type veth peer name {peer} netns {}\naddr add {address}/{PREFIX} dev eth{interface}\nlink set eth{interface} up\n",
            self.bridge.path()
        ))?;
        self.bridge.ip(&format!("link set {peer} master {BRIDGE}\nlink set {peer} up\n"))?;
        let names = std::iter::once(node.to_owned()).chain(extras.aliases.iter().cloned()).collect();
        let extra = extras.extra_hosts.iter().map(|(name, to)| (name.clone(), to.clone())).collect();
        let (container, hosts, subnet) = (container.to_owned(), hosts.to_owned(), self.subnet);
        members.push(Member { container, subnet, address, names, extra, hosts });
        tell(&members)?;
        Ok(address)
    }

    /// Takes a container's names away, in every network.
    pub(super) fn leave(&self, container: &str) -> io::Result<()> {
        let mut members = locked(&self.members);
        members.retain(|member| member.container != container);
        tell(&members)
    }
}

fn address(subnet: u16, number: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(SUBNET) + (u32::from(subnet) << PREFIX) + u32::from(number))
}

/// Writes every member's hosts file. In place, since it is mounted.
fn tell(members: &[Member]) -> io::Result<()> {
    let mut told = BTreeSet::new();
    for member in members.iter().filter(|member| told.insert(&member.container)) {
        let mut file = File::options().create(true).truncate(false).write(true).open(&member.hosts)?;
        let text = hosts(member, members);
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
    }
    Ok(())
}

/// The hosts file of a container: itself first, so that its own host name is found at once, then those of its networks.
fn hosts(member: &Member, all: &[Member]) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    let is_own = |one: &&Member| one.container == member.container;
    let subnets: BTreeSet<u16> = all.iter().filter(is_own).map(|one| one.subnet).collect();
    let others = all.iter().filter(|one| !is_own(one) && subnets.contains(&one.subnet));
    for one in all.iter().filter(is_own).chain(others) {
        text.push_str(&format!("{}\t{}\n", one.address, one.names.join(" ")));
    }
    for (name, to) in &member.extra {
        let to = if to == "host-gateway" { address(member.subnet, 1).to_string() } else { to.clone() };
        text.push_str(&format!("{to}\t{name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Member, address, hosts};

    fn member(container: &str, at: (u16, u16), names: &[&str], extra: &[(&str, &str)]) -> Member {
        Member {
            container: container.into(),
            subnet: at.0,
            address: address(at.0, at.1),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            extra: extra.iter().map(|(name, to)| ((*name).to_owned(), (*to).to_owned())).collect(),
            hosts: container.into(),
        }
    }

    const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

    #[test]
    fn every_container_knows_all_names_and_only_its_own_extra_hosts() {
        let all = [
            member("a", (0, 2), &["broker", "mqtt"], &[("db", "192.0.2.1"), ("up", "host-gateway")]),
            member("b", (0, 259), &["gateway"], &[]),
        ];
        assert_eq!(
            hosts(&all[0], &all),
            format!(
                "{LOOPBACK}10.128.0.2\tbroker mqtt\n10.128.1.3\tgateway\n192.0.2.1\tdb\n10.128.0.1\tup\n"
            )
        );
        assert_eq!(hosts(&all[1], &all), format!("{LOOPBACK}10.128.1.3\tgateway\n10.128.0.2\tbroker mqtt\n"));
    }

    #[test]
    fn only_those_of_a_common_network_know_each_other() {
        let all = [
            member("db", (0, 2), &["db"], &[]),
            member("app", (0, 3), &["app"], &[]),
            member("app", (1, 2), &["app"], &[]),
            member("web", (1, 3), &["web"], &[]),
        ];
        assert_eq!(hosts(&all[0], &all), format!("{LOOPBACK}10.128.0.2\tdb\n10.128.0.3\tapp\n"));
        let app = "10.128.0.3\tapp\n10.129.0.2\tapp\n10.128.0.2\tdb\n10.129.0.3\tweb\n";
        assert_eq!(hosts(&all[1], &all), format!("{LOOPBACK}{app}"));
        assert_eq!(hosts(&all[3], &all), format!("{LOOPBACK}10.129.0.3\tweb\n10.129.0.2\tapp\n"));
    }
}
