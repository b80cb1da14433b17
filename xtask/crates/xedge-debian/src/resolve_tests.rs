//! Closures over small universes: a line for each package.

use std::fmt::Write as _;

use xedge_model::{Class, Failure};

use super::resolve;
use crate::index::read_packages;
use crate::{Error, Universe};

/// Each line is `name version` and then fields, parted by semicolons: `a 1; Depends: b (>= 2); Provides: c`.
fn universe(lines: &str) -> Universe {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.split("; ");
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let fields = parts.fold(String::new(), |all, field| all + field + "\n");
        let hash = "0".repeat(64);
        writeln!(
            text,
            "Package: {name}\nVersion: {version}\nArchitecture: arm64\nFilename: pool/{name}.deb\nSize: 1\n\
             SHA256: {hash}\n{fields}"
        )
        .unwrap();
    }
    let mut universe = Universe::new("arm64");
    read_packages("Packages", text.as_bytes(), "bookworm", |entry| universe.add(entry)).unwrap();
    universe
}

fn list(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn closure(lines: &str, wanted: &str, omit: &str) -> Result<String, Error> {
    let packages = resolve(&universe(lines), &list(wanted), &list(omit))?;
    Ok(packages.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" "))
}

fn check(lines: &str, wanted: &str, omit: &str, expected: &str) {
    assert_eq!(closure(lines, wanted, omit).unwrap(), expected);
}

fn fails(lines: &str, wanted: &str, omit: &str, message: &str) -> Error {
    let error = closure(lines, wanted, omit).unwrap_err();
    assert_eq!(error.class(), Class::Input);
    assert_eq!(error.to_string(), message);
    error
}

#[test]
fn the_closure_is_sorted_and_may_have_cycles() {
    let lines = "z 1; Depends: a, m\nm 1; Pre-Depends: z\na 1\nunrelated 1; Essential: yes";
    check(lines, "z z", "", "a m z");
    check(lines, "", "", "");
}

#[test]
fn alternatives_prefer_what_is_chosen_then_the_first_that_exists() {
    check("a 1; Depends: b | c\nb 1\nc 1", "a", "", "a b");
    check("a 1; Depends: b | c\nb 1\nc 1", "a c", "", "a c");
    check("a 1; Depends: missing | b (>= 2) | c\nb 1\nc 1", "a", "", "a c");
    check("a 1; Depends: b [amd64] | c\nb 1\nc 1", "a", "", "a c");
    check("a 1; Depends: b:any, c:arm64\nb 1\nc 1", "a", "", "a b c");
}

#[test]
fn virtual_packages_are_met_by_the_first_provider() {
    let lines = "a 1; Depends: mta\ny 1; Provides: mta\nx 1; Provides: other, mta (= 2)";
    check(lines, "a", "", "a x");
    check(lines, "a y", "", "a y");
    check(
        "a 1; Depends: mta (>= 2)\nw 1; Provides: mta\nx 1; Provides: mta (= 1)\ny 1; Provides: mta (= 3)",
        "a",
        "",
        "a y",
    );
    check("a 1; Depends: b (>= 2)\nb 1\nc 1; Provides: b (= 2)", "a", "", "a c");
}

#[test]
fn an_omission_counts_as_met() {
    let lines = "a 1; Depends: b, c | d, v\nb 1; Depends: missing\nc 1\nd 1\np 1; Provides: v";
    check(lines, "a", "b p d", "a");
    check(lines, "a", "b v c", "a");
    check("a 1; Depends: nowhere (>= 3) | nothing", "a", "nothing", "a");
    // An omitted package does not stand for a real one that it also provides.
    check("a 1; Depends: b, p\nb 1\np 1; Provides: b", "a", "p", "a b");
}

#[test]
fn useless_and_contradictory_omissions_are_errors() {
    let lines = "a 1; Depends: b\nb 1; Depends: c\nc 1";
    fails(lines, "a", "x", "failed to use the omission of `x`: no chosen package depends on it");
    // `c` was only needed by `b`, which is not there any more.
    fails(lines, "a", "b c", "failed to use the omission of `c`: no chosen package depends on it");
    fails(lines, "a", "a", "failed to use the omission of `a`: the same package is wanted");
}

#[test]
fn an_unknown_package_has_a_near_name() {
    let error = fails("mosquitto 1", "mosquito", "", "failed to find the package `mosquito` for arm64");
    assert_eq!(error.hint().unwrap(), "did you mean `mosquitto`?");
    fails("a 1; Provides: virtual", "virtual", "", "failed to find the package `virtual` for arm64");
}

#[test]
fn an_unmet_dependency_names_the_way_to_it() {
    let lines = "a 1; Depends: b\nb 1; Depends: c\nc 1; Depends: d (>= 2) | e, x:amd64\nd 1\nx 1";
    let message =
        "failed to meet the dependency `d (>= 2) | e` of `c`, needed by `b`, needed by `a` for arm64";
    fails(lines, "a", "", message);
    fails(lines, "c", "d", "failed to meet the dependency `x:amd64` of `c` for arm64");
}

#[test]
fn packages_that_refuse_each_other_are_an_error() {
    fails(
        "a 1; Depends: b\nb 2; Conflicts: x, a (<< 2)",
        "a",
        "",
        "failed to combine the packages `b` and `a`: the first one refuses `a (<< 2)`",
    );
    fails(
        "a 1; Breaks: v\nb 1; Provides: v",
        "a b",
        "",
        "failed to combine the packages `a` and `b`: the first one refuses `v`",
    );
    check("a 1; Breaks: b (<< 1)\nb 1", "a b", "", "a b");
    check("a 1; Conflicts: v; Provides: v", "a", "", "a");
    check("a 1; Breaks: v (<< 2)\nb 1; Provides: v", "a b", "", "a b");
    check("a 1; Conflicts: b", "a", "", "a");
}
