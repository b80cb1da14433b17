//! The flags that `docker run` and `podman run` share, from a service of a Compose file.

use xedge_model::compose::{MountSource, Service, Test};

/// `--FLAG=VALUE`, or a lone flag where the value is empty.
pub(super) type Flag = (&'static str, String);

/// All settings that both engines take by the same flag. Names, networks, ports, mounts, variables, rights and logs are
/// not among them: units have keys for those.
pub(super) fn shared(service: &Service) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut one = |flag, value: Option<String>| flags.extend(value.map(|value| (flag, value)));
    one("--hostname", service.hostname.as_ref().map(ToString::to_string));
    one(
        "--entrypoint",
        service.entrypoint.as_ref().and_then(|words| words.0.first()).map(ToString::to_string),
    );
    one("--user", service.user.as_ref().map(ToString::to_string));
    one("--workdir", service.working_dir.as_ref().map(ToString::to_string));
    one("--memory", service.mem_limit.map(|limit| limit.to_string()));
    one("--memory-reservation", service.mem_reservation.map(|limit| limit.to_string()));
    one("--cpus", service.cpus.map(|cpus| cpus.to_string()));
    one("--cpu-shares", service.cpu_shares.map(|shares| shares.to_string()));
    one("--pids-limit", service.pids_limit.map(|limit| limit.to_string()));
    one("--shm-size", service.shm_size.map(|size| size.to_string()));
    one("--stop-signal", service.stop_signal.as_ref().map(ToString::to_string));
    one("--stop-timeout", service.stop_grace().map(|grace| seconds(grace).to_string()));
    flags.extend(service.group_add.iter().map(|group| ("--group-add", group.to_string())));
    flags.extend(service.expose.0.iter().map(|port| ("--expose", port.to_string())));
    flags.extend(service.extra_hosts.0.iter().map(|(name, to)| ("--add-host", format!("{name}:{to}"))));
    flags.extend(service.sysctls.0.iter().map(|(name, value)| ("--sysctl", format!("{name}={value}"))));
    let ulimit = |(name, limit): (&String, &xedge_model::compose::Ulimit)| {
        ("--ulimit", format!("{name}={}:{}", limit.soft, limit.hard))
    };
    flags.extend(service.ulimits.0.iter().map(ulimit));
    flags.extend(service.memory_folders().into_iter().map(|(path, options)| {
        ("--tmpfs", if options.is_empty() { path } else { format!("{path}:{options}") })
    }));
    let options = service.security_opt.iter().filter(|option| !is_no_new_privileges(option));
    // Docker takes `=` as well as `:`, Podman only `=`.
    flags.extend(options.map(|option| ("--security-opt", option.replacen(':', "=", 1))));
    flags.extend(health(service));
    flags
}

/// What follows the image: the rest of the entry point, and the command.
pub(super) fn arguments(service: &Service) -> Vec<String> {
    let entrypoint = service.entrypoint.iter().flat_map(|words| words.0.iter().skip(1));
    let command = service.command.iter().flat_map(|words| &words.0);
    entrypoint.chain(command).map(ToString::to_string).collect()
}

/// Whether the service asks that its processes gain no rights.
pub(super) fn no_new_privileges(service: &Service) -> bool {
    service.security_opt.iter().any(|option| is_no_new_privileges(option) && !option.ends_with("false"))
}

fn is_no_new_privileges(option: &str) -> bool {
    option.starts_with("no-new-privileges")
}

/// Targets of volumes without a name.
pub(super) fn anonymous(service: &Service) -> impl Iterator<Item = String> {
    let anonymous = service.volumes.iter().filter(|mount| mount.value.source == MountSource::Anonymous);
    anonymous.map(|mount| mount.value.target.to_string())
}

fn health(service: &Service) -> Vec<Flag> {
    let Some(check) = &service.healthcheck else { return Vec::new() };
    let mut flags = Vec::new();
    match &check.test {
        None => {}
        Some(Test::Disabled) => return vec![("--no-healthcheck", String::new())],
        Some(Test::Shell(line)) => flags.push(("--health-cmd", line.to_string())),
        // The flag takes a line for a shell only.
        Some(Test::Exec(words)) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            flags.push(("--health-cmd", words.join(" ")));
        }
    }
    flags.extend(check.interval.map(|span| ("--health-interval", span.to_string())));
    flags.extend(check.timeout.map(|span| ("--health-timeout", span.to_string())));
    flags.extend(check.retries.map(|retries| ("--health-retries", retries.to_string())));
    flags.extend(check.start_period.map(|span| ("--health-start-period", span.to_string())));
    flags
}

/// Whole seconds, rounded up.
pub(super) fn seconds(span: std::time::Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// A word for a POSIX shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
