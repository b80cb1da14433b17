//! Where two layers differ, for complaints about builds that should have been the same. Judges nothing else.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::Archive;
use xedge_model::{Digest, Hasher};

/// The first tar entry and field in which two gzip-compressed layers differ, or `None` if their bytes are the same.
/// Layers that cannot be read are described as such.
pub fn first_difference(a: &[u8], b: &[u8]) -> Option<String> {
    if a == b {
        return None;
    }
    Some(match (list(a), list(b)) {
        (Err(error), _) => format!("the first layer cannot be read: {error}"),
        (_, Err(error)) => format!("the second layer cannot be read: {error}"),
        (Ok(a), Ok(b)) if a.tar == b.tar => "the compressed form only: the tar inside is the same".to_owned(),
        (Ok(a), Ok(b)) => first_entry(&a.entries, &b.entries),
    })
}

/// One tar entry by its fields, the path first.
type Fields = Vec<(&'static str, String)>;

struct Listing {
    tar: Digest,
    entries: Vec<Fields>,
}

fn list(layer: &[u8]) -> io::Result<Listing> {
    let tar = Digest::of_reader(&mut MultiGzDecoder::new(layer))?;
    let mut archive = Archive::new(MultiGzDecoder::new(layer));
    let entries = archive.entries()?.map(|entry| fields(entry?)).collect::<io::Result<_>>()?;
    Ok(Listing { tar, entries })
}

fn fields(mut entry: tar::Entry<'_, impl Read>) -> io::Result<Fields> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = entry.header();
    let mut fields = vec![
        ("path", text(&entry.path_bytes())),
        ("type", format!("{:?}", header.entry_type())),
        ("mode", format!("{:04o}", header.mode()?)),
        ("user", header.uid()?.to_string()),
        ("group", header.gid()?.to_string()),
        ("modification time", header.mtime()?.to_string()),
        ("user name", text(header.username_bytes().unwrap_or_default())),
        ("group name", text(header.groupname_bytes().unwrap_or_default())),
        ("link target", text(&entry.link_name_bytes().unwrap_or_default())),
        ("size", entry.size().to_string()),
    ];
    let mut hasher = Hasher::new();
    io::copy(&mut entry, &mut hasher)?;
    fields.push(("content", hasher.finish().to_string()));
    Ok(fields)
}

fn first_entry(a: &[Fields], b: &[Fields]) -> String {
    for (a, b) in a.iter().zip(b) {
        let differing = a.iter().zip(b).find(|(a, b)| a != b);
        if let Some(((field, a_value), (_, b_value))) = differing {
            return format!("`{}`: {field} {a_value} and {b_value}", a[0].1);
        }
    }
    let only = |entries: &[Fields], from: usize| entries.get(from).map(|entry| entry[0].1.clone());
    match (only(a, b.len()), only(b, a.len())) {
        (Some(path), _) => format!("`{path}`: in the first layer only"),
        (_, Some(path)) => format!("`{path}`: in the second layer only"),
        (None, None) => "the form of the tar only: its entries are the same".to_owned(),
    }
}

#[cfg(test)]
mod tests;
