//! Locks: used as they are, re-resolved loudly, refused with `--locked`; mirrors that fail.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use super::support::{command, copy, edit, finish, run};

const GONE: &str = "2.0.11-1.2+deb12u1";

/// Makes the lock name a mosquitto that left the mirror.
fn outdate(project: &Path) {
    let file = project.join("images/mqtt-broker/image.lock.json");
    let mut lock: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for platform in lock["platforms"].as_object_mut().unwrap().values_mut() {
        for package in platform["packages"].as_array_mut().unwrap() {
            if package["source"] == "mosquitto" {
                let text = |key: &str| package[key].as_str().unwrap().to_owned();
                let (name, arch) = (text("name"), text("architecture"));
                package["filename"] = format!("pool/main/m/mosquitto/{name}_{GONE}_{arch}.deb").into();
                package["sha256"] = format!("sha256:{:064}", name.len()).into();
                package["version"] = GONE.into();
                package["source_version"] = GONE.into();
            }
        }
    }
    fs::write(file, serde_json::to_string_pretty(&lock).unwrap()).unwrap();
}

#[test]
fn a_package_that_left_the_mirror_is_resolved_again_loudly_but_never_with_locked() {
    let project = copy();
    outdate(project.path());
    let file = project.path().join("images/mqtt-broker/image.lock.json");
    let before = fs::read_to_string(&file).unwrap();

    run(project.path(), &["build", "--locked", "mqtt-broker"])
        .expect(3)
        .says(GONE)
        .says("cargo xtask lock --update");
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "--locked changed the lock");

    let built = run(project.path(), &["build", "mqtt-broker"])
        .expect(0)
        .says("warning:")
        .says(GONE)
        .says("resolving again");
    assert!(built.stdout.starts_with("xedgesim/mosquitto@sha256:"), "{}", built.stdout);
    assert!(!fs::read_to_string(&file).unwrap().contains(GONE));

    run(project.path(), &["build", "--locked", "mqtt-broker"]).expect(0);
}

#[test]
fn a_changed_definition_needs_a_new_lock() {
    let project = copy();
    edit(
        &project.path().join("images/mqtt-broker/image.yaml"),
        "mosquitto-clients]",
        "mosquitto-clients, no-such-package]",
    );
    run(project.path(), &["build", "--locked", "mqtt-broker"]).expect(3).says("asks for something else now");
    run(project.path(), &["build", "mqtt-broker"]).expect(3).says("no-such-package");
}

#[test]
fn a_mirror_that_cuts_off_or_lies_is_named_and_nothing_of_it_is_kept() {
    let project = copy();
    let try_mirror = |answer: &'static [u8], code: i32, text: &str| {
        let url = serve(answer);
        let mut command = command(project.path(), &["build", "mqtt-broker"]);
        command.env("XEDGE_DEBIAN_MIRROR", format!("http://{url}/debian")).env("NO_PROXY", "127.0.0.1");
        finish(command).expect(code).says(text).says(&url).says("hint:");
        let store = project.path().join("target/xedge/store/sha256");
        let kept = fs::read_dir(store).map_or(0, Iterator::count);
        assert_eq!(kept, 0, "something of a broken answer was kept");
    };
    try_mirror(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf", 1, "failed to fetch");
    try_mirror(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake", 1, "it ended after 4 of ");
    try_mirror(too_long(), 6, "failed to trust");
    try_mirror(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 1, "503");
}

/// An answer that is longer than any package.
fn too_long() -> &'static [u8] {
    let length = 16 << 20;
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer.leak()
}

/// Answers everything with the same bytes and closes; gives its address.
fn serve(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        }
    });
    address
}
