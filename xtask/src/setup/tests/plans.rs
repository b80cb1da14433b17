//! One machine after another: what is planned for it, exactly.

use std::collections::BTreeSet;

use xedge_model::{Failure, Platform};

use super::super::machine::{Engine, Family, Machine, Privilege, System, Trait};
use super::super::need::{Need, doctor, render_problems};
use super::super::plan::{Step, plan, render_plan};
use super::super::python::PINS;
use super::super::{Error, act};
use super::{complete, fresh};

const APT: &str = "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove \
                   -o DPkg::Lock::Timeout=120";
const NEEDED: &str =
    "docker.io gpgv ca-certificates gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross";

const TESTS: &str = "docker-registry apache2-utils openssl";
/// Before docker-compose: the embedded engine's programs, and Podman.
const ENGINES: &str = "crun iproute2 podman netavark aardvark-dns iptables uidmap slirp4netns fuse-overlayfs";
const STOP_PODMAN: &str =
    "systemctl disable --now podman.socket podman.service podman-restart.service podman-auto-update.timer";

fn pip() -> String {
    let pins: Vec<String> = PINS.iter().map(|(name, version)| format!("{name}=={version}")).collect();
    let pip = "target/xedge/tools/python/bin/python -m pip";
    format!("{pip} install --quiet --disable-pip-version-check --only-binary :all: {}", pins.join(" "))
}

/// The commands of the steps that `setup` runs itself, or of those that it leaves to the person.
fn commands(machine: &Machine, by_hand: bool) -> Vec<String> {
    plan(machine).into_iter().filter(|step| step.by_hand == by_hand).flat_map(|step| step.commands).collect()
}

fn check(machine: &Machine, ours: &[&str], by_hand: &[&str]) {
    assert_eq!(commands(machine, false), ours, "what runs here");
    assert_eq!(commands(machine, true), by_hand, "what is left to the person");
}

#[test]
fn a_complete_machine_needs_nothing() {
    check(&complete(), &[], &[]);
    assert_eq!(doctor(&complete()), []);
    assert!(render_plan(&plan(&complete())).starts_with("Nothing to do"));
}

#[test]
fn a_fresh_debian_gets_everything_with_one_update_and_one_install() {
    let install = format!(
        "{APT} {NEEDED} rustc-web libstd-rust-web-dev:arm64 qemu-user-static openssh-client {ENGINES} docker-compose \
         mosquitto-clients {TESTS} python3-venv"
    );
    check(
        &fresh(),
        &[
            "dpkg --add-architecture arm64",
            "apt-get update",
            &install,
            "systemctl disable --now docker-registry",
            STOP_PODMAN,
            "systemctl start docker",
            "systemctl restart systemd-binfmt",
            "python3 -m venv --clear target/xedge/tools/python",
            &pip(),
        ],
        &[],
    );
}

#[test]
fn an_optional_package_that_is_gone_does_not_keep_the_needed_ones_away() {
    let install = plan(&fresh()).into_iter().find(|step| step.title == "install packages").unwrap();
    assert!(!install.optional);
    assert_eq!(install.fallback, [format!("{APT} {NEEDED} rustc-web libstd-rust-web-dev:arm64")]);
}

#[test]
fn an_engine_that_answers_is_never_joined_by_another() {
    let machine = Machine { engine: super::up(), ..fresh() };
    assert!(commands(&machine, false).iter().all(|command| !command.contains("docker.io")));
    assert!(commands(&machine, false).iter().all(|command| !command.contains("start docker")));
}

#[test]
fn an_installed_engine_is_started_with_what_runs_services_here() {
    let machine = Machine { engine: Engine::Down, ..complete() };
    check(&machine, &["systemctl start docker"], &[]);
    let mut bare = machine;
    bare.traits.remove(&Trait::Systemd);
    let start = "sh -c 'service docker start || { setsid dockerd >>/var/log/docker.log 2>&1 </dev/null & }'";
    check(&bare, &[start], &[]);
}

