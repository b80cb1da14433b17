//! Debian's `docker-registry` on a free loopback port, with its storage in a temporary folder: open, with a password,
//! or with a password and TLS. It never touches the service that the package installs.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A registry that runs until it is stopped or dropped.
pub struct Real {
    folder: TempDir,
    child: Child,
    port: u16,
    ca: Option<PathBuf>,
}

impl Real {
    /// A registry that anybody may use, without TLS.
    #[track_caller]
    pub fn open() -> Self {
        Self::start(&|_| String::new())
    }

    /// A registry that wants this user and password, without TLS.
    #[track_caller]
    pub fn with_password(user: &str, password: &str) -> Self {
        Self::start(&|folder| auth(folder, user, password))
    }

    /// A registry that wants this user and password, over TLS with a certificate for `localhost` of a CA of its own.
    #[track_caller]
    pub fn with_tls(user: &str, password: &str) -> Self {
        let mut real = Self::start(&|folder| format!("{}{}", tls(folder), auth(folder, user, password)));
        real.ca = Some(real.folder.path().join("ca.pem"));
        real
    }

    /// What stands before the first `/` of a reference.
    pub fn host(&self) -> String {
        let name = if self.ca.is_some() { "localhost" } else { "127.0.0.1" };
        format!("{name}:{}", self.port)
    }

    /// The same place, written so that it is not taken for the loopback, which is talked to without TLS.
    pub fn far_host(&self) -> String {
        format!("[::ffff:127.0.0.1]:{}", self.port)
    }

    /// The certificate of the CA, in PEM; without TLS there is none.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Ends it, as a registry that is gone in the middle of something.
    pub fn stop(&mut self) {
        // It may have ended by itself, and what it left goes with the folder.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Starts it with more lines of configuration, and tries another port if this one was taken in the meantime.
    #[track_caller]
    fn start(more: &dyn Fn(&Path) -> String) -> Self {
        for _ in 0..5 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let port = free_port();
            let text = configuration(folder.path(), port, &more(folder.path()));
            let file = folder.path().join("config.yml");
            fs::write(&file, text).expect("a written file");
            let log = fs::File::create(folder.path().join("log")).expect("a log");
            let child = spawn(Command::new("docker-registry").arg("serve").arg(&file), log);
            let mut real = Self { folder, child, port, ca: None };
            if real.answers() {
                return real;
            }
        }
        panic!("docker-registry found no free port in five attempts");
    }

    /// Whether it came up; it did not if it ended because the port was taken.
    #[track_caller]
    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        loop {
            let ended = self.child.try_wait().expect("a child that can be waited for").is_some();
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if ended {
                assert!(log.contains("address already in use"), "docker-registry ended at once:\n{log}");
                return false;
            }
            if log.contains("listening on") && TcpStream::connect(address).is_ok() {
                return true;
            }
            assert!(Instant::now() < deadline, "docker-registry does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

#[track_caller]
fn spawn(command: &mut Command, log: fs::File) -> Child {
    let second = log.try_clone().expect("a log");
    let command = command.stdin(Stdio::null()).stdout(log).stderr(second);
    // Variables of this name would be read as configuration.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"REGISTRY_"))
    {
        command.env_remove(name);
    }
    command.spawn().unwrap_or_else(|e| missing("docker-registry", "docker-registry", &e))
}

fn missing(program: &str, package: &str, error: &std::io::Error) -> ! {
    panic!("`{program}` does not start: {error}; install it with `apt-get install {package}`")
}

/// The sections that every variant has; `more` ends the section of `http` and adds others.
fn configuration(folder: &Path, port: u16, more: &str) -> String {
    format!(
        "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
         enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{more}",
        folder.join("storage").display()
    )
}

/// Writes the file of passwords and gives the lines that name it.
#[track_caller]
fn auth(folder: &Path, user: &str, password: &str) -> String {
    let mut command = Command::new("htpasswd");
    command
        .args(["-B", "-i", "-n", user])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| missing("htpasswd", "apache2-utils", &e));
    let mut stdin = child.stdin.take().expect("stdin was asked for");
    stdin.write_all(password.as_bytes()).expect("htpasswd reads the password");
    drop(stdin);
    let output = child.wait_with_output().expect("htpasswd ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = folder.join("htpasswd");
    fs::write(&file, output.stdout).expect("a written file");
    format!("auth:\n  htpasswd:\n    realm: xedge-test\n    path: {}\n", file.display())
}

/// Makes a CA and a certificate for `localhost` and for a name that only a proxy knows, and gives the lines that name them.
#[track_caller]
fn tls(folder: &Path) -> String {
    certificate(folder, "DNS:localhost,DNS:registry.invalid,IP:127.0.0.1,IP:::ffff:127.0.0.1");
    let path = |name: &str| folder.join(name).display().to_string();
    format!("  tls:\n    certificate: {}\n    key: {}\n", path("tls.pem"), path("tls.key"))
}

/// Makes a CA, `ca.pem`, and a certificate for these names, `tls.pem` with `tls.key`.
#[track_caller]
pub fn certificate(folder: &Path, names: &str) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];
    let ca = ["-x509", "-days", "2", "-subj", "/CN=xedge test CA", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(folder, &[&["req"], &key[..], &ca[..]].concat());
    let request = ["-subj", "/CN=localhost", "-keyout", "tls.key", "-out", "tls.csr"];
    openssl(folder, &[&["req"], &key[..], &request[..]].concat());
    let names =
        format!("subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n");
    fs::write(folder.join("tls.ext"), names).expect("a written file");
    let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "tls.ext"];
    openssl(folder, &[&["x509", "-req", "-in", "tls.csr", "-out", "tls.pem"], &by[..]].concat());
}

#[track_caller]
fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output();
    let output = output.unwrap_or_else(|e| missing("openssl", "openssl", &e));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The first line of the answer to `GET /v2/` with one more header line.
fn ping(real: &Real, header: &str) -> String {
    let host = real.host();
    let mut stream = TcpStream::connect(&host).unwrap();
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn it_asks_for_the_password_that_it_was_given() {
    let mut real = Real::open();
    assert_eq!(ping(&real, ""), "HTTP/1.1 200 OK");
    assert_eq!(real.ca(), None);
    let host = real.host();
    real.stop();
    assert!(TcpStream::connect(host).is_err());
    let real = Real::with_password("user", "pass");
    assert_eq!(ping(&real, ""), "HTTP/1.1 401 Unauthorized");
    // `user:pass` in base64.
    assert_eq!(ping(&real, "Authorization: Basic dXNlcjpwYXNz\r\n"), "HTTP/1.1 200 OK");
}

#[test]
fn its_certificate_is_of_its_own_ca() {
    let real = Real::with_tls("user", "pass");
    assert_eq!(ping(&real, ""), "HTTP/1.0 400 Bad Request", "it speaks TLS only");
    let ca = real.ca().expect("a CA").to_str().unwrap();
    let verify = ["-verify_return_error", "-verify_hostname", "localhost", "-CAfile", ca];
    let mut client = Command::new("openssl");
    client.args(["s_client", "-brief", "-connect", &real.host()]).args(verify).stdin(Stdio::null());
    let output = client.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
