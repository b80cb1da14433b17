//! The tar archive that carries files into a volume, with owners and modes in its headers. Pure.

use std::collections::BTreeSet;
use std::io;

use bytes::Bytes;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc::Sender;

use crate::plan::VolumePlan;

/// An archive to unpack at the volume's mount path; `None` if there is nothing to put in.
///
/// Folders between volume and file belong to the owner of the first file in them.
pub(crate) fn volume_tar(volume: &VolumePlan) -> io::Result<Option<Vec<u8>>> {
    if volume.owner.is_none() && volume.files.is_empty() {
        return Ok(None);
    }
    let mut archive = Builder::new(Vec::new());
    if let Some((uid, gid)) = volume.owner {
        append(&mut archive, "./", EntryType::Directory, (0o755, uid, gid), &[])?;
    }
    let mut folders = BTreeSet::new();
    for file in &volume.files {
        for (end, _) in file.path.match_indices('/') {
            let folder = &file.path[..end];
            if folders.insert(folder) {
                append(&mut archive, folder, EntryType::Directory, (0o755, file.uid, file.gid), &[])?;
            }
        }
        append(&mut archive, &file.path, EntryType::Regular, (file.mode, file.uid, file.gid), &file.bytes)?;
    }
    archive.into_inner().map(Some)
}

fn append(
    archive: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    (mode, uid, gid): (u32, u32, u32),
    bytes: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes)
}

/// Hands what blocking code writes to a stream; full channels make the writer wait.
pub(in crate::engine) struct Chunks(pub(in crate::engine) Sender<io::Result<Bytes>>);

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::volume_tar;
    use crate::plan::{FilePlan, VolumePlan};

    fn file(path: &str, mode: u32, uid: u32) -> FilePlan {
        FilePlan { path: path.into(), mode, uid, gid: uid, bytes: path.as_bytes().to_vec() }
    }

    #[test]
    fn owners_and_modes_are_in_the_headers() {
        let files = vec![
            file("conf.d/a.conf", 0o644, 0),
            file("conf.d/b.conf", 0o600, 7),
            file("passwd", 0o400, 1883),
        ];
        let volume = VolumePlan {
            mount_path: "/etc/x".into(),
            owner: Some((1883, 1883)),
            files,
            ..VolumePlan::default()
        };
        let bytes = volume_tar(&volume).unwrap().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            seen.push((
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                text,
            ));
        }
        let want = [
            ("./", 0o755, 1883, ""),
            ("conf.d", 0o755, 0, ""),
            ("conf.d/a.conf", 0o644, 0, "conf.d/a.conf"),
            ("conf.d/b.conf", 0o600, 7, "conf.d/b.conf"),
            ("passwd", 0o400, 1883, "passwd"),
        ];
        assert_eq!(seen, want.map(|(p, m, u, t)| (p.to_owned(), m, u, t.to_owned())));
        assert!(volume_tar(&VolumePlan::default()).unwrap().is_none());
    }
}
