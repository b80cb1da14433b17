//! Keys at rest: PKCS#8 `EncryptedPrivateKeyInfo` with PBES2 (RFC 8018), scrypt and AES-256-CBC, which openssl reads too.
//! Asks nobody for a passphrase.

use p256::elliptic_curve::zeroize::Zeroizing;
use pkcs8::der::asn1::OctetString;
use pkcs8::der::pem::PemLabel as _;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{EncryptionScheme as Cipher, Kdf, Parameters, Salt, ScryptParams};
use pkcs8::{EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoOwned, LineEnding, SecretDocument};

use crate::Passphrase;

/// Cost of a guess: 16 MiB of memory, five times over. More memory is more than openssl grants scrypt.
const SCRYPT: (u64, u16, u16) = (1 << 14, 8, 5);
const SALT: usize = 16;
const IV: usize = 16;

/// What PEM of an encrypted key starts with.
pub(crate) const LABEL: &str = EncryptedPrivateKeyInfoOwned::PEM_LABEL;

/// Why PEM gives no key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not what [`encrypt`] writes.
    Form,
    /// The passphrase does not fit.
    Passphrase,
}

/// The PEM of a PKCS#8 document; `random` gives salt and initialisation vector.
pub(crate) fn encrypt(
    secret: &SecretDocument,
    passphrase: &Passphrase,
    mut random: impl FnMut(&mut [u8]),
) -> Zeroizing<String> {
    let (mut salt, mut iv) = ([0; SALT], [0; IV]);
    random(&mut salt);
    random(&mut iv);
    let parameters = parameters(&salt, iv);
    let data = parameters
        .encrypt(passphrase.as_bytes(), secret.as_bytes())
        .expect("scrypt and AES-256 are built in, and the cost is within their limits");
    let info = EncryptedPrivateKeyInfo {
        encryption_algorithm: EncryptionScheme::from(parameters),
        encrypted_data: OctetString::new(data).expect("a key has less than 256 MiB"),
    };
    let document = SecretDocument::try_from(info).expect("an encrypted key always has a DER form");
    document.to_pem(LABEL, LineEnding::LF).expect("DER always has a PEM form")
}

/// The PKCS#8 document in PEM that [`encrypt`] wrote.
pub(crate) fn decrypt(pem: &str, passphrase: &Passphrase) -> Result<SecretDocument, Refusal> {
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| Refusal::Form)?;
    let info = EncryptedPrivateKeyInfoOwned::try_from(document.as_bytes()).map_err(|_| Refusal::Form)?;
    if label != LABEL || !is_ours(&info.encryption_algorithm) {
        return Err(Refusal::Form);
    }
    info.decrypt(passphrase.as_bytes()).map_err(|_| Refusal::Passphrase)
}

fn parameters(salt: &[u8], iv: [u8; IV]) -> Parameters {
    let (cost_parameter, block_size, parallelization) = SCRYPT;
    let salt = Salt::new(salt).expect("16 bytes fit");
    let scrypt = ScryptParams { salt, cost_parameter, block_size, parallelization, key_length: None };
    Parameters { kdf: Kdf::Scrypt(scrypt), encryption: Cipher::Aes256Cbc { iv } }
}

/// Another cost could make the key easy to guess, or the machine run out of memory.
fn is_ours(scheme: &EncryptionScheme) -> bool {
    let Some(found) = scheme.pbes2() else { return false };
    match (found.kdf.scrypt(), &found.encryption) {
        (Some(scrypt), Cipher::Aes256Cbc { iv }) => *found == parameters(scrypt.salt.as_bytes(), *iv),
        _ => false,
    }
}