#[test]
fn an_engine_that_was_named_is_never_replaced_by_a_local_one() {
    let named_by = |from: &str| Machine {
        engine: Engine::Elsewhere { at: "tcp://127.0.0.1:2375".into(), from: from.into() },
        ..complete()
    };
    let advice = "# start the Engine at tcp://127.0.0.1:2375, or use the one of this machine:";
    check(&named_by("DOCKER_HOST"), &[], &[advice, "unset DOCKER_HOST"]);
    check(&named_by("the docker context `lab`"), &[], &[advice, "docker context use default"]);
    let unusable =
        Engine::Unusable { problem: "it speaks TLS".into(), fix: vec!["# give it a socket".into()] };
    let machine = Machine { engine: unusable, ..complete() };
    check(&machine, &[], &["# give it a socket"]);
    assert_eq!(doctor(&machine)[0].what, "it speaks TLS");
}

#[test]
fn a_rustup_target_that_is_there_is_preferred_to_debians_compiler() {
    let mut machine = fresh();
    machine.rust.insert(Platform::LinuxArm64, super::RustFrom::Path);
    let ours = commands(&machine, false).join("\n");
    assert!(ours.contains("gcc-aarch64-linux-gnu"));
    assert!(!ours.contains("rust") && !ours.contains("--add-architecture"), "{ours}");
}

#[test]
fn a_32_bit_arm_is_set_up_for_only_where_somebody_asks() {
    let mut machine = Machine { wanted: Platform::ALL.into(), ..complete() };
    let install = format!(
        "{APT} gcc-arm-linux-gnueabihf libc6-dev-armhf-cross rustc-web libstd-rust-web-dev:armhf qemu-user-static"
    );
    check(
        &machine,
        &["dpkg --add-architecture armhf", "apt-get update", &install, "systemctl restart systemd-binfmt"],
        &[],
    );
    machine.programs.insert("qemu-arm".to_owned());
    assert!(commands(&machine, false).iter().all(|command| !command.contains("qemu-user-static")));
    machine.traits.remove(&Trait::Systemd);
    let entry = "/proc/sys/fs/binfmt_misc/qemu-arm";
    assert!(commands(&machine, false).iter().any(|command| command.contains(entry)));
    // A machine that has it is told nothing, and one that did not ask neither.
    machine.linkers.insert(Platform::LinuxArmV7, "arm-linux-gnueabihf-gcc".to_owned());
    machine.rust.insert(Platform::LinuxArmV7, super::RustFrom::Debian);
    machine.emulated.insert(Platform::LinuxArmV7);
    check(&machine, &[], &[]);
}

#[test]
fn debians_rustc_is_not_taken_away() {
    let mut machine = fresh();
    machine.packages.insert("rustc".to_owned());
    assert!(commands(&machine, false).iter().all(|command| !command.contains("rustc-web")));
    let by_hand = commands(&machine, true);
    assert!(by_hand[0].contains("is not removed for you"), "{by_hand:?}");
    assert!(by_hand.contains(&"rustup target add aarch64-unknown-linux-gnu".to_owned()));
}

#[test]
fn a_rustc_behind_usr_bin_is_not_hidden_by_debians() {
    let mut machine = fresh();
    machine.traits.insert(Trait::UsrBinFirst);
    assert!(commands(&machine, false).iter().all(|command| !command.contains("rustc-web")));
    assert_eq!(commands(&machine, true)[1], "rustup target add aarch64-unknown-linux-gnu");
}

#[test]
fn sudo_runs_what_needs_root_and_nothing_else() {
    let mut machine = Machine { privilege: Privilege::Sudo, ..fresh() };
    machine.traits.remove(&Trait::Rustfmt);
    let ours = commands(&machine, false);
    let without: Vec<&String> = ours.iter().filter(|command| !command.starts_with("sudo ")).collect();
    // The Python tools lie in the project, which is this user's.
    assert_eq!(
        without,
        ["python3 -m venv --clear target/xedge/tools/python", &pip(), "rustup component add rustfmt"]
    );
    assert_eq!(commands(&machine, true)[0], "sudo usermod -aG docker \"$(id -un)\"");
}

#[test]
fn without_root_and_sudo_everything_is_left_to_the_person() {
    let machine = Machine { privilege: Privilege::None, ..fresh() };
    assert_eq!(commands(&machine, false), [""; 0]);
    let by_hand = commands(&machine, true);
    assert!(by_hand.contains(&"sudo apt-get update".to_owned()));
    assert!(by_hand.iter().any(|command| command.starts_with(&format!("sudo {APT} docker.io"))));
}

