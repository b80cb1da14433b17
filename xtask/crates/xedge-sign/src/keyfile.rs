//! A key on disk: a JSON file of mode 0600 with the secret and what it is for. Written once, never over another key.
//!
//! Role, status and key id are sealed: the file carries a digest that only the key's own signature over them gives, so that a development key
//! does not become a production key in an editor. Whoever holds the secret could seal anew; the seal is against
//! mistakes, and devices pin public keys.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use camino::Utf8Path;
use p256::elliptic_curve::zeroize::{Zeroize as _, Zeroizing};
use serde::{Deserialize, Serialize};
use xedge_bundle::dsse::pae;
use xedge_bundle::statement::KeyStatus;
use xedge_model::Digest;

use crate::{Error, SigningKey};

const FORMAT: u32 = 1;
/// Far more than a key file has.
const MAX_BYTES: u64 = 16 << 10;
/// What a seal signs; a type of its own, so that no seal is ever a signature of a statement.
const SEAL_TYPE: &str = "application/vnd.xedge.key-seal";
const PRIVATE: u32 = 0o600;

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFile {
    format: u32,
    role: String,
    status: KeyStatus,
    key_id: String,
    seal: Digest,
    pem: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.pem.zeroize();
    }
}

/// Reads the key of `role`, refusing a file that others can read or that was edited.
pub(crate) fn load(path: &Utf8Path, role: &str) -> Result<(SigningKey, KeyStatus), Error> {
    let text = read_private(path)?;
    let refuse = |problem: String| Error::NotAKeyFile { path: path.to_owned(), problem };
    let file: KeyFile = serde_json::from_slice(&text).map_err(|e| {
        // The parser's own words can quote what they stumble over, which may be the secret.
        refuse(format!("line {}, column {} is not as it was written", e.line(), e.column()))
    })?;
    if file.format != FORMAT {
        return Err(refuse(format!("it has format {}, this xedge reads format {FORMAT}", file.format)));
    }
    if file.role != role {
        return Err(refuse(format!("it is a `{}` key, expected a `{role}` key", file.role)));
    }
    let key =
        SigningKey::from_pem(&file.pem).ok_or_else(|| refuse("`pem` is not PKCS#8 of a P-256 key".into()))?;
    let sealed = seal(&key, role, file.status);
    if file.seal != sealed || file.key_id != key.verifying_key().key_id().hex() {
        return Err(Error::Seal { path: path.to_owned() });
    }
    Ok((key, file.status))
}

/// Writes a new key file, whole or not at all, and never over another one.
pub(crate) fn save(path: &Utf8Path, role: &str, status: KeyStatus, key: &SigningKey) -> Result<(), Error> {
    let file = KeyFile {
        format: FORMAT,
        role: role.to_owned(),
        status,
        key_id: key.verifying_key().key_id().hex().to_owned(),
        seal: seal(key, role, status),
        pem: key.to_pem().to_string(),
    };
    let mut text = Zeroizing::new(serde_json::to_vec_pretty(&file).expect("strings always have a JSON form"));
    text.push(b'\n');
    write_new(path, &text).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::Write { path: path.to_owned(), source },
    })
}

/// The digest of the key's signature over its role and status. Signatures are deterministic (RFC 6979), so a seal is
/// checked by making it again.
fn seal(key: &SigningKey, role: &str, status: KeyStatus) -> Digest {
    let claim = format!("{role} {} {}", status.as_str(), key.verifying_key().key_id());
    Digest::of(&key.sign(&pae(SEAL_TYPE, claim.as_bytes())))
}

fn read_private(path: &Utf8Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let fail = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    // Asked of the open file: what is checked is what is read.
    let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(fail)?;
    if text.len() as u64 > MAX_BYTES {
        let problem = format!("it is longer than the {MAX_BYTES} bytes that a key file may have");
        return Err(Error::NotAKeyFile { path: path.to_owned(), problem });
    }
    Ok(text)
}

/// Like `xedge_model::atomic::write`, but of two processes that make a key at once only one wins.
fn write_new(path: &Utf8Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = tempfile::Builder::new()
        .prefix(".key-")
        .permissions(fs::Permissions::from_mode(PRIVATE))
        .tempfile_in(folder)?;
    beside.write_all(text)?;
    beside.as_file().sync_all()?;
    beside.persist_noclobber(path).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}
