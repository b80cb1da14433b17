//! Networks and volumes of the fake Engine. Whose they are is kept with them, as an Engine does with labels.

use std::collections::BTreeMap;
use std::{fs, io};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::{Broken, Fake, disk};
use crate::Result;
use crate::engine::{NetworkSpec, VolumeSpec, check_owner, is_of};

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Named<T> {
    spec: T,
    labels: BTreeMap<String, String>,
}

impl Fake {
    /// The folder that stands for what is in a volume.
    pub fn volume_data(&self, name: &str) -> Utf8PathBuf {
        self.folder.join("volumes").join(name)
    }

    /// Names of the volumes, sorted.
    pub fn volumes(&self) -> io::Result<Vec<String>> {
        let all: Vec<Named<VolumeSpec>> = disk::read_all(&self.folder.join("volumes"))?;
        Ok(all.into_iter().map(|volume| volume.spec.name).collect())
    }

    /// Names of the networks, sorted.
    pub fn networks(&self) -> io::Result<Vec<String>> {
        let all: Vec<Named<NetworkSpec>> = disk::read_all(&self.folder.join("networks"))?;
        Ok(all.into_iter().map(|network| network.spec.name).collect())
    }

    pub(super) fn volumes_of(&self, stack: &str) -> io::Result<Vec<VolumeSpec>> {
        let all: Vec<Named<VolumeSpec>> = disk::read_all(&self.folder.join("volumes"))?;
        Ok(all.into_iter().filter(|found| is_of(&found.labels, stack)).map(|found| found.spec).collect())
    }

    pub(super) fn named_file(&self, kind: &str, name: &str) -> Utf8PathBuf {
        self.folder.join(format!("{kind}s")).join(format!("{name}.json"))
    }

    /// Whether a network or volume is this stack's; false where there is none.
    pub(super) fn is_of(&self, kind: &str, name: &str, stack: &str) -> Result<bool, Broken> {
        Ok(self.labels(kind, name)?.is_some_and(|labels| is_of(&labels, stack)))
    }

    /// Makes a network or volume that is not there.
    pub(super) fn ensure(
        &self,
        kind: &'static str,
        name: &str,
        spec: &impl Serialize,
        labels: &BTreeMap<String, String>,
    ) -> Result<()> {
        let found = self.call(&format!("create {kind} {name}"), || {
            let found = self.labels(kind, name)?;
            if found.is_none() {
                self.room()?;
                if kind == "volume" {
                    fs::create_dir_all(self.volume_data(name))?;
                }
                disk::write(&self.named_file(kind, name), &Named { spec, labels: labels.clone() })?;
            }
            Ok(found)
        })?;
        found.map_or(Ok(()), |found| check_owner(kind, name, &found, labels))
    }

    fn labels(&self, kind: &str, name: &str) -> io::Result<Option<BTreeMap<String, String>>> {
        let found: Option<Named<serde_json::Value>> = disk::read(&self.named_file(kind, name))?;
        Ok(found.map(|found| found.labels))
    }
}
