//! `xedge-agent`.

use std::io::{self, BufReader, Write};

use xedge_wire::{DeviceFacts, ToDevice, ToHost, WIRE, read_line, write_line};

fn main() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = io::stdout().lock();
    while let Ok(Some(ToDevice::Hello { .. })) = read_line(&mut input) {
        let device = Box::new(DeviceFacts::default());
        let agent = env!("CARGO_PKG_VERSION").to_owned();
        write_line(&mut output, &ToHost::Hello { wire: WIRE, agent, device })?;
        output.flush()?;
    }
    Ok(())
}
