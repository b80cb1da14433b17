//! From flags to the files of a stack, as the ordinary renderer reads them.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use xedge_config::render;
use xedge_model::compose::{Bytes, Restart};
use xedge_model::scenario::{Level, Scenario};
use xedge_model::yaml::Source;

use super::place::{Found, find, is_place};
use super::service::{Facts, Service};
use super::{AdHoc, MEMORY, write};
use crate::cli::{ReachArgs, RegistryArgs};
use crate::error::Result;
use crate::evidence::PRODUCTION;

/// What the broker's image says of itself.
fn broker() -> Facts {
    let arguments = ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"];
    Facts {
        image: "xedgesim/mosquitto".into(),
        arguments: arguments.map(str::to_owned).into(),
        user: "1883:1883".into(),
        ports: vec![1883],
        volumes: ["/mosquitto/config", "/mosquitto/data"].map(Utf8PathBuf::from).into(),
        files: ["/etc/aclfile", "/mosquitto/config/mosquitto.conf", "/usr/share/doc/mosquitto.conf"]
            .map(Utf8PathBuf::from)
            .into(),
    }
}

fn flags(config: &[&str], port: Option<&str>, users: &[&str]) -> AdHoc {
    AdHoc {
        image: "xedgesim/mosquitto:latest".into(),
        config: config.iter().map(|file| (*file).to_owned()).collect(),
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        name: None,
        port: port.map(str::to_owned),
        memory: "128m".parse().expect("a size"),
        cpus: "0.5".parse().expect("a number"),
        registry: RegistryArgs { registry: None, reach: ReachArgs { plain_http: Vec::new(), ca: None } },
        locked: false,
    }
}

/// A folder with one config file.
fn given(name: &str, text: &str) -> (TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(name), text).expect("a file");
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("UTF-8");
    (folder, path)
}

fn service(wanted: &AdHoc, facts: &Facts, folder: &Utf8Path) -> Result<Service> {
    Service::new("broker".into(), wanted, facts, folder)
}

/// The seed's own call: a file of another name than the image's, which hid the image's in the seed's script.
#[test]
fn a_config_file_goes_where_the_program_reads_it() {
    let text = "listener 1883 0.0.0.0\nallow_anonymous true\n";
    let (_folder, path) = given("prod-mosquitto.conf", text);
    let service =
        service(&flags(&["prod-mosquitto.conf"], Some("1884"), &[]), &broker(), &path).expect("it fits");
    let stack = tempfile::tempdir().expect("a folder");
    let stack = Utf8Path::from_path(stack.path()).expect("UTF-8");
    write(stack, &service).expect("written");
    let rendered = render(&stack.join("templates"), "broker", PRODUCTION).expect("a stack");
    let broker = rendered.compose().service("broker").expect("the service");
    let binds: Vec<_> =
        broker.binds().map(|(source, target, _)| (source.as_str(), target.as_str())).collect();
    assert_eq!(binds, [("config/mosquitto/config/mosquitto.conf", "/mosquitto/config/mosquitto.conf")]);
    // The folder of the config file is not data, although the image's user owns it.
    let volumes: Vec<_> = broker.named_volumes().map(|(_, target, _)| target.as_str()).collect();
    assert_eq!(volumes, ["/mosquitto/data"]);
    let ports: Vec<_> = broker.ports.0.iter().map(|port| (port.host, port.container)).collect();
    assert_eq!(ports, [(Some(1884), 1883)]);
    assert_eq!((broker.memory_bytes(), broker.nano_cpus()), (Some(128 << 20), Some(500_000_000)));
    assert_eq!(broker.restart_policy(), Restart::UnlessStopped);
    assert_eq!(MEMORY, "256m".parse::<Bytes>().expect("the seed's limit"));

    let file = stack.join("scenarios/broker-smoke.yaml");
    let source = Source::new(file.as_str(), fs::read_to_string(&file).expect("the scenario"));
    assert_eq!(Scenario::parse(&source).expect("a scenario").level, Level::Smoke);
}

#[test]
fn config_files_come_out_of_the_templates_byte_for_byte() {
    for text in [
        "a {{ b }} {% raw %} {#c#}\n",
        "{{{%{#",
        "{% endraw %}\n\n  ",
        "no line break at the end",
        "",
        "\r\n{{\n",
    ] {
        let (_folder, path) = given("app.ini", text);
        let wanted = flags(&["app.ini:/etc/app.ini"], None, &[]);
        let service = service(&wanted, &broker(), &path).expect("it fits");
        let stack = tempfile::tempdir().expect("a folder");
        let stack = Utf8Path::from_path(stack.path()).expect("UTF-8");
        write(stack, &service).expect("written");
        let rendered = render(&stack.join("templates"), "broker", PRODUCTION).expect("a stack");
        let file =
            rendered.files().iter().find(|file| file.path() == "config/etc/app.ini").expect("the file");
        assert_eq!(String::from_utf8_lossy(file.bytes()), text);
    }
}

