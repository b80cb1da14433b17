//! Behind a proxy and a private authority: packages, their indexes and registries, from the first fetch.

mod mirror;
mod proxy;

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use self::mirror::{Mirror, packages};
use self::proxy::Proxy;
use crate::registry::real::Real;
use crate::support::{Ran, command, copy, finish};

/// A name that leads nowhere: whoever reaches it went through the proxy.
const HOST: &str = "mirror.invalid";
const BUILD: [&str; 4] = ["build", "--locked", "--platform", PLATFORM];
const PLATFORM: &str = "linux/amd64";

/// A project without packages, and a data folder of its own.
struct Desk {
    project: TempDir,
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { project: copy(), home: tempfile::tempdir().unwrap() }
    }

    /// Writes the user's `config.yaml`.
    fn settings(&self, text: &str) {
        fs::write(self.home.path().join("config.yaml"), format!("format: 1\n{text}")).unwrap();
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = command(self.project.path(), arguments);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        for name in ["XEDGE_DEBIAN_MIRROR", "XEDGE_CA", "XEDGE_ARCHIVE"] {
            command.env_remove(name);
        }
        command.env("XEDGE_HOME", self.home.path()).envs(variables.iter().copied());
        command
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        finish(self.command(arguments, variables))
    }

    /// Builds the broker of packages that have to be fetched.
    fn build(&self, variables: &[(&str, &str)]) -> Ran {
        self.run(&[&BUILD[..], &["mqtt-broker"]].concat(), variables)
    }

    /// How many packages were fetched.
    fn fetched(&self) -> usize {
        fs::read_dir(self.project.path().join("target/xedge/store/sha256")).map_or(0, Iterator::count)
    }
}

#[test]
fn a_proxy_of_the_environment_carries_indexes_and_packages() {
    let (desk, mirror) = (Desk::new(), Mirror::plain());
    let proxy = Proxy::to(mirror.port());
    let url = format!("http://{HOST}/debian");
    let variables = [("HTTP_PROXY", proxy.url()), ("XEDGE_DEBIAN_MIRROR", url.as_str())];

    // The mirror has no indexes: what counts is who was asked for them.
    let ran = desk.run(&["lock", "--update", "mqtt-broker"], &variables).expect(1);
    ran.says(&format!("failed to fetch {url}/dists/bookworm/InRelease: the server answered 404"));
    assert_eq!(proxy.take(), [format!("GET {url}/dists/bookworm/InRelease")]);

    desk.build(&variables).expect(0);
    let asked = proxy.take();
    assert_eq!(asked.len(), packages(PLATFORM).len(), "a request for each package");
    assert!(asked.iter().all(|line| line.starts_with(&format!("GET http://{HOST}/debian"))), "{asked:?}");

    let past = Desk::new();
    past.build(&[&variables[..], &[("NO_PROXY", HOST)]].concat()).expect(1).says("failed to fetch http://");
    assert_eq!(proxy.take(), [""; 0], "a host that goes past the proxy");
}

#[test]
fn a_private_authority_and_a_proxy_of_the_users_file_are_used_from_the_first_fetch() {
    let (desk, mirror) = (Desk::new(), Mirror::with_tls());
    let proxy = Proxy::to(mirror.port());
    let ca = mirror.ca();
    let ca = ca.to_str().unwrap();
    let reach = format!("debian_mirror: https://{HOST}/debian\nproxy: {}\n", proxy.url());

    desk.settings(&reach);
    let ran = desk.build(&[]).expect(1).says("UnknownIssuer").says("`export XEDGE_CA=FILE`");
    ran.says(&format!("failed to fetch https://{HOST}/debian")).says("`ca_file: FILE` in config.yaml");
    assert_eq!(desk.fetched(), 0, "something of a stranger was kept");
    assert!(proxy.take().contains(&format!("CONNECT {HOST}:443")), "it went past the proxy");

    desk.settings(&format!("{reach}ca_file: {ca}\n"));
    desk.build(&[]).expect(0);
    assert_eq!(desk.fetched(), packages(PLATFORM).len());

    // A variable wins over the file: an authority of the same name that signed nothing here.
    let (other, stranger) = (Desk::new(), Mirror::with_tls());
    other.settings(&format!("{reach}ca_file: {ca}\n"));
    other.build(&[("XEDGE_CA", stranger.ca().to_str().unwrap())]).expect(1).says("is not trusted here");
    let none = other.home.path().join("none.pem");
    fs::write(&none, "no certificate").unwrap();
    let none = none.to_str().unwrap();
    other.build(&[("XEDGE_CA", none)]).expect(3).says("no certificate in PEM").says("XEDGE_CA names it");
    other.settings(&reach);
    other.build(&[("XEDGE_CA", ca)]).expect(0);
}

