//! An Engine that is not there, or goes away in the middle: the environment's fault, and mended by the next run.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use xedge_model::Digest;

use super::bench::{self, Bench, Running, SMALL};
use super::signed::starts_foreign;
use crate::support::finish;

#[test]
fn without_an_engine_the_hint_is_setup() {
    let bench = Bench::new();
    bench.scenario("small", SMALL);
    let mut command = bench.command(&["sim", "small"]);
    command.env("DOCKER_HOST", "unix:///nonexistent.sock");
    let ran = finish(command).expect(1);
    assert_eq!(ran.stdout, "");
    ran.says("failed to reach a Docker Engine at unix:///nonexistent.sock")
        .says("hint:")
        .says("`cargo xtask setup`");
}

#[test]
fn a_context_of_the_docker_client_is_followed_and_a_broken_one_is_an_error() {
    let bench = Bench::new();
    bench.scenario("small", SMALL);
    let proxy = Proxy::start(bench.home().join("engine.sock").as_std_path());
    let config = bench.home().join("docker");
    let context = config.join("contexts/meta").join(Digest::of(b"lab").hex());
    fs::create_dir_all(&context).unwrap();
    fs::write(config.join("config.json"), r#"{"currentContext":"lab"}"#).unwrap();
    let meta = |host: &str| {
        let endpoint = format!(r#"{{"Name":"lab","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
        fs::write(context.join("meta.json"), endpoint).unwrap();
    };
    let sim = || {
        let mut command = bench.command(&["sim", "small", "--duration", "1s"]);
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT").env("DOCKER_CONFIG", &config);
        finish(command)
    };
    meta(&format!("unix://{}", proxy.socket.display()));
    sim().expect(0).says("(the docker context `lab`)").says("engine: ");
    proxy.cut();
    // An Engine answers at the usual socket all the while.
    sim().expect(1).says("failed to reach a Docker Engine at unix://").says("engine.sock");
    meta("ssh://me@lab");
    sim().expect(1).says("it is reached over ssh").says("export DOCKER_HOST=unix:///var/run/docker.sock");
    meta("tcp://lab.example:2375");
    sim().expect(1).says("the docker context `lab` names: a run needs its ports on this machine");
    fs::remove_file(context.join("meta.json")).unwrap();
    sim().expect(1).says("failed to find the docker context `lab`").says("`docker context ls`");
    bench.assert_clean();
}

#[test]
fn an_engine_that_goes_away_is_no_verdict_and_the_next_run_cleans_up() {
    let bench = Bench::alone();
    bench.scenario("small", SMALL);
    bench.pretend_evidence("mqtt_test");
    let proxy = Proxy::start(bench.home().join("engine.sock").as_std_path());
    let mut command = bench.command(&["sim", "mqtt_test"]);
    command.env("DOCKER_HOST", format!("unix://{}", proxy.socket.display()));
    let mut run = Running::start(command);
    run.until("  publish");
    proxy.cut();
    let ran = run.finish().expect(1);
    assert_eq!(ran.stdout, "mqtt_test environment target/xedge/reports/mqtt_test\n");
    ran.says("does not answer")
        .says("`cargo xtask doctor`")
        .says("could not remove objects with the label xedge.run=");
    assert!(!bench.evidence("mqtt_test").exists(), "evidence of an earlier run was left");
    assert_eq!(bench.report("mqtt_test")["exit_code"], 1);
    assert_eq!(bench.objects().len(), 2, "what an Engine that is gone still has");

    bench.sim(&["small", "--duration", "1s"]).expect(0).says("removed what dead runs left in the Engine: 2");
    bench.assert_clean();
}

/// An Engine that is restarted ends the containers first.
#[test]
fn containers_that_end_with_their_engine_are_no_verdict() {
    let bench = Bench::alone();
    bench.scenario("small", SMALL);
    let proxy = Proxy::start(bench.home().join("engine.sock").as_std_path());
    let mut command = bench.command(&["sim", "mqtt_test"]);
    command.env("DOCKER_HOST", format!("unix://{}", proxy.socket.display()));
    let mut run = Running::start(command);
    run.until("  publish");
    let objects = bench.objects();
    let container = objects.iter().find_map(|object| object.strip_prefix("container ")).unwrap();
    bench::docker(&["kill", container]);
    // It may be seen to have ended before the Engine is gone.
    thread::sleep(std::time::Duration::from_millis(700));
    proxy.cut();
    run.finish().expect(1).says("does not answer");
    bench.sim(&["small", "--duration", "1s"]).expect(0).says("removed what dead runs left in the Engine: 2");
    bench.assert_clean();
}

#[test]
fn an_engine_that_goes_away_under_emulation_gives_no_evidence() {
    let bench = Bench::alone();
    bench.scenario("small", SMALL);
    let proxy = Proxy::start(bench.home().join("engine.sock").as_std_path());
    let mut command = bench.command(&["sim", "small"]);
    command.env("DOCKER_HOST", format!("unix://{}", proxy.socket.display()));
    let mut run = Running::start(command);
    run.until("mqtt.end_to_end");
    if starts_foreign() {
        // The run itself is over and cleared: what comes now is the other platform's container.
        bench.wait_for_objects(&mut run);
    }
    proxy.cut();
    run.finish().expect(i32::from(starts_foreign()));
    assert_eq!(bench.evidence("small").exists(), !starts_foreign());

    bench.sim(&["small", "--duration", "1s"]).expect(0);
    bench.assert_clean();
}

/// Stands between a run and the real Engine, until it is cut.
struct Proxy {
    socket: PathBuf,
    /// `None` once it is cut.
    streams: Arc<Mutex<Option<Vec<UnixStream>>>>,
}

impl Proxy {
    fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let streams = Arc::new(Mutex::new(Some(Vec::new())));
        let proxy = Self { socket: socket.to_owned(), streams: streams.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                let mut open = streams.lock().unwrap();
                let Some(open) = open.as_mut() else { return };
                let engine = UnixStream::connect(engine()).unwrap();
                open.extend([client.try_clone().unwrap(), engine.try_clone().unwrap()]);
                forward(client.try_clone().unwrap(), engine.try_clone().unwrap());
                forward(engine, client);
            }
        });
        proxy
    }

    /// Hangs up everywhere and answers nobody any more.
    fn cut(&self) {
        let open = self.streams.lock().unwrap().take().unwrap();
        assert!(!open.is_empty(), "nobody asked the Engine anything");
        fs::remove_file(&self.socket).unwrap();
        for stream in open {
            // One that ended by itself is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: UnixStream, mut to: UnixStream) {
    thread::spawn(move || {
        // Either side may hang up at any time.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// The real Engine's socket.
fn engine() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "/var/run/docker.sock".to_owned());
    host.strip_prefix("unix://").unwrap_or(&host).to_owned()
}
