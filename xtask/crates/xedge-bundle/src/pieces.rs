//! The sha256 of each MiB of a member and of the whole (FORMAT.md §3), in one pass. Keeps no bytes.
//!
//! A verifier of a whole bundle compares the whole member's sha256 only: that covers every byte, and hashing each piece
//! too would halve its speed. Pieces are for a receiver that takes parts out of order ([`Target::is_piece`]).

use std::io::{self, Read};

use xedge_model::{Digest, Hasher};

use crate::statement::DigestSet;
use crate::tuf::{Custom, PIECE, Piece, Target};

/// What `targets.json` says about a member's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Length in bytes.
    pub length: u64,
    /// sha256 of the whole.
    pub digest: Digest,
    /// sha256 of each MiB; empty up to one MiB.
    pub pieces: Vec<Digest>,
}

impl Pieces {
    /// The entry of `targets.json` for a member of this kind.
    pub fn target(self, kind: &str) -> Target {
        let pieces = self.pieces.into_iter().map(Piece).collect();
        let custom = Custom { kind: kind.to_owned(), pieces };
        Target { custom, hashes: DigestSet::from(self.digest), length: self.length }
    }
}

/// Reads everything once.
pub fn pieces(mut reader: impl Read) -> io::Result<Pieces> {
    let mut whole = Hasher::new();
    let mut pieces = Vec::new();
    let mut length = 0;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let count = reader.by_ref().take(PIECE).read_to_end(&mut buffer)? as u64;
        if count > 0 {
            whole.update(&buffer);
            pieces.push(Digest::of(&buffer));
            length += count;
        }
        if count < PIECE {
            break;
        }
    }
    if length <= PIECE {
        pieces.clear();
    }
    Ok(Pieces { length, digest: whole.finish(), pieces })
}
