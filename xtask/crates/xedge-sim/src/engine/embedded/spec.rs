//! The runtime's config.json (runtime-spec 1.0) from an image's config and a plan. What is not set has Docker's default,
//! except that there is no seccomp filter. It reads no files and starts nothing.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::store::Settings;
use super::user::User;
use crate::plan::ContainerPlan;

/// What a container has beside its image and its plan.
pub(super) struct Parts<'a> {
    /// Settings of the image.
    pub(super) image: &'a Settings,
    /// What the scenario asks for.
    pub(super) plan: &'a ContainerPlan,
    /// Who runs it.
    pub(super) user: &'a User,
    /// Its root folder.
    pub(super) rootfs: &'a str,
    /// Its network namespace.
    pub(super) network: &'a str,
    /// What is mounted from this machine.
    pub(super) binds: &'a [Bind],
    /// Its control group; `None` where there are none, and no limits then.
    pub(super) cgroup: Option<&'a str>,
    /// Process 1, where the plan asks for an init process.
    pub(super) init: Option<&'a str>,
}

/// A folder or file of this machine in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bind {
    /// Where it is here.
    pub(super) source: String,
    /// Where the container sees it.
    pub(super) target: String,
    /// Whether it can be written.
    pub(super) read_only: bool,
}

/// Capabilities that Docker gives.
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Docker's search path where an image has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The init process inside of the container, where it is asked for.
pub(super) const INIT: &str = "/sbin/docker-init";

/// Period of the CPU limit in microseconds.
const PERIOD_US: i64 = 100_000;

/// The whole config.json.
pub(super) fn config(parts: &Parts<'_>) -> Result<Value, String> {
    let plan = parts.plan;
    let mut linux = json!({
        "namespaces": [
            {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            {"type": "network", "path": parts.network},
        ],
        "maskedPaths": [
            "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        "sysctl": sysctls(plan),
        "devices": devices(plan),
    });
    if let Some(cgroup) = parts.cgroup {
        linux["cgroupsPath"] = json!(cgroup);
        linux["resources"] = resources(plan);
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": hostname(plan),
        "root": {"path": parts.rootfs, "readonly": plan.read_only},
        "process": process(parts, &arguments(parts)?),
        "mounts": mounts(parts),
        "linux": linux,
    }))
}

/// A process in the container: the main one, or one beside it.
pub(super) fn process(parts: &Parts<'_>, arguments: &[String]) -> Value {
    let (plan, user) = (parts.plan, parts.user);
    let capabilities: Vec<String> = capabilities(parts).iter().map(|name| format!("CAP_{name}")).collect();
    let no_new = |option: &String| matches!(option.as_str(), "no-new-privileges" | "no-new-privileges:true");
    json!({
        "terminal": false,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": user.groups},
        "args": arguments,
        "env": environment(parts),
        "cwd": workdir(parts),
        // None is inherited by programs of other users, as in the Engine since 20.10.14.
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities, "inheritable": [],
        },
        "noNewPrivileges": plan.security_opt.iter().any(no_new),
        "rlimits": rlimits(plan),
    })
}

/// The image's entry point and arguments, or those that replace them. Another entry point drops the image's arguments.
fn arguments(parts: &Parts<'_>) -> Result<Vec<String>, String> {
    let (image, plan) = (parts.image, parts.plan);
    let own = plan.extras.entrypoint.as_ref();
    let entrypoint = own.or(image.entrypoint.as_ref()).cloned().unwrap_or_default();
    let command = match (&plan.command, own) {
        (Some(command), _) => command.clone(),
        (None, Some(own)) if !own.is_empty() => Vec::new(),
        (None, _) => image.cmd.clone().unwrap_or_default(),
    };
    let mut all = [entrypoint, command].concat();
    if all.is_empty() {
        return Err("the image names no program, and the scenario no command".to_owned());
    }
    if parts.init.is_some() {
        all.splice(0..0, [INIT.to_owned(), "--".to_owned()]);
    }
    Ok(all)
}

pub(super) fn workdir(parts: &Parts<'_>) -> String {
    let image = parts.image.working_dir.as_deref();
    let folder = parts.plan.extras.workdir.as_deref().or(image).unwrap_or_default();
    if folder.starts_with('/') { folder.to_owned() } else { format!("/{folder}") }
}

/// What the container's machine is called.
pub(super) fn hostname(plan: &ContainerPlan) -> &str {
    plan.extras.hostname.as_deref().unwrap_or(&plan.node_id)
}