#[test]
fn debian_13_is_set_up_like_12_and_11_is_not() {
    let debian = |major| Machine {
        system: System { family: Family::Debian, name: format!("Debian {major}"), major: Some(major) },
        ..fresh()
    };
    assert_eq!(commands(&debian(13), false), commands(&fresh(), false));
    assert_eq!(commands(&debian(11), false), [""; 0]);
    assert!(commands(&debian(11), true).contains(&"rustup target add aarch64-unknown-linux-gnu".to_owned()));
}

#[test]
fn apt_sources_of_somebody_else_are_not_installed_from() {
    let machine = Machine { origins: BTreeSet::from(["Somebody".to_owned()]), ..fresh() };
    assert_eq!(commands(&machine, false), [""; 0]);
    // A machine that never fetched a list is fresh, not foreign.
    let machine = Machine { origins: BTreeSet::new(), ..fresh() };
    assert_eq!(commands(&machine, false), commands(&fresh(), false));
}

#[test]
fn other_systems_get_their_own_commands_and_nothing_runs() {
    let on = |family| Machine {
        system: System { family, name: "elsewhere".into(), major: Some(24) },
        origins: BTreeSet::new(),
        ..fresh()
    };
    let cases = [
        (
            Family::Ubuntu,
            format!(
                "{APT} {NEEDED} qemu-user-static openssh-client {ENGINES} docker-compose mosquitto-clients {TESTS} python3-venv"
            ),
        ),
        (
            Family::Fedora,
            "dnf install -y moby-engine gnupg2 ca-certificates gcc glibc-static qemu-user-static-aarch64 \
             openssh-clients crun iproute podman netavark aardvark-dns docker-compose mosquitto httpd-tools openssl python3"
                .to_owned(),
        ),
        (Family::Other, "# install Docker Engine or Podman with this system's package manager".to_owned()),
    ];
    for (family, expected) in cases {
        assert_eq!(commands(&on(family), false), [""; 0], "{family:?}");
        let by_hand = commands(&on(family), true);
        assert!(by_hand.contains(&expected), "{family:?}: {by_hand:#?}");
        assert!(by_hand.contains(&"rustup target add aarch64-unknown-linux-gnu".to_owned()), "{family:?}");
    }
}

#[test]
fn macos_builds_for_both_linux_platforms_and_needs_no_emulator_of_its_own() {
    let mut machine = fresh();
    machine.system = System { family: Family::MacOs, name: "macOS".into(), major: None };
    machine.platform = None;
    machine.privilege = Privilege::Sudo;
    machine.rust.clear();
    machine.traits.remove(&Trait::Systemd);
    assert_eq!(commands(&machine, false), [""; 0]);
    let by_hand = commands(&machine, true);
    assert!(by_hand[0].starts_with("brew install colima gnupg ca-certificates messense/"), "{by_hand:#?}");
    assert!(by_hand.contains(&"rustup target add x86_64-unknown-linux-gnu".to_owned()));
    assert!(
        by_hand.iter().all(|command| !command.contains("sudo") && !command.contains("binfmt")),
        "{by_hand:#?}"
    );
}

#[test]
fn wsl_is_left_to_the_person() {
    let mut machine = fresh();
    machine.traits.insert(Trait::Wsl);
    machine.traits.remove(&Trait::Systemd);
    assert_eq!(commands(&machine, false), [""; 0]);
    assert!(commands(&machine, true).iter().any(|command| command.contains("service docker start")));
}

#[test]
fn a_device_of_the_other_architecture_is_the_mirror_image() {
    let mut machine = Machine { platform: Some(Platform::LinuxArm64), ..fresh() };
    machine.rust = [(Platform::LinuxArm64, super::RustFrom::Path)].into();
    let ours = commands(&machine, false).join("\n");
    assert!(ours.contains("gcc-x86-64-linux-gnu libc6-dev-amd64-cross gcc libc6-dev rustc-web"), "{ours}");
    assert!(
        ours.contains("libstd-rust-web-dev:amd64") && ours.contains("dpkg --add-architecture amd64"),
        "{ours}"
    );
}

