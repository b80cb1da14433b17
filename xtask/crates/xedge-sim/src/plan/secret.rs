//! Passwords that are held and sent, and never shown.

use std::collections::BTreeMap;
use std::fmt;

/// A password. It has no `Display`, no `Serialize`, and its `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Users and their passwords.
pub type Credentials = BTreeMap<String, Secret>;

/// Replaces every password in a text by `***`. Passwords under four characters stay: they occur in any text.
pub fn redact(text: &str, credentials: &Credentials) -> String {
    let mut secrets: Vec<&str> = credentials.values().map(Secret::expose).filter(|s| s.len() >= 4).collect();
    // The longest first: one password can be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Secret, redact};

    #[test]
    fn a_secret_is_not_shown() {
        let credentials: Credentials = [("a", "hunter22"), ("b", "hunter22-longer"), ("c", "log")]
            .map(|(u, p)| (u.into(), Secret::new(p)))
            .into();
        assert!(!format!("{credentials:?}").contains("hunter"));
        let log = redact("log: user b sent hunter22-longer, a sent hunter22", &credentials);
        assert_eq!(log, "log: user b sent ***, a sent ***");
    }
}
