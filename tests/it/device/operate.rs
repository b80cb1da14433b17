//! What people do with devices: plans, several of them at once, a look, the way back, measurements, and containers that were
//! there before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use xedge_bundle::Envelope;
use xedge_bundle::staging::{self, Staging};
use xedge_sign::GateKey;

use super::pair::{HUB_PORT, SIDE_PORT, Shelf};
use super::stand::Board;
use super::{Device, agent};
use crate::sim::bench::{Bench, Running, copy_there};
use crate::support::{self, Ran, finish};

/// Two devices that one configuration of ssh knows as `one` and `two`.
struct Both {
    one: Device,
    two: Device,
    config: PathBuf,
}

impl Both {
    fn start() -> Self {
        let board = Board { ports: vec![HUB_PORT, SIDE_PORT], ..Board::default() };
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(|| Device::start(&board));
            (Device::start(&board), other.join().unwrap())
        });
        let config = one.folder().join("both");
        let named = |device: &Device, name: &str| {
            fs::read_to_string(device.folder().join("config")).unwrap().replace("Host device", name)
        };
        fs::write(&config, named(&one, "Host one") + &named(&two, "Host two")).unwrap();
        Self { one, two, config }
    }

    /// A command about these hosts, in their order.
    fn command(&self, words: &[&str], hosts: &[&str], more: &[&str]) -> Command {
        let mut command = support::command(&support::root(), words);
        command.args(hosts.iter().flat_map(|host| ["--host", host])).arg("--ssh-config").arg(&self.config);
        command.args(["--format", "json"]).args(more);
        command
    }

    fn device(&self, word: &str, hosts: &[&str], more: &[&str]) -> Ran {
        finish(self.command(&["device", word], hosts, more))
    }

    fn deployment(&self, bundle: &Path, hosts: &[&str], more: &[&str]) -> Command {
        let files = ["--bundle", bundle.to_str().unwrap(), "--root", Shelf::get().root.to_str().unwrap()];
        self.command(&["deploy"], hosts, &[&files, more].concat())
    }

    fn deploy(&self, bundle: &Path, hosts: &[&str], more: &[&str]) -> Ran {
        finish(self.deployment(bundle, hosts, more))
    }
}

#[test]
fn devices_are_looked_after_from_one_place() {
    let goods = Shelf::get();
    let both = Both::start();
    agent();
    both.plans_change_nothing_and_are_kept(goods);
    both.the_first_failure_stops_the_rest(goods);
    both.status_logs_and_doctor_tell(goods);
    both.a_spare_device_is_measured(goods);
    both.rollback_and_remove(goods);
    both.a_container_from_before_is_taken_over(goods);
    both.an_image_is_a_stack_beside_others(goods);
}

impl Both {
    /// Of what is missing, byte for byte, and then that travels.
    fn plans_change_nothing_and_are_kept(&self, goods: &Shelf) {
        let hosts = ["one", "two"];
        let all =
            "ls -A /var/lib/xedge /usr/local/bin; docker ps -aq; docker image ls -aq; docker volume ls -q";
        let (before, bare) = (self.one.run(all), self.two.run(all));
        let plans = lines(&self.deploy(&goods.first, &hosts, &["--dry-run"]).expect(0));
        assert_eq!((self.one.run(all), self.two.run(all)), (before, bare), "a plan changed something");
        let none = self.device("status", &["one"], &[]).expect(1);
        assert!(none.stderr.contains("xedge-agent"), "{}", none.stderr);
        for (plan, host) in plans.iter().zip(hosts) {
            assert_eq!(
                (&plan["host"], &plan["dryRun"], &plan["installsAgent"]),
                (&json!(host), &json!(true), &json!(true))
            );
            assert_eq!(plan["travels"], plan["bytes"], "nothing is there yet: {plan}");
        }
        for device in [&self.one, &self.two] {
            device.run("touch /run/no-agent");
        }
        let flags = ["--agent", agent().to_str().unwrap()];
        let reports = lines(&self.deploy(&goods.first, &hosts, &flags).expect(0));
        assert_eq!([&reports[0]["host"], &reports[1]["host"]], hosts, "in this order");
        for (plan, report) in plans.iter().zip(&reports) {
            assert_eq!(plan["travels"], report["sentBytes"], "{plan}\n{report}");
        }

        let before = self.one.picture();
        let plan = &lines(&self.deploy(&goods.second, &["one"], &["--dry-run"]).expect(0))[0];
        assert_eq!(self.one.picture(), before, "a plan changed something");
        assert_eq!(plan["installsAgent"], false);
        let layers = plan["lines"].as_array().unwrap().iter().filter(|line| line["digest"].is_string());
        assert!(layers.clone().count() > 0 && layers.clone().all(|line| line["travels"] == 0), "{plan}");
        let report = &lines(&self.deploy(&goods.second, &["one"], &[]).expect(0))[0];
        assert_eq!(plan["travels"], report["sentBytes"], "{plan}\n{report}");
        assert_eq!((self.one.runs_wholly(), self.two.runs_wholly()), (2, 1));
    }

