//! Which ports of the machine are listened at, and by whom (/proc/net, /proc/PID/fd). A listener whose process cannot be seen
//! is still one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Machine;

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A socket that waits for others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address that it is bound to; unspecified for all.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Number of the socket, to find its process by.
    inode: u64,
}

/// A process that has a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The systemd unit that it belongs to.
    pub unit: Option<String>,
}

impl Protocol {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Listener {
    /// Whether nobody else can listen at this address and port beside it. No address is all of them.
    pub fn collides(&self, address: Option<IpAddr>) -> bool {
        let all = |address: &IpAddr| address.is_unspecified();
        match address {
            None => true,
            Some(address) => all(&address) || all(&self.address) || address == self.address,
        }
    }
}

impl Machine {
    /// Everything that is listened at, sorted.
    pub fn listeners(&self) -> Vec<Listener> {
        let tables = [
            ("/proc/net/tcp", Protocol::Tcp),
            ("/proc/net/tcp6", Protocol::Tcp),
            ("/proc/net/udp", Protocol::Udp),
            ("/proc/net/udp6", Protocol::Udp),
        ];
        let mut all: Vec<Listener> = tables
            .into_iter()
            .filter_map(|(path, protocol)| Some((self.text(path)?, protocol)))
            .flat_map(|(text, protocol)| {
                text.lines().skip(1).filter_map(|line| listener(line, protocol)).collect::<Vec<_>>()
            })
            .collect();
        all.sort();
        all
    }

    /// The processes that have these sockets, by the sockets' numbers; without the right to look, none.
    pub fn holders(&self, listeners: &[&Listener]) -> BTreeMap<u64, Holder> {
        let wanted: BTreeSet<u64> = listeners.iter().map(|listener| listener.inode).collect();
        let mut found = BTreeMap::new();
        let Ok(processes) = self.path("/proc").read_dir_utf8() else { return found };
        for entry in processes.flatten() {
            let Ok(pid) = entry.file_name().parse::<u32>() else { continue };
            let Ok(files) = entry.path().join("fd").read_dir_utf8() else { continue };
            for file in files.flatten() {
                let Ok(target) = file.path().read_link_utf8() else { continue };
                let inode = target.as_str().strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
                let Some(inode) = inode.and_then(|inode| inode.parse().ok()) else { continue };
                if wanted.contains(&inode) {
                    found.entry(inode).or_insert_with(|| self.holder(pid));
                }
            }
        }
        found
    }

    fn holder(&self, pid: u32) -> Holder {
        let text = |name: &str| self.text(&format!("/proc/{pid}/{name}")).unwrap_or_default();
        let arguments = text("cmdline").split('\0').map(str::to_owned).collect();
        Holder { pid, name: text("comm"), arguments, unit: unit(&text("cgroup")) }
    }
}

impl Listener {
    /// Its process, among those that were found.
    pub fn holder<'a>(&self, found: &'a BTreeMap<u64, Holder>) -> Option<&'a Holder> {
        found.get(&self.inode)
    }
}

/// A line of /proc/net/tcp and its like: `sl local remote state … inode`.
fn listener(line: &str, protocol: Protocol) -> Option<Listener> {
    const LISTEN: &str = "0A";
    const UNCONNECTED: &str = "07";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let waits = match protocol {
        Protocol::Tcp => LISTEN,
        Protocol::Udp => UNCONNECTED,
    };
    if *fields.get(3)? != waits {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Listener {
        protocol,
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// An address as the kernel writes it: words of 32 bits, each in the machine's byte order. A mapped IPv4 address is one.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word =
        |index: usize| u32::from_str_radix(hex.get(index * 8..index * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// The service of systemd that a process belongs to, by its control groups.
pub(super) fn unit(groups: &str) -> Option<String> {
    groups
        .lines()
        .filter_map(|line| line.rsplit('/').find(|part| part.ends_with(".service")))
        .map(str::to_owned)
        .next()
}
