//! Running gpgv and judging its status output (`GnuPG`, doc/DETAILS); what was signed is not looked at here.

use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use camino::Utf8Path;

use crate::Error;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// Hash algorithms that a signature may use (RFC 4880 §9.4): SHA-256, SHA-384 and SHA-512.
const STRONG_HASHES: [&str; 3] = ["8", "9", "10"];

/// The text that a key of `keyring` has signed, without the armour around it.
pub(super) fn signed_text(
    program: &str,
    inrelease: &[u8],
    keyring: &[u8],
    scratch: &Utf8Path,
) -> Result<Vec<u8>, Error> {
    check_frame(inrelease)?;
    let io = |source| Error::Io { file: scratch.to_string(), source };
    fs::create_dir_all(scratch).map_err(io)?;
    let folder = tempfile::Builder::new().prefix(".gpgv-").tempdir_in(scratch).map_err(io)?;
    let file = |name: &str| folder.path().join(name);
    fs::write(file("InRelease"), inrelease).map_err(io)?;
    fs::write(file("keyring.gpg"), keyring).map_err(io)?;
    let output = Command::new(program)
        .args(["--status-fd", "1", "--homedir"])
        .arg(folder.path())
        .arg("--keyring")
        .arg(file("keyring.gpg"))
        .arg("--output")
        .arg(file("text"))
        .arg(file("InRelease"))
        .output()
        .map_err(|source| not_started(program, source))?;
    judge(&String::from_utf8_lossy(&output.stdout))?;
    fs::read(file("text")).map_err(io)
}

fn not_started(program: &str, source: std::io::Error) -> Error {
    match source.kind() {
        ErrorKind::NotFound => Error::NoGpgv { program: program.to_owned(), source },
        _ => Error::Io { file: program.to_owned(), source },
    }
}

/// One message from the first byte to the last: readers that disagree on where it starts cannot be played off.
fn check_frame(inrelease: &[u8]) -> Result<(), Error> {
    let frame = || -> Option<bool> {
        let text = std::str::from_utf8(inrelease).ok()?.trim_end();
        let marks: Vec<&str> =
            text.lines().filter(|line| line.starts_with("-----")).map(str::trim_end).collect();
        let starts_and_ends = text.lines().next()?.trim_end() == BEGIN && text.lines().last()? == END;
        Some(starts_and_ends && marks == [BEGIN, SIGNATURE, END])
    };
    match frame() {
        Some(true) => Ok(()),
        _ => Err(refused("it is not exactly one clear-signed message")),
    }
}

/// gpgv's exit code is not asked: it is 2 when a good file has one more signature by a key that it was not given.
fn judge(status: &str) -> Result<(), Error> {
    let lines: Vec<Vec<&str>> = status
        .lines()
        .filter_map(|line| line.strip_prefix("[GNUPG:] "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let key = |line: &[&str]| line.get(1).copied().unwrap_or("unknown").to_owned();
    if let Some(bad) = lines.iter().find(|line| line.first() == Some(&"BADSIG")) {
        return Err(refused(format!("the content is not what the key {} has signed", key(bad))));
    }
    if lines.split(|line| line[..] == ["NEWSIG"]).any(is_good) {
        return Ok(());
    }
    let names: Vec<String> = lines
        .iter()
        .filter(|line| {
            matches!(line.first(), Some(&("ERRSIG" | "EXPKEYSIG" | "REVKEYSIG" | "EXPSIG" | "GOODSIG")))
        })
        .map(|line| format!("{} {}", line[0], key(line)))
        .collect();
    let found = if names.is_empty() { "no signature".to_owned() } else { names.join(", ") };
    Err(refused(format!("no good signature by an allowed key that is still valid (found: {found})")))
}

/// Whether one signature's lines say that it is valid, by a key that is neither expired nor revoked (then `GOODSIG` is
/// missing), over a strong hash.
fn is_good(lines: &[Vec<&str>]) -> bool {
    let has = |keyword: &str| lines.iter().any(|line| line.first() == Some(&keyword));
    let strong = |line: &Vec<&str>| {
        line.first() == Some(&"VALIDSIG") && line.get(8).is_some_and(|hash| STRONG_HASHES.contains(hash))
    };
    has("GOODSIG") && lines.iter().any(strong)
}

fn refused(problem: impl Into<String>) -> Error {
    Error::Signature { problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::judge;

    const GOOD: &str = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 6ED0 Debian\n\
                        [GNUPG:] VALIDSIG 4CB5 2026-11-21 1795227090 0 4 0 1 8 01 B8B8\n";

    #[test]
    fn one_good_signature_is_enough() {
        let unknown =
            "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG 5440 1 8 01 1795222383 9 ED54\n[GNUPG:] NO_PUBKEY 5440\n";
        judge(GOOD).unwrap();
        judge(&format!("{unknown}{GOOD}")).unwrap();
        judge(&format!("{GOOD}{unknown}")).unwrap();
        assert!(judge(unknown).unwrap_err().to_string().contains("ERRSIG 5440"));
    }

    #[test]
    fn a_bad_signature_spoils_the_good_one() {
        let bad = "[GNUPG:] NEWSIG\n[GNUPG:] BADSIG 78DB Debian\n";
        assert!(judge(&format!("{GOOD}{bad}")).is_err());
        assert!(judge(&format!("{bad}{GOOD}")).is_err());
    }

    #[test]
    fn expired_keys_and_weak_hashes_do_not_count() {
        for keyword in ["EXPKEYSIG", "REVKEYSIG", "EXPSIG"] {
            assert!(judge(&GOOD.replace("GOODSIG", keyword)).is_err(), "{keyword}");
        }
        assert!(judge(&GOOD.replace(" 8 01", " 2 01")).is_err());
        assert!(judge(&GOOD.replace("[GNUPG:] VALIDSIG", "VALIDSIG")).is_err());
        assert!(judge("").is_err());
        let parts = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG A x\n[GNUPG:] NEWSIG\n[GNUPG:] VALIDSIG B d 1 0 4 0 1 8 01 C\n";
        assert!(judge(parts).is_err());
    }
}