#[test]
fn a_registry_is_reached_with_the_users_file_alone() {
    const USER: &str = "pusher";
    const PASSWORD: &str = "correct-horse-1f0c";
    let (desk, real) = (Desk::new(), Real::with_tls(USER, PASSWORD));
    let far = real.far_host();
    let port = far.rsplit_once(':').unwrap().1;
    let host = format!("registry.invalid:{port}");
    let proxy = Proxy::to(port.parse().unwrap());
    let login = |desk: &Desk| {
        let file = desk.home.path().join("password");
        fs::write(&file, PASSWORD).unwrap();
        let arguments = ["registry", "login", &host, "--username", USER, "--password-stdin"];
        let mut command = desk.command(&arguments, &[]);
        command.stdin(Stdio::from(fs::File::open(file).unwrap()));
        finish(command)
    };
    desk.settings(&format!("proxy: {}\n", proxy.url()));
    login(&desk).expect(3).says("failed to trust the certificate").says("XEDGE_CA");
    let ca = real.ca().unwrap().display();
    desk.settings(&format!("proxy: {}\nca_file: {ca}\n", proxy.url()));
    proxy.take();
    login(&desk).expect(0).says(&format!("{USER} at {host}"));
    let asked = proxy.take();
    assert!(!asked.is_empty() && asked.iter().all(|line| *line == format!("CONNECT {host}")), "{asked:?}");
    desk.settings(&format!("proxy: {}\nca_file: {ca}\nno_proxy: [.invalid]\n", proxy.url()));
    login(&desk).expect(1).says("failed to reach https://registry.invalid");
    assert_eq!(proxy.take(), [""; 0], "a host that goes past the proxy");
}

#[test]
fn doctor_shows_what_is_set_and_by_whom() {
    let desk = Desk::new();
    desk.settings("debian_mirror: http://m.example/debian\nproxy: http://me:s3cret@p.example:3128\n");
    let doctor = |variables: &[(&str, &str)]| desk.run(&["doctor"], variables).stderr;
    let said = doctor(&[]);
    let file = desk.home.path().join("config.yaml");
    for line in [
        format!("Debian mirror: http://m.example/debian ({})", file.display()),
        format!("proxy: http://p.example:3128/ ({})", file.display()),
    ] {
        assert!(said.contains(&line), "`{line}` is not in:\n{said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    let said =
        doctor(&[("https_proxy", "http://q.example:1"), ("XEDGE_DEBIAN_MIRROR", "http://n.example/d")]);
    assert!(said.contains("proxy: http://q.example:1/ (https_proxy)"), "{said}");
    assert!(said.contains("Debian mirror: http://n.example/d (XEDGE_DEBIAN_MIRROR)"), "{said}");
    assert!(!said.contains("p.example"), "{said}");

    desk.settings("mirror: http://m.example/debian\n");
    for arguments in [&["doctor"][..], &["lock", "mqtt-broker"], &["build", "mqtt-broker"]] {
        desk.run(arguments, &[]).expect(3).says("config.yaml:2:1").says("mirror");
    }
}
