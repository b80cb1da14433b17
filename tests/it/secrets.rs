//! Secrets as people make, set, list, renew and hand them out; and that no value is to be seen anywhere.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::support::{Ran, command, copy, edit, finish, project_with_packages, root, run};

/// A project with a data folder of its own.
struct Desk {
    project: TempDir,
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { project: copy(), home: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = command(self.project.path(), arguments);
        command.env("XEDGE_HOME", self.home.path());
        finish(command)
    }

    /// With something on stdin.
    fn pipe(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = command(self.project.path(), arguments);
        command
            .env("XEDGE_HOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that refuses before it reads closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn file(&self, environment: &str, name: &str) -> PathBuf {
        self.home.path().join("secrets").join(environment).join(name)
    }

    fn value(&self, environment: &str, name: &str) -> String {
        fs::read_to_string(self.file(environment, name)).unwrap()
    }

    /// Declares a file secret for the gateway.
    fn with_token(self, more: &str) -> Self {
        let stacks = self.project.path().join("templates/stacks/edge");
        let line = "  gateway-password: {kind: password";
        edit(
            &stacks.join("stack.yaml"),
            line,
            &format!("  api-token: {{kind: file, owner: 10001{more}}}\n{line}"),
        );
        edit(&stacks.join("compose.yaml.j2"), "[gateway-password]", "[gateway-password, api-token]");
        edit(
            &stacks.join("compose.yaml.j2"),
            "  gateway-password: {file",
            "  api-token: {file: ../secrets/api-token}\n  gateway-password: {file",
        );
        self
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_value_is_made_once_and_only_its_owner_can_read_it() {
    let desk = Desk::new();
    let ran = desk.run(&["secrets", "gen", "sensor", "--env", "production"]).expect(0);
    let file = desk.file("production", "sensor");
    assert_eq!(ran.stdout.trim(), file.to_str().unwrap());
    let ran = ran.says("used by edge/mosquitto");
    let value = desk.value("production", "sensor");
    assert_eq!(value.len(), 24);
    assert!(!ran.stderr.contains(&value) && !ran.stdout.contains(&value));
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));

    desk.run(&["secrets", "gen", "sensor", "--env", "production"])
        .expect(3)
        .says("there is one")
        .says("secrets rotate sensor");
    assert_eq!(desk.value("production", "sensor"), value);
    desk.run(&["secrets", "rotate", "sensor", "--env", "production", "--length", "40"])
        .expect(0)
        .says("redeploy together edge/mosquitto");
    assert_eq!(desk.value("production", "sensor").len(), 40);
    assert_ne!(desk.value("production", "sensor")[..24], value);

    // Without a name, the rest.
    let made = desk.run(&["secrets", "gen", "--env", "production"]).expect(0).stdout;
    assert_eq!(made.lines().count(), 2, "{made}");
    desk.run(&["secrets", "gen", "--env", "production"]).expect(0).says("has all 3 secrets");
}

#[test]
fn development_values_say_so_and_are_refused_elsewhere() {
    let desk = Desk::new();
    desk.run(&["secrets", "gen", "sensor"]).expect(0);
    let value = desk.value("development", "sensor");
    assert!(value.starts_with("dev-"), "it begins with a mark");
    let file = desk.file("development", "sensor");
    let set = ["secrets", "set", "gateway", "--env", "production", "--file", file.to_str().unwrap()];
    desk.run(&set).expect(3).says("it is a development value").says("secrets gen gateway --env production");

    // One without the mark, too.
    desk.pipe(&["secrets", "set", "health"], b"chosen by hand\n").expect(0);
    assert_eq!(desk.value("development", "health"), "chosen by hand");
    desk.pipe(&["secrets", "set", "health", "--env", "production"], b"chosen by hand")
        .expect(3)
        .says("development value");
    assert!(!desk.file("production", "health").exists());
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let desk = Desk::new();
    for value in ["hunter22", "-hunter22", "--hunter22"] {
        let ran = desk.run(&["secrets", "set", "sensor", value]).expect(3);
        assert!(!ran.stderr.contains("hunter22") || value.starts_with("--"), "{}", ran.stderr);
    }
    desk.run(&["secrets", "set", "sensor", "hunter22"]).expect(3).says("history").says("--file FILE");
    assert!(!desk.file("development", "sensor").exists());
}

#[test]
fn what_no_password_can_be_is_refused_and_not_repeated() {
    let desk = Desk::new();
    for (value, why) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b"hunter22\nhunter23\n", "has more than one line"),
        (b" hunter22", "begins or ends with a space"),
        (b"hunter22\0", "holds a control character"),
        (&[b'h'; 600], "is longer than 512 bytes"),
    ] {
        let ran = desk
            .pipe(&["secrets", "set", "sensor"], value)
            .expect(3)
            .says(why)
            .says("secrets set sensor --file FILE");
        assert!(!ran.stderr.contains("hunter") && !ran.stderr.contains("hhhh"), "{}", ran.stderr);
    }
    desk.run(&["secrets", "set", "sensor", "--file", "nowhere"]).expect(3).says("failed to read");
    desk.run(&["secrets", "gen", "sensor", "--length", "4"]).expect(3).says("16..=500");
    assert!(!desk.file("development", "sensor").exists());
}

