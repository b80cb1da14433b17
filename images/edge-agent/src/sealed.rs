//! Files of the agent's state: one JSON object with a checksum over its content. Whole or absent on disk; a file that is
//! there and is not just what was written is an error, never an empty one.

use camino::Utf8Path;
use serde::Serialize;
use serde::de::DeserializeOwned;
use xedge_model::{Digest, atomic};

use crate::{Error, Result};

/// The format that is written and read.
const FORMAT: u64 = 1;
/// The longest file that is read.
const MAX_BYTES: u64 = 16 << 20;
const MODE: u32 = 0o600;

/// Reads a file; `None` where there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Utf8Path) -> Result<Option<T>> {
    let damaged = |reason: &str| Error::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let Some(bytes) = bytes(path)? else { return Ok(None) };
    let content = open(&bytes).map_err(|broken| match broken {
        Broken::Later(found) => Error::LaterState { path: path.to_owned(), found, known: FORMAT },
        Broken::Damaged(reason) => damaged(reason),
    })?;
    serde_json::from_slice(content).map(Some).map_err(|error| damaged(&error.to_string()))
}

/// Writes a file: beside, fsync, rename, fsync of the folder.
pub(crate) fn write(path: &Utf8Path, value: &impl Serialize) -> Result<()> {
    Ok(atomic::write(path, &seal(value), MODE)?)
}

/// Removes a file, durably; one that is not there is fine.
pub(crate) fn remove(path: &Utf8Path) -> Result<()> {
    let failed = |source| Error::Write(atomic::WriteError::new(path, source));
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    let folder = path.parent().unwrap_or(Utf8Path::new("/"));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn bytes(path: &Utf8Path) -> Result<Option<Vec<u8>>> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(found) if !found.is_file() || found.len() > MAX_BYTES => {
            let reason = "it is no file, or larger than any that the agent writes".to_owned();
            Err(Error::Damaged { path: path.to_owned(), reason })
        }
        Ok(_) => std::fs::read(path).map(Some).map_err(failed),
    }
}

fn seal(value: &impl Serialize) -> Vec<u8> {
    let content = serde_json::to_vec(value).expect("all keys are strings");
    let mut bytes = head(Digest::of(&content).hex()).into_bytes();
    bytes.extend_from_slice(&content);
    bytes.extend_from_slice(TAIL);
    bytes
}

fn head(hex: &str) -> String {
    format!(r#"{{"format":{FORMAT},"sha256":"{hex}","content":"#)
}

const TAIL: &[u8] = b"}\n";

enum Broken {
    Later(u64),
    Damaged(&'static str),
}

/// The content of a file, if every byte is what was written.
fn open(bytes: &[u8]) -> std::result::Result<&[u8], Broken> {
    let length = head(&"0".repeat(64)).len();
    let content = bytes.get(length..bytes.len().saturating_sub(TAIL.len()));
    let whole = content.filter(|content| {
        bytes.starts_with(head(Digest::of(content).hex()).as_bytes()) && bytes.ends_with(TAIL)
    });
    match whole {
        Some(content) => Ok(content),
        None if bytes.is_empty() => Err(Broken::Damaged("it is empty")),
        None => Err(later(bytes).map_or(Broken::Damaged("its checksum does not fit"), Broken::Later)),
    }
}

/// The number of a format that came after this program.
fn later(bytes: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u64,
    }
    let Format { format } = serde_json::from_slice(bytes).ok()?;
    (format > FORMAT).then_some(format)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use camino::Utf8PathBuf;
    use xedge_model::{Class, Failure as _};

    use super::*;

    type Map = BTreeMap<String, u64>;

    fn file() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(folder.path().join("state.json")).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_written_is_read_and_is_json() {
        let (_folder, path) = file();
        assert_eq!(read::<Map>(&path).unwrap(), None);
        let map: Map = [("a".to_owned(), 1), ("b".to_owned(), u64::MAX)].into();
        write(&path, &map).unwrap();
        assert_eq!(read::<Map>(&path).unwrap(), Some(map));
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["content"]["a"], 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read::<Map>(&path).unwrap(), None);
    }

    #[test]
    fn every_flipped_bit_and_every_torn_end_is_damage() {
        let (_folder, path) = file();
        let map: Map = [("seq".to_owned(), 7)].into();
        let good = seal(&map);
        for (index, bit) in (0..good.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            std::fs::write(&path, &bad).unwrap();
            let error = read::<Map>(&path).unwrap_err();
            assert!(
                matches!(error, Error::Damaged { .. } | Error::LaterState { .. }),
                "{index}.{bit}: {error}"
            );
        }
        for end in 0..good.len() {
            std::fs::write(&path, &good[..end]).unwrap();
            let error = read::<Map>(&path).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{end}: {error}");
            assert_eq!(error.class(), Class::Integrity);
        }
        let mut longer = good;
        longer.push(b'\n');
        std::fs::write(&path, &longer).unwrap();
        assert!(read::<Map>(&path).is_err(), "trailing bytes");
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let (_folder, path) = file();
        std::fs::write(&path, br#"{"format":2,"sha256":"","content":{}}"#).unwrap();
        let error = read::<Map>(&path).unwrap_err();
        assert!(matches!(error, Error::LaterState { found: 2, .. }), "{error}");
    }
}
