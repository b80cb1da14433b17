//! The pockets of a suite and the keys that sign their indexes; which suites exist is Debian's business.

use crate::Error;

/// Keys that sign bookworm's pockets; where they are from stands in `keyrings/README.md`.
static BOOKWORM: &[u8] = include_bytes!("../keyrings/bookworm.gpg");

/// The suites that [`keyring`] knows.
const KNOWN: &str = "bookworm";

/// The release, its updates and its security updates, in this order.
pub fn pockets(suite: &str) -> [String; 3] {
    [suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")]
}

/// The keys (an `OpenPGP` keyring as gpgv reads it) that may sign the indexes of a suite's pockets.
pub fn keyring(suite: &str) -> Option<&'static [u8]> {
    match suite {
        "bookworm" => Some(BOOKWORM),
        _ => None,
    }
}

/// Like [`keyring`], with the error to show for a suite that is not known.
pub fn require_keyring(suite: &str) -> Result<&'static [u8], Error> {
    keyring(suite).ok_or_else(|| Error::UnknownSuite { suite: suite.to_owned(), known: KNOWN })
}

#[cfg(test)]
mod tests {
    use super::{keyring, pockets, require_keyring};

    #[test]
    fn a_suite_has_three_pockets() {
        assert_eq!(pockets("bookworm"), ["bookworm", "bookworm-updates", "bookworm-security"]);
    }

    #[test]
    fn only_listed_suites_have_keys() {
        assert!(keyring("bookworm").is_some());
        assert!(keyring("bookworm-security").is_none());
        let error = require_keyring("jammy").unwrap_err();
        assert!(error.to_string().contains("`jammy`"), "{error}");
    }
}