#[test]
fn names_that_no_stack_declares_are_refused_with_the_near_one() {
    let desk = Desk::new();
    desk.run(&["secrets", "gen", "sensr"]).expect(3).says("did you mean `sensor`?");
    desk.run(&["secrets", "gen", "gateway-password"]).expect(3).says("made of the password of `gateway`");
    desk.run(&["secrets", "gen", "../../keys/gate"]).expect(3).says("declared under `secrets` in stack.yaml");
    desk.run(&["secrets", "gen", "sensor", "--env", "prodution"])
        .expect(3)
        .says("did you mean `production`?");
    desk.run(&["secrets", "list", "--env", "../.."])
        .expect(3)
        .says("known: production, simulation, development");
    desk.run(&["secrets", "rotate", "sensor"]).expect(3).says("secrets gen sensor --env development");
    assert_eq!(fs::read_dir(desk.home.path()).unwrap().count(), 0, "something was made");
}

#[test]
fn a_folder_that_others_can_read_is_refused() {
    let desk = Desk::new();
    desk.run(&["secrets", "gen", "sensor", "--env", "production"]).expect(0);
    let (file, folder) = (desk.file("production", "sensor"), desk.file("production", ""));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let told = desk
        .run(&["secrets", "list", "--env", "production"])
        .expect(3)
        .says("others can read it (mode 0755)");
    assert!(told.stderr.contains("`chmod 700 "), "{}", told.stderr);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    desk.run(&["secrets", "rotate", "sensor", "--env", "production"]).expect(3).says("`chmod 600 ");

    // The development folder of earlier versions is put right instead.
    desk.run(&["secrets", "gen", "sensor"]).expect(0);
    let folder = desk.file("development", "");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    desk.run(&["secrets", "list", "--env", "development"]).expect(0);
    assert_eq!(mode(&folder), 0o700);
}

#[test]
fn the_list_says_what_is_missing_and_who_uses_it() {
    let desk = Desk::new().with_token("");
    desk.run(&["secrets", "gen", "health", "--env", "production"]).expect(0);
    fs::write(desk.file("production", "stray"), "x").unwrap();
    let lines = desk.run(&["secrets", "list", "--env", "production"]).expect(0).stdout;
    for line in [
        "production api-token file · missing · edge/gateway\n",
        "production gateway password · missing · edge/gateway, edge/mosquitto\n",
        "production health password · 0 days old · edge/mosquitto\n",
        "production stray - · 0 days old · not declared by this project\n",
    ] {
        assert!(lines.contains(line), "{line}{lines}");
    }
    let json = desk.run(&["secrets", "list", "--format", "json"]).expect(0).stdout;
    let all: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |environment: &str, name: &str| {
        all.iter().find(|line| line["environment"] == environment && line["name"] == name).unwrap().clone()
    };
    assert_eq!(of("production", "health")["there"], true);
    assert_eq!(of("development", "health")["there"], false);
    assert_eq!(
        of("production", "gateway")["secrets"],
        serde_json::json!(["edge/gateway-password", "edge/mosquitto-passwd"])
    );
    assert!(!json.contains(&desk.value("production", "health")));
}

