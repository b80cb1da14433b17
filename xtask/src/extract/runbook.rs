//! The steps of an installation by hand, for one release: every digest in it is this release's. Text only.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use xedge_bundle::manifest::Probe;
use xedge_bundle::time;
use xedge_bundle::verify::Verified;
use xedge_config::outputs::{Backup, QUADLET_FOLDER, backup};
use xedge_model::Platform;
use xedge_model::compose::Compose;

use super::Taken;
use crate::forms::QUADLET;

/// The page.
pub(super) fn text(
    verified: &Verified,
    platform: Platform,
    images: &[Taken],
    compose: &Compose,
    notes: &[String],
) -> String {
    let manifest = verified.manifest();
    let (stack, version, seq) = (&manifest.stack, &manifest.version, manifest.seq);
    let mut page = format!(
        "# {stack} {version} (release {seq}) by hand, on {platform}\n\n\
         Nothing on the device checks what is done by hand: `xedge-agent apply` does, and it rolls back. This page is for a\n\
         device that cannot have the agent, or for the day on which it is broken. Lines that begin with `device$` are\n\
         typed on the device, as root or as a user who may use its Engine.\n\n\
         Signed until {}; configuration {}.\n",
        time::format(verified.expires()),
        manifest.config.digest,
    );
    section(
        &mut page,
        "1. Send this folder",
        &[format!("rsync -a --partial ./ USER@DEVICE:{stack}-{version}/")],
    );
    page.push_str(
        "\nThis is typed in the folder of this page. The folder `secrets` of step 3 is sent when it is there, and only to this device.\n",
    );
    load(&mut page, &format!("{stack}-{version}"), images);
    secrets(&mut page, verified);
    start(&mut page, verified);
    look(&mut page, verified);
    let back = "The volumes stay. Go to the folder of the release before it and start that one:";
    let _ = write!(page, "\n## 6. Go back\n\n{back}\n\n");
    let _ = writeln!(
        page,
        "    device$ docker compose --project-name {stack} --file {stack}/compose.yaml up --detach"
    );
    keep(&mut page, stack, compose);
    let units: Vec<String> =
        compose.start_order().into_iter().map(|(name, _)| format!("{stack}-{name}.service")).collect();
    other_forms(&mut page, stack, images, &units, notes);
    page
}

/// Backup and restore of what the stack keeps.
fn keep(page: &mut String, stack: &str, compose: &Compose) {
    let Backup { save, restore } = backup(stack, compose);
    if save.is_empty() {
        page.push_str("\n## 7. Backup and restore\n\nThis stack keeps nothing in volumes.\n");
        return;
    }
    let typed =
        |lines: &[String]| -> Vec<String> { lines.iter().map(|line| format!("device$ {line}")).collect() };
    section(page, "7. Backup", &typed(&save));
    page.push_str(
        "\nA copy of a broker that runs may be half of one state and half of another, so it is stopped for the time of the copy.\n\
         Take the files off the device: what is beside the data goes with the data.\n",
    );
    section(page, "8. Restore", &typed(&restore));
    page.push_str(
        "\nWhat the volumes hold before is gone after the second line. Save it first, if it can be read.\n",
    );
}

/// Without Compose.
fn other_forms(page: &mut String, stack: &str, images: &[Taken], units: &[String], notes: &[String]) {
    let mut lines: Vec<String> =
        images.iter().map(|taken| format!("device$ podman load --input {}", taken.archive)).collect();
    lines.extend([
        format!("device$ install -d {QUADLET_FOLDER} /etc/containers/systemd"),
        format!("device$ cp -a {stack} {QUADLET_FOLDER}/"),
        format!("device$ [ ! -d secrets ] || cp -a secrets {QUADLET_FOLDER}/"),
        format!("device$ cp {QUADLET}/* /etc/containers/systemd/"),
        "device$ systemctl daemon-reload".to_owned(),
        format!("device$ systemctl start {}", units.join(" ")),
    ]);
    section(page, "9. Instead of Compose: Podman 4.4 or newer and systemd", &lines);
    section(page, "10. Instead of Compose: `docker run`", &[format!("device$ sh {stack}/run.sh")]);
    page.push('\n');
    for note in notes {
        let _ = writeln!(page, "- {note}");
    }
}

