//! Probes against services that behave and such that do not, on real connections.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use camino::Utf8PathBuf;
use xedge_model::stack::Probe;

use super::*;
use crate::Home;
use crate::engine::Fake;

/// A server that does this with each connection.
fn serve(act: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(|stream| act(stream.unwrap())));
    port
}

fn asks(probe: Probe, user: Option<&str>) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
    let home = Home::new(&path).stack("edge");
    fs::create_dir_all(home.secrets()).unwrap();
    fs::write(home.secret("password", 1), "pass word\n").unwrap();
    fs::write(home.secret("options", 1), "# for the probe\n-u sensor\n-P pass word\n").unwrap();
    fs::write(home.secret("broken", 1), "-u sensor\n").unwrap();
    let engine = Fake::open(path.join("engine"), || 0);
    let container = Container::default();
    let secrets = ["password", "options", "broken"].map(|name| (name.to_owned(), 1)).into();
    let asked = Asked { container: &container, ports: &[], home: &home, secrets: &secrets };
    ask(&engine, &asked, &Check { probe, user: user.map(str::to_owned) }).unwrap()
}

fn tcp(port: u16) -> Probe {
    Probe::Tcp { service: "s".to_owned(), port }
}

fn http(port: u16) -> Probe {
    Probe::Http { service: "s".to_owned(), port, path: "/health".to_owned() }
}

fn mqtt(port: u16, secret: Option<&str>) -> Probe {
    Probe::Mqtt { service: "s".to_owned(), port, secret: secret.map(str::to_owned) }
}

#[test]
fn a_connection_has_to_stay() {
    let stays = serve(|mut stream| {
        thread::spawn(move || stream.read(&mut [0; 16]));
    });
    assert_eq!(asks(tcp(stays), None), Ok(()));
    let closes = serve(drop);
    assert!(asks(tcp(closes), None).unwrap_err().contains("closed at once"));
    let speaks = serve(|mut stream| stream.write_all(b"220 hello\r\n").unwrap());
    assert_eq!(asks(tcp(speaks), None), Ok(()));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(asks(tcp(nobody), None).unwrap_err().contains("refused"));
}

#[test]
fn http_needs_a_good_status() {
    let answer = |line: &'static str| {
        serve(move |mut stream| {
            let mut request = [0; 512];
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            assert!(request.starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
            stream.write_all(line.as_bytes()).unwrap();
        })
    };
    assert_eq!(asks(http(answer("HTTP/1.1 200 OK\r\n\r\n")), None), Ok(()));
    assert_eq!(asks(http(answer("HTTP/1.0 304 \r\n\r\n")), None), Ok(()));
    assert!(asks(http(answer("HTTP/1.1 503 Busy\r\n\r\n")), None).unwrap_err().ends_with("it answered 503"));
    assert!(asks(http(answer("220 mail\r\n")), None).unwrap_err().ends_with("is not HTTP"));
}

/// A broker that lets in whoever has this login, read as the standard has it.
fn broker(login: Option<(&'static str, &'static str)>) -> u16 {
    serve(move |mut stream| {
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[0], 0x10);
        let mut body = vec![0; usize::from(head[1])];
        stream.read_exact(&mut body).unwrap();
        let mut rest = &body[10..];
        let mut next = || {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let text = String::from_utf8(rest[2..2 + length].to_vec()).unwrap();
            rest = &rest[2 + length..];
            text
        };
        let _client = next();
        let found = (body[7] & 0xc0 == 0xc0).then(|| (next(), next()));
        let good = login.is_none_or(|(user, password)| found == Some((user.to_owned(), password.to_owned())));
        stream.write_all(&[0x20, 2, 0, if good { 0 } else { 5 }]).unwrap();
    })
}

#[test]
fn mqtt_logs_in_as_the_production_user() {
    let port = broker(Some(("sensor", "pass word")));
    assert_eq!(asks(mqtt(port, Some("options")), None), Ok(()));
    assert_eq!(asks(mqtt(port, Some("password")), Some("sensor")), Ok(()));
    assert!(asks(mqtt(port, Some("password")), Some("other")).unwrap_err().contains("may not connect"));
    assert!(asks(mqtt(port, None), None).unwrap_err().contains("may not connect"));
    assert!(asks(mqtt(port, Some("broken")), None).unwrap_err().contains("has no line"));
    assert!(asks(mqtt(port, Some("missing")), None).unwrap_err().contains("failed to read"));
    assert_eq!(asks(mqtt(broker(None), None), None), Ok(()));
    let other = serve(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad\r\n").unwrap());
    assert!(asks(mqtt(other, None), None).unwrap_err().contains("no CONNACK"));
}
