//! One direction of one connection: pieces of bytes on their way through its links, in order. It does no I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::wire::{Link, Way};
use crate::seed::Draws;

/// Bytes under way in one direction of a connection; whoever sends more has to wait, as with TCP's own window.
pub(super) const WINDOW: usize = 256 * 1024;
/// The largest piece: the payload of a TCP segment on Ethernet, so that a chance per piece is one per packet.
pub(super) const SEGMENT: usize = 1_460;

/// What is under way.
#[derive(Debug)]
pub(super) enum Load {
    /// Bytes.
    Bytes(Bytes),
    /// The other side will send no more, or its connection broke.
    End(Option<std::io::Error>),
}

impl Load {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::End(_) => 0,
        }
    }
}

#[derive(Debug)]
struct Piece {
    load: Load,
    came: Instant,
    due: Instant,
}

/// A link that the bytes of a lane pass.
#[derive(Debug)]
struct Stage {
    link: Arc<Link>,
    way: Way,
    draws: Draws,
    /// What is on this link now.
    pieces: VecDeque<Piece>,
    /// How many of the first ones wait for the end of a cut.
    held: usize,
    /// Nothing arrives before what was sent before it.
    last: Option<Instant>,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Lane {
    stages: Vec<Stage>,
    /// What is out at the far end.
    out: VecDeque<Load>,
    queued: usize,
}

impl Lane {
    /// A lane through these links, in the order in which bytes pass them.
    pub(super) fn new(hops: impl Iterator<Item = (Arc<Link>, Way, Draws)>) -> Self {
        let stage =
            |(link, way, draws)| Stage { link, way, draws, pieces: VecDeque::new(), held: 0, last: None };
        Self { stages: hops.map(stage).collect(), out: VecDeque::new(), queued: 0 }
    }

    /// How many bytes may come in now.
    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.queued)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.stages.iter().all(|stage| stage.pieces.is_empty())
    }

    /// Takes bytes in, in pieces of at most a segment.
    pub(super) fn push(&mut self, now: Instant, bytes: &[u8]) {
        for piece in bytes.chunks(SEGMENT) {
            self.enter(0, now, Load::Bytes(Bytes::copy_from_slice(piece)));
            self.queued += piece.len();
        }
    }

    /// Takes the end in: it arrives after all that was sent before it.
    pub(super) fn end(&mut self, now: Instant, error: Option<std::io::Error>) {
        self.enter(0, now, Load::End(error));
    }

    fn enter(&mut self, index: usize, at: Instant, load: Load) {
        match self.stages.get_mut(index) {
            Some(stage) => stage.enter(at, load),
            None => self.out.push_back(load),
        }
    }

    /// Moves everything on whose time has come.
    pub(super) fn advance(&mut self, now: Instant) {
        for index in 0..self.stages.len() {
            while let Some((at, load)) = self.stages[index].leave(now) {
                self.enter(index + 1, at, load);
            }
        }
    }

    /// The next thing that is out at the far end.
    pub(super) fn pop(&mut self) -> Option<Load> {
        let load = self.out.pop_front()?;
        self.queued -= load.len();
        Some(load)
    }

    /// Puts back what was not taken of the last piece.
    pub(super) fn unpop(&mut self, rest: Bytes) {
        self.queued += rest.len();
        self.out.push_front(Load::Bytes(rest));
    }

    /// When [`Lane::advance`] has something to do; `None` if only the end of a cut can bring that about.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.stages.iter().filter_map(Stage::next_at).min()
    }
}

impl Stage {
    fn enter(&mut self, at: Instant, load: Load) {
        // An end is no piece: it draws nothing, and is on the wire for the latency alone.
        let due = match &load {
            Load::Bytes(bytes) => self.link.admit(self.way, at, bytes.len(), &mut self.draws),
            Load::End(_) => at + self.link.shape(self.way).latency,
        };
        let due = self.last.map_or(due, |last| due.max(last));
        self.last = Some(due);
        self.pieces.push_back(Piece { load, came: at, due });
    }

    /// The first piece and when it was out, if that was before now.
    fn leave(&mut self, now: Instant) -> Option<(Instant, Load)> {
        if self.link.is_cut(self.way) {
            self.hold(now);
            return None;
        }
        self.send_again(now);
        self.pieces.front().filter(|piece| piece.due <= now)?;
        let Piece { load, came, due } = self.pieces.pop_front()?;
        if let Load::Bytes(bytes) = &load {
            self.link.count(self.way, bytes.len(), now.saturating_duration_since(came));
        }
        Some((due, load))
    }

    /// What is due while the link is cut is lost, and waits to be sent again.
    fn hold(&mut self, now: Instant) {
        while let Some(piece) = self.pieces.get(self.held).filter(|piece| piece.due <= now) {
            if matches!(piece.load, Load::Bytes(_)) {
                self.link.count_held(self.way);
            }
            self.held += 1;
        }
    }

    /// What was held is sent again as soon as the link is whole.
    fn send_again(&mut self, now: Instant) {
        if self.held == 0 {
            return;
        }
        let healed = self.link.healed_at(self.way).unwrap_or(now);
        let again = healed + self.link.shape(self.way).latency;
        for piece in self.pieces.iter_mut().take(self.held) {
            piece.due = piece.due.max(again);
        }
        self.last = self.last.max(Some(again));
        self.held = 0;
    }

    /// When something happens here; `None` if only the end of a cut can bring that about.
    fn next_at(&self) -> Option<Instant> {
        self.pieces.get(self.held).map(|piece| piece.due)
    }
}
