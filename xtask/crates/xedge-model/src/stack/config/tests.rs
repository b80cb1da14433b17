//! Tests of the digest: it must stay what it was, and change with everything it covers.

use super::super::{DeviceValue, SecretKind, SecretReference};
use super::{ConfigFile, config_digest};
use crate::Digest;
use crate::image::Mode;

fn files() -> Vec<ConfigFile> {
    let file = |path: &str, mode, bytes: &[u8]| ConfigFile {
        path: path.into(),
        mode: Mode(mode),
        digest: Digest::of(bytes),
    };
    vec![file("a/a.conf", 0o644, b"a"), file("compose.yaml", 0o600, b"b")]
}

fn secrets() -> Vec<SecretReference> {
    let users = vec!["a".to_owned()];
    vec![SecretReference { name: "s".into(), kind: SecretKind::Password, users, owner: 1 }]
}

fn values() -> Vec<DeviceValue> {
    vec![DeviceValue { name: "site".into(), pattern: "[a-z]+".into(), sample: "lab".into(), max_length: 9 }]
}

#[test]
fn the_canonical_form_is_this() {
    let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
    let secrets_text = r#""secrets":[{"name":"s","kind":"password","users":["a"],"owner":1}]"#;
    let text = format!(
        r#"{{"stack":"edge","files":[["a/a.conf","0644","{a}"],["compose.yaml","0600","{b}"]],{secrets_text}"#
    );
    let plain = config_digest("edge", &files(), &secrets(), &[]);
    assert_eq!(plain, Digest::of(format!("{text}}}").as_bytes()));
    let values_text = r#""deviceValues":[{"name":"site","pattern":"[a-z]+","sample":"lab","maxLength":9}]"#;
    let with_values = config_digest("edge", &files(), &secrets(), &values());
    assert_eq!(with_values, Digest::of(format!("{text},{values_text}}}").as_bytes()));
}

#[test]
fn a_stack_without_device_values_keeps_its_digest() {
    let file = |path: &str, hex: &str| ConfigFile {
        path: path.into(),
        mode: Mode(0o644),
        digest: Digest::from_hex(hex).unwrap(),
    };
    let files = [
        file("compose.yaml", "49198ec32e4c9931927d195dbc3b70115c3b2ab2aa7f257e8d1090b26d37ee57"),
        file("gateway/gateway.toml", "5af9abc79bc7df5f1f41c483b65d76958d4511b433e0ad31379179291d820ed6"),
        file("mosquitto/mosquitto.conf", "fe415a3f78d8eed8237d94c5253a9ec9735dae137bfe1483e73e50701671c1cd"),
    ];
    let secret = |name: &str, kind, users: &[&str], owner| SecretReference {
        name: name.into(),
        kind,
        users: users.iter().map(ToString::to_string).collect(),
        owner,
    };
    let secrets = [
        secret("gateway-password", SecretKind::Password, &["gateway"], 10001),
        secret("mosquitto-passwd", SecretKind::MosquittoPasswd, &["gateway", "health", "sensor"], 1883),
        secret("mosquitto_sub", SecretKind::MosquittoOptions, &["health"], 1883),
    ];
    // Computed before there were device values.
    let before = "7f15171fbdcd748b5a22526bcac0ea46a4f6fdb55ad6081f13bb124517682f0c";
    assert_eq!(config_digest("edge", &files, &secrets, &[]).hex(), before);
}

#[test]
fn everything_counts() {
    let digest = |change: fn(&mut DeviceValue)| {
        let mut values = values();
        change(&mut values[0]);
        config_digest("edge", &files(), &secrets(), &values)
    };
    let all = [
        digest(|_| {}),
        digest(|v| v.name = "sit".into()),
        digest(|v| v.pattern = "[a-y]+".into()),
        digest(|v| v.sample = "lat".into()),
        digest(|v| v.max_length = 8),
        config_digest("edge", &files(), &secrets(), &[]),
        config_digest("edge", &files(), &[], &values()),
        config_digest("edge", &files()[1..], &secrets(), &values()),
        config_digest("egde", &files(), &secrets(), &values()),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}");
    }
}
