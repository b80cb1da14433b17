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

/// The smallest static program of a platform, `exit(0)`: ELF's file header, one program header, the code.
fn program_of(platform: Platform) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let (machine, flags, code): (u16, u16, &[u8]) = match platform {
        // mov eax, 60; xor edi, edi; syscall
        Platform::LinuxAmd64 => (0x3e, 0, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]),
        // mov x8, #93; mov x0, #0; svc #0
        Platform::LinuxArm64 => (0xb7, 0, &[0xa8, 0x0b, 0x80, 0xd2, 0, 0, 0x80, 0xd2, 0x01, 0, 0, 0xd4]),
        // mov r7, #1; mov r0, #0; svc #0; the flags name version 5 of the calling convention.
        Platform::LinuxArmV7 => (0x28, 0x0500, &[0x01, 0x70, 0xa0, 0xe3, 0, 0, 0xa0, 0xe3, 0, 0, 0, 0xef]),
    };
    let (class, width, header, segment) = if is_wide(platform) { (2, 8, 64, 56) } else { (1, 4, 52, 32) };
    let headers = u64::from(header + segment);
    let length = headers + code.len() as u64;
    let halves = |all: &[u16]| -> Vec<u8> { all.iter().flat_map(|half| half.to_le_bytes()).collect() };
    let words = |all: &[u64]| -> Vec<u8> {
        all.iter().flat_map(|word| word.to_le_bytes().into_iter().take(width)).collect()
    };
    // One segment, readable and executable, the whole file; the place of its flags is not the same in both classes.
    let access = halves(&[5, 0]);
    let (before, after) = if is_wide(platform) { (access, Vec::new()) } else { (Vec::new(), access) };
    [
        b"\x7fELF".to_vec(),
        vec![class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        halves(&[2, machine, 1, 0]),
        words(&[BASE + headers, u64::from(header), 0]),
        halves(&[0, flags, header, segment, 1, 0, 0, 0]),
        halves(&[1, 0]),
        before,
        words(&[0, BASE, BASE, length, length]),
        after,
        words(&[0x1000]),
        code.to_vec(),
    ]
    .concat()
}

/// Whether its programs are of ELF's class of 64 bits.
fn is_wide(platform: Platform) -> bool {
    platform != Platform::LinuxArmV7
}

/// Whether an entry of the table is switched on, is for this platform's programs, and works in containers.
pub(super) fn fits(entry: &str, platform: Platform) -> bool {
    let value = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let enabled = entry.lines().next() == Some("enabled");
    let fixed = value("flags:").is_some_and(|flags| flags.contains('F'));
    enabled && fixed && value("magic ").is_some_and(|magic| is_elf_of(magic, platform))
}

/// ELF of its class, little-endian; the machine is at offset 18 (`e_machine` of the ELF specification).
fn is_elf_of(magic: &str, platform: Platform) -> bool {
    let machine = match platform {
        Platform::LinuxAmd64 => "3e00",
        Platform::LinuxArm64 => "b700",
        Platform::LinuxArmV7 => "2800",
    };
    let class = if is_wide(platform) { "7f454c460201" } else { "7f454c460101" };
    magic.starts_with(class) && magic.get(36..40) == Some(machine)
}

/// The emulator's name in Debian's files.
pub(super) fn emulator(platform: Platform) -> &'static str {
    match platform {
        Platform::LinuxAmd64 => "qemu-x86_64",
        Platform::LinuxArm64 => "qemu-aarch64",
        Platform::LinuxArmV7 => "qemu-arm",
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

    use super::{program_of, runs};

    #[test]
    fn the_hand_made_program_of_this_machine_ends_well() {
        let native = Platform::of_machine(std::env::consts::ARCH).expect("tests run on a known platform");
        assert!(runs(native));
    }

    #[test]
    fn the_program_of_32_bit_arm_starts_behind_its_headers() {
        let program = program_of(Platform::LinuxArmV7);
        assert_eq!(program.len(), 52 + 32 + 12);
        // The entry and where it is loaded, then its length, in the file and in memory.
        let word = |at: usize| u32::from_le_bytes(program[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((word(24), word(52 + 8)), (0x40_0054, 0x40_0000));
        assert_eq!((word(52 + 16), word(52 + 20), word(52 + 24)), (96, 96, 5));
    }
}
