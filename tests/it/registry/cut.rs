//! A registry that goes away in the middle of a push: a proxy before it cuts connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::place::{Look, Place};
use super::real::Real;
use super::stack::Tiny;

/// Passes bytes on; so many connections are cut after so many bytes of what the client says.
struct Proxy {
    address: SocketAddr,
    done: Arc<AtomicBool>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(registry: &str, times: usize, bytes: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (done, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (over, cut, registry) = (done.clone(), cuts.clone(), registry.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (cut, server) = (cut.clone(), TcpStream::connect(&registry).unwrap());
                thread::spawn(move || pass_on(client, server, &cut, times, bytes));
            }
        });
        Self { address, done, cuts }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for another connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_on(mut client: TcpStream, mut server: TcpStream, cuts: &AtomicUsize, times: usize, bytes: usize) {
    let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let answering = thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let (mut piece, mut left) = ([0; 8192], bytes);
    loop {
        let length = match client.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let claimed = length >= left
            && cuts
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < times).then_some(n + 1))
                .is_ok();
        if claimed {
            let _ = server.write_all(&piece[..left]);
            break;
        }
        left = left.saturating_sub(length).max(1);
        if server.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
    let _ = answering.join();
}

/// Pushes through a proxy that cuts, and then without it.
pub fn a_cut_connection_leaves_nothing_half(tiny: &Tiny) {
    through(tiny, 3, 1 << 20, Some(0));
    through(tiny, 2, 900, None);
    through(tiny, usize::MAX, 100 << 10, Some(1));
}

fn through(tiny: &Tiny, times: usize, bytes: usize, expected: Option<i32>) {
    let real = Real::open();
    let proxy = Proxy::before(&real.host(), times, bytes);
    let plain = Place::Named(format!("{}/site", real.host()), None);
    let cut = Place::Named(format!("{}/site", proxy.address), None);
    let tags = ["--version", "1.0", "--tag", "latest"];

    let ran = tiny.push(&cut, &tags);
    let cuts = proxy.cuts.load(Ordering::SeqCst);
    assert!(cuts > 0, "nothing was cut:\n{}", ran.stderr);
    match expected {
        Some(code) => assert_eq!(ran.code, code, "{cuts} cuts\n{}", ran.stderr),
        None => assert!(ran.code == 0 || ran.code == 1, "{cuts} cuts\n{}", ran.stderr),
    }
    let look = Look::at(tiny, &plain);
    look.everything_is_readable();
    if ran.code == 1 {
        assert_eq!(ran.stdout, "");
        let named = look.tags();
        assert!(!named.iter().any(|tag| tag == "latest" || tag == "1.0"), "{named:?}");
        ran.says("failed to talk to").says("hint: ");
    }

    tiny.push(&plain, &tags).expect(0);
    let index = tiny.entry().index().digest.clone();
    for tag in ["1.0", "latest"] {
        assert_eq!(look.manifest(tag), look.manifest(index.as_str()), "{tag}");
    }
    look.everything_is_readable();
    // What the proxy's address is called in signatures does not matter to a push to the other one.
    assert!(!tiny.push(&plain, &tags).expect(0).stderr.contains("uploaded"));
}