/// Later values win, and keep the place of the first.
fn environment(parts: &Parts<'_>) -> Vec<String> {
    let image = parts.image.env.iter().flatten().cloned();
    let own = parts.plan.env.iter().map(|(name, value)| format!("{name}={value}"));
    let defaults = [format!("PATH={PATH}"), format!("HOSTNAME={}", hostname(parts.plan))];
    let mut all: Vec<String> = Vec::new();
    for variable in defaults.into_iter().chain(image).chain(own) {
        let name = variable.split('=').next().unwrap_or_default();
        match all.iter_mut().find(|known| known.split('=').next() == Some(name)) {
            Some(known) => *known = variable,
            None => all.push(variable),
        }
    }
    if !all.iter().any(|variable| variable.starts_with("HOME=")) {
        all.push(format!("HOME={}", parts.user.home));
    }
    all
}

fn capabilities(parts: &Parts<'_>) -> BTreeSet<String> {
    let plan = parts.plan;
    let bare = |name: &String| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
    };
    let mut all: BTreeSet<String> = CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
    let dropped: Vec<String> = plan.cap_drop.iter().map(bare).collect();
    if dropped.iter().any(|name| name == "ALL") {
        all.clear();
    }
    all.retain(|name| !dropped.contains(name));
    all.extend(plan.extras.cap_add.iter().map(bare).filter(|name| name != "ALL"));
    // Not every machine has it to give, and no limit here needs it.
    all.remove("SYS_RESOURCE");
    // Only a control group keeps this machine's devices, its disk among them, from who can make their files.
    if parts.cgroup.is_none() {
        all.remove("MKNOD");
    }
    all
}

/// Docker's two settings for every network of its own, and the plan's.
fn sysctls(plan: &ContainerPlan) -> BTreeMap<String, String> {
    let defaults =
        [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];
    let mut all: BTreeMap<String, String> =
        defaults.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.extend(plan.extras.sysctls.clone());
    all
}

fn devices(plan: &ContainerPlan) -> Vec<Value> {
    let null = |path: &String| json!({"path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 0o666});
    plan.extras.device_stubs.iter().map(null).collect()
}

fn resources(plan: &ContainerPlan) -> Value {
    let mut resources = json!({"devices": [{"allow": false, "access": "rwm"}]});
    if let Some(bytes) = plan.memory_bytes {
        // As much swap again, as with Docker.
        resources["memory"] = json!({"limit": bytes, "swap": bytes.saturating_mul(2)});
    }
    if let Some(bytes) = plan.extras.memory_reservation {
        resources["memory"]["reservation"] = json!(bytes);
    }
    if let Some(nano) = plan.nano_cpus {
        resources["cpu"] = json!({"period": PERIOD_US, "quota": nano / (1_000_000_000 / PERIOD_US)});
    }
    if let Some(shares) = plan.extras.cpu_shares {
        resources["cpu"]["shares"] = json!(shares);
    }
    if let Some(limit) = plan.pids_limit.filter(|limit| *limit > 0) {
        resources["pids"] = json!({"limit": limit});
    }
    resources
}

/// Limits above this process's own are lowered to it: raising them needs a capability that is not asked for.
fn rlimits(plan: &ContainerPlan) -> Vec<Value> {
    let limit = |(name, (soft, hard)): (&String, &(i64, i64))| {
        let resource = resource(name)?;
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let within = |value: i64| u64::try_from(value).unwrap_or(u64::MAX).min(most);
        let (soft, hard) = (within(*soft).min(within(*hard)), within(*hard));
        Some(json!({"type": format!("RLIMIT_{}", name.to_ascii_uppercase()), "soft": soft, "hard": hard}))
    };
    plan.extras.ulimits.iter().filter_map(limit).collect()
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

fn mounts(parts: &Parts<'_>) -> Vec<Value> {
    let shm = parts.plan.extras.shm_bytes.unwrap_or(64 << 20);
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let mut all = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &format!("size={shm}")]),
    ];
    if parts.cgroup.is_some() {
        all.push(mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]));
    }
    let mut own: Vec<(&str, Value)> = Vec::new();
    for (target, options) in &parts.plan.tmpfs {
        let options = tmpfs(options);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        own.push((target, mount(target, "tmpfs", &options)));
    }
    for bind in parts.binds {
        let access = if bind.read_only { "ro" } else { "rw" };
        let (source, target) = (&bind.source, &bind.target);
        let value = json!({"destination": target, "type": "bind", "source": source,
            "options": ["rbind", "rprivate", access]});
        own.push((target, value));
    }
    // A mount on top of another comes after it.
    own.sort_by_key(|(target, _)| target.split('/').filter(|part| !part.is_empty()).count());
    all.extend(own.into_iter().map(|(_, value)| value));
    all
}

/// Docker's flags, unless the plan says the opposite.
fn tmpfs(options: &str) -> Vec<String> {
    let own: Vec<&str> = options.split(',').filter(|option| !option.is_empty()).collect();
    let opposite = |flag: &str| own.contains(&flag.trim_start_matches("no"));
    let defaults = ["nosuid", "nodev", "noexec"].into_iter().filter(|flag| !opposite(flag));
    defaults.chain(own.iter().copied()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
