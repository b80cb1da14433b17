//! Files with mistakes in them: exit 3, the place, the line with a caret, and what was probably meant.

use std::fs;
use std::path::Path;

use super::support::{
    Ran, command, copy, edit, finish, here, place, project_with_packages, root, run, scenario, told,
};

/// The scenario of the document that this project grew from, word for word.
const SEED: &str = "\
# scenarios/mqtt_test.yaml
simulation:
  duration_s: 60
  seed: 42

nodes:
  - id: mqtt-broker
    type: broker
    implementation: docker
    port: 1883
    docker:
      image: xedgesim/mosquitto:latest
      build_context: containers/mqtt-broker
      ports:
        1883: 1883

  - id: sensor1
    type: sensor
    implementation: python_model
    port: 5001

  - id: gateway1
    type: gateway
    implementation: python_model
    port: 5002
";

const CONTEXT: &str = "      build_context: containers/mqtt-broker\n";
const IMAGE: &str = "xedgesim/mosquitto:latest";

/// What a mistake is answered with.
#[derive(Clone, Copy)]
struct Answer<'a> {
    /// Line and column.
    at: (usize, usize),
    message: &'a str,
    hint: Option<&'a str>,
}

fn answer(at: (usize, usize), message: &str) -> Answer<'_> {
    Answer { at, message, hint: None }
}

