//! The one form of metadata, times, names and headers.

use serde_json::json;

use crate::canonical::{check, parts, to_bytes};
use crate::member::{Kind, is_name, kind_of};
use crate::{tar, time};

#[test]
fn what_is_written_is_read() {
    let value = json!({"b": [1, 0, true], "a": {"\"\\": "x y~", "": {}}, "c": u64::MAX, "d": [], "e": false});
    let bytes = to_bytes(&value).unwrap();
    let text = r#"{"a":{"":{},"\"\\":"x y~"},"b":[1,0,true],"c":18446744073709551615,"d":[],"e":false}"#;
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
    assert_eq!(check(text.as_bytes()), Ok(()));
}

#[test]
fn unfit_values_are_not_written() {
    for value in
        [json!(null), json!(-1), json!(1.0), json!("\n"), json!("é"), json!({"\u{7f}": 1}), json!([1e300])]
    {
        assert!(to_bytes(&value).is_err(), "{value}");
    }
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    assert!(to_bytes(&deep).is_err());
}

#[test]
fn every_other_form_is_refused() {
    for text in [
        "",
        " 1",
        "1 ",
        "{} ",
        "\n{}",
        r#"{"a":1,"a":1}"#,
        r#"{"b":1,"a":1}"#,
        r#"{"a" :1}"#,
        r#"{"a": 1}"#,
        r#"{"a":1,}"#,
        "[1,]",
        "[,1]",
        "[1 ,2]",
        "1e9",
        "1E9",
        "1.0",
        "-1",
        "-0",
        "01",
        "00",
        "+1",
        "0x1",
        "18446744073709551616",
        "null",
        "True",
        "NaN",
        r#""\u0061""#,
        r#""\/""#,
        r#""\n""#,
        "\"\n\"",
        "\"\u{7f}\"",
        "\"é\"",
        r#""a"#,
        r#""\"#,
        r#"{"a"}"#,
        "{1:1}",
        "{'a':1}",
        "[",
        "{",
        "]",
        "1 2",
        "truefalse",
        r#"{"\u0061":1}"#,
    ] {
        assert!(check(text.as_bytes()).is_err(), "{text}");
    }
    for bytes in [&b"\"\xff\""[..], b"\xef\xbb\xbf{}", b"\"\0\"", b"{}\0"] {
        assert!(check(bytes).is_err());
    }
    assert!(check("[".repeat(100_000).as_bytes()).is_err(), "must not run out of stack");
    assert!(check(format!("{}{}", "[".repeat(16), "]".repeat(16)).as_bytes()).is_ok());
    assert!(check(format!("{}{}", "[".repeat(17), "]".repeat(17)).as_bytes()).is_err());
}

#[test]
fn the_signed_bytes_are_those_in_the_file() {
    let text = br#"{"signatures":[{"a":"]"}],"signed":{"x":1}}"#;
    let found = parts(text).unwrap();
    assert_eq!(&text[found.signed], br#"{"x":1}"#);
    assert_eq!(&text[found.signatures], br#"[{"a":"]"}]"#);
    for text in [
        r#"{"signed":{},"signatures":[]}"#,
        r#"{"signatures":[],"signed":{},"x":1}"#,
        r#"{"a":1,"signatures":[]}"#,
        r#"{"signatures":[],"signed":{}}}"#,
        r#"{"signatures":[],"signed":}"#,
        r#"{"signatures":[]}"#,
    ] {
        assert!(parts(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn times_are_whole_seconds() {
    for (unix, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_800_000_000, "2027-01-15T08:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(time::format(unix), text);
        assert_eq!(time::parse(text), Some(unix), "{text}");
    }
    assert_eq!(time::format(i64::MAX), "9999-12-31T23:59:59Z");
    assert_eq!(time::format(i64::MIN), "0000-01-01T00:00:00Z");
    for seconds in (-10_000..60_000).map(|step| step * 4_000_037) {
        assert_eq!(time::parse(&time::format(seconds)), Some(seconds));
    }
    for text in [
        "",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00:00.0Z",
        "1970-01-01 00:00:00Z",
        "1970-02-30T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:00:60Z",
        "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-01-01T00:00:00+",
        "+970-01-01T00:00:00Z",
        "é70-01-01T00:00:00Z",
    ] {
        assert_eq!(time::parse(text), None, "{text}");
    }
}

#[test]
fn names_are_what_the_format_says() {
    let hex = "0".repeat(64);
    assert_eq!(kind_of("12.root.json"), Some(Kind::Root(12)));
    assert_eq!(kind_of(&format!("blob.{hex}")), Some(Kind::Blob));
    assert_eq!(kind_of("sbom.a.b.linux-amd64.spdx.json"), Some(Kind::Sbom));
    for name in [
        "",
        ".",
        "../x",
        "/etc/passwd",
        "a/b",
        "0.root.json",
        "01.root.json",
        "+1.root.json",
        "root.json",
        "blob.xyz",
        &format!("blob.{}", hex.to_uppercase().replace('0', "A")),
        "evidence..dsse.json",
        "lock.json",
        "bundle.json ",
        "bundle.json\0",
        "Bundle.json",
        "18446744073709551616.root.json",
    ] {
        assert_eq!(kind_of(name), None, "{name}");
    }
    assert!(is_name(&"a".repeat(100)) && !is_name(&"a".repeat(101)) && !is_name("-a") && !is_name("ä"));
    assert!(Kind::Root(2) < Kind::Root(10) && Kind::Root(10) < Kind::Timestamp && Kind::Config < Kind::Blob);
}

#[test]
fn headers_are_gnu_tars() {
    // Sum and fields as `tar --format=ustar --mode=0644 --owner= --group= --numeric-owner --mtime=@0` writes them.
    let header = tar::header("bundle.json", 0o1234);
    assert_eq!(&header[..12], b"bundle.json\0");
    assert_eq!(&header[100..136], b"0000644\x000000000\x000000000\x0000000001234\0");
    assert_eq!(&header[257..265], b"ustar\x0000");
    assert_eq!(&header[156..157], b"0");
    let sum: u32 = header
        .iter()
        .enumerate()
        .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
        .sum();
    assert_eq!(&header[148..156], format!("{sum:06o}\0 ").as_bytes());
    for size in [0, 1, (1 << 33) - 1, 1 << 33, (1 << 33) + 1, 1 << 40, u64::MAX] {
        let header = tar::header("x", size);
        assert_eq!(header[124] == 0x80, size >= 1 << 33);
        assert_eq!(tar::parse(&header), Some(("x".to_owned(), size)));
    }
    let mut twice = tar::header("x", 1);
    twice[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x01");
    assert_eq!(tar::parse(&twice), None, "a small size in base-256");
    assert_eq!([0, 1, 511, 512, 513].map(tar::padding), [0, 511, 1, 0, 511]);
}
