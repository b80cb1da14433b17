//! Capabilities that this machine can give. An engine refuses to start a container that asks for more.

/// Where Linux says what this process, and so any container that it asks for, can ever have.
const STATUS: &str = "/proc/self/status";

/// Every capability, in the order of their numbers (linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The first so many are known to every Engine; for `ALL` by name, the newer ones are left out.
const OLD: usize = 38;

/// What of a service's `cap_add` this machine can give, and what it cannot.
pub(super) fn reachable(wanted: &[String]) -> (Vec<String>, Vec<String>) {
    // Elsewhere than on Linux the engine runs in a machine of its own, about which nothing is known here.
    let status = std::fs::read_to_string(STATUS).unwrap_or_default();
    split(wanted, bounding(&status).unwrap_or(u64::MAX))
}

/// The bounding set of a process, from its status.
fn bounding(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn split(wanted: &[String], bounding: u64) -> (Vec<String>, Vec<String>) {
    let there = |name: &str| {
        let number = NAMES.iter().position(|known| *known == name);
        // One that is not known here is for the engine to judge.
        number.is_none_or(|number| bounding & (1 << number) != 0)
    };
    let has_all = NAMES.into_iter().all(there);
    let (mut given, mut left) = (Vec::new(), Vec::new());
    for name in wanted {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if plain == "ALL" && !has_all {
            let (old, new) = NAMES.split_at(OLD);
            given.extend(old.iter().filter(|name| there(name)).map(ToString::to_string));
            left.extend(old.iter().filter(|name| !there(name)).chain(new).map(ToString::to_string));
        } else if there(plain) {
            given.push(name.clone());
        } else {
            left.push(name.clone());
        }
    }
    (given, left)
}

#[cfg(test)]
mod tests {
    use super::{NAMES, bounding, split};

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_this_machine_lacks_is_left_out() {
        assert_eq!(bounding("Name:\tx\nCapBnd:\t000001fffeffffff\n"), Some(0x1ff_feff_ffff));
        let without_resource = !(1_u64 << 24);
        let wanted = texts(&["NET_RAW", "cap_sys_resource", "NEW_ONE"]);
        let want = (texts(&["NET_RAW", "NEW_ONE"]), texts(&["cap_sys_resource"]));
        assert_eq!(split(&wanted, without_resource), want);
        let (given, left) = split(&texts(&["ALL"]), without_resource);
        let missing = texts(&["SYS_RESOURCE", "PERFMON", "BPF", "CHECKPOINT_RESTORE"]);
        assert_eq!((given.len(), left), (NAMES.len() - missing.len(), missing));
        assert_eq!(split(&texts(&["ALL"]), u64::MAX), (texts(&["ALL"]), vec![]));
    }
}
