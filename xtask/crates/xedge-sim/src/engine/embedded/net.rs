//! Networks: a namespace with a bridge for each, a namespace for each container. Nothing is put into the network of
//! this machine. A namespace lives as long as somebody has it open or runs in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::locked;
use crate::plan::ContainerExtras;

/// Networks are `10.213.N.0/24`: apart from each other, since a container can be in several.
const PREFIX: u8 = 24;
const BRIDGE: &str = "runs0";
/// Addresses for containers in a network, from `.2` on.
const HOSTS: u32 = 252;

/// How often a card was put into a bridge.
static PLUGS: AtomicU32 = AtomicU32::new(0);

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

/// The networks of this process's runs.
#[derive(Debug, Default)]
pub(super) struct Networks {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    networks: BTreeMap<String, Network>,
    /// Containers by name.
    residents: BTreeMap<String, Resident>,
}

#[derive(Debug)]
struct Network {
    number: u8,
    bridge: Arc<Namespace>,
}

/// A container in its networks.
#[derive(Clone, Debug)]
struct Resident {
    /// What only it itself knows it by.
    hostname: Option<String>,
    names: Vec<String>,
    /// Its address in each.
    addresses: BTreeMap<String, Ipv4Addr>,
    extra: Vec<(String, String)>,
    hosts: Utf8PathBuf,
}

/// What a container gets from its networks.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) namespace: Namespace,
    /// Its address in the first network, and the bridge that reaches it; `None` without any.
    pub(super) first: Option<(Ipv4Addr, Arc<Namespace>)>,
}

/// A container that is to join.
pub(super) struct Guest<'a> {
    pub(super) container: &'a str,
    pub(super) node: &'a str,
    pub(super) extras: &'a ContainerExtras,
    /// The first is the one through which ports are published.
    pub(super) networks: &'a [String],
    /// Its hosts file, which is made.
    pub(super) hosts: &'a Utf8Path,
}

impl Networks {
    pub(super) fn add(&self, name: &str) -> io::Result<()> {
        let mut inner = locked(&self.inner);
        let taken = |number: &u8| inner.networks.values().any(|network| network.number == *number);
        let number = (0..=u8::MAX).find(|number| !taken(number)).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let bridge = Namespace::new()?;
        let gateway = address(number, 1);
        bridge.ip(&format!(
            "link set lo up\nlink add {BRIDGE} type bridge\naddr add {gateway}/{PREFIX} dev {BRIDGE}\nlink set {BRIDGE} up\n"
        ))?;
        inner.networks.insert(name.to_owned(), Network { number, bridge: Arc::new(bridge) });
        Ok(())
    }

    pub(super) fn remove(&self, name: &str) {
        drop(locked(&self.inner).networks.remove(name));
    }

    /// Where the containers of a network reach whoever listens in its bridge's namespace.
    pub(super) fn gateway(&self, name: &str) -> Option<Ipv4Addr> {
        locked(&self.inner).networks.get(name).map(|network| address(network.number, 1))
    }

