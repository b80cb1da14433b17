//! The keys of this machine, and the chain of roots that devices pin. Development keys are made on first use.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_bundle::tuf::{Document, Root};
use xedge_bundle::{VerifyingKey, member, time};
use xedge_model::atomic;
use xedge_sign::{
    GateKey, KeyName, KeyRing, KeyStatus, NewKeys, Passphrase, PublicKey, ROOT_LIFETIME, Role, RootSpec,
    make_root,
};

use crate::commands::Context;
use crate::error::{Error, Result, read_bytes};
use crate::passphrase;
use crate::project::entries;

/// What a release needs; the root key may be elsewhere once there is a root.
const RELEASE_ROLES: [Role; 3] = [Role::Release, Role::Stamp, Role::ImageSign];

/// Keys, and the roots that vouch for them.
pub(crate) struct Trust {
    /// The keys.
    pub(crate) ring: KeyRing,
    /// Every root, ascending.
    pub(crate) roots: Vec<Vec<u8>>,
    /// The newest root.
    pub(crate) root: Root,
}

impl Trust {
    /// The keys of this machine and their roots, made for development where there are none.
    pub(crate) fn open_or_make(cx: &Context<'_>) -> Result<Self> {
        let roots = roots(cx)?;
        if !roots.is_empty() {
            return Self::new(KeyRing::open(&keys_folder(cx)?, &RELEASE_ROLES)?, roots);
        }
        if status(cx)? == Some(KeyStatus::Production) {
            // Another root over the same keys would not be the one that devices trust.
            return Err(Error::NoRoot(roots_folder(cx)?).into());
        }
        let folder = keys_folder(cx)?;
        let is_new = !Role::Root.path_in(&folder).exists();
        let ring = cx.with_random(|random| KeyRing::open_or_make_development(&folder, random))?;
        let trust = Self::first_root(cx, ring, &asker(cx))?;
        if is_new {
            let status = trust.ring.status().as_str();
            cx.printer.say(&format!("made {status} keys in {folder}; {}", backup_hint(cx)?));
        }
        Ok(trust)
    }

    /// Moves development keys and their roots aside, which are in the way of production keys; gives the folders that they are
    /// in now. Production ones are never moved.
    ///
    /// What a cut between the two moves leaves is moved the next time.
    pub(crate) fn set_aside_development(cx: &Context<'_>) -> Result<Vec<Utf8PathBuf>> {
        let newest = roots(cx)?.pop().map(|bytes| read_root(&bytes)).transpose()?;
        let (keys, root) = (status(cx)?, newest.map(|root| root.xedge.status));
        if [keys, root].contains(&Some(KeyStatus::Production)) {
            return Ok(Vec::new());
        }
        let there = [(keys, keys_folder(cx)?), (root, roots_folder(cx)?)];
        let aside =
            |folder: &Utf8Path, number: u32| Utf8PathBuf::from(format!("{folder}.development-{number}"));
        let is_free = |number: &u32| there.iter().all(|(_, folder)| !aside(folder, *number).exists());
        let number = (1..u32::MAX).find(is_free).unwrap_or(u32::MAX);
        let mut moved = Vec::new();
        for (_, folder) in there.iter().filter(|(status, _)| status.is_some()) {
            let to = aside(folder, number);
            std::fs::rename(folder, &to).map_err(|source| Error::Write { path: to.clone(), source })?;
            moved.push(to);
        }
        Ok(moved)
    }

    /// New keys and their first root.
    pub(crate) fn init(
        cx: &Context<'_>,
        new: NewKeys<'_>,
        ask: &dyn Fn(&KeyName) -> SignResult,
    ) -> Result<Self> {
        let folder = keys_folder(cx)?;
        if let Some(first) = roots(cx)?.first() {
            let path = roots_folder(cx)?.join(member::root(read_root(first)?.version));
            return Err(Error::RootExists(path).into());
        }
        let ring = cx.with_random(|random| KeyRing::init(&folder, new, random))?;
        Self::first_root(cx, ring, ask)
    }

    fn first_root(cx: &Context<'_>, ring: KeyRing, ask: &dyn Fn(&KeyName) -> SignResult) -> Result<Self> {
        let spec = RootSpec::of(&ring, cx.environment.now_unix() + ROOT_LIFETIME)?;
        let bytes = make_root(&spec, &[&ring.root_key(ask)?])?;
        let path = roots_folder(cx)?.join(member::root(1));
        atomic::write(&path, &bytes, 0o644)?;
        Self::new(ring, vec![bytes])
    }

    fn new(ring: KeyRing, roots: Vec<Vec<u8>>) -> Result<Self> {
        let newest = roots.last().ok_or_else(|| Error::NoRoot("the data folder".into()))?;
        let root = read_root(newest)?;
        Ok(Self { ring, roots, root })
    }

    /// The newest root's bytes.
    pub(crate) fn root_bytes(&self) -> &[u8] {
        self.roots.last().map_or(&[], Vec::as_slice)
    }

    /// The keys whose evidence counts.
    pub(crate) fn gate_keys(&self) -> Vec<VerifyingKey> {
        self.root.gate_keys()
    }