#[test]
fn files_are_set_byte_for_byte_and_written_out_as_containers_read_them() {
    let desk = Desk::new().with_token("");
    let export = ["secrets", "export", "--out", "target/out"];
    desk.run(&["secrets", "gen", "--env", "production"]).expect(0).says("api-token is a file");
    desk.run(&export).expect(3).says("failed to find the secret `api-token` of production");
    assert!(!desk.project.path().join("target/out").exists());
    desk.pipe(&["secrets", "set", "api-token", "--env", "production"], b"two\nlines\xff\n").expect(0);
    desk.run(&["secrets", "rotate", "api-token", "--env", "production"])
        .expect(3)
        .says("secrets set api-token");
    let files = desk.run(&export).expect(0).stdout;
    assert_eq!(files.lines().count(), 4, "{files}");
    let out = desk.project.path().join("target/out");
    assert_eq!(mode(&out), 0o700);
    assert_eq!(fs::read(out.join("api-token")).unwrap(), b"two\nlines\xff\n");
    assert_eq!(mode(&out.join("api-token")), 0o400);
    assert_eq!(
        fs::read_to_string(out.join("gateway-password")).unwrap(),
        desk.value("production", "gateway")
    );
    assert!(fs::read_to_string(out.join("mosquitto-passwd")).unwrap().contains("\nhealth:$7$"));
    let beside = tempfile::tempdir().unwrap();
    let link = beside.path().join("link");
    std::os::unix::fs::symlink(desk.project.path().join("templates"), &link).unwrap();
    let linked = link.join("secrets");
    let folders = ["templates/secrets", "target/../templates/secrets", "none/../templates/secrets"];
    for folder in folders.into_iter().chain([linked.to_str().unwrap()]) {
        desk.run(&["secrets", "export", "--out", folder]).expect(3).says("would be committed");
        assert!(!desk.project.path().join("templates/secrets").exists(), "{folder}");
    }
    let open = beside.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    desk.run(&["secrets", "export", "--out", open.to_str().unwrap()]).expect(3).says("chmod 700");
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
}