    /// A listener of this process in a network.
    pub(super) fn listen(&self, name: &str, at: SocketAddr) -> io::Result<TcpListener> {
        let bridge = locked(&self.inner).networks.get(name).map(|network| network.bridge.clone());
        let bridge = bridge.ok_or(io::ErrorKind::AddrNotAvailable)?;
        apart(|| {
            move_into_link_name_space(bridge.fd.as_fd(), Some(LinkNameSpaceType::Network))?;
            let listener = TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
    }

    /// The addresses of a container.
    pub(super) fn addresses(&self, container: &str) -> Vec<Ipv4Addr> {
        let inner = locked(&self.inner);
        inner.residents.get(container).into_iter().flat_map(|own| own.addresses.values().copied()).collect()
    }

    /// Gives a container its namespace, addresses and hosts file, and tells the others its names.
    pub(super) fn join(&self, guest: &Guest<'_>) -> io::Result<Joined> {
        let mut inner = locked(&self.inner);
        let mut joined = Joined { namespace: Namespace::new()?, first: None };
        joined.namespace.ip("link set lo up\n")?;
        let mut addresses = BTreeMap::new();
        for (card, name) in guest.networks.iter().enumerate() {
            let network = inner.networks.get(name);
            let network = network.ok_or_else(|| io::Error::other(format!("there is no network {name}")))?;
            let address = inner.plug(name, network, card, &joined.namespace)?;
            joined.first.get_or_insert_with(|| (address, network.bridge.clone()));
            addresses.insert(name.clone(), address);
        }
        let names =
            std::iter::once(guest.node.to_owned()).chain(guest.extras.aliases.iter().cloned()).collect();
        let hostname = guest.extras.hostname.clone();
        let extra = guest.extras.extra_hosts.iter().map(|(name, to)| (name.clone(), to.clone())).collect();
        let hosts = guest.hosts.to_owned();
        inner
            .residents
            .insert(guest.container.to_owned(), Resident { hostname, names, addresses, extra, hosts });
        inner.tell()?;
        Ok(joined)
    }

    /// Takes a container's names away.
    pub(super) fn leave(&self, container: &str) -> io::Result<()> {
        let mut inner = locked(&self.inner);
        inner.residents.remove(container);
        inner.tell()
    }
}

impl Inner {
    /// Puts a network card into a namespace, and its other end into the bridge.
    fn plug(&self, name: &str, network: &Network, card: usize, into: &Namespace) -> io::Result<Ipv4Addr> {
        let taken = |host: &u8| {
            let wanted = address(network.number, *host);
            self.residents.values().any(|resident| resident.addresses.get(name) == Some(&wanted))
        };
        // The kernel takes the cards of a container that is gone apart in its own time: neither their names nor their
        // addresses are used again at once.
        let plug = PLUGS.fetch_add(1, Ordering::Relaxed);
        let mut hosts = (0..HOSTS).map(|step| 2 + u8::try_from((plug + step) % HOSTS).unwrap_or(0));
        let host = hosts.find(|host| !taken(host)).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let (address, peer, bridge) = (address(network.number, host), format!("port{plug}"), &network.bridge);
        into.ip(&format!(
            "link add eth{card} type veth peer name {peer} netns {}\naddr add {address}/{PREFIX} dev eth{card}\nlink set eth{card} up\n",
            bridge.path()
        ))?;
        bridge.ip(&format!("link set {peer} master {BRIDGE}\nlink set {peer} up\n"))?;
        Ok(address)
    }

    /// Writes every hosts file. In place, since it is mounted.
    fn tell(&self) -> io::Result<()> {
        for resident in self.residents.values() {
            let text = self.hosts(resident);
            let mut file = File::options().create(true).truncate(false).write(true).open(&resident.hosts)?;
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)?;
        }
        Ok(())
    }

    /// The hosts file of one container: itself first, so that its own host name is found at once, then all that share a
    /// network with it.
    fn hosts(&self, resident: &Resident) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        let mut line = |address: &dyn std::fmt::Display, names: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{address}\t{names}");
        };
        let own: Vec<&str> = resident.hostname.iter().chain(&resident.names).map(String::as_str).collect();
        match resident.addresses.values().next() {
            Some(address) => line(address, &own.join(" ")),
            None => line(&"127.0.1.1", &own.join(" ")),
        }
        let own_name = |name: &str| resident.extra.iter().any(|(extra, _)| extra == name);
        for other in self.residents.values().filter(|other| other.hosts != resident.hosts) {
            let shared =
                other.addresses.iter().find(|(network, _)| resident.addresses.contains_key(*network));
            // A name that has an address of its own here is found under that one.
            let names: Vec<&str> =
                other.names.iter().map(String::as_str).filter(|name| !own_name(name)).collect();
            if let Some((_, address)) = shared.filter(|_| !names.is_empty()) {
                line(address, &names.join(" "));
            }
        }
        for (name, to) in &resident.extra {
            let gateway = resident.addresses.values().next().map(|own| {
                let [.., number, _] = own.octets();
                address(number, 1)
            });
            match (to.as_str(), gateway) {
                ("host-gateway", Some(gateway)) => line(&gateway, name),
                ("host-gateway", None) => line(&"127.0.0.1", name),
                _ => line(to, name),
            }
        }
        text
    }
}

fn address(network: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, network, host)
}

#[cfg(test)]
mod tests {
    use super::{Inner, Resident, address};

    fn resident(name: &str, networks: &[(&str, u8, u8)], names: &[&str], extra: &[(&str, &str)]) -> Resident {
        let own = |text: &str| text.to_owned();
        Resident {
            hostname: (name == "b").then(|| own("pinned")),
            names: names.iter().map(|name| own(name)).collect(),
            addresses: networks.iter().map(|(net, n, host)| (own(net), address(*n, *host))).collect(),
            extra: extra.iter().map(|(name, to)| (own(name), own(to))).collect(),
            hosts: name.into(),
        }
    }

    #[test]
    fn a_container_knows_who_shares_a_network_with_it_and_its_own_extra_hosts() {
        let extra = [("db", "192.0.2.1"), ("up", "host-gateway")];
        let all = [
            resident("a", &[("front", 0, 2)], &["broker", "mqtt"], &extra),
            resident("b", &[("back", 1, 2), ("front", 0, 3)], &["gateway"], &[]),
            resident("c", &[("back", 1, 3)], &["store"], &[]),
            resident("d", &[], &["alone"], &[]),
            resident(
                "e",
                &[("back", 1, 4)],
                &["edge"],
                &[("store", "10.213.1.1"), ("gateway", "10.213.1.1")],
            ),
        ];
        let residents = all.iter().map(|one| (one.hosts.to_string(), one.clone())).collect();
        let inner = Inner { residents, ..Inner::default() };
        let loopback = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        let expect = |number: usize, lines: &str| {
            assert_eq!(inner.hosts(&all[number]), format!("{loopback}{lines}"));
        };
        expect(0, "10.213.0.2\tbroker mqtt\n10.213.0.3\tgateway\n192.0.2.1\tdb\n10.213.0.1\tup\n");
        expect(
            1,
            "10.213.1.2\tpinned gateway\n10.213.0.2\tbroker mqtt\n10.213.1.3\tstore\n10.213.1.4\tedge\n",
        );
        expect(2, "10.213.1.3\tstore\n10.213.1.2\tgateway\n10.213.1.4\tedge\n");
        expect(3, "127.0.1.1\talone\n");
        expect(4, "10.213.1.4\tedge\n10.213.1.1\tstore\n10.213.1.1\tgateway\n");
    }
}
