//! Whether a device can take a deployment: facts by one script on its shell's standard input, every problem at once, each with the
//! command that mends it. Changes nothing there.

use std::collections::{BTreeMap, BTreeSet};

use xedge_bundle::Code;
use xedge_model::Class;

use crate::contact::Place;
use crate::error::{Error, Result};
use crate::transport::{Transport, words};

const SCRIPT: &str = include_str!("preflight.sh");
/// More than any device says.
const MOST_OUTPUT: u64 = 64 << 10;
/// What an agent and its own files need at least, in bytes; what a release needs is the agent's to say.
const LEAST_FREE: u64 = 64 << 20;
/// From how many seconds on a clock is wrong.
const SKEW: i64 = 300;

/// Something that is in the way, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// The command, to be typed on the device, that mends it.
    pub mend: String,
    /// Whether nothing works before it is mended.
    pub blocks: bool,
    /// The stable code, where a device refuses releases for it.
    pub code: Option<Code>,
}

/// What the device's shell said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    facts: BTreeMap<String, String>,
}

/// What the deployment needs of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Go's words for the architectures that the release is for; none if that is not known.
    pub architectures: Vec<String>,
    /// TCP ports that it publishes.
    pub ports: Vec<u16>,
    /// Unix time of this machine.
    pub now: i64,
}

/// Asks the device's shell.
pub fn preflight(transport: &dyn Transport, place: &Place) -> Result<Probed> {
    let what = "look at the device";
    let mut shell =
        transport.start(&words(["sh", "-s", "--", place.program.as_str(), place.folder.as_str()]), what)?;
    let host = transport.host().to_owned();
    // Where the write fails, the end of the command says why.
    let _ = shell.write(SCRIPT.as_bytes());
    let (ended, output) = shell.finish_with_output(MOST_OUTPUT)?;
    let probed = Probed::parse(&String::from_utf8_lossy(&output));
    if probed.is("end", "yes") {
        return Ok(probed);
    }
    let detail = ended.complaints.clone();
    Err(if ended.is_broken() {
        Error::Broken { host, what: what.to_owned(), detail }
    } else {
        Error::Command { host, what: what.to_owned(), detail }
    })
}

