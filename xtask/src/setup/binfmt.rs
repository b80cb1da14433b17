//! The kernel's table of foreign programs (`binfmt_misc`): which platforms it starts. Registers nothing by itself.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use xedge_model::Platform;

use super::Surroundings;

/// Where the kernel shows the table, once it is mounted.
const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// Whether programs for `platform` start here, also in containers, which do not see our files: the kernel must hold
/// the emulator open (flag `F`), and must really start something with it. An entry outlives the file system that the
/// emulator was opened on (a container's, say), and then fits and starts nothing.
pub(super) fn starts(around: &Surroundings, platform: Platform) -> bool {
    let Ok(entries) = around.file(TABLE).read_dir_utf8() else { return false };
    let mut entries = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    entries.any(|entry| fits(&entry, platform)) && runs(platform)
}

/// Starts a hand-made program that only ends well.
fn runs(platform: Platform) -> bool {
    let start = || -> std::io::Result<bool> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("probe");
        std::fs::write(&program, program_of(platform))?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700))?;
        Ok(Command::new(&program)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?
            .success())
    };
    // Busy: a process that another thread is starting right now still holds the file open for writing.
    let busy = |result: &std::io::Result<bool>| {
        result.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ExecutableFileBusy)
    };
    let tries = std::iter::repeat_with(start).take(5);
    tries.into_iter().find(|result| !busy(result)).and_then(Result::ok).unwrap_or(false)
}

/// The smallest static program of a platform, `exit(0)` (ELF-64: a file header, one program header, the code).
fn program_of(platform: Platform) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code): (u16, &[u8]) = match platform {
        // mov eax, 60; xor edi, edi; syscall
        Platform::LinuxAmd64 => (0x3e, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]),
        // mov x8, #93; mov x0, #0; svc #0
        Platform::LinuxArm64 => (0xb7, &[0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 0x01, 0, 0, 0xd4]),
    };
    let length = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut halves = |halves: &[u16]| halves.iter().for_each(|half| elf.extend(half.to_le_bytes()));
    halves(&[2, machine, 1, 0]);
    let mut words = |words: &[u64]| words.iter().for_each(|word| elf.extend(word.to_le_bytes()));
    words(&[BASE + HEADERS, 64, 0]);
    elf.extend(0_u32.to_le_bytes());
    let mut halves = |halves: &[u16]| halves.iter().for_each(|half| elf.extend(half.to_le_bytes()));
    halves(&[64, 56, 1, 0, 0, 0]);
    // One segment, readable and executable (flags 5), the whole file.
    halves(&[1, 0, 5, 0]);
    let mut words = |words: &[u64]| words.iter().for_each(|word| elf.extend(word.to_le_bytes()));
    words(&[0, BASE, BASE, length, length, 0x1000]);
    elf.extend(code);
    elf
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
        // Only run where no program starts: an entry of that name is stale then, and names are unique.
        format!("sh -c 'test ! -e {entry} || echo -1 >{entry}; cat {line} >{TABLE}/register'"),
    ]
}

#[cfg(test)]
mod tests {
    use xedge_model::Platform;

    use super::runs;

    #[test]
    fn the_hand_made_program_of_this_machine_ends_well() {
        let native = Platform::of_machine(std::env::consts::ARCH).expect("tests run on a known platform");
        assert!(runs(native));
    }
}
