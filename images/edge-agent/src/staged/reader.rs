//! Head and members as one stream of bytes, as they would stand in the bundle's file without the layers that are left out.
//! Opens one file at a time and holds none of their bytes.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Cursor, Read};

use xedge_bundle::{Offer, member, tar};
use xedge_model::Digest;

use crate::store::Store;

/// The bundle, thin.
pub(super) struct Whole<'a> {
    store: &'a Store,
    left: VecDeque<Part>,
    now: Option<Box<dyn Read>>,
}

enum Part {
    Bytes(Vec<u8>),
    Member(Digest),
}

impl<'a> Whole<'a> {
    pub(super) fn new(store: &'a Store, head: &[u8], offer: &Offer, absent: &BTreeSet<Digest>) -> Self {
        let mut left = VecDeque::from([Part::Bytes(head.to_vec())]);
        let plan = offer.plan();
        for name in plan.names().filter(|name| *name != member::BUNDLE) {
            let target = plan.target(name);
            let digest = target.hashes.sha256();
            if name.starts_with("blob.") && absent.contains(digest) {
                continue;
            }
            left.push_back(Part::Bytes(tar::header(name, target.length).to_vec()));
            left.push_back(Part::Member(digest.clone()));
            left.push_back(Part::Bytes(vec![0; tar::padding(target.length)]));
        }
        left.push_back(Part::Bytes(vec![0; 2 * tar::BLOCK]));
        Self { store, left, now: None }
    }

    fn open(&self, part: Part) -> io::Result<Box<dyn Read>> {
        Ok(match part {
            Part::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Part::Member(digest) => Box::new(self.store.open(&digest).map_err(io::Error::other)?),
        })
    }
}

impl Read for Whole<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.now {
                Some(reader) => reader.read(to)?,
                None => 0,
            };
            if count > 0 || to.is_empty() {
                return Ok(count);
            }
            match self.left.pop_front() {
                Some(part) => self.now = Some(self.open(part)?),
                None => return Ok(0),
            }
        }
    }
}
