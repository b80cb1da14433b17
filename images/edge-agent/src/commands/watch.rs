//! `watch`: finishes what was cut short, starts what died, and says so.

use std::time::Duration;

use xedge_agent::apply::{Healed, turn, watch};
use xedge_agent::{Result, TrustStore};

use super::Context;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) fn run(cx: &Context, once: bool) -> Result<()> {
    let say = |healed: &Healed| match healed.stack.as_str() {
        "" => cx.printer.say(&healed.what),
        stack => cx.printer.say(&format!("{stack}: {}", healed.what)),
    };
    if once {
        let engine = cx.connect()?;
        let (mut trust, _) = cx.trust()?;
        turn(&cx.agent(engine.as_ref()), &mut trust)?.iter().for_each(say);
        return Ok(());
    }
    // After a boot the Engine may come later than this does.
    let engine = loop {
        match cx.connect() {
            Ok(engine) => break engine,
            Err(error) => cx.printer.say(&error.to_string()),
        }
        std::thread::sleep(PAUSE);
    };
    watch(&cx.agent(engine.as_ref()), &|| TrustStore::open(&cx.home), PAUSE, &|| true, &mut |healed| {
        say(healed);
    });
    Ok(())
}