#[test]
fn apparmor_comes_with_an_engine_only_where_the_kernel_enforces_it() {
    let mut machine = fresh();
    assert!(!commands(&machine, false).join("\n").contains("apparmor"));
    machine.traits.insert(Trait::AppArmor);
    assert!(commands(&machine, false).join("\n").contains("docker.io apparmor gpgv"));
    machine.programs.insert("apparmor_parser".to_owned());
    assert!(!commands(&machine, false).join("\n").contains("apparmor"));
}

#[test]
fn clippy_without_rustup_is_an_advice_and_never_an_error() {
    let mut machine = complete();
    machine.programs.remove("rustup");
    machine.traits.remove(&Trait::Clippy);
    let step: Step = plan(&machine).remove(0);
    assert!(step.optional && step.by_hand && step.without.contains("rustc-web"));
}

#[test]
fn a_registry_that_was_there_before_is_left_as_it_is() {
    let mut machine = complete();
    machine.programs.remove("htpasswd");
    let ours = commands(&machine, false).join("\n");
    assert!(ours.contains("apache2-utils") && !ours.contains("docker-registry"), "{ours}");

    let mut machine = complete();
    machine.programs.remove("docker-registry");
    machine.traits.remove(&Trait::Systemd);
    let stop = "sh -c 'service docker-registry stop; update-rc.d docker-registry disable'";
    check(&machine, &["apt-get update", &format!("{APT} docker-registry"), stop], &[]);
    assert!(plan(&machine).iter().all(|step| step.optional));
    assert!(render_plan(&plan(&machine)).contains("starts a service on port 5000"));
}

#[test]
fn a_podman_that_came_with_the_tests_does_not_stay_running() {
    let mut machine = complete();
    machine.programs.remove("netavark");
    let install = format!("{APT} {}", ENGINES.replace("crun iproute2 podman", "podman crun"));
    check(&machine, &["apt-get update", &install], &[]);
    machine.programs.remove("podman");
    check(&machine, &["apt-get update", &install, STOP_PODMAN], &[]);
    assert!(plan(&machine).iter().all(|step| step.optional));
    machine.traits.remove(&Trait::Systemd);
    check(&machine, &["apt-get update", &install], &[]);
}

#[test]
fn who_has_podman_alone_gets_no_second_engine() {
    let idle = Machine { engine: Engine::PodmanIdle, ..complete() };
    check(&idle, &[], &["systemctl enable --now podman.socket"]);
    let mut user = Machine { privilege: Privilege::Sudo, ..idle };
    check(&user, &[], &["systemctl --user enable --now podman.socket"]);
    user.traits.remove(&Trait::Systemd);
    assert!(commands(&user, true)[1].ends_with("unix://$XDG_RUNTIME_DIR/podman/podman.sock"));
    user.system.family = Family::MacOs;
    assert_eq!(commands(&user, true)[0], "podman machine start");
    let denied = Engine::Denied { at: "/run/podman/podman.sock".to_owned() };
    let denied = Machine { engine: denied, privilege: Privilege::Sudo, ..complete() };
    check(&denied, &[], &["systemctl --user enable --now podman.socket"]);
}

#[test]
fn runc_will_do_for_the_embedded_engine() {
    let mut machine = complete();
    machine.programs.remove("crun");
    assert!(commands(&machine, false).contains(&format!("{APT} crun")));
    machine.programs.insert("runc".to_owned());
    check(&machine, &[], &[]);
    machine.programs.remove("ip");
    check(&machine, &["apt-get update", &format!("{APT} iproute2")], &[]);
    let problem = doctor(&machine).remove(0);
    assert!(problem.optional && problem.blocks == ["sim --engine embedded"], "{problem:?}");
}

#[test]
fn a_system_without_debians_sources_is_told_where_a_mirror_is_named() {
    let mut machine = complete();
    machine.traits.remove(&Trait::DebianMirror);
    assert_eq!(commands(&machine, false), [""; 0]);
    let by_hand = commands(&machine, true);
    let file = "printf 'format: 1\\ndebian_mirror: http://HOST/debian\\n' \
                >'/home/u/.local/share/xedge/config.yaml'";
    assert!(by_hand.contains(&file.to_owned()), "{by_hand:#?}");
    assert!(by_hand.contains(&"export XEDGE_DEBIAN_MIRROR=http://HOST/debian".to_owned()));
    let problem = doctor(&machine).remove(0);
    assert_eq!((problem.need, problem.optional), (Need::DebianMirror, true));
}