    fn the_first_failure_stops_the_rest(&self, goods: &Shelf) {
        self.deploy(&goods.last, &["one"], &[]).expect(0);
        let before = self.two.picture();
        let ran = self.deploy(&goods.second, &["one", "two"], &[]).expect(6);
        let ran = ran.says("stopped at one; not touched: two");
        assert_eq!((ran.stdout.as_str(), self.two.picture()), ("", before));
        let done = lines(&self.deploy(&goods.second, &["two", "one"], &[]).expect(6));
        assert_eq!((done.len(), &done[0]["host"]), (1, &json!("two")));
        assert_eq!((self.one.runs_wholly(), self.two.runs_wholly()), (6, 2));
    }

    fn status_logs_and_doctor_tell(&self, _shelf: &Shelf) {
        let status = lines(&self.device("status", &["two", "one"], &[]).expect(0));
        let told: Vec<_> =
            status.iter().map(|one| (&one["host"], &one["stacks"][0]["current"]["seq"])).collect();
        assert_eq!(told, [(&json!("two"), &json!(2)), (&json!("one"), &json!(6))]);

        let logs = self.device("logs", &["two"], &["--service", "hub", "--lines", "500"]).expect(0);
        assert!(logs.stdout.contains("mosquitto version"), "{}", logs.stdout);
        let last = self.device("logs", &["two"], &["--service", "hub", "--lines", "1"]).expect(0);
        assert_eq!(last.stdout.lines().count(), 1, "{}", last.stdout);
        let all = self.device("logs", &["two"], &["--lines", "500"]).expect(0);
        assert!(all.stdout.lines().count() > logs.stdout.lines().count(), "{}", all.stdout);

        let well = self.device("doctor", &["two"], &[]);
        assert_eq!((well.code, well.stdout.as_str()), (0, ""), "{}", well.stderr);
        self.two.run("docker stop pair-side");
        let unwell = self.device("doctor", &["one", "two"], &[]).expect(1);
        let problems = lines(&unwell);
        let [problem] = &problems[..] else { panic!("{problems:#?}") };
        assert_eq!(problem["host"], "two");
        assert!(problem["problem"].as_str().unwrap().contains("side does not run"), "{problem}");
    }

