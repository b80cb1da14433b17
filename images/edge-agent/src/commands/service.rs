//! The service that runs `watch`: a unit of systemd, where that is what runs the machine. Elsewhere it says what to do.

use std::fs;
use std::process::Command;

use camino::Utf8Path;
use xedge_agent::{Result, home};
use xedge_model::atomic;

use super::Context;

const UNIT: &str = "xedge-agent.service";
const UNIT_FILE: &str = "/etc/systemd/system/xedge-agent.service";
/// There only where systemd is the process that started everything else (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";

/// Whether the device watches itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// systemd runs it, also after a boot.
    Runs,
    /// Another system starts services here.
    Elsewhere,
    /// systemd is there and did not take it.
    Refused,
    /// Nobody asked for it.
    NotAsked,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Elsewhere => "no-systemd",
            Self::Refused => "failed",
            Self::NotAsked => "not-asked",
        }
    }

    pub(super) fn in_words(self) -> String {
        match self {
            Self::Runs => format!("watched by {UNIT}"),
            Self::Elsewhere => {
                "not watched: systemd does not run here; let your system start `xedge-agent watch` at boot"
                    .to_owned()
            }
            Self::Refused => {
                format!("not watched: systemd did not start {UNIT}; see `systemctl status {UNIT}`")
            }
            Self::NotAsked => "not watched: nobody asked for the service; run `xedge-agent watch`".to_owned(),
        }
    }
}

/// Writes the unit and starts it. Only for the agent's usual place: another state is a trial that must not outlive it.
pub(super) fn set_up(cx: &Context) -> Result<State> {
    if cx.home.root() != home::DEFAULT {
        return Ok(State::NotAsked);
    }
    if !Utf8Path::new(BOOTED).is_dir() {
        return Ok(State::Elsewhere);
    }
    atomic::write(Utf8Path::new(UNIT_FILE), unit(&cx.home.programs().join("current")).as_bytes(), 0o644)?;
    let started = systemctl(&["daemon-reload"]) && systemctl(&["enable", "--now", UNIT]);
    Ok(if started { State::Runs } else { State::Refused })
}

/// Starts the service anew with another program; nothing where it does not run.
pub(super) fn restart() {
    if Utf8Path::new(UNIT_FILE).exists() {
        // The old program goes on watching where this fails, which is what was there before.
        let _restarted = systemctl(&["try-restart", UNIT]);
    }
}

/// Takes the unit away.
pub(super) fn take_down() -> Result<()> {
    if Utf8Path::new(UNIT_FILE).exists() {
        let _stopped = systemctl(&["disable", "--now", UNIT]);
        fs::remove_file(UNIT_FILE).map_err(|error| super::spawn("rm", &error))?;
        let _reloaded = systemctl(&["daemon-reload"]);
    }
    Ok(())
}

fn systemctl(arguments: &[&str]) -> bool {
    Command::new("systemctl").args(arguments).output().is_ok_and(|output| output.status.success())
}

fn unit(program: &Utf8Path) -> String {
    format!(
        "[Unit]\n\
         Description=xedge: watches the releases of this device\n\
         After=network-online.target docker.service podman.socket\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={program} watch\n\
         Restart=always\n\
         RestartSec=5\n\
         NoNewPrivileges=yes\n\
         PrivateTmp=yes\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}