#[test]
fn the_python_tools_need_a_package_only_where_python_cannot_make_environments() {
    let mut machine = complete();
    machine.traits.remove(&Trait::PythonTools);
    let venv = "python3 -m venv --clear target/xedge/tools/python";
    check(&machine, &[venv, &pip()], &[]);
    // They change nothing but the project's own folder, so they are made on every system that can.
    let elsewhere = Machine {
        privilege: Privilege::None,
        system: System { family: Family::Ubuntu, ..machine.system.clone() },
        ..machine.clone()
    };
    check(&elsewhere, &[venv, &pip()], &[]);

    machine.traits.remove(&Trait::PythonVenv);
    check(&machine, &["apt-get update", &format!("{APT} python3-venv"), venv, &pip()], &[]);
    let elsewhere =
        Machine { system: System { family: Family::Ubuntu, ..machine.system.clone() }, ..machine.clone() };
    check(&elsewhere, &[], &["apt-get update", &format!("{APT} python3-venv"), venv, &pip()]);
}

#[test]
fn an_engine_on_another_loopback_is_a_problem_and_not_ours_to_mend() {
    let mut machine = complete();
    machine.traits.insert(Trait::EngineElsewhere);
    let problem = doctor(&machine).remove(0);
    assert_eq!((problem.need, problem.optional), (Need::EnginePorts, false));
    assert!(
        problem.blocks.contains(&"sim".to_owned()) && problem.fix[0].contains("container:"),
        "{problem:?}"
    );
    assert_eq!(commands(&machine, false), [""; 0]);
    assert_eq!(commands(&machine, true).len(), 2);
}

#[test]
fn doctor_lists_every_problem_at_once_with_its_command() {
    let problems = doctor(&fresh());
    let needs: Vec<String> = problems.iter().map(|problem| problem.need.to_string()).collect();
    assert_eq!(
        needs,
        [
            "engine",
            "gpgv",
            "certificates",
            "linker-amd64",
            "linker-arm64",
            "rust-target-arm64",
            "emulation-arm64",
            "ssh",
            "oci-runtime",
            "podman",
            "compose",
            "mqtt-clients",
            "registry",
            "htpasswd",
            "openssl",
            "python-tools"
        ]
    );
    assert!(problems.iter().all(|p| !p.fix.is_empty() && !p.blocks.is_empty() && !p.without.is_empty()));
    let json = serde_json::to_value(&problems).unwrap();
    assert_eq!(json[1]["need"], "gpgv");
    assert_eq!(json[1]["fix"][1], format!("{APT} gpgv"));
    let text = render_problems(&problems);
    assert!(problems.iter().flat_map(|p| &p.fix).all(|command| text.contains(command.as_str())));
}

#[test]
fn every_command_of_a_plan_is_shown_as_it_runs() {
    let steps = plan(&fresh());
    let text = render_plan(&steps);
    assert!(
        steps.iter().flat_map(|s| s.commands.iter().chain(&s.fallback)).all(|c| text.contains(c.as_str()))
    );
}

#[test]
fn needed_things_that_are_missing_are_the_environments_fault_and_optional_ones_a_note() {
    let error = act::conclude(&fresh(), Vec::new(), "type this").unwrap_err();
    assert_eq!((error.class().exit_code(), error.hint().as_deref()), (1, Some("type this")));
    let Error::Missing { problems, .. } = &error else { panic!("{error}") };
    assert!(problems.iter().all(|problem| !problem.optional));
    assert!(error.to_string().contains("apt-get install"), "{error}");

    let machine = Machine { emulated: BTreeSet::new(), ..complete() };
    assert!(!Need::Emulation(Platform::LinuxArm64).is_met(&machine));
    let act::Outcome::Done { notes } = act::conclude(&machine, Vec::new(), "").unwrap() else { panic!() };
    assert!(notes[0].contains("containers for linux/arm64 do not run"), "{notes:?}");
}
