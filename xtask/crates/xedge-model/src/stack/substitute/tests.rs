//! Tests of placeholders and of what goes in their place.

use std::collections::BTreeMap;

use super::{DeviceValue, SubstituteError, Unfit, placeholders, samples, substitute};

fn declared() -> Vec<DeviceValue> {
    let value = |name: &str, pattern: &str, sample: &str| DeviceValue {
        name: name.into(),
        pattern: pattern.into(),
        sample: sample.into(),
        max_length: 16,
    };
    vec![value("prefix", ".*", ""), value("site", "[a-z0-9-]+", "lab-1")]
}

fn values(prefix: &str, site: &str) -> BTreeMap<String, String> {
    [("prefix", prefix), ("site", site)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn fill(text: &str, prefix: &str, site: &str) -> Result<String, SubstituteError> {
    substitute(text.as_bytes(), &declared(), &values(prefix, site)).map(|b| String::from_utf8(b).unwrap())
}

#[test]
fn placeholders_become_values_and_nothing_else_changes() {
    assert_eq!(fill("id = \"@{site}\"\n", "", "b-2").unwrap(), "id = \"b-2\"\n");
    assert_eq!(fill("@{site}@{site}/@{prefix}", "p q", "x").unwrap(), "xx/p q");
    assert_eq!(fill("@@{site}}{id} {site} @ {", "", "x").unwrap(), "@x}{id} {site} @ {");
    assert_eq!(fill("", "", "x").unwrap(), "");
    let binary = substitute(b"\xff@{site}\xfe@", &declared(), &values("", "x")).unwrap();
    assert_eq!(binary, b"\xffx\xfe@");
    assert_eq!(substitute(b"plain", &[], &BTreeMap::new()).unwrap(), b"plain");
    assert_eq!(samples(&declared()), values("", "lab-1"));
}

#[test]
fn a_value_cannot_become_a_placeholder_or_break_out() {
    for bad in ["@{site}", "{site}", "a\"b", "a\nport 1", "a\\", "#", "$HOME", "`id`", "}"] {
        let error = fill("@@{prefix}", bad, "x").unwrap_err();
        assert!(
            matches!(error, SubstituteError::Unfit { source: Unfit::Character(_), .. }),
            "{bad}: {error}"
        );
    }
    let long = fill("", &"a".repeat(17), "x").unwrap_err();
    assert!(matches!(long, SubstituteError::Unfit { source: Unfit::Length { length: 17, most: 16 }, .. }));
    let partial = fill("", "", "lab-1 ").unwrap_err();
    assert!(matches!(partial, SubstituteError::Unfit { source: Unfit::Pattern(_), .. }));
    // A join of text and value is not read again.
    assert_eq!(fill("@@{prefix}(site)", "", "x").unwrap(), "@(site)");
}

#[test]
fn missing_and_surplus_values_are_refused_even_where_the_text_needs_none() {
    let mut few = values("", "x");
    few.remove("site");
    assert_eq!(substitute(b"", &declared(), &few), Err(SubstituteError::Missing("site".into())));
    let mut many = values("", "x");
    many.insert("other".into(), "x".into());
    assert_eq!(substitute(b"@{other}", &declared(), &many), Err(SubstituteError::Surplus("other".into())));
}

#[test]
fn any_other_opening_is_refused_with_its_line() {
    assert_eq!(fill("one\n@{sit}", "", "x"), Err(SubstituteError::Unknown { line: 2, name: "sit".into() }));
    let nested = ["@{@{site}}", "@{", "@{}", "@{site", "@{Site}", "@{ site }", "@{site\n}", "@{si-te}"];
    for bad in nested {
        assert_eq!(fill(&format!("\n\n{bad}"), "", "x"), Err(SubstituteError::Stray { line: 3 }), "{bad}");
    }
    let long = format!("@{{{}}}", "a".repeat(64));
    assert_eq!(fill(&long, "", "x"), Err(SubstituteError::Stray { line: 1 }));
}

#[test]
fn every_opening_is_found() {
    let found = placeholders(b"a@{b}@{@{c}");
    let shown: Vec<_> = found.into_iter().map(|p| (p.range, p.name)).collect();
    assert_eq!(shown, [(1..5, Some("b")), (5..7, None), (7..11, Some("c"))]);
}