/// A stack that `deploy --image own --mqtt-user sensor` made: the hint `secrets gen sensor` must work.
#[test]
fn a_stack_that_was_made_of_an_image_declares_its_users() {
    let desk = Desk::new();
    let adhoc = desk.project.path().join("target/xedge/adhoc/own/templates");
    for (file, text) in [
        ("environments/production.yaml", "format: 1\nvalues: {}\n"),
        (
            "stacks/own/stack.yaml",
            "format: 1\nname: own\ncompose: stacks/own/compose.yaml.j2\nsecrets:\n  \
             mosquitto-passwd: {kind: mosquitto_passwd, users: [thermo], owner: 10001}\n\
             gate: [own-smoke]\n",
        ),
        (
            "stacks/own/compose.yaml.j2",
            "services:\n  own:\n    image: own:latest\n    restart: unless-stopped\n    mem_limit: 64m\n    \
             cpus: 0.5\n    secrets: [mosquitto-passwd]\nsecrets:\n  mosquitto-passwd: {file: ../secrets/mosquitto-passwd}\n",
        ),
    ] {
        let path = adhoc.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    desk.run(&["secrets", "gen", "thermo", "--env", "production"]).expect(0).says("own/own");
    let export = ["secrets", "export", "--stack", "own", "--out", "target/xedge/secrets-own"];
    desk.run(&export).expect(0);
    let file = desk.project.path().join("target/xedge/secrets-own/mosquitto-passwd");
    assert!(fs::read_to_string(file).unwrap().contains("thermo:$7$"));
}

#[test]
fn a_declaration_that_cannot_be_meant_is_refused_where_it_stands() {
    for (more, why) in
        [(", user: gateway", "a `file` secret has no `user`"), (", sample: \"\"", "`sample` is empty")]
    {
        Desk::new().with_token(more).run(&["render"]).expect(3).says(why).says("stack.yaml:");
    }
    let desk = Desk::new();
    let stack = desk.project.path().join("templates/stacks/edge/stack.yaml");
    edit(&stack, "user: gateway, owner", "user: gateway, sample: x, owner");
    desk.run(&["render"]).expect(3).says("`sample` is for secrets of the kind `file`");
    // A user and a file of one name would be one value.
    let desk = Desk::new().with_token("");
    edit(
        &desk.project.path().join("templates/stacks/edge/stack.yaml"),
        "user: gateway, owner",
        "user: api-token, owner",
    );
    desk.run(&["secrets", "list"])
        .expect(3)
        .says("`api-token` is a user (edge/gateway-password) and a file (edge/api-token)");
}

/// A broker that takes its access list from a file secret: it lets sensors in with the sample, and with a value of one's own
/// does what that says. Neither it nor a password is in anything that a run leaves.
#[test]
fn a_run_uses_development_values_and_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let (project, home) = (folder.path().join("p"), tempfile::tempdir().unwrap());
    let source = format!("path={}", root().display());
    run(folder.path(), &["new", "p", "--xedge", &source]).expect(0);
    drop(project_with_packages());
    fs::create_dir_all(project.join("target/xedge")).unwrap();
    std::os::unix::fs::symlink(root().join("target/xedge/store"), project.join("target/xedge/store"))
        .unwrap();
    let stack = project.join("templates/stacks/p");
    let sample = "user sensor\\ntopic readwrite sensors/#\\nuser gateway\\ntopic readwrite #\\nuser health\\ntopic readwrite #\\n";
    edit(
        &stack.join("stack.yaml"),
        "secrets:\n",
        &format!("secrets:\n  acl: {{kind: file, owner: 1883, sample: \"{sample}\"}}\n"),
    );
    edit(&stack.join("compose.yaml.j2"), "[mosquitto-passwd, ", "[acl, mosquitto-passwd, ");
    edit(&stack.join("compose.yaml.j2"), "\nsecrets:\n", "\nsecrets:\n  acl: {file: ../secrets/acl}\n");
    let conf = project.join("templates/services/broker/mosquitto.conf.j2");
    edit(&conf, "password_file", "acl_file /run/secrets/acl\npassword_file");

    let sim = |wanted: i32| {
        let mut command = command(&project, &["sim", "sensors", "--duration", "2s"]);
        command.env("XEDGE_HOME", home.path());
        finish(command).expect(wanted)
    };
    let ran = sim(0);
    let mut values = Vec::new();
    for name in ["gateway", "health", "sensor"] {
        values.push(fs::read_to_string(home.path().join("secrets/development").join(name)).unwrap());
    }
    assert!(!home.path().join("secrets/development/acl").exists(), "the sample is used as it is");
    values.push("user sensor\n".to_owned());
    for text in [ran.stdout, ran.stderr].iter().chain(&outputs(&project.join("target/xedge"))) {
        for value in &values {
            assert!(!text.contains(value.trim_end()), "a value is shown:\n{text}");
        }
    }

    // Nobody may do anything.
    let mut set = command(&project, &["secrets", "set", "acl", "--file", "acl"]);
    fs::write(project.join("acl"), "user nobody\ntopic read x\n").unwrap();
    set.env("XEDGE_HOME", home.path());
    finish(set).expect(0);
    sim(2);
}

/// Every output as text, blobs and fetched packages left out.
fn outputs(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if entry.file_name() == "store" || entry.file_name() == "blobs" => drop(path),
                path if path.is_dir() => folders.push(path),
                path => found.push(String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()),
            }
        }
    }
    assert!(found.len() > 5, "reports are among them");
    found
}
