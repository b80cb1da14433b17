//! A raw HTTP/1.1 client for the tests: it sends what no polite client would, and it keeps no connection.

use std::fmt::Write as _;
use std::net::SocketAddr;

use camino::Utf8PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xedge_model::Digest;

use crate::server::{Running, Store, bind, serve};

/// A registry in a temporary folder.
pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) running: Running,
}

/// An answer, read to the end of the connection.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status and the code of the envelope.
    pub(super) fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["errors"][0]["code"].as_str().unwrap().to_owned())
    }
}

pub(super) fn path(folder: &TempDir) -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap()
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&path(&folder)).unwrap();
        let running = serve(bind(0).await.unwrap(), store).unwrap();
        Self { folder, running }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Sends a request with these header lines and a body.
    pub(super) async fn ask(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Got {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address());
        for header in headers.iter().chain([&"Connection: close"]) {
            write!(request, "{header}\r\n").unwrap();
        }
        write!(request, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
        self.raw(&[request.as_bytes(), body].concat(), method == "HEAD").await
    }

    pub(super) async fn get(&self, target: &str) -> Got {
        self.ask("GET", target, &[], b"").await
    }

    /// Sends bytes and reads until the server closes.
    pub(super) async fn raw(&self, bytes: &[u8], is_head: bool) -> Got {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        read(&answer, is_head)
    }

    /// Pushes a blob in one request.
    pub(super) async fn blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let target = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        assert_eq!(self.ask("POST", &target, &[], bytes).await.status, 201);
        digest
    }

    /// Pushes a manifest.
    pub(super) async fn manifest(&self, name: &str, reference: &str, kind: &str, bytes: &[u8]) -> Got {
        let content_type = format!("Content-Type: {kind}");
        self.ask("PUT", &format!("/v2/{name}/manifests/{reference}"), &[&content_type], bytes).await
    }
}

fn read(answer: &[u8], is_head: bool) -> Got {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let got = Got { status, head, body: answer[end + 4..].to_vec() };
    if let Some(length) = got.header("content-length").filter(|_| !is_head) {
        assert_eq!(got.body.len().to_string(), length, "{got:?}");
    }
    got
}
