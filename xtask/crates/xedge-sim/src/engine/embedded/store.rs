//! Images as unpacked folders, named by config digest. What is there was checked while it was unpacked: the config
//! against its digest, every layer against the config.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use xedge_model::Digest;
use xedge_model::bounded::Bound;
use xedge_model::digest::Hasher;

use super::root::Root;
use super::unpack::{Content, stored, unpack};

/// Largest config that is taken.
const CONFIG_BYTES: u64 = 8 << 20;

/// What this engine reads of an image config (image-spec, config.md).
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ImageConfig {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) config: Settings,
    rootfs: Rootfs,
}

/// How its containers run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Settings {
    pub(super) user: Option<String>,
    pub(super) env: Option<Vec<String>>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) cmd: Option<Vec<String>>,
    pub(super) working_dir: Option<String>,
    pub(super) volumes: Option<BTreeMap<String, serde_json::Value>>,
    pub(super) stop_signal: Option<String>,
    pub(super) healthcheck: Option<Healthcheck>,
}

/// Docker's health check; its times are not needed here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Healthcheck {
    pub(super) test: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Rootfs {
    diff_ids: Vec<Digest>,
}

/// An entry of Docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LoadEntry {
    config: String,
    layers: Vec<String>,
}

/// The folder of images.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: Utf8PathBuf,
}

impl Store {
    pub(super) fn new(folder: Utf8PathBuf) -> Self {
        Self { folder }
    }

    fn image(&self, id: &Digest) -> Utf8PathBuf {
        self.folder.join(id.hex())
    }

    pub(super) fn has(&self, id: &Digest) -> bool {
        self.image(id).join("config.json").exists()
    }

    /// Its unpacked files; read-only for everybody.
    pub(super) fn rootfs(&self, id: &Digest) -> Utf8PathBuf {
        self.image(id).join("rootfs")
    }

    pub(super) fn config(&self, id: &Digest) -> io::Result<ImageConfig> {
        let bytes = fs::read(self.image(id).join("config.json"))?;
        if Digest::of(&bytes) != *id {
            return Err(bad(format!("the config of image {id} was changed after it was unpacked")));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    pub(super) fn ids(&self) -> io::Result<Vec<Digest>> {
        let entries = match self.folder.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_owned());
        Ok(names.filter_map(|name| Digest::from_hex(&name).ok()).collect())
    }

    pub(super) fn remove(&self, id: &Digest) -> io::Result<()> {
        // Renamed first, so that a removal that was stopped leaves no half image.
        let aside = self.folder.join(format!("{STAGING}{}-gone-{}", id.hex(), std::process::id()));
        fs::rename(self.image(id), &aside)?;
        fs::remove_dir_all(aside)
    }

    /// Removes what a load or a removal that was killed left.
    pub(super) fn sweep(&self) -> io::Result<()> {
        let Ok(entries) = self.folder.read_dir_utf8() else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let owner = name.rsplit('-').next().and_then(|pid| pid.parse::<u32>().ok());
            let lives = owner.is_some_and(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(true));
            if name.starts_with(STAGING) && !lives {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Unpacks the images of an archive as `docker save` writes it; those that are there already are left alone.
    pub(super) fn load(&self, archive: impl Read) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        private(&self.folder)?;
        let prefix = format!("{STAGING}load-");
        let suffix = format!("-{}", std::process::id());
        let staging = Staging::new(&self.folder, &prefix, &suffix)?;
        let files = spool(archive, &staging.path)?;
        let manifest = files.get("manifest.json").ok_or_else(|| bad("the archive has no manifest.json"))?;
        let entries: Vec<LoadEntry> = serde_json::from_slice(&fs::read(manifest)?)?;
        for (number, entry) in entries.iter().enumerate() {
            let folder = staging.path.join(format!("image-{number}"));
            let id = assemble(entry, &files, &folder)?;
            match fs::rename(&folder, self.image(&id)) {
                // Somebody else has unpacked the same image.
                Err(_) if self.has(&id) => {}
                renamed => renamed?,
            }
        }
        Ok(())
    }
}

/// Prefix of folders that are no image yet or no more.
const STAGING: &str = ".staging-";

/// Files of images keep their owners and set-user-id bits: nobody else gets at them through this folder.
fn private(folder: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// A folder that goes away with this value.
struct Staging {
    path: Utf8PathBuf,
}

impl Staging {
    fn new(folder: &Utf8Path, prefix: &str, suffix: &str) -> io::Result<Self> {
        for number in 0..10_000 {
            let path = folder.join(format!("{prefix}{number}{suffix}"));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self { path }),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is removed by the next sweep.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Writes the archive's files beside each other, since layers may come in any order; by name.
fn spool(archive: impl Read, folder: &Utf8Path) -> io::Result<BTreeMap<String, Utf8PathBuf>> {
    let mut files = BTreeMap::new();
    let bound = Bound::at_start();
    let mut archive = tar::Archive::new(bound.over(archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        bound.content(stored(&entry)?);
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let path = folder.join(format!("blob-{}", files.len()));
        io::copy(&mut entry, &mut File::create_new(&path)?)?;
        files.insert(name, path);
    }
    Ok(files)
}

/// Unpacks one image into `folder` and says which it is.
fn assemble(
    entry: &LoadEntry,
    files: &BTreeMap<String, Utf8PathBuf>,
    folder: &Utf8Path,
) -> io::Result<Digest> {
    let file = |name: &String| files.get(name).ok_or_else(|| bad(format!("the archive has no {name}")));
    let path = file(&entry.config)?;
    if path.metadata()?.len() > CONFIG_BYTES {
        return Err(bad(format!("the config {} is too large", entry.config)));
    }
    let bytes = fs::read(path)?;
    let config: ImageConfig = serde_json::from_slice(&bytes)?;
    let (wanted, given) = (config.rootfs.diff_ids.len(), entry.layers.len());
    if wanted != given {
        return Err(bad(format!("the config names {wanted} layers, and the archive has {given}")));
    }
    fs::create_dir(folder)?;
    let rootfs = folder.join("rootfs");
    fs::create_dir(&rootfs)?;
    open_to_all(&rootfs)?;
    let root = Root::open(rootfs.as_std_path())?;
    for (layer, diff_id) in entry.layers.iter().zip(&config.rootfs.diff_ids) {
        apply(file(layer)?, diff_id, &root)
            .map_err(|error| io::Error::new(error.kind(), format!("layer {diff_id}: {error}")))?;
    }
    fs::write(folder.join("config.json"), &bytes)?;
    rustix::fs::syncfs(File::open(folder)?)?;
    Ok(Digest::of(&bytes))
}

/// The root of a container is a folder that every user may enter.
fn open_to_all(folder: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

/// Unpacks a layer, and believes it only if it is the one that the config names.
fn apply(path: &Utf8Path, diff_id: &Digest, root: &Root) -> io::Result<()> {
    let mut hashed = Hashed { inner: decompress(path)?, hasher: Hasher::new() };
    unpack(&mut hashed, root, Content::Layer)?;
    // The padding after the archive's end counts as well.
    io::copy(&mut hashed, &mut io::sink())?;
    let found = hashed.hasher.finish();
    if found == *diff_id { Ok(()) } else { Err(bad(format!("its content is {found}"))) }
}

fn decompress(path: &Utf8Path) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    let file = BufReader::new(File::open(path)?);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests;
