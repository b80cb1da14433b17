//! `config.yaml` in the data folder: what one user's machine needs to reach mirrors and registries.

use camino::Utf8PathBuf;
use serde::Deserialize;

use crate::format;
use crate::yaml::{Source, Spanned, YamlError};

/// The format version that this tool reads.
pub const FORMAT: u32 = 1;

/// The settings of a user; environment variables of the same meaning win over them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    /// Format version of the file.
    pub format: Spanned<u32>,
    /// Mirror of Debian's archive, `http://HOST/debian`; its security archive is `…-security` beside it.
    #[serde(default)]
    pub debian_mirror: Option<Spanned<String>>,
    /// PEM file of a private authority, beside those that the system trusts; relative to this file's folder.
    #[serde(default)]
    pub ca_file: Option<Spanned<Utf8PathBuf>>,
    /// Proxy for mirrors and registries, `http://HOST:PORT`.
    #[serde(default)]
    pub proxy: Option<Spanned<String>>,
    /// Hosts and domains that are reached without it.
    #[serde(default)]
    pub no_proxy: Option<Spanned<Vec<String>>>,
}

impl UserSettings {
    /// Reads and checks a file.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let settings: Self = format::parse(source, FORMAT)?;
        for address in [&settings.debian_mirror, &settings.proxy].into_iter().flatten() {
            check_address(source, address)?;
        }
        if let Some(file) = settings.ca_file.as_ref().filter(|file| file.value.as_str().is_empty()) {
            return Err(source.error_at(file, "this names no file"));
        }
        if let (None, Some(except)) = (&settings.proxy, &settings.no_proxy) {
            return Err(source.error_at(except, "`no_proxy` needs `proxy`"));
        }
        Ok(settings)
    }
}

fn check_address(source: &Source, address: &Spanned<String>) -> Result<(), YamlError> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| address.value.strip_prefix(scheme));
    let host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if host && !address.value.contains(char::is_whitespace) {
        return Ok(());
    }
    Err(source
        .error_at(address, "this is no address: write `http://HOST` or `https://HOST`, with port and path"))
}

#[cfg(test)]
mod tests {
    use super::UserSettings;
    use crate::yaml::Source;

    fn parse(text: &str) -> Result<UserSettings, String> {
        UserSettings::parse(&Source::new("config.yaml", text)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_optional_but_the_format() {
        let empty = parse("format: 1\n").unwrap();
        assert!(empty.debian_mirror.is_none() && empty.proxy.is_none() && empty.ca_file.is_none());
        let full = "format: 1\ndebian_mirror: https://m.example/debian\nca_file: /ca.pem\n\
                    proxy: http://p.example:3128\nno_proxy: [localhost, .example]\n";
        let full = parse(full).unwrap();
        assert_eq!(full.debian_mirror.unwrap().value, "https://m.example/debian");
        assert_eq!(full.no_proxy.unwrap().value, ["localhost", ".example"]);
    }

    #[test]
    fn what_would_be_ignored_or_fail_later_is_refused_with_its_place() {
        for (text, message) in [
            ("debian_mirror: http://m/debian\n", "format"),
            ("format: 2\n", "config.yaml:1:9: the file has format 2, this xedge reads format 1"),
            ("format: 1\nmirror: http://m\n", "mirror"),
            ("format: 1\nproxy: p.example:3128\n", "config.yaml:2:8: this is no address"),
            ("format: 1\nproxy: socks5://p.example\n", "this is no address"),
            ("format: 1\ndebian_mirror: \"http://m debian\"\n", "this is no address"),
            ("format: 1\ndebian_mirror: https:///debian\n", "this is no address"),
            ("format: 1\nca_file: \"\"\n", "config.yaml:2:10: this names no file"),
            ("format: 1\nno_proxy: [a]\n", "`no_proxy` needs `proxy`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
