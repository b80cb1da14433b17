//! The folder of keys: one file for each role, all of one status. Reads only the roles that a step needs, since a machine may hold
//! only some; asks for passphrases only through the closure that is passed in.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use p256::elliptic_curve::zeroize::Zeroizing;
use xedge_bundle::statement::KeyStatus;

use crate::keyfile::{self, Stored};
use crate::passphrase::AskPassphrase;
use crate::secret::{PublicKey, SecretKey};
use crate::{Error, GateKey, ImageKey, MetadataKey, Passphrase, Role, SigningKey, disk, encrypted};

/// Keys of one status in one folder; their secrets are still locked.
pub struct KeyRing {
    dir: Utf8PathBuf,
    status: KeyStatus,
    keys: Vec<Stored>,
}

/// What new keys are for, and what protects them at rest.
#[derive(Debug, Clone, Copy)]
pub enum NewKeys<'a> {
    /// Development keys, in clear: agents that are enrolled for production refuse them.
    Development,
    /// Production keys, encrypted with this passphrase.
    Production(&'a Passphrase),
}

/// What there is to know about a key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicInfo {
    /// What it is for.
    pub role: Role,
    /// Development or production. Of an encrypted key this is what the file says: it is proved when the key is used.
    pub status: KeyStatus,
    /// The public key.
    pub key: PublicKey,
    /// Its file.
    pub path: Utf8PathBuf,
}

impl KeyRing {
    /// Opens the keys of these roles in the folder `dir`, all of which must be there and of one status.
    pub fn open(dir: &Utf8Path, roles: &[Role]) -> Result<Self, Error> {
        let keys = roles.iter().map(|role| read(dir, *role)?.ok_or_else(|| missing(dir, *role)));
        Self::of(dir, keys.collect::<Result<_, Error>>()?)
    }

    /// Opens whatever keys are in the folder `dir`, at least one.
    pub fn open_present(dir: &Utf8Path) -> Result<Self, Error> {
        Self::of(dir, present(dir)?)
    }

    /// Opens all five keys; those that are missing are made as development keys, unless a production key is there.
    ///
    /// Safe to call from several processes at once: all of them get the same keys.
    pub fn open_or_make_development(
        dir: &Utf8Path,
        mut random: impl FnMut(&mut [u8]),
    ) -> Result<Self, Error> {
        let found = present(dir)?;
        let is_production = found.iter().any(|key| key.status == KeyStatus::Production);
        if is_production {
            return Self::open(dir, &Role::ALL);
        }
        let keys = Role::ALL.iter().map(|role| open_or_make(dir, *role, &mut random));
        Self::of(dir, keys.collect::<Result<_, Error>>()?)
    }

    /// Makes all five keys in the folder `dir`, or none: refuses if there is one already.
    pub fn init(dir: &Utf8Path, new: NewKeys<'_>, mut random: impl FnMut(&mut [u8])) -> Result<Self, Error> {
        if let Some(role) = Role::ALL.iter().find(|role| role.path_in(dir).exists()) {
            return Err(Error::Exists { path: role.path_in(dir) });
        }
        // All of them are made before the first is kept.
        let files: Vec<(Utf8PathBuf, Zeroizing<Vec<u8>>)> = Role::ALL
            .iter()
            .map(|role| Ok((role.path_in(dir), new.file(*role, &mut random)?)))
            .collect::<Result<_, Error>>()?;
        keep_all(dir, &files)?;
        Self::open(dir, &Role::ALL)
    }

    fn of(dir: &Utf8Path, keys: Vec<Stored>) -> Result<Self, Error> {
        let first = keys.first().ok_or_else(|| missing(dir, Role::Root))?;
        if let Some(other) = keys.iter().find(|key| key.status != first.status) {
            return Err(Error::Mixed {
                path: first.name.path.clone(),
                status: first.status,
                other: other.name.path.clone(),
                other_status: other.status,
            });
        }
        Ok(Self { dir: dir.to_owned(), status: first.status, keys })
    }

    /// What all its keys are for.
    pub fn status(&self) -> KeyStatus {
        self.status
    }

    /// What there is to know about the keys without their secrets, in the order of [`Role::ALL`] or as they were asked for.
    pub fn public(&self) -> Vec<PublicInfo> {
        let info = |key: &Stored| PublicInfo {
            role: key.name.role,
            status: key.status,
            key: key.public.clone(),
            path: key.name.path.clone(),
        };
        self.keys.iter().map(info).collect()
    }

    /// The public key of a role.
    pub fn public_key(&self, role: Role) -> Result<PublicKey, Error> {
        self.stored(role).map(|key| key.public.clone())
    }

