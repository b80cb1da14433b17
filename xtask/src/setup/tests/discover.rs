//! Which engine a user means, over the files of the docker client and the sockets of a machine.

use std::os::unix::net::UnixListener;

use camino::Utf8PathBuf;
use xedge_model::{Class, Failure};

use super::super::discover::{Choice, Place, choose};
use super::super::machine::Engine;
use super::super::{Error, Surroundings, engine};
use super::looks::{Fake, answering};

/// `sha256sum` of `colima`, as the docker client names that context's folders.
const COLIMA: &str = "f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16";

/// A user with a home folder and a runtime folder.
fn user(fake: &Fake) -> Surroundings {
    let home = Some(fake.path("root/home/u"));
    Surroundings { home, runtime_dir: Some(fake.path("root/run/user/1")), ..fake.around() }
}

fn context(fake: &Fake, id: &str, meta: &str) {
    fake.file(&format!("/home/u/.docker/contexts/meta/{id}/meta.json"), meta);
}

fn endpoint(host: &str) -> String {
    format!(
        r#"{{"Name":"colima","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
    )
}

fn named(around: &Surroundings) -> (String, String) {
    match choose(around).unwrap() {
        Choice::Named(Place { host, from }) => (host, from),
        Choice::Usual(places) => panic!("nothing was named: {places:?}"),
    }
}