    /// What ends while it is measured gets no figures that are signed.
    fn a_spare_device_is_measured(&self, goods: &Shelf) {
        let folder = support::root().join("target/xedge/staging/pair-r2");
        let _ = fs::remove_dir_all(&folder);
        let flags = |seconds| ["--env", "staging", "--measure", seconds];
        let mut running = Running::start(self.deployment(&goods.second, &["two"], &flags("6")));
        running.until("measures two for 6 s");
        self.two.run("docker stop --time 1 pair-side");
        running.finish().expect(2).says("side does not run");
        assert!(!folder.exists(), "something was signed");
        self.two.run("docker start pair-side");

        let ran = self.deploy(&goods.second, &["two"], &flags("1")).expect(0);
        let report = lines(&ran).pop().unwrap();
        let file = support::root().join(report["staging"].as_str().unwrap());
        assert!(file.starts_with(&folder), "{report}");
        let bytes = fs::read(&file).unwrap();
        let keys = camino::Utf8Path::from_path(support::home()).unwrap().join("keys");
        let key = GateKey::load(&GateKey::path_in(&keys)).unwrap().verifying_key();
        let signed = Envelope::parse("staging", &bytes).unwrap().verify(&[key]).unwrap();
        let Staging { predicate, .. } = Staging::parse("staging", signed.bytes()).unwrap();
        assert_eq!((predicate.stack.as_str(), predicate.seq, predicate.seconds), ("pair", 2, 1));
        assert!(file.parent().unwrap().ends_with(&predicate.device.id), "{}", file.display());
        assert_eq!(predicate.format, staging::FORMAT);
        let names: Vec<&str> = predicate.services.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, ["hub", "side"]);
        for service in &predicate.services {
            let (most, least) = (64 << 20, 100 << 10);
            assert!((least..most).contains(&service.memory), "{service:?}");
            assert!(service.millicpus < 2_000, "{service:?}");
        }
    }

    fn rollback_and_remove(&self, goods: &Shelf) {
        self.two.retain("mine");
        for seq in [1, 2] {
            let rolled = &lines(&self.device("rollback", &["two"], &[]).expect(0))[0];
            assert_eq!((&rolled["host"], &rolled["seq"]), (&json!("two"), &json!(seq)));
            assert_eq!(self.two.runs_wholly(), seq);
            self.two.assert_retained("mine");
        }
        // The image stays for the container that somebody will start by hand.
        self.two.run("docker tag $(docker inspect pair-hub --format '{{.Image}}') by/hand");
        self.device("remove", &["two"], &[]).expect(0);
        assert_eq!(self.two.run("docker ps -aq; docker volume ls -q"), "pair_hub-data\n", "data stays");
        // As from a stick; what was accepted before the removal still counts.
        let stick = self.two.bring(&goods.first);
        assert_eq!(self.two.agent_fails(&format!("apply {stick}"), 6)["code"], "rollback");
        let stick = self.two.bring(&goods.second);
        self.two.run(&format!("xedge-agent apply {stick}"));
        assert_eq!(self.two.runs_wholly(), 2);
        self.two.assert_retained("mine");

        self.device("remove", &["two"], &["--purge"]).expect(0);
        assert_eq!(self.two.run("docker ps -aq; docker volume ls -q"), "", "data goes");
        self.device("rollback", &["two"], &[]).expect(3);
    }

    fn a_container_from_before_is_taken_over(&self, goods: &Shelf) {
        let device = &self.two;
        let config = "listener 1883\\nallow_anonymous true\\npersistence true\\n\
                      persistence_location /mosquitto/data/\\nautosave_on_changes true\\nautosave_interval 1\\n";
        device.run(&format!("mkdir -p /srv/old && printf '{config}' >/srv/old/mosquitto.conf"));
        device.run(
            "docker run --detach --name old-hub --restart always --publish 11883:1883 \
             --volume by-hand:/mosquitto/data --volume /srv/old:/mosquitto/config:ro by/hand",
        );
        device.retain("by hand");
        let old = device.run("docker inspect old-hub --format '{{.Id}}'");

        let before = device.picture();
        let ran = self.deploy(&goods.last, &["two"], &[]).expect(1);
        assert!(
            ran.stderr.contains("port-taken") && ran.stderr.contains("--adopt old-hub"),
            "{}",
            ran.stderr
        );
        self.deploy(&goods.last, &["two"], &["--adopt", "side=none"]).expect(3);
        assert_eq!(device.picture(), before, "a refusal changed something");

        self.deploy(&goods.last, &["two"], &["--adopt", "hub=old-hub"]).expect(0);
        assert_eq!(device.runs_wholly(), 6);
        device.assert_retained("by hand");
        let data = "{{range .Mounts}}{{if eq .Destination \"/mosquitto/data\"}}{{.Name}}{{end}}{{end}}";
        assert_eq!(device.run(&format!("docker inspect pair-hub --format '{data}'")), "by-hand\n");
        let state = "docker inspect --format '{{.State.Running}}'";
        assert_eq!(device.run(&format!("{state} {old}")), "false\n", "it is kept, and stopped");
        // The same line again is no error and changes nothing.
        let again = self.deploy(&goods.last, &["two"], &["--adopt", "hub=old-hub"]).expect(0);
        assert_eq!(lines(&again)[0]["unchanged"], true);

        self.device("rollback", &["two"], &[]).expect(0);
        assert_eq!(
            device.run("docker ps --no-trunc --format '{{.ID}} {{.Names}}'"),
            old.trim().to_owned() + " old-hub\n"
        );
        device.assert_retained("by hand");
        self.device("remove", &["two"], &["--purge"]).expect(0);
        assert_eq!(
            device.run("docker volume ls -q"),
            "by-hand\n",
            "what was there before is nobody's to delete"
        );
    }

    /// The flags of a deploy script, behind a smoke gate, on a device that runs something else.
    fn an_image_is_a_stack_beside_others(&self, goods: &Shelf) {
        let mut bench = Bench::new();
        let image = format!("it-device/own-{}", std::process::id());
        bench.own_broker(&image, "listener", "# own\nlistener");
        for part in ["keys", "trust"] {
            copy_there(&goods.home.join(part), bench.home().join(part).as_std_path());
        }
        let config = bench.home().join("own.conf");
        fs::write(&config, "listener 1883 0.0.0.0\nallow_anonymous true\nmax_connections 7\n").unwrap();
        let mut deploy = bench.command(&["deploy", "--host", "one", "--format", "json", "--image", &image]);
        deploy.arg("--ssh-config").arg(&self.config).args(["--name", "own", "--config", config.as_str()]);
        deploy.args(["--port", "18840", "--memory", "64m", "--cpus", "0.5"]);
        let ran = finish(deploy).expect(0).says("level smoke");
        let gate = ran.stderr.find("service.answers(own, 1883)").unwrap_or_else(|| panic!("{}", ran.stderr));
        assert!(ran.stderr.find("one: verifies").is_some_and(|there| gate < there), "{}", ran.stderr);
        let report = &lines(&ran)[0];
        assert_eq!((&report["stack"], &report["seq"]), (&json!("own"), &json!(1)), "{report}");

        let limits = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{json .HostConfig.PortBindings}}";
        let found = self.one.run(&format!("docker inspect own --format '{limits}'"));
        assert!(found.starts_with("67108864 500000000 {") && found.contains("\"18840\""), "{found}");
        let source = "{{range .Mounts}}{{if eq .Type \"bind\"}}{{.Source}} {{end}}{{end}}";
        let mounted = self.one.run(&format!("cat $(docker inspect own --format '{source}')"));
        assert!(mounted.contains("max_connections 7"), "{mounted}");
        let names = self.one.run("docker ps --format '{{.Names}}' | sort");
        assert_eq!(names, "own\npair-hub\npair-side\n", "several stacks, side by side");
        // Which of them is meant must be said now.
        self.device("remove", &["one"], &[]).expect(3).says("--stack NAME");
        self.device("remove", &["one"], &["--stack", "own"]).expect(0);
        assert_eq!(self.one.runs_wholly(), 6);
        bench.assert_clean();
    }
}

/// What was printed, a value a line.
#[track_caller]
pub fn lines(ran: &Ran) -> Vec<Value> {
    let value = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\n{}", ran.stderr));
    ran.stdout.lines().map(value).collect()
}
