//! Tests of declarations and of the values that fit them.

use super::{BadDeclaration, DeviceValue, Unfit};

fn value(pattern: &str) -> DeviceValue {
    DeviceValue { name: "site".into(), pattern: pattern.into(), sample: "lab".into(), max_length: 8 }
}

#[test]
fn a_value_matches_as_a_whole() {
    let site = value("[a-z][a-z0-9-]*");
    for good in ["lab", "a", "lab-1"] {
        assert_eq!(site.check(good), Ok(()), "{good}");
    }
    for bad in ["", "1lab", "lab 1", "Lab", "lab.", " lab", "lab "] {
        assert_eq!(site.check(bad), Err(Unfit::Pattern(site.pattern.clone())), "{bad}");
    }
    // Alternatives are tied to both ends, and the longer one counts though the shorter one comes first.
    assert_eq!(value("a|ab").check("ab"), Ok(()));
    for bad in ["abc", "xa", "ba"] {
        assert!(value("a|ab").check(bad).is_err(), "{bad}");
    }
    for pattern in ["^lab$", "(?i)LAB", "(?m)^lab$", "(?x) l a b"] {
        assert_eq!(value(pattern).check("lab"), Ok(()), "{pattern}");
        assert!(value(pattern).check("labs").is_err(), "{pattern}");
    }
}

#[test]
fn what_means_something_in_a_file_is_refused_whatever_the_pattern() {
    let any = value("(?s).*");
    for bad in
        ['"', '\\', '@', '{', '}', '#', '$', '`', '\n', '\r', '\t', '\0', '\x1b', '\x7f', 'é', '\u{2028}']
    {
        assert_eq!(any.check(&format!("a{bad}")), Err(Unfit::Character(bad)), "{bad:?}");
    }
    assert_eq!(any.check("@{site}"), Err(Unfit::Character('@')));
    assert_eq!(any.check(" !'()*~"), Ok(()));
}

#[test]
fn the_length_counts_characters() {
    assert_eq!(value(".*").check("12345678"), Ok(()));
    assert_eq!(value(".*").check("123456789"), Err(Unfit::Length { length: 9, most: 8 }));
    assert_eq!(value(".*").check(&"é".repeat(8)), Err(Unfit::Character('é')));
    assert!(matches!(value(".*").check(&"a".repeat(1 << 20)), Err(Unfit::Length { .. })));
}

#[test]
fn a_declaration_that_cannot_be_used_is_refused() {
    let refused = |change: &dyn Fn(&mut DeviceValue), part: &str| {
        let mut value = value("[a-z]+");
        change(&mut value);
        let error = value.check_declaration().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        let json = serde_json::to_string(&value).unwrap();
        let error = serde_json::from_str::<DeviceValue>(&json).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    for name in ["", "Site", "1site", "si-te", "a.b", "a}", "é", &"a".repeat(64)] {
        refused(&|v| v.name = name.into(), "is no name of a device value");
    }
    for pattern in
        ["(", "[a-z", "a)|(?:b", "(?=lab)lab", "(a)\\1", "(?x)lab #", "*", "(((a{999}){999}){999})"]
    {
        refused(&|v| v.pattern = pattern.into(), "the pattern `");
    }
    for pattern in ["", &"a".repeat(201), "lab\n", "é|lab"] {
        refused(&|v| v.pattern = pattern.into(), "the pattern `");
    }
    refused(&|v| v.max_length = 0, "the length 0 is not within 1 to 1024");
    refused(&|v| v.max_length = 1025, "the length 1025");
    refused(&|v| v.max_length = 2, "the sample `lab` does not fit: it has 3 characters, and 2 are the most");
    refused(&|v| v.sample = "lab1".into(), "the sample `lab1` does not fit: it does not match `[a-z]+`");
    refused(&|v| v.sample = "a\"".into(), "does not fit: it holds \\u{22}: only printable ASCII");
}

#[test]
fn a_declaration_survives_json_and_nothing_else_is_read() {
    let text = r#"{"name":"site","pattern":"[a-z]+","sample":"lab","maxLength":8}"#;
    let read: DeviceValue = serde_json::from_str(text).unwrap();
    assert_eq!(read, value("[a-z]+"));
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    for bad in [text.replace("maxLength", "max_length"), text.replace("\"name\"", "\"more\":1,\"name\"")] {
        assert!(serde_json::from_str::<DeviceValue>(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_pattern_that_slipped_through_matches_nothing() {
    assert!(matches!(value("(").check("lab"), Err(Unfit::NoPattern(_))));
    assert!(matches!(value("(").check_declaration(), Err(BadDeclaration::Pattern { .. })));
}