impl<'a> Answer<'a> {
    fn hint(self, hint: &'a str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// Fails unless exactly this was said about `text`, the content of `file`.
#[track_caller]
fn check(ran: Ran, file: &str, text: &str, Answer { at, message, hint }: Answer<'_>) {
    let mut wanted = told(file, text, at, message);
    wanted.extend(hint.map(|hint| format!("hint: {hint}")));
    let ran = ran.expect(3).says(&wanted);
    assert!(hint.is_some() || !ran.stderr.contains("hint:"), "a hint that is not tested:\n{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

/// Checks a scenario with both commands. There is no Engine, so that exit 3 says that nothing was tried first.
#[track_caller]
fn refused(text: &str, answer: Answer<'_>) {
    let (_folder, path) = scenario(text);
    let file = path.to_str().unwrap();
    for arguments in [&["sim", "validate", file][..], &["sim", file]] {
        let mut command = command(&root(), arguments);
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        check(finish(command), file, text, answer);
    }
}

/// The seed's scenario with one text replaced.
#[track_caller]
fn seed(from: &str, to: &str, answer: Answer<'_>) {
    assert!(SEED.contains(from), "`{from}` is not in the seed's scenario");
    refused(&SEED.replacen(from, to, 1), answer);
}

/// The seed's scenario with text at its end.
#[track_caller]
fn seed_and(more: &str, answer: Answer<'_>) {
    refused(&format!("{SEED}{more}"), answer);
}

#[test]
fn the_seeds_scenario_is_there_word_for_word_and_valid() {
    assert_eq!(fs::read_to_string(root().join("scenarios/mqtt_test.yaml")).unwrap(), SEED);
}

#[test]
fn every_scenario_of_the_project_is_valid() {
    let files: Vec<String> = fs::read_dir(root().join("scenarios"))
        .unwrap()
        .map(|entry| format!("scenarios/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|file| Path::new(file).extension().is_some_and(|end| end == "yaml"))
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    let mut arguments = vec!["sim", "validate"];
    arguments.extend(files.iter().map(String::as_str));
    let stdout = here(&arguments).expect(0).stdout;
    for file in &files {
        assert!(stdout.contains(&format!("{file} is valid\n")), "{file}\n{stdout}");
    }
}

#[test]
fn what_is_led_through_time_does_not_run_beside_services() {
    let message =
        "node `sensor1` is led step by step, which goes in virtual time only: services run in real time";
    let refusal = answer((17, 9), message)
        .hint("leave out `script` for the built-in model, or simulate without services");
    seed("    port: 5001", "    script: scenarios/models/sensor.py", refusal);
}

#[test]
fn misspelt_names_get_the_near_name() {
    let key = answer((3, 3), "unknown key `duraton_s`").hint("did you mean `duration_s`?");
    seed("duration_s", "duraton_s", key);
    seed("    type: s", "    typ: s", answer((18, 5), "unknown key `typ`").hint("did you mean `type`?"));
    let docker = answer((12, 7), "unknown key `imagge`").hint("did you mean `image`?");
    seed("      image:", "      imagge:", docker);
    seed(
        "type: sensor",
        "type: senosr",
        answer((18, 11), "unknown value `senosr`").hint("did you mean `sensor`?"),
    );
    let runs = answer((9, 21), "unknown value `dokcer`").hint("did you mean `docker`?");
    seed("implementation: docker", "implementation: dokcer", runs);
    let link = answer((29, 12), "unknown node `mqtt-borker`").hint("did you mean `mqtt-broker`?");
    seed_and("network:\n  links:\n    - src: sensor1\n      dst: mqtt-borker\n", link);
    let claim = "`broker.startz` is not an expectation; did you mean `broker.starts`?";
    seed_and("expect:\n  - broker.startz\n", answer((27, 5), claim));
    let user =
        "`auth.login() == accepted` is not an expectation; did you mean `auth.login(USER) == accepted`?";
    seed_and("expect:\n  - auth.login() == accepted\n", answer((27, 5), user));
}

#[test]
fn a_name_without_a_near_one_gets_the_known_ones() {
    let keys = "known here: format, simulation, level, profile, stack, nodes, links, network, timeline, expect, runs, matrix, limits";
    seed_and("zzzzzzzzzzzz: 1\n", answer((26, 1), "unknown key `zzzzzzzzzzzz`").hint(keys));
}

#[test]
fn what_is_there_twice_is_refused() {
    seed("  seed: 42\n", "  seed: 42\n  seed: 43\n", answer((5, 3), "duplicate key `seed`"));
    seed("id: sensor1", "id: gateway1", answer((22, 9), "node `gateway1` is there twice, first on line 17"));
}

#[test]
fn values_of_a_wrong_type_or_out_of_range_are_refused() {
    seed("duration_s: 60", "duration_s: soon", answer((3, 15), "expected a number"));
    seed("seed: 42", "seed: -1", answer((4, 9), "expected a whole number, not negative"));
    seed("port: 1883", "port: 99999", answer((10, 11), "expected a whole number from 0 to 65535"));
    seed("    port: 5001", "    count: 0", answer((20, 12), "`count` must be 1 to 10000"));
    let span = "`5` is not a length of time: expected a number and a unit, such as 500ms, 10s, 5m or 2h";
    seed("    port: 5001", "    config: {every: 5}", answer((20, 21), span));
    let id = "`sensor 1` is no node id: up to 63 letters, digits, `-`, `_` and `.`";
    seed("id: sensor1", "id: \"sensor 1\"", answer((17, 9), id));
    for duration in ["0", "-1", "1e9", ".inf", ".nan"] {
        let answer = answer((3, 15), "`duration_s` must be more than 0 and at most 86400");
        seed("duration_s: 60", &format!("duration_s: {duration}"), answer);
    }
}

#[test]
fn a_scenario_that_would_show_nothing_is_refused() {
    let start = "simulation: {duration_s: 1, seed: 1}\n";
    refused(&format!("{start}nodes: []\n"), answer((2, 8), "`nodes` is empty"));
    let short = "only with `profile: production` and `stack` does the stack say what runs";
    refused(start, answer((1, 1), "missing field `nodes`").hint(short));
    seed_and("expect: []\n", answer((26, 9), "`expect` is empty: a gate must claim something"));
    refused("just text\n", answer((1, 1), "expected mapping start"));
}

#[test]
fn an_image_is_one_of_images_or_an_error() {
    let near =
        answer((12, 14), "unknown image `xedgesim/mosquito`").hint("did you mean `xedgesim/mosquitto`?");
    refused(&SEED.replace(CONTEXT, "").replace(IMAGE, "xedgesim/mosquito:latest"), near);
    let foreign = answer((12, 14), "unknown image `eclipse-mosquitto`")
        .hint("known here: xedgesim/agent, xedgesim/gateway, xedgesim/mosquitto");
    refused(&SEED.replace(CONTEXT, "").replace(IMAGE, "eclipse-mosquitto:2"), foreign);
    let from_context =
        |name: &str| format!("unknown image `{name}`: a Dockerfile is built as an image of images/");
    let foreign = from_context("eclipse-mosquitto");
    let hint = "`cargo xtask new image eclipse-mosquitto --dockerfile containers/mqtt-broker`";
    seed(IMAGE, "eclipse-mosquitto:2", answer((12, 14), &foreign).hint(hint));
    let unnamed = SEED
        .replace(&format!("      image: {IMAGE}\n"), "")
        .replace("containers/mqtt-broker", "containers/web");
    let hint = "`cargo xtask new image web --dockerfile containers/web`";
    refused(&unnamed, answer((12, 22), &from_context("web")).hint(hint));
    let neither = SEED.replace(CONTEXT, "").replace(&format!("      image: {IMAGE}\n"), "");
    refused(&neither, answer((12, 7), "`docker` needs `image`, the name of an image in images/"));
    seed("python_model", "docker", answer((17, 9), "node `sensor1` needs `docker`"));
}

#[test]
fn what_would_be_left_out_is_refused() {
    let direct = "links with latency or loss need `model: latency`";
    let hint = "`model: latency` has latency and loss, `direct` has none";
    seed_and("network: {default_latency_us: 5000}\n", answer((26, 31), direct).hint(hint));
    seed_and("network: {default_loss_rate: 0.1}\n", answer((26, 30), direct).hint(hint));
    let link = "network: {links: [{src: sensor1, dst: mqtt-broker, loss_rate: 0.5}]}\n";
    seed_and(link, answer((26, 25), direct).hint(hint));
    let model = answer((12, 7), "`docker` needs `implementation: docker`");
    seed("implementation: docker", "implementation: model", model);
    let script = "there is no script `scenarios/models/nope.py`";
    let script = answer((20, 13), script).hint("scripts are files of the project, relative to its folder");
    seed("    port: 5001", "    script: scenarios/models/nope.py", script);
    let idle = "nothing goes through `lan`: a node takes it with `via`, or it has `from` and `to`";
    seed_and("links: {lan: {latency: 20ms}}\n", answer((26, 9), idle));
}

#[test]
fn a_gate_claims_that_something_happens() {
    let nothing = "all of these would hold if nothing happened at all: a gate must claim that something does";
    let hint = "for example `broker.starts`, or `mqtt.delivery_ratio >= 0.999`";
    seed_and("expect: [mqtt.duplicates <= 3]\n", answer((26, 9), nothing).hint(hint));
    let bound = "`mqtt.acked_lost == no` is not an expectation; `mqtt.acked_lost` is compared with a whole number, such as 0";
    seed_and("expect: [mqtt.acked_lost == no]\n", answer((26, 10), bound));
    let killed = "timeline: [{at: 5s, kill: mqtt-borker}]\n";
    let near = answer((26, 27), "unknown node `mqtt-borker`").hint("did you mean `mqtt-broker`?");
    seed_and(killed, near);
}

/// The production scenario with one text replaced.
#[track_caller]
fn parity((from, to): (&str, &str), mark: &str, message: &str, hint: Option<&str>) {
    let text = fs::read_to_string(root().join("scenarios/production_parity.yaml")).unwrap();
    assert!(text.contains(from), "`{from}` is not in the production scenario");
    let text = text.replacen(from, to, 1);
    refused(&text, Answer { at: place(&text, mark), message, hint });
}

#[test]
fn a_production_run_must_be_what_its_stack_says() {
    let gateway = "- id: |gateway";
    let stack = "`profile: production` needs `stack`, the stack whose files are used";
    parity(("stack: edge\n", ""), "profile: |production", stack, None);
    parity(("profile: production\n", ""), "stack: |edge", "`stack` needs `profile: production`", None);
    let near = Some("did you mean `edge`?");
    parity(("stack: edge", "stack: egde"), "stack: |egde", "unknown stack `egde`", near);
    let near = Some("did you mean `gateway`?");
    let mistake = ("service: gateway", "service: gatway");
    parity(mistake, "service: |gatway", "unknown service `gatway`", near);
    let service = "node `gateway` needs `service` in a production run";
    parity(("    service: gateway\n", ""), gateway, service, None);
    let id = "a production node is called like its service, `gateway`: others find it by that name";
    parity(("- id: gateway", "- id: relay"), "- id: |relay", id, None);
    let image = "node `gateway` must run the image of its service, xedgesim/gateway";
    parity(("xedgesim/gateway:latest", IMAGE), gateway, image, None);
    let settings = "node `gateway` sets what the production files decide: no `environment`, no `command`";
    let mistake = ("xedgesim/gateway:latest\n", "xedgesim/gateway:latest\n      environment: {A: b}\n");
    parity(mistake, gateway, settings, None);
    let node = "  - id: gateway
    type: gateway
    implementation: docker
    service: gateway
    docker:
      image: xedgesim/gateway:latest
";
    let absent = "service `gateway` of the stack has no node: the run would not prove its configuration";
    parity((node, ""), "|- id: mosquitto", absent, None);
}

/// The last one would be refused by any broker, so that the claim would hold whatever the broker does.
#[test]
fn a_claim_about_a_user_whom_the_stack_does_not_know_is_refused() {
    let (message, near) = ("unknown user of the stack `sensro`", Some("did you mean `sensor`?"));
    parity(("user: sensor", "user: sensro"), "- id: |sensor", message, near);
    parity(("login(sensor)", "login(sensro)"), "- |auth.login(sensro)", message, near);
    let mistake = ("wrong_password(sensor)", "wrong_password(sensro)");
    parity(mistake, "- |auth.wrong_password(sensro)", message, near);
}

/// Two services without models, and a claim.
fn services(claim: &str) -> String {
    format!(
        "\
simulation: {{duration_s: 5, seed: 1}}
nodes:
  - {{id: web, type: service, implementation: docker, docker: {{image: xedgesim/mosquitto, ports: [\"8080:80\"]}}}}
  - {{id: relay, type: app, implementation: docker, docker: {{image: xedgesim/gateway}}}}
expect:
  - {claim}
"
    )
}

#[test]
fn a_claim_about_a_service_must_be_one_that_can_be_asked() {
    for claim in ["service.healthy(web)", "\"service.answers(web, 80)\"", "\"service.runs(relay, 5s)\""] {
        let (_folder, file) = scenario(&services(claim));
        here(&["sim", "validate", file.to_str().unwrap()]).expect(0);
    }
    let claim = |claim: &str, answer: Answer<'_>| refused(&services(claim), answer);
    let near = Some("did you mean `web`?");
    let unknown = Answer { hint: near, ..answer((6, 5), "unknown container `wbe`") };
    claim("service.healthy(wbe)", unknown);
    let port = answer((6, 5), "`web` does not publish TCP port 8080").hint("published here: 80");
    claim("\"service.answers(web, 8080)\"", port);
    let none = answer((6, 5), "`relay` does not publish TCP port 80")
        .hint("`relay` publishes none: add it to `ports`");
    claim("\"service.answers(relay, 80)\"", none);
    claim("\"service.runs(web, 6s)\"", answer((6, 5), "the run is watched for 5 s (`duration_s`)"));
    let slip = "`service.healty(web)` is not an expectation; did you mean `service.healthy(ID)`?";
    claim("service.healty(web)", answer((6, 5), slip));
    let model = services("service.healthy(web)")
        .replace("implementation: docker, docker: {image: xedgesim/gateway}", "implementation: model");
    let message = "node `relay`: a service has no built-in model, use `implementation: docker`";
    refused(&model, answer((4, 10), message));
    let ready = services("service.healthy(web)").replace("seed: 1", "seed: 1, ready_s: 0");
    refused(&ready, answer((1, 47), "`ready_s` must be more than 0 and at most 3600"));
}

#[test]
fn a_file_that_is_not_there_or_no_text_is_bad_input() {
    here(&["sim", "validate", "scenarios/nope.yaml"]).expect(3).says("scenarios/nope.yaml").says("hint:");
    here(&["sim", "scenarios/nope.yaml"]).expect(3).says("scenarios/nope.yaml").says("hint:");
    here(&["sim", "validate", "scenarios"]).expect(3).says("scenarios");
    let (_folder, path) = scenario("");
    fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    here(&["sim", "validate", path.to_str().unwrap()]).expect(3).says("UTF-8");
    fs::write(&path, "").unwrap();
    here(&["sim", "validate", path.to_str().unwrap()]).expect(3).says("scenario.yaml:1:1: ");
}

#[test]
fn every_bad_file_is_reported_not_just_the_first() {
    let (_one, first) = scenario("nodes: 1\n");
    let (_two, second) = scenario("simulation: 2\n");
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    here(&["sim", "validate", first, second]).expect(3).says(first).says(second);
}

/// Makes a mistake in a file of a project, runs, and mends it.
struct Mistakes<'a> {
    project: &'a Path,
    file: &'a str,
    command: &'a [&'a str],
}

impl Mistakes<'_> {
    #[track_caller]
    fn check(&self, (from, to): (&str, &str), mark: &str, message: &str, hint: Option<&str>) {
        let path = self.project.join(self.file);
        let good = fs::read_to_string(&path).unwrap();
        edit(&path, from, to);
        let bad = fs::read_to_string(&path).unwrap();
        let answer = Answer { at: place(&bad, mark), message, hint };
        check(run(self.project, self.command), self.file, &bad, answer);
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn mistakes_in_an_image_definition_are_found_before_anything_is_fetched() {
    let project = copy();
    let (file, command) = ("images/mqtt-broker/image.yaml", &["build", "mqtt-broker"]);
    let image = Mistakes { project: project.path(), file, command };
    for (key, mistaken) in [("platforms", "platfroms"), ("suite", "suit"), ("interval", "intreval")] {
        let (from, to) = (format!("{key}: "), format!("{mistaken}: "));
        let (message, hint) = (format!("unknown key `{mistaken}`"), format!("did you mean `{key}`?"));
        image.check((&from, &to), &format!("|{to}"), &message, Some(&hint));
    }
    let twice = ("format: 1\n", "format: 1\nformat: 1\n");
    image.check(twice, "format: 1\n|format", "duplicate key `format`", None);
    let platform = "`linux/amd46` is not a platform that is built for: expected linux/amd64, linux/arm64 or linux/arm/v7";
    image.check(("[linux/amd64", "[linux/amd46"), "[|linux/amd46", platform, None);
    let mode = "`755` is not a mode: expected four octal digits, \"0755\"";
    image.check(("mode: \"0755\"", "mode: 755"), "mode: |755", mode, None);
    assert!(!project.path().join("target/xedge/store").exists(), "something was fetched");
}

#[test]
fn an_unknown_suite_is_bad_input_and_not_a_bad_mirror() {
    let project = copy();
    edit(&project.path().join("images/mqtt-broker/image.yaml"), "suite: bookworm", "suite: bookwurm");
    run(project.path(), &["build", "mqtt-broker"]).expect(3).says("`bookwurm`").says("bookworm");
}

#[test]
fn mistakes_in_the_templates_folder_are_found() {
    let project = copy();
    let at = |file, command| Mistakes { project: project.path(), file, command };
    let stack = at("templates/stacks/edge/stack.yaml", &["render"]);
    let near = Some("did you mean `compose`?");
    stack.check(("\ncompose:", "\ncompsoe:"), "|compsoe", "unknown key `compsoe`", near);
    let near = Some("did you mean `password`?");
    stack.check(("kind: password,", "kind: pasword,"), "|pasword,", "unknown value `pasword`", near);

    let environment = at("templates/environments/production.yaml", &["render"]);
    let near = Some("did you mean `values`?");
    environment.check(("values:", "valeus:"), "|valeus", "unknown key `valeus`", near);
    let twice = ("  mqtt_port: 1883\n", "  mqtt_port: 1883\n  mqtt_port: 1884\n");
    environment.check(twice, "  |mqtt_port: 1884", "duplicate key `mqtt_port`", None);

    let reasons = at("templates/parity.yaml", &["render", "--diff", "simulation"]);
    let near = Some("did you mean `extras`?");
    reasons.check(("extras:", "extars:"), "|extars", "unknown key `extars`", near);
    let near = Some("did you mean `volumes`?");
    reasons.check(("aspect: volumes", "aspect: volume"), "|volume\n", "unknown value `volume`", near);
}

#[test]
fn a_stack_environment_or_template_that_is_not_there_gets_the_near_name() {
    let project = copy();
    let render = |arguments: &[&str], hint: &str| {
        run(project.path(), &[&["render"], arguments].concat()).expect(3).says(hint);
    };
    render(&["--env", "prodution"], "did you mean `production`?");
    render(&["--stack", "egde"], "did you mean `edge`?");
    render(&["--diff", "zzzzzzzzzz"], "known: production, simulation");
    edit(&project.path().join("templates/stacks/edge/stack.yaml"), "mosquitto.conf.j2", "mosquito.conf.j2");
    render(&[], "did you mean `services/mosquitto/mosquitto.conf.j2`?");
}

#[test]
fn a_lock_that_is_garbage_is_named_kept_and_made_anew_when_asked_for() {
    let project = project_with_packages();
    let file = "images/mqtt-broker/image.lock.json";
    let path = project.path().join(file);
    let good = fs::read_to_string(&path).unwrap();
    let update = "`cargo xtask lock --update";
    for (bad, reason) in [
        ("garbage".to_owned(), "expected value at line 1 column 1"),
        (String::new(), "EOF while parsing"),
        (good[..good.len() / 2].to_owned(), "EOF while parsing"),
        (good.replacen("\"format\": 1", "\"format\": 9", 1), "it has format 9, this xedge reads format 1"),
        (good.replacen("\"version\"", "\"verson\"", 1), "unknown field `verson`"),
    ] {
        fs::write(&path, &bad).unwrap();
        for arguments in [&["build", "mqtt-broker"][..], &["build", "--locked", "mqtt-broker"]] {
            run(project.path(), arguments).expect(3).says(file).says(reason).says(update);
        }
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            bad,
            "a lock that cannot be read was replaced unasked"
        );
    }
    run(project.path(), &["lock", "--update", "mqtt-broker"]).expect(0);
    run(project.path(), &["build", "--locked", "mqtt-broker"]).expect(0);
}

#[test]
fn a_layout_that_is_cut_off_is_named_and_its_hint_helps() {
    let project = project_with_packages();
    let build = || run(project.path(), &["build", "mqtt-broker"]);
    let before = build().expect(0).stdout;
    let layout = project.path().join("target/xedge/layout");
    let index = fs::read(layout.join("index.json")).unwrap();
    fs::write(layout.join("index.json"), &index[..index.len() / 2]).unwrap();
    let hint = "hint: if xedge wrote it, remove the layout's folder and make it again: `cargo xtask build`";
    for arguments in [&["build", "mqtt-broker"][..], &["image", "ls"], &["image", "inspect", "mqtt-broker"]] {
        run(project.path(), arguments).expect(3).says("layout/index.json").says(hint);
    }
    fs::remove_dir_all(layout).unwrap();
    assert_eq!(build().expect(0).stdout, before);
}