    /// Refuses keys that the root does not name, and a root that has expired, before anything is signed or sent.
    pub(crate) fn check(&self, cx: &Context<'_>) -> Result<()> {
        if self.root.expires <= cx.environment.now_unix() {
            return Err(Error::RootExpired(time::format(self.root.expires)).into());
        }
        let roles = &self.root.roles;
        for (role, named) in [(Role::Release, &roles.targets), (Role::Stamp, &roles.timestamp)] {
            let key_id = self.ring.public_key(role)?.key_id().clone();
            if !named.keyids.iter().any(|id| id == key_id.hex()) {
                return Err(Error::KeyNotInRoot { role: role.as_str(), key_id }.into());
            }
        }
        let key_id = self.ring.public_key(Role::ImageSign)?.key_id().clone();
        if !self.root.image_keys().iter().any(|key| *key.key_id() == key_id) {
            return Err(Error::KeyNotInRoot { role: Role::ImageSign.as_str(), key_id }.into());
        }
        Ok(())
    }

    /// Development or production.
    pub(crate) fn status(&self) -> KeyStatus {
        self.ring.status()
    }
}

/// What a question for a passphrase comes to.
pub(crate) type SignResult = std::result::Result<Passphrase, xedge_sign::Error>;

/// Asks for a passphrase once, however many keys are unlocked with it.
pub(crate) fn asker<'a>(cx: &'a Context<'_>) -> impl Fn(&KeyName) -> SignResult + 'a {
    move |name| {
        if let Some(known) = cx.passphrase.get() {
            return Ok(known.clone());
        }
        match passphrase::read(cx) {
            Ok(passphrase) => Ok(cx.passphrase.get_or_init(|| passphrase).clone()),
            Err(error) => {
                cx.printer.report(&error);
                Err(name.locked())
            }
        }
    }
}

/// The keys whose evidence would count now; changes nothing. Before there is a root these are the gate key, if there is one.
pub(crate) fn present_gate_keys(cx: &Context<'_>) -> Result<Vec<VerifyingKey>> {
    if let Some(newest) = roots(cx)?.last() {
        return Ok(read_root(newest)?.gate_keys());
    }
    let folder = keys_folder(cx)?;
    if !Role::Gate.path_in(&folder).exists() {
        return Ok(Vec::new());
    }
    match KeyRing::open(&folder, &[Role::Gate])?.public_key(Role::Gate)? {
        PublicKey::P256(key) => Ok(vec![key]),
        PublicKey::Ed25519(_) => Ok(Vec::new()),
    }
}

/// What the keys that are there are for; changes nothing.
pub(crate) fn status(cx: &Context<'_>) -> Result<Option<KeyStatus>> {
    let folder = keys_folder(cx)?;
    if !Role::ALL.iter().any(|role| role.path_in(&folder).exists()) {
        return Ok(None);
    }
    Ok(Some(KeyRing::open_present(&folder)?.status()))
}

/// The gate key, made for development where there are no keys at all.
pub(crate) fn gate_key(cx: &Context<'_>) -> Result<GateKey> {
    let folder = keys_folder(cx)?;
    let path = Role::Gate.path_in(&folder);
    if path.exists() {
        return Ok(KeyRing::open(&folder, &[Role::Gate])?.gate_key(&asker(cx))?);
    }
    if status(cx)?.is_some_and(|status| status == KeyStatus::Production) {
        // A development gate key beside production keys would sign what no device takes.
        return Ok(KeyRing::open(&folder, &[Role::Gate])?.gate_key(&asker(cx))?);
    }
    let key = cx.with_random(|random| GateKey::open_or_make_development(&folder, random))?;
    cx.printer.say(&format!("made a development gate key: {path}"));
    Ok(key)
}

/// The root that `verify` starts from: the one that is named, else the newest one in the data folder.
pub(crate) fn pinned(cx: &Context<'_>, named: Option<&Utf8Path>) -> Result<Vec<u8>> {
    if let Some(file) = named {
        return read_bytes(&cx.environment.folder()?.join(file));
    }
    match roots(cx)?.pop() {
        Some(root) => Ok(root),
        None => Err(Error::NoRoot(roots_folder(cx)?).into()),
    }
}

/// Where the keys are.
pub(crate) fn keys_folder(cx: &Context<'_>) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("keys"))
}

/// Where the roots are: public, and to be handed to devices.
pub(crate) fn roots_folder(cx: &Context<'_>) -> Result<Utf8PathBuf> {
    Ok(cx.project.home()?.join("trust"))
}

/// What to do with new keys.
pub(crate) fn backup_hint(cx: &Context<'_>) -> Result<String> {
    let home = cx.project.home()?;
    let command = format!("(umask 077 && tar -C {home} -cf BACKUP.tar keys trust)");
    Ok(format!("keep a copy elsewhere, devices that trust them take no others: `{command}`"))
}

/// All roots, ascending and without a gap.
fn roots(cx: &Context<'_>) -> Result<Vec<Vec<u8>>> {
    let folder = roots_folder(cx)?;
    let mut versions: Vec<u64> = Vec::new();
    for path in entries(&folder)? {
        let version: Option<u64> =
            path.file_name().and_then(|name| name.strip_suffix(".root.json")).and_then(|v| v.parse().ok());
        versions.extend(version);
    }
    versions.sort_unstable();
    versions.into_iter().map(|version| read_bytes(&folder.join(member::root(version)))).collect()
}

fn read_root(bytes: &[u8]) -> Result<Root> {
    Ok(Document::parse::<Root>("root", bytes)?.read()?)
}
