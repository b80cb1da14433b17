//! The writer: what it writes is verified, and what does not fit the signed list is not written.

use super::forge::{Forge, Parts, check};
use crate::pieces::pieces;
use crate::tuf::PIECE;
use crate::write::{Metadata, WriteError, Writer};

fn writer(parts: &Parts) -> Writer<Vec<u8>> {
    let metadata = Metadata {
        roots: &[parts.0[0].1.clone()],
        timestamp: &parts.0[1].1,
        snapshot: &parts.0[2].1,
        targets: &parts.0[3].1,
    };
    Writer::new(Vec::new(), &metadata).unwrap()
}

#[test]
fn what_is_written_is_what_is_read() {
    let forge = Forge::new();
    let parts = forge.parts();
    let mut writer = writer(&parts);
    for (name, bytes) in &parts.0[4..] {
        assert_eq!(writer.due().next(), Some(name.as_str()));
        writer.member(name, bytes.len() as u64, bytes.as_slice()).unwrap();
    }
    let written = writer.finish().unwrap();
    assert_eq!(written, parts.tar());
    assert!(check(&written, &forge.trusted()).is_ok());
}

#[test]
fn what_does_not_fit_is_not_written() {
    let parts = Forge::new().parts();
    let (name, bytes) = &parts.0[4];
    let length = bytes.len() as u64;
    let put = |name: &str, length, bytes: &[u8]| writer(&parts).member(name, length, bytes).unwrap_err();
    assert!(matches!(put(&parts.0[5].0, length, bytes), WriteError::Order { .. }));
    assert!(matches!(put("stranger", length, bytes), WriteError::Order { .. }));
    assert!(matches!(put(name, length + 1, bytes), WriteError::Changed { .. }));
    assert!(matches!(put(name, length, &bytes[1..]), WriteError::Changed { .. }));
    assert!(matches!(put(name, length, &[bytes, &b"x"[..]].concat()), WriteError::Changed { .. }));
    assert!(matches!(put(name, length, &vec![b'x'; bytes.len()]), WriteError::Changed { .. }));
    assert!(matches!(writer(&parts).finish(), Err(WriteError::Order { .. })));
    let metadata = Metadata { roots: &[], timestamp: b"", snapshot: b"", targets: &parts.0[3].1 };
    assert!(matches!(Writer::new(Vec::new(), &metadata), Err(WriteError::Roots(_))));
}

#[test]
fn pieces_are_mebibytes() {
    let bytes: Vec<u8> = (0..PIECE * 2 + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let size = |length: u64| &bytes[..usize::try_from(length).unwrap()];
    for (length, count) in [(0, 0), (1, 0), (PIECE, 0), (PIECE + 1, 2), (PIECE * 2, 2), (PIECE * 2 + 5, 3)] {
        let found = pieces(size(length)).unwrap();
        assert_eq!((found.length, found.pieces.len()), (length, count));
        assert_eq!(found.digest, xedge_model::Digest::of(size(length)));
    }
    let target = pieces(bytes.as_slice()).unwrap().target("application/zip");
    let chunks: Vec<&[u8]> = bytes.chunks(usize::try_from(PIECE).unwrap()).collect();
    assert!(chunks.iter().enumerate().all(|(index, chunk)| target.is_piece(index, chunk)));
    assert!(!target.is_piece(0, chunks[1]) && !target.is_piece(3, chunks[0]));
    let small = pieces(&b"x"[..]).unwrap().target("application/zip");
    assert!(small.is_piece(0, b"x") && !small.is_piece(0, b"y") && !small.is_piece(1, b"x"));
}
