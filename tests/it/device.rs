//! Deployments to a device: a real Engine behind a real SSH server, which can be switched off at any moment.

mod arrives;
mod edge;
mod faults;
mod operate;
mod pair;
mod refused;
mod remade;
mod ssh;
mod stand;
mod weight;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use self::pair::{HUB_PORT, SIDE_PORT, Shelf};
use self::stand::{Board, HOST, Stand};
use crate::support::{self, Ran, finish};

/// A device for one test, with the folder of its keys.
struct Device {
    stand: Stand,
    _folder: TempDir,
}

impl Device {
    fn start(board: &Board) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
        let stand = Stand::start(xtask, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path(), board);
        Self { stand, _folder: folder }
    }

    /// One on which the first release of the pair runs, and nothing watches.
    fn with_first(board: &Board) -> Self {
        let device = Self::start(&Board { ports: vec![HUB_PORT, SIDE_PORT], ..board.clone() });
        device.run("touch /run/no-agent");
        device.first_contact(&Shelf::get().first).expect(0);
        device
    }

    /// `deploy` of a bundle with the agent of these sources.
    fn first_contact(&self, bundle: &Path) -> Ran {
        self.deploy(bundle, &["--agent", agent().to_str().unwrap()])
    }

    /// `deploy` of a bundle.
    fn deploy(&self, bundle: &Path, more: &[&str]) -> Ran {
        self.deploy_trusting(&Shelf::get().root, bundle, more)
    }

    /// The same with a root of others.
    fn deploy_trusting(&self, root: &Path, bundle: &Path, more: &[&str]) -> Ran {
        let config = self.folder().join("config");
        let mut command = support::command(&support::root(), &["deploy", "--host", HOST]);
        command.arg("--ssh-config").arg(config).arg("--bundle").arg(bundle);
        command.arg("--root").arg(root).args(["--format", "json"]).args(more);
        finish(command)
    }

    /// Puts a bundle on the device, as from a stick, and gives its path there.
    fn bring(&self, bundle: &Path) -> String {
        let to = format!("/tmp/{}", bundle.file_name().unwrap().to_str().unwrap());
        let mut copy = self.ssh("root");
        copy.arg(format!("cat >{to}")).stdin(std::fs::File::open(bundle).unwrap());
        assert!(copy.status().unwrap().success(), "{to} was not copied");
        to
    }

    /// `xedge-agent` on the device.
    fn agent(&self, arguments: &str) -> Output {
        self.try_run(&format!("xedge-agent --format json {arguments}"))
    }

    /// The same; gives what it says of its failure, which must have this exit code.
    #[track_caller]
    fn agent_fails(&self, arguments: &str, code: i32) -> Value {
        let output = self.agent(arguments);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{talk}");
        let last =
            talk.lines().rev().find(|line| line.contains("\"error\"")).unwrap_or_else(|| panic!("{talk}"));
        serde_json::from_str::<Value>(last).unwrap()["error"].take()
    }

    /// The number of the release that runs, as the agent says it, after every service was found running by the Engine.
    #[track_caller]
    fn runs_wholly(&self) -> u64 {
        let output = self.agent("status");
        assert!(output.status.success(), "{output:?}");
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut stacks = status["stacks"].as_array().unwrap().iter();
        let pair = stacks.find(|stack| stack["name"] == "pair").unwrap_or_else(|| panic!("{status:#}"));
        let seq = pair["current"]["seq"].as_u64().unwrap_or_else(|| panic!("{status:#}"));
        let shown = self.run("docker ps --format '{{.Names}} {{.State}}' | sort");
        assert_eq!(shown, "pair-hub running\npair-side running\n", "release {seq}");
        // The configuration that `side` has is the one of that release.
        let source = "{{range .Mounts}}{{if eq .Destination \"/mosquitto/config\"}}{{.Source}}{{end}}{{end}}";
        let config = self.run(&format!("cat $(docker inspect pair-side --format '{source}')/mosquitto.conf"));
        // Number 20 is number 6 anew, of other keys.
        let expected =
            [(1, ""), (2, "max_connections 50\n"), (6, "max_connections 60\n"), (20, "max_connections 60\n")];
        let (_, end) =
            expected.iter().find(|(of, _)| *of == seq).unwrap_or_else(|| panic!("release {seq} runs"));
        assert!(config.ends_with(&format!("allow_anonymous true\n{end}")), "release {seq} has {config}");
        seq
    }

    /// What `xedge-agent watch` does in its loop, until both services run. Where it says that the Engine keeps a port for nobody,
    /// that is restarted once, as a person would; gives whether it was.
    #[track_caller]
    fn mend(&self) -> bool {
        let (start, mut restarted) = (Instant::now(), false);
        loop {
            let output = self.agent("watch --once");
            let running = self.run("docker ps --format '{{.Names}}' | grep -c '^pair-[a-z]*$'; true");
            if output.status.success() && running == "2\n" {
                return restarted;
            }
            if !restarted && String::from_utf8_lossy(&output.stderr).contains("systemctl restart docker") {
                restarted = true;
                self.run("killall -q -w dockerd; sleep 1");
                self.wait_for_engine();
                continue;
            }
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "{running} services run, {output:?}\n{}",
                self.shown()
            );
            sleep(Duration::from_secs(1));
        }
    }

    /// What the Engine has and who holds the ports, for a failure's message.
    fn shown(&self) -> String {
        self.run(
            "docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Status}} {{.Ports}}'; ss -ltnp; \
             cat /var/lib/xedge/stacks/*/journal.json; tail -n 40 /var/log/dockerd.log; true",
        )
    }

    /// Everything that a refusal must leave as it is: containers with their starts, and what is committed.
    fn picture(&self) -> String {
        self.run(
            "docker inspect $(docker ps -aq) --format '{{.Id}} {{.Name}} {{.State.StartedAt}}' | sort; \
             docker volume ls -q; docker image ls -aq --no-trunc | sort; cd /var/lib/xedge && \
             find stacks -name '*.json' | sort | xargs sha256sum",
        )
    }

    /// The Engine's id of a service's container, and when it was started.
    fn container(&self, service: &str) -> String {
        self.run(&format!("docker inspect pair-{service} --format '{{{{.Id}}}} {{{{.State.StartedAt}}}}'"))
    }

    /// Keeps a message in the broker for those who come later.
    fn retain(&self, message: &str) {
        let port = self.port(HUB_PORT).to_string();
        let mut publish = Command::new("mosquitto_pub");
        publish.args(["-h", "127.0.0.1", "-p", &port, "-t", "kept", "-q", "1", "-r", "-m", message]);
        assert!(publish.status().expect("`mosquitto_pub` starts: `cargo xtask setup`").success());
    }

    /// What the broker kept; it may need a moment after a boot.
    #[track_caller]
    fn assert_retained(&self, message: &str) {
        let (port, start) = (self.port(HUB_PORT).to_string(), Instant::now());
        loop {
            let mut subscribe = Command::new("mosquitto_sub");
            subscribe.args(["-h", "127.0.0.1", "-p", &port, "-t", "kept", "-C", "1", "-W", "3"]);
            let heard = subscribe.output().expect("`mosquitto_sub` starts: `cargo xtask setup`");
            if heard.stdout == format!("{message}\n").as_bytes() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the broker kept {heard:?}");
            sleep(Duration::from_millis(200));
        }
    }
}

impl Deref for Device {
    type Target = Stand;

    fn deref(&self) -> &Stand {
        &self.stand
    }
}

/// The agent of these sources. It links the C library of this machine, which is the device's too; a deployment to others
/// builds a static one.
fn agent() -> &'static Path {
    static AGENT: OnceLock<PathBuf> = OnceLock::new();
    AGENT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(support::root()).args(["build", "--quiet", "--locked", "--package", "xedge-agent"]);
        assert!(cargo.status().expect("`cargo` starts").success(), "the agent was not built");
        Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("xedge-agent")
    })
}
