//! A made-up Debian mirror on loopback with the broker's packages and no index, over plain HTTP or over TLS.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::registry::real::{certificate, free_port};
use crate::support::{project_with_packages, root};

/// A server that runs until it is dropped.
pub struct Mirror {
    folder: TempDir,
    server: Child,
    port: u16,
}

impl Mirror {
    /// One without TLS.
    pub fn plain() -> Self {
        Self::start(&|port| {
            let mut server = Command::new("python3");
            server.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]);
            server
        })
    }

    /// One with a certificate for [`super::HOST`], of a CA of its own.
    pub fn with_tls() -> Self {
        Self::start(&|port| {
            let mut server = Command::new("openssl");
            // Serves the files of its folder, one connection after the other.
            server.args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}")]);
            server.args(["-cert", "tls.pem", "-key", "tls.key"]);
            server
        })
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of its CA.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn start(server: &dyn Fn(u16) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        certificate(folder.path(), &format!("DNS:{}", super::HOST));
        let port = free_port();
        let mut command = server(port);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().expect("the server starts: get it with `cargo xtask setup`");
        let mut mirror = Self { folder, server, port };
        mirror.wait();
        mirror
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(self.server.try_wait().unwrap().is_none(), "the mirror ended");
            assert!(Instant::now() < end, "the mirror does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// File name in the archive and digest of each package of the broker on a platform.
pub fn packages(platform: &str) -> Vec<(String, String)> {
    let text = fs::read(root().join("images/mqtt-broker/image.lock.json")).unwrap();
    let lock: Value = serde_json::from_slice(&text).unwrap();
    let packages = lock["platforms"][platform]["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    packages.iter().map(|package| (text(&package["filename"]), text(&package["sha256"]))).collect()
}

/// Links to the fetched packages, under their names in both archives.
fn fill(folder: &Path) {
    let store = project_with_packages().path().join("target/xedge/store").canonicalize().unwrap();
    symlink("debian", folder.join("debian-security")).unwrap();
    for (name, digest) in packages("linux/amd64").into_iter().chain(packages("linux/arm64")) {
        let (link, hex) = (folder.join("debian").join(name), digest.rsplit(':').next().unwrap().to_owned());
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        if !link.exists() {
            symlink(store.join("sha256").join(hex), link).unwrap();
        }
    }
}
