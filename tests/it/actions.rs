//! The files of GitHub Actions: that they call commands which exist, are pinned, ask for little, and leak nothing.

mod files;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

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