    /// The root key, which signs roots.
    pub fn root_key(&self, ask: AskPassphrase<'_>) -> Result<MetadataKey, Error> {
        self.metadata_key(Role::Root, ask)
    }

    /// The release key, which signs targets.
    pub fn release_key(&self, ask: AskPassphrase<'_>) -> Result<MetadataKey, Error> {
        self.metadata_key(Role::Release, ask)
    }

    /// The stamp key, which signs snapshots and timestamps.
    pub fn stamp_key(&self, ask: AskPassphrase<'_>) -> Result<MetadataKey, Error> {
        self.metadata_key(Role::Stamp, ask)
    }

    /// The key that signs images.
    pub fn image_key(&self, ask: AskPassphrase<'_>) -> Result<ImageKey, Error> {
        Ok(ImageKey::new(self.p256(Role::ImageSign, ask)?, self.status))
    }

    /// The key that signs evidence.
    pub fn gate_key(&self, ask: AskPassphrase<'_>) -> Result<GateKey, Error> {
        Ok(GateKey::new(self.p256(Role::Gate, ask)?, self.status))
    }

    fn metadata_key(&self, role: Role, ask: AskPassphrase<'_>) -> Result<MetadataKey, Error> {
        match self.stored(role)?.unlock(ask)? {
            SecretKey::Ed25519(key) => Ok(MetadataKey::new(key, role, self.status)),
            SecretKey::P256(_) => unreachable!("the role says the algorithm"),
        }
    }

    fn p256(&self, role: Role, ask: AskPassphrase<'_>) -> Result<SigningKey, Error> {
        match self.stored(role)?.unlock(ask)? {
            SecretKey::P256(key) => Ok(key),
            SecretKey::Ed25519(_) => unreachable!("the role says the algorithm"),
        }
    }

    fn stored(&self, role: Role) -> Result<&Stored, Error> {
        self.keys.iter().find(|key| key.name.role == role).ok_or_else(|| missing(&self.dir, role))
    }
}

impl NewKeys<'_> {
    fn status(self) -> KeyStatus {
        match self {
            NewKeys::Development => KeyStatus::Development,
            NewKeys::Production(_) => KeyStatus::Production,
        }
    }

    /// A new key as the bytes of its file.
    fn file(self, role: Role, mut random: impl FnMut(&mut [u8])) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = SecretKey::generate(role.algorithm(), &mut random)?;
        let pem = match self {
            NewKeys::Development => keyfile::clear_pem(&key),
            NewKeys::Production(passphrase) => encrypted::encrypt(&key.to_der(), passphrase, random),
        };
        Ok(keyfile::text(role, self.status(), &key, &pem))
    }
}

/// The key of a role; if there is none, a new development key that is kept.
pub(crate) fn open_or_make(
    dir: &Utf8Path,
    role: Role,
    random: impl FnMut(&mut [u8]),
) -> Result<Stored, Error> {
    if let Some(found) = read(dir, role)? {
        return Ok(found);
    }
    let path = role.path_in(dir);
    match disk::write_new(&path, &NewKeys::Development.file(role, random)?) {
        // Another process was first: its key is the one.
        Ok(()) | Err(Error::Exists { .. }) => Stored::read(&path, role),
        Err(other) => Err(other),
    }
}

fn read(dir: &Utf8Path, role: Role) -> Result<Option<Stored>, Error> {
    match Stored::read(&role.path_in(dir), role) {
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn present(dir: &Utf8Path) -> Result<Vec<Stored>, Error> {
    Role::ALL.iter().filter_map(|role| read(dir, *role).transpose()).collect()
}

fn missing(dir: &Utf8Path, role: Role) -> Error {
    Error::Missing { role, path: role.path_in(dir) }
}

/// Writes the files beside, then gives each its name; takes the names back if one of them is taken.
fn keep_all(dir: &Utf8Path, files: &[(Utf8PathBuf, Zeroizing<Vec<u8>>)]) -> Result<(), Error> {
    let fail = |source| Error::Write { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
    let beside = tempfile::Builder::new().prefix(".init-").tempdir_in(dir).map_err(fail)?;
    let beside =
        Utf8Path::from_path(beside.path()).ok_or_else(|| fail(io::ErrorKind::InvalidFilename.into()))?;
    let written = |path: &Utf8Path| beside.join(path.file_name().unwrap_or_default());
    for (path, text) in files {
        disk::write_new(&written(path), text)?;
    }
    for (index, (path, _)) in files.iter().enumerate() {
        if let Err(source) = fs::hard_link(written(path), path) {
            files[..index].iter().for_each(|(path, _)| drop(fs::remove_file(path)));
            return Err(match source.kind() {
                io::ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
                _ => Error::Write { path: path.clone(), source },
            });
        }
    }
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)
}