impl Probed {
    /// Reads the script's lines; lets go of what a login shell prints.
    pub fn parse(text: &str) -> Self {
        let mut facts: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            facts.entry(name.to_owned()).or_insert_with(|| value.trim().to_owned());
        }
        Self { facts }
    }

    /// Version of the agent that is there; one that does not run has none.
    pub fn agent(&self) -> Option<&str> {
        // `xedge-agent 0.1.0`
        self.get("agent").and_then(|line| line.split(' ').next_back())
    }

    /// Whether an agent must be installed, or is older than this version.
    pub fn lacks_agent(&self, version: &str) -> bool {
        self.agent().and_then(numbers) < numbers(version)
    }

    /// Go's word for the architecture: the Engine's, else the kernel's.
    pub fn architecture(&self) -> Option<&str> {
        let engine = self.get("engine").and_then(|text| text.split(' ').nth(1));
        // One word for every 32-bit ARM, and before version 7 nothing of ours runs.
        let engine = engine.filter(|word| *word != "arm" || self.kernel_architecture().is_some());
        engine.or_else(|| self.kernel_architecture())
    }

    /// Go's word for what the kernel runs: what the agent is built for.
    pub fn kernel_architecture(&self) -> Option<&str> {
        match self.get("machine")? {
            "x86_64" => Some("amd64"),
            "aarch64" => Some("arm64"),
            "armv7l" | "armv8l" => Some("arm"),
            _ => None,
        }
    }

    /// TCP ports that the stacks there publish beyond the device itself.
    pub fn published(&self) -> Vec<u16> {
        // `0.0.0.0:8000-8001->80-81/tcp, [::]:1883->1883/tcp, 127.0.0.1:9->9/tcp, 80/tcp`
        let one = |word: &str| {
            let (outer, inner) = word.split_once("->")?;
            let (address, ports) = outer.rsplit_once(':')?;
            let is_own = address.starts_with("127.") || address.contains("::1");
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let range = first.parse::<u16>().ok()?..=last.parse().ok()?;
            (inner.ends_with("/tcp") && !is_own).then_some(range)
        };
        let words = self.get("published").unwrap_or_default().split([',', ' ']);
        words.filter_map(one).flatten().collect::<BTreeSet<u16>>().into_iter().collect()
    }

    /// Everything that is in the way, what blocks first.
    pub fn findings(&self, needs: &Needs) -> Vec<Finding> {
        let mut all: Vec<Finding> = Vec::new();
        all.extend(self.system(needs));
        all.extend(self.rights());
        all.extend(self.engine());
        all.extend(self.disk());
        all.extend(self.memory());
        all.extend(self.clock(needs.now));
        all.extend(needs.ports.iter().filter_map(|port| self.firewall(*port)));
        all.sort_by_key(|finding| !finding.blocks);
        all
    }

    fn system(&self, needs: &Needs) -> Option<Finding> {
        if !self.is("kernel", "Linux") {
            let what = format!("its system is {}, not Linux", self.get("kernel").unwrap_or("unknown"));
            return Some(blocks(what, "uname -a").with(Code::Platform));
        }
        let found = self.architecture();
        if found.is_some_and(|found| {
            needs.architectures.is_empty() || needs.architectures.iter().any(|a| a == found)
        }) {
            return None;
        }
        let machine = found.or(self.get("machine")).unwrap_or("unknown");
        let wanted = match &needs.architectures[..] {
            [] => String::new(),
            all => format!(", the release is for {}", all.join(" and ")),
        };
        let way_out = if found == Some("arm") { " (a 64-bit board takes the 64-bit system)" } else { "" };
        let what = format!("its architecture is {machine}{wanted}{way_out}");
        Some(blocks(what, "uname -m; docker version").with(Code::Platform))
    }

    fn rights(&self) -> Option<Finding> {
        let user = self.get("user").unwrap_or("the user");
        let docker =
            self.get("groups").is_some_and(|groups| groups.split(' ').any(|group| group == "docker"));
        // sudo leaves files with a dot in their name out.
        let file = format!("/etc/sudoers.d/010-{}", user.replace('.', "_"));
        let also = if docker { "" } else { " and is not in the group docker" };
        match self.get("root") {
            Some("self" | "sudo") => None,
            Some("password") => Some(blocks(
                format!("{user} needs a password for sudo{also}; the agent runs as root"),
                &format!("echo '{user} ALL=(ALL) NOPASSWD: ALL' | sudo tee {file}"),
            )),
            _ => Some(blocks(
                format!("{user} is not root{also}, and there is no sudo"),
                &format!(
                    "su - -c 'apt install sudo && adduser {user} sudo && echo \"{user} ALL=(ALL) NOPASSWD: ALL\" > {file}'"
                ),
            )),
        }
    }

    fn engine(&self) -> Option<Finding> {
        let is_unasked = self.is("root", "password") || self.is("docker", "podman");
        if self.has("socket") && (!self.is("engine", "") || is_unasked) {
            return None;
        }
        if self.has("docker") && !self.is("docker", "podman") {
            let start = if self.has("systemd") {
                "sudo systemctl enable --now docker"
            } else {
                "sudo service docker start"
            };
            return Some(
                blocks("Docker is installed and does not answer".to_owned(), start).with(Code::NoEngine),
            );
        }
        if self.has("podman") || self.has("docker") {
            return Some(
                blocks(
                    "Podman is installed and its socket does not answer".to_owned(),
                    "sudo systemctl enable --now podman.socket podman-restart.service",
                )
                .with(Code::NoEngine),
            );
        }
        let install = if self.has("apt") {
            "sudo apt install docker.io"
        } else {
            "curl -fsSL https://get.docker.com | sudo sh"
        };
        Some(blocks("there is no container Engine".to_owned(), install).with(Code::NoEngine))
    }

    fn disk(&self) -> Option<Finding> {
        if let Some(folder) =
            self.get("unwritable").filter(|_| !self.is("root", "none") && !self.is("root", "password"))
        {
            return Some(blocks(
                format!("nothing can be written below {folder}"),
                &format!("mount | grep -w ro; ls -ld {folder}"),
            ));
        }
        if let Some(folder) = self.get("noexec") {
            return Some(blocks(
                format!("programs below {folder} may not run (noexec)"),
                &format!("sudo mount -o remount,exec {folder}"),
            ));
        }
        let free = self.get("free").and_then(|kib| kib.parse::<u64>().ok())?.saturating_mul(1024);
        (free < LEAST_FREE).then(|| {
            blocks(
                format!("only {} MB of its disk are free", free / 1_000_000),
                "df -h; sudo apt clean; sudo docker system df",
            )
            .with(Code::NoSpace)
        })
    }

    fn memory(&self) -> Option<Finding> {
        if !self.is("memory", "no") {
            return None;
        }
        // Raspberry Pi OS switches the controller off by default.
        let words = "cgroup_enable=memory cgroup_memory=1";
        let mend = match self.get("cmdline") {
            Some(file) => format!("sudo sed -i '1 s/$/ {words}/' {file} && sudo reboot"),
            None => format!(
                "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{words} /' /etc/default/grub && sudo update-grub && sudo reboot"
            ),
        };
        Some(
            blocks("its kernel limits no memory: the memory control group is off".to_owned(), &mend)
                .with(Code::MemoryLimits),
        )
    }

    fn clock(&self, now: i64) -> Option<Finding> {
        let clock: i64 = self.get("clock")?.parse().ok()?;
        let off = clock - now;
        (off.abs() > SKEW).then(|| {
            let word = if off < 0 { "behind" } else { "ahead" };
            let what = format!("its clock is {} s {word} this machine's", off.abs());
            note(what, "sudo timedatectl set-ntp true; date")
        })
    }

    fn firewall(&self, port: u16) -> Option<Finding> {
        let mend = match self.get("firewall")? {
            "ufw" => format!("sudo ufw allow {port}/tcp"),
            _ => format!("sudo firewall-cmd --permanent --add-port={port}/tcp && sudo firewall-cmd --reload"),
        };
        let what = format!("its firewall is on, and the release publishes port {port}");
        Some(note(what, &mend))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.facts.contains_key(name)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.facts.get(name).is_some_and(|found| found == value)
    }
}

/// `1.2.3` as numbers, for comparing; `None` for anything else, which is older than all.
fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let core = version.split(['-', '+']).next()?;
    let mut parts = core.split('.').map(|part| part.parse().ok());
    let numbers = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(numbers)
}

fn blocks(what: String, mend: &str) -> Finding {
    Finding { what, mend: mend.to_owned(), blocks: true, code: None }
}

fn note(what: String, mend: &str) -> Finding {
    Finding { blocks: false, ..blocks(what, mend) }
}

impl Finding {
    fn with(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        self.code.map_or(Class::Environment, Code::class)
    }

    /// What it is, and its code at the end.
    pub fn in_words(&self) -> String {
        let code = self.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        format!("{}{code}", self.what)
    }
}

#[cfg(test)]
mod tests;
