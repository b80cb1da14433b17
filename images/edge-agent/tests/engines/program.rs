//! What runs in the containers of these tests: one static program with a word for each thing that it can do.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", port] => serve(port.parse().unwrap()),
        ["end", code, after_ms] => {
            std::thread::sleep(Duration::from_millis(after_ms.parse().unwrap()));
            std::process::exit(code.parse().unwrap());
        }
        ["there", path] => std::process::exit(i32::from(!std::path::Path::new(path).exists())),
        ["write", path, text] => std::fs::write(path, text).unwrap(),
        ["is", path, text] => std::process::exit(i32::from(std::fs::read_to_string(path).unwrap() != text)),
        ["variable", name, value] => std::process::exit(i32::from(std::env::var(name).unwrap() != value)),
        ["resolve", name] => {
            let found = std::net::ToSocketAddrs::to_socket_addrs(&format!("{name}:1")).is_ok();
            std::process::exit(i32::from(!found));
        }
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["hang"] => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        _ => panic!("{words:?}"),
    }
}

/// Says so, and holds every connection open.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    println!("listening at {port}");
    std::io::stdout().flush().unwrap();
    let held: Vec<_> = listener.incoming().collect();
    drop(held);
}
