//! `session`: speaks with a host on stdin and stdout.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::fd::AsFd as _;
use std::time::Duration;

use xedge_agent::session::{Served, serve};
use xedge_agent::{Error, Result};

use super::{Context, VERSION};
use crate::system::Patient;

/// A host may ask a person something in between; a dead connection is not waited for any longer.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) fn run(cx: &Context) -> Result<()> {
    // Not through the standard library's own buffer: whether something is there to read must be seen.
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(Error::Stdout)?;
    let mut input = BufReader::with_capacity(256 << 10, Patient::new(File::from(stdin), PATIENCE));
    let mut output = BufWriter::new(io::stdout().lock());
    let connect = || cx.connect_for_good();
    let served = Served {
        home: &cx.home,
        machine: &cx.machine,
        clock: &cx.clock,
        version: VERSION,
        connect: &connect,
    };
    serve(&served, &mut input, &mut output)
}
