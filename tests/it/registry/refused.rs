//! Registries that refuse: no password or a wrong one, a certificate of nobody, and nobody at all.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::place::{Look, Place, login_file};
use super::push::quiet;
use super::real::Real;
use super::stack::Tiny;
use crate::support::Ran;

/// The user of every registry here.
pub const USER: &str = "pusher";
/// Its password.
pub const PASSWORD: &str = "correct-horse-1f0c";
/// User and password in base64, as they are sent and kept.
pub const ENCODED: &str = "cHVzaGVyOmNvcnJlY3QtaG9yc2UtMWYwYw==";
/// `pusher:` and another password in base64.
const WRONG: &str = "cHVzaGVyOndyb25n";

/// Logs in with the password on stdin.
#[track_caller]
pub fn login(tiny: &Tiny, host: &str, password: &str, more: &[&str]) -> Ran {
    let arguments = ["registry", "login", host, "--username", USER, "--password-stdin"];
    let mut command = tiny.command(&[&arguments[..], more].concat());
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    let ran = quiet(Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) });
    assert!(password.is_empty() || !ran.stderr.contains(password), "a wrong password was printed");
    ran
}

#[test]
fn a_password_is_asked_for_checked_and_kept() {
    let (tiny, real) = (Tiny::new(), Real::with_password(USER, PASSWORD));
    let host = real.host();
    let place = Place::Named(format!("{host}/site"), None);
    let file = login_file(&tiny);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let other =
        json!({"auths": {"other.example": {"auth": "b3RoZXI6b3RoZXI="}}, "credHelpers": {"x.example": "x"}});
    let kept = |text: &Value| fs::write(&file, serde_json::to_vec(text).unwrap()).unwrap();
    kept(&other);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();

    denied(&tiny, &place, &host, "no credentials for this host");
    let ran = login(&tiny, &host, "wrong-horse-77aa", &[]).expect(3);
    ran.says("denied").says(&format!("hint: cargo xtask registry login {host}"));
    assert_eq!(read(file.as_std_path()), other, "a wrong password was kept");

    login(&tiny, &host, PASSWORD, &[]).expect(0).says(&format!("{USER} at {host}"));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let mut now = read(file.as_std_path());
    let mine = now["auths"].as_object_mut().unwrap().remove(&host);
    assert_eq!(now, other, "something else in the file has changed");
    assert_eq!(mine, Some(json!({ "auth": ENCODED })));
    quiet(tiny.push(&place, &["--plan"]).expect(0));

    now["auths"][&host] = json!({ "auth": WRONG });
    kept(&now);
    denied(&tiny, &place, &host, "wrong");
    assert!(quiet(login(&tiny, &host, "", &[])).expect(3).stderr.contains("it is empty"));
    assert_eq!(read(file.as_std_path()), now, "an empty password was kept");
}

#[track_caller]
fn denied(tiny: &Tiny, place: &Place, host: &str, why: &str) {
    for more in [&["--plan"][..], &["--version", "1.0"]] {
        let ran = quiet(tiny.push(place, more).expect(3));
        assert_eq!(ran.stdout, "");
        let ran = ran.says("denied").says(why).says(&format!("hint: cargo xtask registry login {host}"));
        assert!(!ran.stderr.contains("not found") && !ran.stderr.contains("to find"), "{}", ran.stderr);
    }
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_private_authority_must_be_named() {
    let (tiny, real) = (Tiny::new(), Real::with_tls(USER, PASSWORD));
    let host = real.far_host();
    let unknown = Place::Named(format!("{host}/site"), None);
    let ran = tiny.push(&unknown, &["--plan"]).expect(3);
    assert_eq!(ran.stdout, "");
    ran.says("failed to trust the certificate of https://").says("UnknownIssuer").says("`--ca FILE`");
    login(&tiny, &host, PASSWORD, &[]).expect(3).says("failed to trust the certificate").says("`--ca FILE`");
    assert!(!login_file(&tiny).exists(), "a password was kept that nobody has checked");

    let ca = real.ca().unwrap();
    login(&tiny, &host, PASSWORD, &["--ca", ca.to_str().unwrap()]).expect(0);
    let known = Place::Named(format!("{host}/site"), Some(ca.to_owned()));
    quiet(tiny.push(&known, &["--plan"]).expect(0));
    assert_eq!(Look::at(&tiny, &known).tags(), [""; 0]);

    // The certificate of another authority of the same name.
    let other = Real::with_tls(USER, PASSWORD);
    let stranger = Place::Named(format!("{host}/site"), other.ca().map(Into::into));
    tiny.push(&stranger, &["--plan"]).expect(3).says("failed to trust the certificate of https://");
}

#[test]
fn where_nobody_listens_the_tries_come_to_an_end() {
    let tiny = Tiny::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host = taken.local_addr().unwrap().to_string();
    drop(taken);
    let ran = tiny.push(&Place::Named(host.clone(), None), &["--plan"]).expect(1);
    assert_eq!(ran.stdout, "");
    ran.says(&format!("failed to reach http://{host}/v2/"))
        .says("Connection refused")
        .says("hint: see that the address is right and that the host can be reached");
}
