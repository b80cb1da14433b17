//! One tar entry, written the same way everywhere: ustar, with pax records only where ustar has no room. Sorts nothing.

use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

/// What ustar has room for in a name or link name; longer ones and those beyond ASCII go into a pax record.
const NAME_ROOM: usize = 100;
/// The largest user or group number in seven octal digits.
const ID_ROOM: u32 = 0o7_777_777;

/// An entry without its content.
pub struct Entry<'a> {
    /// Relative path; a folder's ends with `/`.
    pub path: &'a str,
    /// Target of a symbolic or hard link, else empty.
    pub link: &'a str,
    /// What it is.
    pub kind: EntryType,
    /// Permission bits.
    pub mode: u32,
    /// Number of its user.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
    /// Length of the content in bytes.
    pub size: u64,
}

impl<'a> Entry<'a> {
    /// A plain file of root.
    pub fn file(path: &'a str, size: u64) -> Self {
        Self { path, link: "", kind: EntryType::Regular, mode: 0o644, uid: 0, gid: 0, size }
    }

    /// A folder of root.
    pub fn folder(path: &'a str) -> Self {
        Self { kind: EntryType::Directory, mode: 0o755, ..Self::file(path, 0) }
    }

    fn pax_records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut text = |key: &str, value: &str| {
            if !fits(value) {
                records.extend(pax_record(key, value));
            }
        };
        text("path", self.path);
        text("linkpath", self.link);
        for (key, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id > ID_ROOM {
                records.extend(pax_record(key, &id.to_string()));
            }
        }
        records
    }

    fn header(&self) -> Header {
        let mut header = Header::new_ustar();
        if let Some(ustar) = header.as_ustar_mut() {
            copy_name(&mut ustar.name, self.path);
            copy_name(&mut ustar.linkname, self.link);
        }
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(u64::from(self.uid.min(ID_ROOM)));
        header.set_gid(u64::from(self.gid.min(ID_ROOM)));
        header.set_size(self.size);
        header.set_cksum();
        header
    }
}

/// Appends one entry; `content` must yield exactly as many bytes as the entry says.
pub fn append(tar: &mut Builder<impl Write>, entry: &Entry<'_>, content: impl Read) -> io::Result<()> {
    let records = entry.pax_records();
    if !records.is_empty() {
        let pax = Entry { kind: EntryType::XHeader, ..Entry::file("PaxHeaders/entry", records.len() as u64) };
        tar.append(&pax.header(), records.as_slice())?;
    }
    tar.append(&entry.header(), content)
}

fn fits(text: &str) -> bool {
    text.is_ascii() && text.len() <= NAME_ROOM
}

/// A name that does not fit is cut and made ASCII: readers of today take the pax record instead.
fn copy_name(room: &mut [u8; NAME_ROOM], name: &str) {
    for (to, from) in room.iter_mut().zip(name.bytes()) {
        *to = if from.is_ascii() { from } else { b'_' };
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself (POSIX pax, extended header).
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::pax_record;

    #[test]
    fn a_record_counts_its_own_length() {
        for length in [1, 80, 90, 91, 92, 93, 94, 95, 980, 990, 991, 992, 993] {
            let record = pax_record("path", &"x".repeat(length));
            let text = String::from_utf8(record).unwrap();
            assert_eq!(text.split(' ').next().unwrap(), text.len().to_string());
        }
    }
}
