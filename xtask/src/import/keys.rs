//! Keys of the Compose specification that a stack does not have, each with the reason, and what may be asked for instead.

/// Keys of a service without a counterpart.
pub(super) const SERVICE: [(&str, &str); 44] = [
    ("annotations", "notes for other runtimes"),
    ("attach", "a matter of the terminal that starts it"),
    ("blkio_config", "limits of disks are not carried to a device"),
    ("cgroup", "the control group is the Engine's business"),
    ("cgroup_parent", "the control group is the Engine's business"),
    ("configs", "mount the file: `volumes: [./FILE:/TARGET:ro]`"),
    ("cpu_count", "Windows only"),
    ("cpu_percent", "Windows only"),
    ("cpu_period", "write `cpus: 0.5`"),
    ("cpu_quota", "write `cpus: 0.5`"),
    ("cpu_rt_period", "real-time scheduling is not carried to a device"),
    ("cpu_rt_runtime", "real-time scheduling is not carried to a device"),
    ("cpuset", "which processors there are differs from device to device: write `cpus: 0.5`"),
    ("credential_spec", "Windows only"),
    ("develop", "a matter of the development machine"),
    ("device_cgroup_rules", "name the devices under `devices`"),
    ("dns", "name servers are the device's business"),
    ("dns_opt", "name servers are the device's business"),
    ("dns_search", "name servers are the device's business"),
    ("domainname", "write `hostname`"),
    ("extends", "write out what it takes from the other service"),
    ("external_links", "containers of other stacks are not part of what is proved"),
    ("gpus", "graphics processors are not carried to a device yet"),
    ("ipc", "shared memory with the host or other containers is not carried to a device"),
    ("isolation", "Windows only"),
    ("links", "services of one network find each other by name: write `depends_on`"),
    ("mac_address", "a fixed address ties the stack to one machine"),
    ("mem_swappiness", "swapping is the device's business"),
    ("memswap_limit", "swapping is the device's business"),
    ("models", "models are no containers"),
    ("oom_kill_disable", "a container without an end to its memory can take the device with it"),
    ("oom_score_adj", "whom the kernel ends first is the device's business"),
    ("pid", "sharing processes with the host or other containers is not carried to a device"),
    ("post_start", "docker-compose 1.29 refuses it"),
    ("pre_stop", "docker-compose 1.29 refuses it"),
    ("profiles", "a stack is what runs: make a stack of its own for the other profile"),
    ("provider", "something else than a container"),
    ("runtime", "runtimes are the device's business"),
    ("storage_opt", "storage is the device's business"),
    ("use_api_socket", "whoever has the Engine's socket is root on the device"),
    ("userns_mode", "user namespaces are the Engine's business"),
    ("uts", "the host's name is not the stack's"),
    ("volume_driver", "drivers of volumes are the device's business"),
    ("volumes_from", "name the volume in both services"),
];

/// Top-level keys without a counterpart.
pub(super) const TOP: [(&str, &str); 3] = [
    ("configs", "mount the files: `volumes: [./FILE:/TARGET:ro]`"),
    ("include", "import one file; write out what it takes from the other"),
    ("models", "models are no containers"),
];

/// Keys of a build without a counterpart.
pub(super) const BUILD: [(&str, &str); 18] = [
    ("additional_contexts", "one folder is the context"),
    ("cache_from", "what may be reused is the Engine's business"),
    ("cache_to", "what may be reused is the Engine's business"),
    ("dockerfile_inline", "put it into a file: `dockerfile: Dockerfile`"),
    ("entitlements", "builds have no further rights"),
    ("extra_hosts", "a build that depends on the network's names cannot be repeated"),
    ("isolation", "Windows only"),
    ("labels", "set them in the Dockerfile: `LABEL`"),
    ("network", "builds have the Engine's usual network"),
    ("no_cache", "what may be reused is the Engine's business"),
    ("privileged", "builds have no further rights"),
    ("provenance", "the release writes its own"),
    ("pull", "bases are locked by digest"),
    ("sbom", "the release writes its own"),
    ("shm_size", "builds have the Engine's usual size"),
    ("ssh", "keys of the machine that builds cannot be part of it"),
    ("tags", "releases name versions"),
    ("ulimits", "builds have the Engine's usual limits"),
];

/// The reason that a key has no counterpart.
pub(super) fn reason(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == key).map(|(_, why)| *why)
}
