//! Tar headers (FORMAT.md §2; POSIX.1-1988 ustar): each is a function of name and size alone. Reads and writes no files.

use crate::member;

/// The unit of a tar file: headers are this long, and members are padded to a multiple of it.
pub const BLOCK: usize = 512;

const BASE_256: u8 = 0x80;
/// The first size that eleven octal digits cannot hold.
const OCTAL_END: u64 = 1 << 33;

/// The one header of a member with this name and size.
///
/// The name has at most 100 bytes ([`member::is_name`]); of a longer one the rest is left out, which no reader takes.
pub fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let length = name.len().min(member::MAX_NAME);
    block[..length].copy_from_slice(&name.as_bytes()[..length]);
    for (at, text) in [
        (100, &b"0000644"[..]),
        (108, b"0000000"),
        (116, b"0000000"),
        (136, b"00000000000"),
        (148, b"        "),
        (156, b"0"),
        (257, b"ustar\x0000"),
        (329, b"0000000"),
        (337, b"0000000"),
    ] {
        block[at..at + text.len()].copy_from_slice(text);
    }
    block[124..136].copy_from_slice(&size_field(size));
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn size_field(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if size < OCTAL_END {
        field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
    } else {
        field[0] = BASE_256;
        field[4..].copy_from_slice(&size.to_be_bytes());
    }
    field
}

/// Name and size of a header that is exactly as [`header`] makes it; `None` for any other block.
pub fn parse(block: &[u8; BLOCK]) -> Option<(String, u64)> {
    let name = block[..100].split(|byte| *byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).ok().filter(|name| member::is_name(name))?;
    let size = match block[124] {
        BASE_256 => u64::from_be_bytes(block[128..136].try_into().ok()?),
        _ => u64::from_str_radix(std::str::from_utf8(&block[124..135]).ok()?, 8).ok()?,
    };
    (header(name, size) == *block).then(|| (name.to_owned(), size))
}

/// How many zero bytes follow a member of this size.
pub fn padding(size: u64) -> usize {
    let over = size % BLOCK as u64;
    if over == 0 { 0 } else { BLOCK - usize::try_from(over).expect("less than a block") }
}
