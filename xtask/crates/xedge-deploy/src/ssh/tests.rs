//! What the user's configuration may change about a connection, as ssh itself understands it.

use std::io::Write as _;

use super::*;

fn configured(text: &str, host: &str) -> (tempfile::NamedTempFile, Ssh) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a written file");
    let path = Utf8Path::from_path(file.path()).expect("text").to_owned();
    let ssh = Ssh::new(host.parse().expect("a name"), Some(&path), &Cancel::default()).expect("a folder");
    (file, ssh)
}

/// What `ssh -G` says of a command.
fn resolved(command: &Command) -> String {
    let mut ssh = Command::new("ssh");
    ssh.arg("-G").args(command.get_args());
    let output = ssh.output().expect("ssh is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_configuration_for_people_does_not_get_into_the_streams() {
    let text = "Host rpi\n RemoteCommand htop\n LocalForward 8080 x:80\n ForwardAgent yes\n PermitLocalCommand yes\n \
                LocalCommand touch x\n StrictHostKeyChecking no\n User pi\n";
    let (_file, ssh) = configured(text, "rpi:2222");
    let found = resolved(&ssh.command("ControlMaster=no", "true"));
    for line in [
        "forwardagent no",
        "permitlocalcommand no",
        "clearallforwardings yes",
        "batchmode yes",
        "user pi",
        "port 2222",
    ] {
        assert!(found.lines().any(|one| one == line), "{line}\n{found}");
    }
    assert!(found.lines().any(|one| one == "stricthostkeychecking true"), "{found}");
    assert!(!found.contains("htop"), "{found}");
}

#[test]
fn a_jump_host_is_as_strict_as_the_device() {
    let text = "Host rpi\n ProxyJump me@hop:2200\nHost hop\n StrictHostKeyChecking no\n";
    let (_file, mut ssh) = configured(text, "rpi");
    ssh.find_proxy().expect("a way");
    let proxy = ssh.proxy.clone().expect("a jump host");
    for part in ["BatchMode=yes", "StrictHostKeyChecking=yes", "-W '[%h]:%p'", "-l me", "-p 2200", " hop"] {
        assert!(proxy.contains(part), "{part}: {proxy}");
    }
    let found = resolved(&ssh.command("ControlMaster=no", "true"));
    assert!(found.contains(&format!("proxycommand {proxy}")), "{found}");
    assert!(!found.contains("proxyjump me"), "{found}");
    assert_eq!(configured("Host rpi\n User pi\n", "rpi").1.proxy, None);
}

#[test]
fn jump_hosts_behind_each_other_are_all_strict() {
    let (_file, mut ssh) = configured("Host rpi\n ProxyJump a,b\nHost a\n ProxyJump c\n", "rpi");
    ssh.find_proxy().expect("a way");
    let proxy = ssh.proxy.clone().expect("a jump host");
    assert_eq!(proxy.matches("StrictHostKeyChecking=yes").count(), 3, "{proxy}");
    // Each level of ssh takes one `%` away.
    assert!(proxy.contains("[%%%%h]") && proxy.contains("[%%h]") && proxy.contains("'[%h]:%p'"), "{proxy}");
}
