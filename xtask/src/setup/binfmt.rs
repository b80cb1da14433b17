//! The kernel's table of foreign programs (`binfmt_misc`): which platforms it starts. Registers nothing by itself.

use xedge_model::Platform;

use super::Surroundings;

/// Where the kernel shows the table, once it is mounted.
const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// Whether programs for `platform` start here, also in containers, which do not see our files: the kernel must hold
/// the emulator open (flag `F`).
pub(super) fn starts(around: &Surroundings, platform: Platform) -> bool {
    let Ok(entries) = around.file(TABLE).read_dir_utf8() else { return false };
    entries
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .any(|e| fits(&e, platform))
}

/// Whether an entry of the table is switched on, is for this platform's programs, and works in containers.
pub(super) fn fits(entry: &str, platform: Platform) -> bool {
    let value = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let enabled = entry.lines().next() == Some("enabled");
    let fixed = value("flags:").is_some_and(|flags| flags.contains('F'));
    enabled && fixed && value("magic ").is_some_and(|magic| is_elf_of(magic, platform))
}

/// ELF, 64 bits, little-endian; the machine is at offset 18 (`e_machine` of the ELF specification).
fn is_elf_of(magic: &str, platform: Platform) -> bool {
    let machine = match platform {
        Platform::LinuxAmd64 => "3e00",
        Platform::LinuxArm64 => "b700",
    };
    magic.starts_with("7f454c460201") && magic.get(36..40) == Some(machine)
}

/// The emulator's name in Debian's files.
pub(super) fn emulator(platform: Platform) -> &'static str {
    match platform {
        Platform::LinuxAmd64 => "qemu-x86_64",
        Platform::LinuxArm64 => "qemu-aarch64",
    }
}

/// Whether the emulator's description is on this machine: then only the registration is missing.
pub(super) fn is_described(around: &Surroundings, platform: Platform) -> bool {
    around.file(&description(platform)).exists()
}

/// The line for the kernel, as Debian's packages bring it. Theirs is used and not one of ours, so that what is
/// registered here is what systemd registers at the next start; both set `F`.
fn description(platform: Platform) -> String {
    format!("/usr/lib/binfmt.d/{}.conf", emulator(platform))
}

/// The commands, for root, that register an emulator where systemd does not do it.
pub(super) fn register_commands(platform: Platform) -> Vec<String> {
    let (entry, line) = (format!("{TABLE}/{}", emulator(platform)), description(platform));
    vec![
        format!("sh -c 'test -e {TABLE}/register || mount -t binfmt_misc binfmt_misc {TABLE}'"),
        // The table belongs to the kernel: in a container it may hold the host's entry, which stays if it fits. One
        // that does not (switched off, or without `F`) makes way, since names are unique.
        format!(
            "sh -c '{{ grep -qsx enabled {entry} && grep -qs \"^flags: .*F\" {entry}; }} || \
             {{ test ! -e {entry} || echo -1 >{entry}; cat {line} >{TABLE}/register; }}'"
        ),
    ]
}
