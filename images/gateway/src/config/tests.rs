//! Which files and variables are taken, and what is refused.

use super::{Config, Overrides, split_broker};

fn load(text: &str) -> Result<Config, String> {
    let file = super::File::deserialize_for_tests(text)?;
    Config::check(file, &Overrides::default()).map_err(|e| e.to_string())
}

impl super::File {
    fn deserialize_for_tests(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e: toml::de::Error| e.to_string())
    }
}

#[test]
fn defaults_need_only_a_broker() {
    let config = load("[mqtt]\nbroker = \"mosquitto:1884\"").unwrap();
    assert_eq!((config.id.as_str(), config.subscribe.as_str()), ("gateway", "sensors/+"));
    assert_eq!((config.upstream.as_str(), config.every.as_secs()), ("upstream/gateway", 5));
    assert_eq!((config.host.as_str(), config.port), ("mosquitto", 1884));
    assert!(config.login.is_none());
    assert!(load("").unwrap_err().contains("MQTT_BROKER"));
}

#[test]
fn the_environment_wins() {
    let file = toml::from_str("id = \"a\"\n[mqtt]\nbroker = \"file\"").unwrap();
    let overrides = Overrides { id: Some("b".into()), broker: Some("env:99".into()), ..Overrides::default() };
    let config = Config::check(file, &overrides).unwrap();
    assert_eq!((config.id.as_str(), config.upstream.as_str()), ("b", "upstream/b"));
    assert_eq!((config.host.as_str(), config.port), ("env", 99));
}

#[test]
fn a_missing_file_is_an_error_only_if_it_was_asked_for() {
    let mut overrides = Overrides {
        path: "/nonexistent/gateway.toml".into(),
        broker: Some("b".into()),
        ..Overrides::default()
    };
    assert!(Config::load(&overrides).is_ok());
    overrides.path_is_explicit = true;
    assert!(Config::load(&overrides).unwrap_err().to_string().contains("/nonexistent/gateway.toml"));
}

#[test]
fn wrong_settings_are_refused() {
    for line in [
        "idd = \"a\"",
        "id = \"a/b\"",
        "id = \"\"",
        "id = \"a\\u0000\"",
        "subscribe = \"a/#/b\"",
        "subscribe = \"upstream/+\"",
        "subscribe = \"#\"",
        "upstream = \"up/#\"",
        "upstream = \"\"",
        "every_s = 0",
        "every_s = nan",
        "every_s = 1e9",
        "outlier_sigma = 0",
        "outlier_sigma = nan",
        "max_unacked = 0",
        "max_unacked = 129",
    ] {
        assert!(load(&format!("{line}\n[mqtt]\nbroker = \"b\"")).is_err(), "{line}");
    }
    assert!(load("[mqtt]\nbroker = \"b\"\npassword = \"secret\"").is_err(), "passwords come from files only");
    assert!(load("[mqtt]\nbroker = \"b\"\npassword_file = \"/dev/null\"").is_err(), "no user name");
    assert!(load("[mqtt]\nbroker = \"b\"\nusername = \"u\"\npassword_file = \"/nonexistent\"").is_err());
}

#[test]
fn a_password_is_read_from_its_file_and_not_shown() {
    let path = std::env::temp_dir().join(format!("gateway-password-{}", std::process::id()));
    std::fs::write(&path, "geheim wort\r\n").unwrap();
    let text = format!("[mqtt]\nbroker = \"b\"\nusername = \"u\"\npassword_file = {path:?}");
    let config = load(&text);
    std::fs::remove_file(&path).unwrap();
    let config = config.unwrap();
    assert_eq!(config.login.as_ref().unwrap().password, "geheim wort");
    assert!(!format!("{config:?}").contains("geheim"));
}

#[test]
fn brokers_are_split() {
    for (text, host, port) in [
        ("h", "h", 1883),
        ("h:1", "h", 1),
        ("10.0.0.1:1884", "10.0.0.1", 1884),
        ("[::1]:5", "::1", 5),
        ("[fe80::1]", "fe80::1", 1883),
    ] {
        assert_eq!(split_broker(text).unwrap(), (host.to_owned(), port), "{text}");
    }
    for text in ["", ":1", "h:", "h:0", "h:65536", "::1", "[::1", "[::1]x", "mqtt://h", "h:1/x", "a b"] {
        assert!(split_broker(text).is_err(), "{text}");
    }
}
