//! A look over the whole device, for a person: what is well, what is worth knowing, and what needs a hand, with the command to
//! type. Changes nothing, and goes on where something cannot be read.

use camino::Utf8PathBuf;
use serde::Serialize;
use xedge_bundle::time;
use xedge_model::Failure as _;

use crate::check::{self, Obstacle};
use crate::facts::{Machine, MemoryLimits};
use crate::trust::BUILD_TIME;
use crate::{Clock, Device, Engine, Error, Home, Result, TrustStore, records};

/// Temperature, in thousandths of a degree, above which a Raspberry Pi slows down.
const HOT: i64 = 80_000;
/// A root that ends within this is to be renewed: 30 days.
const SOON: i64 = 30 * 86_400;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Well,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something has to be done.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is.
    pub subject: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is.
    pub fix: String,
    /// The stable code, where releases are refused for it.
    pub code: Option<&'static str>,
}

/// Looks over the device. `engine` is what connecting to one gave.
pub fn look_over(
    home: &Home,
    machine: &Machine,
    clock: &dyn Clock,
    engine: Result<&dyn Engine, &Error>,
) -> Vec<Finding> {
    let mut all = vec![trust(home, clock)];
    all.extend(device(home, machine));
    all.push(time_of(home, clock));
    all.extend(self::engine(machine, engine));
    all.extend(room(home, engine));
    all.extend(memory(machine));
    all.extend(heat(machine));
    all.extend(stacks(home));
    all
}

fn trust(home: &Home, clock: &dyn Clock) -> Finding {
    const SUBJECT: &str = "trust";
    match TrustStore::open(home) {
        Err(error) => failed(SUBJECT, &error),
        Ok(store) => {
            let (left, until) = (store.expires() - store.now(clock), time::format(store.expires()));
            let found = format!(
                "trusts the {} root {}, good until {until}",
                store.status().as_str(),
                store.fingerprint()
            );
            match left {
                i64::MIN..=0 => problem(
                    SUBJECT,
                    format!("{found}, which is over"),
                    "a release with a later root renews it; without one, make new keys and `cargo xtask deploy --reenroll`",
                ),
                1..SOON => note(SUBJECT, found, "the next release should bring a later root"),
                _ => well(SUBJECT, found),
            }
        }
    }
}

fn device(home: &Home, machine: &Machine) -> Vec<Finding> {
    let mut all = Vec::new();
    let device = match Device::find(home) {
        Ok(device) => device.unwrap_or_default(),
        Err(error) => return vec![failed("device", &error)],
    };
    let class = if device.class.is_empty() { "without a class" } else { &device.class };
    if !device.id.is_empty() {
        all.push(well("device", format!("{}, {class}", device.id)));
    }
    let board = machine.board();
    all.push(match (&device.settings.board, board.names.is_empty()) {
        (Some(name), _) => well("board", format!("{name}, as its owner says")),
        (None, false) => {
            well("board", format!("{}; releases may call it {}", board.name, board.names.join(", ")))
        }
        (None, true) => note(
            "board",
            "nothing says what board this is, so a release for certain boards is refused",
            "say it: `xedge-agent enroll --root FILE --board NAME`",
        ),
    });
    if let Some(folder) = &device.settings.volume_root {
        all.push(match check::volume_root(&device) {
            None => well("volumes", format!("in {folder}")),
            Some(obstacle) => blocked("volumes", obstacle),
        });
    }
    all
}

fn time_of(home: &Home, clock: &dyn Clock) -> Finding {
    const SUBJECT: &str = "clock";
    let now = clock.unix();
    if let Some(obstacle) = check::clock(clock) {
        return blocked(SUBJECT, obstacle);
    }
    let counts = TrustStore::open(home).map_or(BUILD_TIME, |store| store.now(&Still));
    if now >= counts {
        return well(SUBJECT, time::format(now));
    }
    let found = format!(
        "it says {}, and it cannot be before {}, which counts instead",
        time::format(now),
        time::format(counts)
    );
    note(SUBJECT, found, "let it get the time: `sudo timedatectl set-ntp true`")
}

fn engine(machine: &Machine, engine: Result<&dyn Engine, &Error>) -> Vec<Finding> {
    const SUBJECT: &str = "engine";
    let facts = match engine {
        Err(error) => return vec![failed(SUBJECT, error)],
        Ok(engine) => match engine.facts() {
            Err(error) => return vec![failed(SUBJECT, &error)],
            Ok(facts) => facts,
        },
    };
    let kinds = if facts.thin_loads { "takes updates layer by layer" } else { "takes whole images only" };
    let found = format!(
        "{} {} (API {}, {}), {kinds}, keeps images in {}",
        facts.kind, facts.version, facts.api, facts.architecture, facts.root
    );
    let mut all = vec![well(SUBJECT, found)];
    if check::platform(&facts.architecture).is_none() {
        let found = format!("its containers are for {}, which nothing is built for", facts.architecture);
        all.push(problem(SUBJECT, found, "use a 64-bit system: amd64 or arm64"));
    }
    let limited = facts.memory_limits && machine.memory_limits() != MemoryLimits::TurnedOff;
    all.push(if limited {
        well("memory limits", "they hold")
    } else {
        blocked("memory limits", check::no_limits(machine))
    });
    all
}