#[test]
fn passwords_come_from_the_device_or_not_at_all() {
    let seed = "listener 1883\nallow_anonymous false\npassword_file /mosquitto/config/passwd\n";
    let (_folder, path) = given("mosquitto.conf", seed);
    let error =
        service(&flags(&["mosquitto.conf"], None, &[]), &broker(), &path).expect_err("nobody makes it");
    assert!(error.chain().join(": ").contains("line 3: password_file /mosquitto/config/passwd"), "{error:?}");

    let text = seed.replace("/mosquitto/config/passwd", "/run/secrets/mosquitto-passwd");
    let (_folder, path) = given("mosquitto.conf", &text);
    service(&flags(&["mosquitto.conf"], None, &[]), &broker(), &path).expect_err("no user is named");
    service(&flags(&[], None, &["sensor"]), &broker(), &path).expect_err("no file asks for users");
    service(&flags(&["mosquitto.conf"], None, &["a:b"]), &broker(), &path).expect_err("no name");
    let service = service(&flags(&["mosquitto.conf"], None, &["sensor"]), &broker(), &path).expect("it fits");
    let stack = tempfile::tempdir().expect("a folder");
    let stack = Utf8Path::from_path(stack.path()).expect("UTF-8");
    write(stack, &service).expect("written");
    let rendered = render(&stack.join("templates"), "broker", PRODUCTION).expect("a stack");
    let secrets: Vec<_> = rendered
        .secrets()
        .iter()
        .map(|secret| (secret.name.as_str(), secret.users.join(" "), secret.owner))
        .collect();
    let expected = [
        ("mosquitto-passwd", "health sensor".to_owned(), 1883),
        ("mosquitto_sub", "health".to_owned(), 1883),
    ];
    assert_eq!(secrets, expected);
}

#[test]
fn ports_follow_the_image_where_a_flag_leaves_them_open() {
    let (_folder, path) = given("x", "");
    let port = |flag: Option<&str>, exposed: &[u16]| {
        let facts = Facts { ports: exposed.to_vec(), ..broker() };
        service(&flags(&[], flag, &[]), &facts, &path).map(|service| service.port)
    };
    assert_eq!(port(None, &[1883]).expect("one"), Some((1883, 1883)));
    assert_eq!(port(None, &[]).expect("none"), None);
    assert_eq!(port(Some("80"), &[8080]).expect("another outside"), Some((80, 8080)));
    assert_eq!(port(Some("443"), &[80, 443]).expect("the same"), Some((443, 443)));
    assert_eq!(port(Some("1:2"), &[80, 443]).expect("as said"), Some((1, 2)));
    for (flag, exposed) in
        [(None, &[80, 443][..]), (Some("8080"), &[80, 443]), (Some("0"), &[80]), (Some("1:x"), &[80])]
    {
        port(flag, exposed).expect_err("it does not say which");
    }
}

#[test]
fn a_place_is_found_or_asked_for() {
    let files: Vec<Utf8PathBuf> =
        ["/etc/a.toml", "/opt/a.toml", "/etc/only.ini", "/usr/share/x.ini"].map(Utf8PathBuf::from).into();
    let look = |name: &str, arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match find(name, &arguments, &files) {
            Found::One(path, _) => path.into_string(),
            Found::Unclear(several) => format!("{} places", several.len()),
        }
    };
    assert_eq!(look("new.toml", &["/bin/app", "--config=/etc/app.toml"]), "/etc/app.toml");
    assert_eq!(look("new.toml", &["/bin/app.toml"]), "0 places", "the program itself is none");
    assert_eq!(look("a.toml", &["/bin/app"]), "2 places");
    assert_eq!(look("only.ini", &["/bin/app"]), "/etc/only.ini");
    assert_eq!(look("x.ini", &["/bin/app"]), "0 places", "documentation is none");
    assert_eq!(look("b.toml", &["/bin/app", "/a/x.toml", "/b/y.toml"]), "2 places");
    for bad in ["etc/x", "/", "/a/../b", "/proc/x", "/run/secrets/x", "/a b", "/a:b", "/a$b", "/a{{b"] {
        assert!(!is_place(Utf8Path::new(bad)), "{bad}");
    }
}

#[test]
fn two_files_cannot_have_one_place() {
    let (_folder, path) = given("a.ini", "");
    service(&flags(&["a.ini:/etc/a", "a.ini:/etc/a"], None, &[]), &broker(), &path)
        .expect_err("the same place");
    service(&flags(&["a.ini"], None, &[]), &broker(), &path).expect_err("nothing says where");
    service(&flags(&["none.ini:/etc/a"], None, &[]), &broker(), &path).expect_err("there is no such file");
}
