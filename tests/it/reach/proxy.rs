//! A forward proxy on loopback: it writes down what it is asked for, and leads every host to the same port.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A proxy that runs until the tests end.
pub struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// One that leads to this port of the loopback.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = asked.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let notes = notes.clone();
                // A client that hangs up early is its own business.
                thread::spawn(move || drop(serve(&client, port, &notes)));
            }
        });
        Self { url, asked }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first two words of every request since the last look.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// Reads one request's head; `CONNECT` becomes a tunnel, anything else is handed on with the path alone, as
/// RFC 9112 §3.2 has it, and without keeping the connection.
fn serve(client: &TcpStream, port: u16, notes: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let mut words = head[0].split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    notes.lock().unwrap().push(format!("{method} {target}"));
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut answer = client.try_clone()?;
    if method == "CONNECT" {
        answer.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    } else {
        let path = target.splitn(4, '/').nth(3).unwrap_or_default();
        let host = target.split('/').nth(2).unwrap_or_default();
        let request = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        server.write_all(request.as_bytes())?;
    }
    let mut up = server.try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut reader.by_ref(), &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    io::copy(&mut server, &mut answer)?;
    answer.shutdown(Shutdown::Both)
}
