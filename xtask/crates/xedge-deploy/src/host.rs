//! Names of devices as ssh takes them. Nothing that ssh, its configuration or a shell could take for more than a name.

use std::fmt;
use std::str::FromStr;

use camino::Utf8Path;

/// A device: an address or an alias of ssh's configuration, and perhaps a user and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
}

/// Why a text is no name of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` names no device: {why}", .text.escape_debug())]
pub struct BadHost {
    text: String,
    why: &'static str,
}

impl Host {
    /// The name or address, without user and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user to log in as, where one is named.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The port, where one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The ssh command that a person would type to get there, `config` being another configuration than the usual one.
    pub fn typed(&self, config: Option<&Utf8Path>) -> String {
        let config = config.map_or(String::new(), |config| format!(" -F {config}"));
        let port = self.port.map_or(String::new(), |port| format!(" -p {port}"));
        let user = self.user.as_ref().map_or(String::new(), |user| format!("{user}@"));
        format!("ssh{config}{port} {user}{}", self.name)
    }

    /// With this user, where it names none.
    #[must_use]
    pub fn or_user(mut self, user: Option<&str>) -> Self {
        self.user = self.user.or_else(|| user.map(str::to_owned));
        self
    }
}

impl FromStr for Host {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bad = |why| BadHost { text: text.to_owned(), why };
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        user.map_or(Ok(()), check_user).map_err(|error| bad(error.why))?;
        let (name, port) = split_port(rest).map_err(bad)?;
        // `ssh` reads a leading `-` as an option, and `%` and shell characters reach a ProxyCommand.
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':') {
            return Err(bad("a name starts with a letter or a digit"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if name.len() > 253 || !name.chars().all(fits) {
            return Err(bad("a name has letters, digits, `.`, `-` and `_`"));
        }
        Ok(Self { user: user.map(str::to_owned), name: name.to_owned(), port })
    }
}

/// Whether ssh can log in as this user without taking the name for anything else.
pub fn check_user(text: &str) -> Result<(), BadHost> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.len() <= 64 && text.starts_with(first) && text.chars().all(inner) {
        return Ok(());
    }
    Err(BadHost { text: text.to_owned(), why: "a user has letters, digits, `.`, `-` and `_`" })
}

/// Name and port of `NAME`, `NAME:PORT`, `[ADDRESS]:PORT`, or a bare IPv6 address.
fn split_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(port)),
        _ => Err("a port is a number from 1 to 65535"),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or("a `[` has no `]`")?;
        let port = match after.strip_prefix(':') {
            Some(number) => port(number)?,
            None if after.is_empty() => None,
            None => return Err("after `]` comes `:PORT` or nothing"),
        };
        let is_v6 = address.contains(':');
        return if is_v6 { Ok((address, port)) } else { Err("only an IPv6 address stands in brackets") };
    }
    match text.split_once(':') {
        Some((name, number)) if !number.contains(':') => Ok((name, port(number)?)),
        _ => Ok((text, None)),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.port, self.name.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.name),
            (Some(port), false) => write!(f, "{}:{port}", self.name),
            (None, _) => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (text, user, name, port) in [
            ("rpi.local", None, "rpi.local", None),
            ("pi@rpi.local", Some("pi"), "rpi.local", None),
            ("pi@10.0.0.7:2222", Some("pi"), "10.0.0.7", Some(2222)),
            ("fe80::1", None, "fe80::1", None),
            ("root@[fe80::1]:22", Some("root"), "fe80::1", Some(22)),
        ] {
            let host: Host = text.parse().expect("a name");
            assert_eq!((host.user(), host.name(), host.port()), (user, name, port), "{text}");
            assert_eq!(host.to_string(), text);
        }
    }

    #[test]
    fn nothing_else_is_a_name() {
        for text in [
            "",
            "-oProxyCommand=touch x",
            "pi@-oProxyCommand=x",
            "-l@rpi",
            "rpi;reboot",
            "$(reboot)",
            "`reboot`",
            "rpi local",
            "rpi\nlocal",
            "%h",
            "rpi|cat",
            "a'b",
            "pi;x@rpi",
            "@rpi",
            "pi@",
            "rpi:0",
            "rpi:70000",
            "rpi:+22",
            "[rpi]:22",
            "[::1",
            "../rpi",
            "rpi/x",
        ] {
            assert!(text.parse::<Host>().is_err(), "`{text}` is no name");
        }
    }

    #[test]
    fn a_named_user_stays() {
        let named: Host = "pi@rpi".parse().expect("a name");
        assert_eq!(named.or_user(Some("root")).user(), Some("pi"));
        let bare: Host = "rpi".parse().expect("a name");
        assert_eq!(bare.or_user(Some("root")).to_string(), "root@rpi");
    }
}
