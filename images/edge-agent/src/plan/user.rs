//! What the config of an image says about its containers: the user that they run as, as far as its number is known without
//! looking into the image's files, and where they keep data.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Default, Deserialize)]
struct ImageConfig {
    #[serde(default)]
    config: Settings,
}

#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default, rename = "User")]
    user: String,
    #[serde(default, rename = "Volumes")]
    volumes: Option<BTreeMap<String, serde_json::Value>>,
}

/// The user and group of an image's main process, from the bytes of its config (OCI image specification, `config.User`);
/// `None` where it gives names.
pub fn image_user(config: &[u8]) -> Option<(u32, u32)> {
    let config: ImageConfig = serde_json::from_slice(config).ok()?;
    numbers(&config.config.user)
}

/// Where an image keeps data (`config.Volumes`), sorted.
pub(super) fn image_volumes(config: &[u8]) -> Vec<String> {
    let config: ImageConfig = serde_json::from_slice(config).unwrap_or_default();
    let paths = config.config.volumes.unwrap_or_default().into_keys();
    let mut paths: Vec<String> = paths.map(|path| path.trim_end_matches('/').to_owned()).collect();
    paths.retain(|path| path.starts_with('/'));
    paths.dedup();
    paths
}

/// `UID[:GID]`; nothing and `root` are 0. Without a group it is 0 too, as it is for a user whom the image does not list.
pub(super) fn numbers(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| match text {
        "" | "root" => Some(0),
        text if text.starts_with('+') => None,
        text => text.parse().ok(),
    };
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    Some((number(user)?, number(group)?))
}

#[cfg(test)]
mod tests {
    use super::{image_user, image_volumes, numbers};

    #[test]
    fn numbers_are_taken_and_names_are_not() {
        let cases = [
            ("", Some((0, 0))),
            ("root", Some((0, 0))),
            ("1883", Some((1883, 0))),
            ("1883:7", Some((1883, 7))),
            ("mosquitto", None),
            ("1883:staff", None),
            ("+1", None),
            ("-1", None),
            ("4294967296", None),
        ];
        for (text, want) in cases {
            assert_eq!(numbers(text), want, "{text}");
        }
        assert_eq!(image_user(br#"{"config": {"User": "7:8"}}"#), Some((7, 8)));
        assert_eq!(image_user(br#"{"architecture": "amd64"}"#), Some((0, 0)));
        assert_eq!(image_user(b"no config"), None);
    }

    #[test]
    fn places_of_data_are_taken_as_they_are_written() {
        let config = br#"{"config": {"Volumes": {"/log/": {}, "/data": {}, "/": {}}}}"#;
        assert_eq!(image_volumes(config), ["/data", "/log"]);
        for none in [&br#"{"config": {"Volumes": null}}"#[..], br#"{"config": {}}"#, b"no config"] {
            assert!(image_volumes(none).is_empty());
        }
    }
}