fn section(page: &mut String, title: &str, lines: &[String]) {
    let _ = write!(page, "\n## {title}\n\n");
    for line in lines {
        let _ = writeln!(page, "    {line}");
    }
}

/// Loads, and compares what the Engine then has with what was signed.
fn load(page: &mut String, folder: &str, images: &[Taken]) {
    let mut lines = vec![format!("device$ cd {folder}")];
    for Taken { image, archive, id } in images {
        lines.push(format!("device$ docker load --input {archive}"));
        lines.push(format!("device$ docker image inspect --format '{{{{.Id}}}}' {image}:latest"));
        lines.push(format!("        {id}"));
    }
    section(page, "2. Load the images", &lines);
    page.push_str(
        "\nEach id must be the one that stands below its command; an Engine with the containerd store shows the manifest's:\n\n",
    );
    let _ = writeln!(page, "    device$ docker images --digests");
}

fn secrets(page: &mut String, verified: &Verified) {
    let manifest = verified.manifest();
    let config = &manifest.config;
    if config.secrets.is_empty() {
        section(page, "3. Secrets", &["none".to_owned()]);
        return;
    }
    let (stack, version) = (&manifest.stack, &manifest.version);
    let mut lines = send_secrets(stack, version, &config.environment).to_vec();
    let owned = config.secrets.iter().map(|s| (s, format!("secrets/{}", s.name)));
    lines
        .extend(owned.map(|(s, file)| format!("device$ chown {0}:{0} {file} && chmod 0400 {file}", s.owner)));
    section(page, "3. Secrets, beside the folder of the stack", &lines);
    page.push_str(
        "\nThe first three are typed in the folder of the project, where the data folder has the secrets.\n",
    );
}

/// How they get there. Git leaves target/ out, so that secrets cannot be committed from there.
fn send_secrets(stack: &str, version: &str, environment: &str) -> [String; 3] {
    let folder = format!("target/xedge/secrets-{stack}");
    [
        format!("cargo xtask secrets export --stack {stack} --env {environment} --out {folder}"),
        format!("rsync -a {folder}/ USER@DEVICE:{stack}-{version}/secrets/"),
        format!("rm -r {folder}"),
    ]
}

fn start(page: &mut String, verified: &Verified) {
    let stack = &verified.manifest().stack;
    let lines = [
        format!("device$ docker compose --project-name {stack} --file {stack}/compose.yaml config --quiet"),
        format!("device$ docker compose --project-name {stack} --file {stack}/compose.yaml up --detach"),
    ];
    section(page, "4. Start", &lines);
    page.push_str("\nWith the older tool it is `docker-compose` instead of `docker compose`.\n");
}

fn look(page: &mut String, verified: &Verified) {
    let manifest = verified.manifest();
    let stack = &manifest.stack;
    let compose = format!("docker compose --project-name {stack} --file {stack}/compose.yaml");
    let mut lines = vec![format!("device$ {compose} ps"), format!("device$ {compose} logs --tail 50")];
    let ports: BTreeSet<u16> = manifest.probes.iter().filter_map(Probe::port).collect();
    lines.extend(ports.into_iter().map(|port| {
        format!("device$ timeout 3 bash -c '</dev/tcp/127.0.0.1/{port}' && echo {port} answers")
    }));
    section(page, "5. Look", &lines);
}

#[cfg(test)]
mod tests {
    use super::send_secrets;

    #[test]
    fn secrets_go_beside_the_stack_that_was_sent() {
        let [export, send, _] = send_secrets("edge", "r1", "production");
        // tests/it/secrets.rs types it.
        assert_eq!(
            export,
            "cargo xtask secrets export --stack edge --env production --out target/xedge/secrets-edge"
        );
        assert_eq!(send, "rsync -a target/xedge/secrets-edge/ USER@DEVICE:edge-r1/secrets/");
    }
}