#[test]
fn docker_host_outranks_a_context_and_a_context_the_usual_sockets() {
    let fake = Fake::new();
    let usual = user(&fake);
    assert!(matches!(choose(&usual).unwrap(), Choice::Usual(_)));
    fake.file("/home/u/.docker/config.json", r#"{"auths":{},"currentContext":"colima"}"#);
    context(&fake, COLIMA, &endpoint("unix:///colima.sock"));
    let from = "the docker context `colima`".to_owned();
    assert_eq!(named(&usual), ("unix:///colima.sock".to_owned(), from.clone()));
    let host = Some("unix:///named.sock".to_owned());
    let both = Surroundings { docker_host: host, docker_context: Some("colima".to_owned()), ..usual.clone() };
    assert_eq!(named(&both), ("unix:///named.sock".to_owned(), "DOCKER_HOST".to_owned()));
    // `default` stands for what holds without contexts, in the variable and in the file.
    let default = Surroundings { docker_context: Some("default".to_owned()), ..usual.clone() };
    assert!(matches!(choose(&default).unwrap(), Choice::Usual(_)));
    fake.file("/home/u/.docker/config.json", r#"{"currentContext":"default"}"#);
    assert!(matches!(choose(&usual).unwrap(), Choice::Usual(_)));
    let by_variable = Surroundings { docker_context: Some("colima".to_owned()), ..usual };
    assert_eq!(named(&by_variable), ("unix:///colima.sock".to_owned(), from));
}

#[test]
fn the_clients_folder_may_be_elsewhere() {
    let fake = Fake::new();
    fake.file("/cfg/config.json", r#"{"currentContext":"colima"}"#)
        .file(&format!("/cfg/contexts/meta/{COLIMA}/meta.json"), &endpoint("tcp://127.0.0.1:2375"));
    let around = Surroundings { docker_config: Some(fake.path("root/cfg")), ..user(&fake) };
    assert_eq!(named(&around).0, "tcp://127.0.0.1:2375");
}

#[test]
fn a_broken_context_is_an_error_and_never_passed_over() {
    let fake = Fake::new();
    // An Engine that would answer, were the context passed over.
    fake.file("/var/run/docker.sock", "");
    let around = user(&fake);
    let config = "/home/u/.docker/config.json";
    fake.file(config, r#"{"currentContext":"colima"}"#);
    let error = choose(&around).unwrap_err();
    assert!(matches!(&error, Error::NoContext { name, .. } if name == "colima"), "{error}");
    assert!(error.to_string().contains(".docker/config.json"), "{error}");
    for meta in ["", "{", "[]", "{}", r#"{"Endpoints":{}}"#, r#"{"Endpoints":{"docker":{}}}"#, &endpoint("")]
    {
        context(&fake, COLIMA, meta);
        let error = choose(&around).unwrap_err();
        assert!(matches!(error, Error::DockerFile { .. }), "{meta}: {error}");
        assert_eq!(error.class(), Class::Environment);
    }
    fake.file(config, "{\"currentContext\":");
    assert!(matches!(choose(&around).unwrap_err(), Error::DockerFile { .. }));
    let Engine::Unusable { problem, fix } = engine::look(&around) else { panic!() };
    assert!(problem.contains("config.json") && fix[0].contains("DOCKER_HOST=unix:///"), "{problem} {fix:?}");
}

#[test]
fn ssh_tls_and_pipes_are_refused_with_the_way_out() {
    let fake = Fake::new();
    let around = user(&fake);
    let refused = |around: &Surroundings| {
        let error = choose(around).unwrap_err();
        assert!(error.hint().unwrap().contains("DOCKER_HOST=unix:///var/run/docker.sock"));
        error.to_string()
    };
    for (host, why) in [
        ("ssh://me@build", "ssh"),
        ("tcp://build:2376", "TLS"),
        ("https://build", "TLS"),
        ("npipe:////./pipe/docker_engine", "begins with none"),
        ("build:2375", "begins with none"),
        ("fd://", "begins with none"),
    ] {
        let with = Surroundings { docker_host: Some(host.to_owned()), ..around.clone() };
        let said = refused(&with);
        assert!(said.contains(host) && said.contains(why) && said.contains("DOCKER_HOST"), "{said}");
    }
    let tls =
        Surroundings { docker_host: Some("tcp://127.0.0.1:9".into()), docker_tls: true, ..around.clone() };
    assert!(refused(&tls).contains("TLS"));

    let lab = Surroundings { docker_context: Some("colima".to_owned()), ..around };
    context(&fake, COLIMA, &endpoint("ssh://me@build"));
    assert!(refused(&lab).contains("the docker context `colima` names"));
    context(&fake, COLIMA, &endpoint("tcp://127.0.0.1:2375"));
    assert!(choose(&lab).is_ok());
    // A context with certificates beside it speaks TLS, on whatever port.
    fake.file(&format!("/home/u/.docker/contexts/tls/{COLIMA}/docker/ca.pem"), "");
    assert!(refused(&lab).contains("TLS"));
}

#[test]
fn the_usual_sockets_come_in_their_order_with_every_colima_profile() {
    let fake = Fake::new();
    fake.file("/home/u/.colima/arm/docker.sock", "").file("/home/u/.colima/default/docker.sock", "");
    fake.file("/home/u/.colima/_lima/colima.yaml", "");
    let Choice::Usual(places) = choose(&user(&fake)).unwrap() else { panic!() };
    let root = fake.path("root");
    let shown: Vec<Utf8PathBuf> =
        places.iter().map(|place| place.socket().unwrap().strip_prefix(&root).unwrap().to_owned()).collect();
    assert_eq!(
        shown,
        [
            "var/run/docker.sock",
            "home/u/.docker/run/docker.sock",
            "home/u/.docker/desktop/docker.sock",
            "home/u/.colima/default/docker.sock",
            "home/u/.colima/arm/docker.sock",
            "run/user/1/docker.sock",
            "run/user/1/podman/podman.sock",
            "run/podman/podman.sock",
        ]
    );
}

#[test]
fn the_first_usual_socket_that_answers_is_taken_and_named() {
    let fake = Fake::new();
    let version = r#"{"Components":[{"Name":"Podman Engine","Version":"4.3.1"}],"Version":"4.3.1","ApiVersion":"1.41"}"#;
    answering(&fake, vec![("/version", version.to_owned())]);
    // One that nobody serves any more stands before it.
    std::fs::create_dir_all(fake.path("root/var/run")).unwrap();
    drop(UnixListener::bind(fake.path("root/var/run/docker.sock")).unwrap());
    std::fs::create_dir_all(fake.path("root/run/user/1/podman")).unwrap();
    let socket = fake.path("root/run/user/1/podman/podman.sock");
    std::os::unix::fs::symlink(fake.path("engine.sock"), &socket).unwrap();
    let Engine::Up { at, product, version, from } = engine::look(&user(&fake)) else { panic!() };
    assert_eq!((at, &*product, &*version), (socket.into_string(), "Podman", "4.3.1"));
    assert_eq!(from, "the usual socket of rootless Podman");
}