/// Each file system once.
fn room(home: &Home, engine: Result<&dyn Engine, &Error>) -> Vec<Finding> {
    const SUBJECT: &str = "disk";
    let mut folders = vec![home.root().to_owned()];
    let images = engine.ok().and_then(|engine| engine.facts().ok()).map(|facts| facts.root);
    folders.extend(images.filter(|root| !root.is_empty()).map(Utf8PathBuf::from));
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for folder in folders {
        let looked = Machine::room(&folder).and_then(|room| Ok((room, check::disk_of(&folder)?)));
        match looked {
            Err(error) => all.push(failed(SUBJECT, &error)),
            Ok((room, _)) if seen.contains(&room.device) => {}
            Ok((room, obstacle)) => {
                seen.push(room.device);
                all.push(match obstacle {
                    Some(obstacle) => blocked(SUBJECT, obstacle),
                    None => well(SUBJECT, format!("{} MiB free at {folder}", room.free >> 20)),
                });
            }
        }
    }
    all
}

fn memory(machine: &Machine) -> Option<Finding> {
    const SUBJECT: &str = "memory";
    let (total, available) = (machine.memory(), machine.memory_available());
    match (total, available) {
        (Err(error), _) => Some(failed(SUBJECT, &error)),
        (Ok(total), Ok(available)) => {
            let found = format!("{} MiB of {} MiB can be had", available >> 20, total >> 20);
            let short = available < total / 20;
            let fix = "see what uses it: `docker stats --no-stream`, `ps aux --sort -rss | head`";
            Some(if short { problem(SUBJECT, found, fix) } else { well(SUBJECT, found) })
        }
        (Ok(_), Err(_)) => None,
    }
}

fn heat(machine: &Machine) -> Option<Finding> {
    const SUBJECT: &str = "temperature";
    let heat = machine.temperature()?;
    let found = format!("{} °C", heat / 1000);
    let fix = "the processor slows down: cool it, and look at `vcgencmd get_throttled`";
    Some(if heat > HOT { problem(SUBJECT, found, fix) } else { well(SUBJECT, found) })
}

fn stacks(home: &Home) -> Vec<Finding> {
    const SUBJECT: &str = "stack";
    let names = match records::stacks(home) {
        Ok(names) => names,
        Err(error) => return vec![failed(SUBJECT, &error)],
    };
    let look = |name: &String| {
        let stack = home.stack(name);
        let read = records::load_state(&stack).and_then(|state| Ok((state, records::load_journal(&stack)?)));
        match read {
            Err(error) => failed(SUBJECT, &error),
            Ok((_, Some(journal))) => note(
                SUBJECT,
                format!("{name}: an operation was cut short, at {:?}", journal.phase),
                "it is finished at the next start of `xedge-agent watch`: `sudo systemctl restart xedge-agent`",
            ),
            Ok((state, None)) => match state.current {
                Some(current) => {
                    well(SUBJECT, format!("{name}: {} (release {})", current.version, current.seq))
                }
                None => note(SUBJECT, format!("{name}: nothing is installed"), ""),
            },
        }
    };
    names.iter().map(look).collect()
}

/// A clock that stands still at the beginning of time: what is left is what the store knows.
struct Still;

impl Clock for Still {
    fn unix(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn sleep(&self, _time: std::time::Duration) {}
}

fn well(subject: &'static str, found: impl Into<String>) -> Finding {
    Finding { subject, state: State::Well, found: found.into(), fix: String::new(), code: None }
}

fn note(subject: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { subject, state: State::Note, found: found.into(), fix: fix.into(), code: None }
}

fn problem(subject: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { subject, state: State::Problem, found: found.into(), fix: fix.into(), code: None }
}

fn blocked(subject: &'static str, obstacle: Obstacle) -> Finding {
    let code = Some(obstacle.code.as_str());
    Finding { subject, state: State::Problem, found: obstacle.reason, fix: obstacle.fix, code }
}

fn failed(subject: &'static str, error: &Error) -> Finding {
    let fix = error.hint().unwrap_or_default();
    Finding { subject, state: State::Problem, found: error.to_string(), fix, code: error.code() }
}

#[cfg(test)]
mod tests;
