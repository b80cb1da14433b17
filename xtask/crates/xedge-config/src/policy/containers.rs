//! Rules of how services run: run.*, image.pin.

use xedge_model::tree::{Tree, Value};

use super::finding::Finding;
use super::service::{MountKind, Service};
use super::subject::Subject;

/// Capabilities that are root on the device by another name.
const TOO_MUCH: [&str; 5] = ["ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "DAC_READ_SEARCH"];

pub(super) fn check(subject: &Subject<'_>, found: &mut Vec<Finding>) {
    for service in subject.services() {
        restart(subject, service, found);
        limits(subject, service, found);
        hardening(subject, service, found);
        privileged(subject, service, found);
        image(subject, service, found);
    }
}

fn restart(subject: &Subject<'_>, service: Service<'_>, found: &mut Vec<Finding>) {
    let policy = service.text("restart");
    let never = matches!(policy.as_deref(), None | Some("no" | "false"));
    if never && !subject.services().any(|other| waits_for_the_end(other, service.name)) {
        let message = format!("`{}` is not started again", service.name);
        let (at, setting) = (service.at("restart"), service.setting("restart"));
        found.push(subject.at_setting("run.restart", at, setting, message));
    }
}

/// Whether a service is there to prepare another, and then ends.
fn waits_for_the_end(other: Service<'_>, name: &str) -> bool {
    let dependency = other.tree.get("depends_on").and_then(|all| all.get(name));
    dependency.and_then(|all| all.get("condition")).and_then(Tree::text).as_deref()
        == Some("service_completed_successfully")
}

fn limits(subject: &Subject<'_>, service: Service<'_>, found: &mut Vec<Finding>) {
    let mut missing = Vec::new();
    for (key, deployed) in [("mem_limit", "memory"), ("cpus", "cpus"), ("pids_limit", "pids")] {
        missing.extend(service.limit(key, deployed).is_none().then_some(key));
    }
    missing.extend((!service.logs_are_bounded()).then_some("logging (max-size)"));
    if !missing.is_empty() {
        let message = format!("nothing bounds `{}`: {} missing", service.name, missing.join(", "));
        found.push(subject.at_setting("run.limits", service.at, service.setting("limits"), message));
    }
}

fn hardening(subject: &Subject<'_>, service: Service<'_>, found: &mut Vec<Finding>) {
    let drops_all = service.list("cap_drop").iter().any(|name| name.eq_ignore_ascii_case("all"));
    let options = service.list("security_opt");
    let no_new =
        options.iter().any(|option| matches!(&**option, "no-new-privileges" | "no-new-privileges:true"));
    let mut missing = Vec::new();
    missing.extend((!service.is("read_only")).then_some("read_only: true"));
    missing.extend((!drops_all).then_some("cap_drop: [ALL]"));
    missing.extend((!no_new).then_some("no-new-privileges"));
    if !missing.is_empty() {
        let message = format!("`{}` may do more than it needs: {} missing", service.name, missing.join(", "));
        found.push(subject.at_setting("run.hardening", service.at, service.setting("hardening"), message));
    }
}

fn privileged(subject: &Subject<'_>, service: Service<'_>, found: &mut Vec<Finding>) {
    let mut wrong = |key: &str, message: String| {
        let (at, setting) = (service.at(key), service.setting(key));
        found.push(subject.at_setting("run.privileged", at, setting, message));
    };
    if service.is("privileged") {
        wrong("privileged", format!("`{}` is root on the device", service.name));
    }
    for key in ["pid", "ipc", "userns_mode"] {
        if service.text(key).as_deref() == Some("host") {
            wrong(key, format!("`{}` sees the device's own processes or memory", service.name));
        }
    }
    let added = service.list("cap_add");
    let too_much = |name: &&String| TOO_MUCH.contains(&name.to_ascii_uppercase().trim_start_matches("CAP_"));
    if let Some(name) = added.iter().find(too_much) {
        wrong("cap_add", format!("`{}` with {name} is as good as root on the device", service.name));
    }
    let socket =
        |source: &str| source.ends_with("/docker.sock") || source.ends_with("/podman.sock") || source == "/";
    let mounts = service.mounts();
    if mounts.iter().any(|mount| matches!(&mount.kind, MountKind::Bind(source) if socket(source))) {
        wrong("volumes", format!("`{}` can start any container as root, or write any file", service.name));
    }
}

fn image(subject: &Subject<'_>, service: Service<'_>, found: &mut Vec<Finding>) {
    let (at, setting) = (service.at("image"), service.setting("image"));
    let named = service.text("image").unwrap_or_default();
    if !subject.is_stack() && !named.contains("@sha256:") {
        let message = format!("`{named}` is a name that can mean other bytes tomorrow");
        found.push(subject.at_setting("image.pin", at, setting.clone(), message));
    }
    let own = service.text("user").or_else(|| subject.image(Some(service.name))?.user.clone());
    let root = |user: String| {
        let name = user.split(':').next().unwrap_or_default();
        matches!(name, "" | "0" | "root")
    };
    if own.is_some_and(root) {
        let message = format!("`{}` runs as root", service.name);
        found.push(subject.at_setting("image.pin", at, setting, message).warning());
    }
    if let Some(Tree { value: Value::Map(_), .. }) = service.tree.get("build").filter(|_| !subject.is_stack())
    {
        let message = format!("`{}` is built on the device, from whatever is there", service.name);
        let (at, setting) = (service.at("build"), service.setting("build"));
        found.push(subject.at_setting("image.pin", at, setting, message));
    }
}
