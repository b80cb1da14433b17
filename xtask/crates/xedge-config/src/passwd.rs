//! The contents of secret files, from passwords and salts that are passed in. Nothing here is kept, logged or shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Sha512;
use xedge_model::stack::{SecretKind, SecretReference};

use crate::Error;

/// A salt as mosquitto 2.0 makes it; random bytes.
pub type Salt = [u8; 12];

/// PBKDF2 rounds of the broker's password file. The broker hashes at every connect, in its only thread: 1,000 rounds cost
/// about 1 ms, 210,000 about 200 ms, so that a fleet that reconnects would lock itself out. Passwords are generated,
/// not chosen, so that guessing is hopeless at any number of rounds.
pub const ROUNDS: u32 = 1_000;

/// Longest password in bytes: `mosquitto_sub` reads its options in lines of 1,024 bytes.
const LONGEST: usize = 512;

/// mosquitto's password file, `USER:$7$ROUNDS$SALT$HASH` a line, PBKDF2 with HMAC-SHA-512 and a key of 64 bytes.
pub fn mosquitto_passwd(users: &[(&str, &str, Salt)], rounds: u32) -> String {
    let mut text = String::new();
    for (name, password, salt) in users {
        let mut key = [0_u8; 64];
        pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, rounds, &mut key);
        let (salt, key) = (STANDARD.encode(salt), STANDARD.encode(key));
        let _ = writeln!(text, "{name}:$7${rounds}${salt}${key}");
    }
    text
}

/// Options of `mosquitto_sub`, which it reads from `$XDG_CONFIG_HOME/mosquitto_sub`.
pub fn mosquitto_options(user: &str, password: &str) -> String {
    format!("-u {user}\n-P {password}\n")
}

/// The content of one secret file. `passwords` and `salts` are by user; salts are needed for `mosquitto_passwd` only.
pub fn secret_file(
    reference: &SecretReference,
    passwords: &BTreeMap<String, String>,
    salts: &BTreeMap<String, Salt>,
) -> Result<Vec<u8>, Error> {
    let password = |user: &str| {
        let password = passwords
            .get(user)
            .ok_or_else(|| secret(reference, &format!("user `{user}` has no password")))?;
        check(reference, user, password)?;
        Ok::<&str, Error>(password)
    };
    let text = match (reference.kind, &reference.users[..]) {
        (SecretKind::MosquittoPasswd, users) => {
            let mut lines = Vec::new();
            for user in users {
                let salt = salts
                    .get(user)
                    .ok_or_else(|| secret(reference, &format!("user `{user}` has no salt")))?;
                lines.push((user.as_str(), password(user)?, *salt));
            }
            mosquitto_passwd(&lines, ROUNDS)
        }
        (SecretKind::Password, [user]) => password(user)?.to_owned(),
        (SecretKind::MosquittoOptions, [user]) => mosquitto_options(user, password(user)?),
        (SecretKind::File, _) => return Err(secret(reference, "it is a file, and made of no password")),
        (_, users) => return Err(secret(reference, &format!("it needs one user, not {}", users.len()))),
    };
    Ok(text.into_bytes())
}

/// A line break would add a line of its own; spaces at the ends are lost by readers.
fn check(reference: &SecretReference, user: &str, password: &str) -> Result<(), Error> {
    let why = if password.is_empty() {
        "is empty"
    } else if password.len() > LONGEST {
        "is longer than 512 bytes"
    } else if password.chars().any(char::is_control) {
        "holds a control character"
    } else if password.trim() != password {
        "starts or ends with a space"
    } else {
        return Ok(());
    };
    Err(secret(reference, &format!("the password of `{user}` {why}")))
}

fn secret(reference: &SecretReference, why: &str) -> Error {
    Error::Secret { secret: reference.name.clone(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use xedge_model::stack::{SecretKind, SecretReference};

    use super::{Salt, mosquitto_options, mosquitto_passwd, secret_file};

    fn reference(kind: SecretKind, users: &[&str]) -> SecretReference {
        let users = users.iter().map(|&user| user.to_owned()).collect();
        SecretReference { name: "x".into(), kind, users, owner: 1883 }
    }

    fn make(kind: SecretKind, users: &[&str], password: &str) -> Result<String, String> {
        let passwords =
            BTreeMap::from([("a".to_owned(), password.to_owned()), ("b".to_owned(), "pw".to_owned())]);
        let salts: BTreeMap<String, Salt> =
            BTreeMap::from([("a".to_owned(), [1; 12]), ("b".to_owned(), [2; 12])]);
        let bytes = secret_file(&reference(kind, users), &passwords, &salts).map_err(|e| e.to_string())?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn each_kind_has_its_form() {
        assert_eq!(make(SecretKind::Password, &["a"], "p w").unwrap(), "p w");
        assert_eq!(make(SecretKind::MosquittoOptions, &["b"], "x").unwrap(), mosquitto_options("b", "pw"));
        let file = make(SecretKind::MosquittoPasswd, &["a", "b"], "x").unwrap();
        let starts: Vec<_> = file.lines().map(|line| &line[..26]).collect();
        assert_eq!(starts, ["a:$7$1000$AQEBAQEBAQEBAQEB", "b:$7$1000$AgICAgICAgICAgIC"]);
        assert!(file.lines().all(|line| line.len() == 26 + 1 + 88), "a key of 64 bytes in base64");
        assert!(!file.contains("pw"));
    }

    #[test]
    fn what_would_add_a_line_or_lose_a_character_is_refused_without_showing_it() {
        for bad in ["", "hunter2\n-h evil", " hunter2", "hunter2 ", "hun\0ter2", &"s".repeat(513)] {
            for kind in [SecretKind::Password, SecretKind::MosquittoOptions, SecretKind::MosquittoPasswd] {
                let error = make(kind, &["a"], bad).unwrap_err();
                assert!(error.starts_with("failed to make the secret `x`: the password of `a`"), "{error}");
                assert!(!error.contains("hun"), "{error}");
            }
        }
        assert!(make(SecretKind::Password, &["c"], "x").unwrap_err().contains("user `c` has no password"));
        assert!(make(SecretKind::Password, &["a", "b"], "x").unwrap_err().contains("one user, not 2"));
    }

    /// Made by `mosquitto_passwd` 2.0.11: `mosquitto_passwd -b FILE sensor 'correct horse'`.
    #[test]
    fn a_line_of_mosquitto_passwd_is_made_again() {
        let salt: Salt = [148, 97, 62, 243, 105, 200, 89, 120, 232, 110, 149, 145];
        let line = "sensor:$7$101$lGE+82nIWXjobpWR$RQib3bSTkI1/SQCew8UGIImeqYGTNWEyP0nc2XCOSa6oGdJCokIqToG7+y3FY1kJc+rnZuKGvLWDV2Z81uXiOQ==\n";
        assert_eq!(mosquitto_passwd(&[("sensor", "correct horse", salt)], 101), line);
        assert_ne!(mosquitto_passwd(&[("sensor", "correct horsf", salt)], 101), line);
    }
}
