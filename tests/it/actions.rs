//! The files of GitHub Actions: that they call commands which exist, are pinned, ask for little, and leak nothing.

mod files;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use tempfile::TempDir;

use self::files::{File, Kind, Value, all, text};
use self::script::commands;
use super::support::root;

/// What variables can be whose values only a run knows, where a name must look like one.
fn sample(variable: &str) -> Option<String> {
    let samples = [("REGISTRY", "registry.example/edge"), ("VERSION", "1.2.0")];
    samples.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
}

#[test]
fn every_command_is_one_that_the_command_line_takes() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in all() {
        for (step, lookups) in file.steps() {
            let Some(run) = text(&step["run"]) else { continue };
            for lookup in &lookups {
                for command in commands(run, &|name| lookup.get(name).cloned().or_else(|| sample(name))) {
                    let [cargo, xtask, arguments @ ..] = &command[..] else { continue };
                    if cargo != "cargo" || xtask != "xtask" {
                        continue;
                    }
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    seen.insert(arguments[0].to_owned());
                    if let Err(usage) = xtask::accepts(&arguments) {
                        wrong.push(format!("{}: {}\n{usage}", file.name, command.join(" ")));
                    }
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for command in ["ci", "doctor", "registry", "release", "setup", "sim"] {
        assert!(seen.contains(command), "no file calls `cargo xtask {command}`: {seen:?}");
    }
}

#[test]
fn a_command_line_that_does_not_exist_is_refused() {
    assert_eq!(xtask::accepts(&["sim", "a", "b", "--locked"]), Ok(()));
    assert!(xtask::accepts(&["sim", "--lokced"]).unwrap_err().contains("--locked"));
    assert!(xtask::accepts(&["ci", "value"]).is_err());
    assert!(xtask::accepts(&[]).is_err());
}

#[test]
fn actions_of_others_are_pinned_by_commit_with_their_version_beside_it() {
    for file in all() {
        let mut count = 0;
        for line in file.text.lines().map(str::trim) {
            let Some((_, uses)) = line.trim_start_matches("- ").split_once("uses: ") else { continue };
            count += 1;
            if let Some(ours) = uses.strip_prefix("$/") {
                assert!(root().join(ours).join("action.yml").is_file(), "{}: {uses}", file.name);
                continue;
            }
            let (action, comment) = uses.split_once(" # ").unwrap_or((uses, ""));
            let (_, commit) = action.split_once('@').unwrap_or((action, ""));
            let hex = commit.len() == 40 && commit.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            assert!(hex, "{}: {uses}: a full commit id, not a tag or a branch", file.name);
            let version = comment.strip_prefix('v').unwrap_or_default();
            assert!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count() == 3, "{uses}");
        }
        let parsed = file.steps().iter().filter(|(step, _)| step["uses"].is_string()).count();
        assert_eq!(count, parsed, "{}: a `uses:` that is written in another way", file.name);
    }
}

#[test]
fn a_version_is_pinned_at_one_commit_everywhere() {
    let mut commits = BTreeMap::new();
    for file in all() {
        for (step, _) in file.steps() {
            let Some((action, commit)) = text(&step["uses"]).and_then(|uses| uses.split_once('@')) else {
                continue;
            };
            let first = commits.entry(action.to_owned()).or_insert_with(|| commit.to_owned());
            assert_eq!(first, commit, "{}: {action}", file.name);
        }
    }
}

#[test]
fn workflows_start_without_rights_and_jobs_ask_for_few() {
    for file in all().into_iter().filter(|file| file.kind == Kind::Workflow) {
        let top = &file.value["permissions"];
        assert!(top.as_mapping().is_some_and(serde_yaml::Mapping::is_empty), "{}: {top:?}", file.name);
        assert!(file.value["concurrency"].is_mapping(), "{}", file.name);
        for (name, job) in file.jobs() {
            let place = format!("{}: {name}", file.name);
            let rights = job["permissions"].as_mapping().unwrap_or_else(|| panic!("{place}"));
            let rights: Vec<_> = rights.iter().map(|(k, v)| (text(k), text(v))).collect();
            assert_eq!(rights, [(Some("contents"), Some("read"))], "{place}");
            assert_eq!(text(&job["runs-on"]), Some("ubuntu-latest"), "{place}");
            assert!(job["timeout-minutes"].is_u64(), "{place}");
            let steps = job["steps"].as_sequence().unwrap();
            let checkouts = steps
                .iter()
                .filter(|step| text(&step["uses"]).is_some_and(|uses| uses.starts_with("actions/checkout@")));
            for checkout in checkouts {
                assert_eq!(checkout["with"]["persist-credentials"], false, "{place}");
            }
        }
    }
}

/// Stronger than the rule for untrusted values only, and easier to see: values go in through `env`.
#[test]
fn no_expression_is_pasted_into_a_script() {
    for file in all() {
        for (step, _) in file.steps() {
            let run = text(&step["run"]).unwrap_or_default();
            assert!(!run.contains("${{"), "{}: {run}", file.name);
            if file.kind == Kind::Action && !run.is_empty() {
                assert_eq!(text(&step["shell"]), Some("bash"), "{}: {run}", file.name);
            }
        }
    }
}

#[test]
fn actions_describe_their_inputs_and_get_those_that_they_have() {
    let actions: Vec<File> = all().into_iter().filter(|file| file.kind == Kind::Action).collect();
    assert_eq!(actions.len(), 3);
    let inputs = |path: &str| {
        let action = actions.iter().find(|action| action.name.starts_with(path)).expect("an action of ours");
        action.value["inputs"].as_mapping().unwrap().clone()
    };
    for action in &actions {
        for (name, input) in inputs(&action.name) {
            assert!(
                text(&input["description"]).is_some_and(|d| d.ends_with('.')),
                "{}: {name:?}",
                action.name
            );
            let required = input["required"] == Value::Bool(true);
            assert!(required != input["default"].is_string(), "{}: {name:?}", action.name);
        }
    }
    for file in all() {
        for (step, _) in file.steps() {
            let Some(path) = text(&step["uses"]).and_then(|uses| uses.strip_prefix("$/")) else { continue };
            let known = inputs(path);
            let given = step["with"].as_mapping().cloned().unwrap_or_default();
            for name in given.keys() {
                assert!(known.contains_key(name), "{}: {path} has no input {name:?}", file.name);
            }
            for (name, _) in known.iter().filter(|(_, input)| input["required"] == Value::Bool(true)) {
                assert!(given.contains_key(name), "{}: {path} needs {name:?}", file.name);
            }
        }
    }
}

#[test]
fn a_release_simulates_every_scenario() {
    let release = all().into_iter().find(|file| file.name.ends_with("release.yml")).unwrap();
    let matrix = release.value["jobs"]["sim"]["strategy"]["matrix"]["scenario"].as_sequence().unwrap();
    let named: BTreeSet<String> = matrix.iter().filter_map(text).map(str::to_owned).collect();
    let files = fs::read_dir(root().join("scenarios")).unwrap().map(|entry| entry.unwrap().path());
    let there: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(named, there);
}

/// The script of an action whose text holds this.
fn script_with(action: &str, part: &str) -> String {
    let file =
        all().into_iter().find(|file| file.name == format!(".github/actions/{action}/action.yml")).unwrap();
    let steps = file.steps();
    let mut scripts =
        steps.iter().filter_map(|(step, _)| text(&step["run"])).filter(|run| run.contains(part));
    let script = scripts.next().unwrap_or_else(|| panic!("{action}: no script with {part}")).to_owned();
    assert_eq!(scripts.next(), None, "{action}: {part}");
    script
}

/// As a runner runs it.
fn bash(script: &str, variables: &[(&str, &str)]) -> Output {
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]);
    bash.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn keys_are_unpacked_for_their_owner_alone_and_nothing_else_is() {
    let script = script_with("sim", "base64");
    assert_eq!(script, script_with("release", "base64"));
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path();
    // Each in a fresh data folder: how the archive is made, and what is refused or comes out.
    let cases = [
        ("tar -c keys/gate.key.json trust", None),
        ("tar -c keys trust", None),
        ("tar -c keys trust other", Some("other/")),
        ("tar -c ./keys", Some("./keys/")),
        ("tar -c keys --transform 's,gate,../gate,'", Some("keys/../gate.key.json")),
        ("tar -cP --transform 's,^,/tmp/,' keys", Some("/tmp/keys/")),
        ("tar -c keys deep --transform 's,^deep,keys/deep,'", Some("keys/deep/")),
        ("ln -s /tmp keys/link && tar -c keys/link", Some("l")),
        ("ln keys/gate.key.json keys/same && tar -c keys/gate.key.json keys/same", Some("h")),
        ("ln -s /tmp dots && tar -c dots --transform 'flags=r;s,dots,trust,'", Some("trust")),
        ("tar -c keys | head -c 1200", Some("")),
        ("tar -cz keys", Some("")),
        ("true", Some("")),
    ];
    for (index, (make, refused)) in cases.into_iter().enumerate() {
        let (data, home) = (folder.join(format!("data-{index}")), folder.join(format!("home-{index}")));
        let fill = "mkdir -p keys trust other deep; echo g | tee keys/gate.key.json other/x deep/x; echo r > trust/1.root.json";
        fs::create_dir(&data).unwrap();
        let archive = format!("cd {}; ({fill}) > /dev/null; ({make}) | base64", data.display());
        let keys = String::from_utf8(bash(&archive, &[]).stdout).unwrap();
        let variables = [("XEDGE_HOME", home.to_str().unwrap()), ("KEYS", &keys), ("PASSPHRASE", "a $b")];
        let run = bash(&script, &variables);
        let said = format!("{make}: {run:?}");
        assert_eq!(run.status.success(), refused.is_none(), "{said}");
        if let Some(refused) = refused {
            let lines = String::from_utf8_lossy(&run.stdout).into_owned();
            assert!(refused.is_empty() || lines.lines().any(|line| line == refused), "{said}");
            assert!(!home.join("keys").exists() && !home.join("trust").exists(), "{said}");
            continue;
        }
        assert_eq!(fs::read_to_string(home.join("passphrase")).unwrap(), "a $b");
        assert_eq!(fs::read_to_string(home.join("trust/1.root.json")).unwrap(), "r\n");
        for name in ["passphrase", "keys", "keys/gate.key.json", "trust", "trust/1.root.json"] {
            let bits = fs::metadata(home.join(name)).unwrap().permissions().mode();
            assert_eq!(bits & 0o077, 0, "{name}: {bits:o}");
        }
    }
}

#[test]
fn a_release_without_a_root_is_refused_before_another_one_is_made() {
    let script = script_with("release", "root.json");
    let home = TempDir::new().unwrap();
    let run = || bash(&script, &[("XEDGE_HOME", home.path().to_str().unwrap())]).status.success();
    assert!(!run());
    fs::create_dir(home.path().join("trust")).unwrap();
    assert!(!run());
    fs::write(home.path().join("trust/2.root.json"), "").unwrap();
    assert!(run());
}

#[test]
fn passphrases_are_in_a_file_and_the_data_folder_is_removed_whatever_happens() {
    for action in ["sim", "release"] {
        let file =
            all().into_iter().find(|file| file.name.ends_with(&format!("{action}/action.yml"))).unwrap();
        let steps = file.steps();
        let position = |part: &str| {
            let has = |(step, _): &(&Value, _)| text(&step["run"]).is_some_and(|run| run.contains(part));
            steps.iter().position(has).unwrap_or_else(|| panic!("{action}: {part}"))
        };
        let [unpack, run, remove] =
            [position("base64"), position(&format!("cargo xtask {action}")), position("rm -rf")];
        assert!(unpack < run && run < remove, "{action}");
        assert_eq!(text(&steps[remove].0["if"]), Some("always()"), "{action}");
        let home = text(&steps[unpack].0["env"]["XEDGE_HOME"]).unwrap();
        let passphrase = format!("{home}/passphrase");
        let env = &steps[run].0["env"];
        assert_eq!(text(&env["XEDGE_PASSPHRASE_FILE"]), Some(&*passphrase), "{action}");
        assert_eq!(text(&env["XEDGE_HOME"]), Some(home), "{action}");
        assert_eq!(text(&steps[remove].0["env"]["XEDGE_HOME"]), Some(home), "{action}");
        let holders = steps.iter().filter(|(step, _)| step["env"]["PASSPHRASE"].is_string()).count();
        assert_eq!(holders, 1, "{action}: steps that see the passphrase");
    }
}

#[test]
fn an_audit_of_the_files_finds_nothing() {
    let zizmor = root().join(xtask::setup::python::FOLDER).join("bin/zizmor");
    assert!(zizmor.exists(), "zizmor is not in {}: get it with `cargo xtask setup`", zizmor.display());
    let mut audit = Command::new(zizmor);
    audit.args(["--offline", "--no-config", "--no-ignores", "--strict-collection", "--persona", "auditor"]);
    let audit = audit.arg("--color=never").arg(root().join(".github")).output().unwrap();
    let said = String::from_utf8_lossy(&audit.stdout) + String::from_utf8_lossy(&audit.stderr);
    assert!(audit.status.success(), "{said}");
    for file in all() {
        assert!(said.contains(&format!("completed {}", root().join(&file.name).display())), "{said}");
    }
}
