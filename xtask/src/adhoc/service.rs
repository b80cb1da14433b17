//! The one service: what the flags say, and for what they leave open, what the image says. Builds and writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use xedge_config::conf::Conf;
use xedge_model::ImageDef;
use xedge_model::compose::{Bytes, Cpus};
use xedge_model::stack::{NAME_RULE, is_name};
use xedge_oci::base::root_fs;
use xedge_oci::{ImageEntry, Layout};

use super::place::{self, Found};
use super::{AdHoc, bad, config_text};
use crate::error::{Error, Result};

/// The secret with the broker's password file, and where a container finds it.
pub(super) const PASSWORDS: &str = "mosquitto-passwd";
/// The secret that the health check of an MQTT image logs in with: the name is the one that `mosquitto_sub` looks for.
pub(super) const HEALTH: &str = "mosquitto_sub";
/// The user of that check.
pub(super) const HEALTH_USER: &str = "health";

/// What an image says of itself, the same on all of its platforms.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Its name.
    pub(super) image: String,
    /// Program and arguments.
    pub(super) arguments: Vec<String>,
    /// Who it runs as; empty for root.
    pub(super) user: String,
    /// TCP ports that it exposes.
    pub(super) ports: Vec<u16>,
    /// Its volumes, and folders without content that belong to its user: where it keeps what must outlive a container.
    pub(super) volumes: BTreeSet<Utf8PathBuf>,
    /// Its files.
    pub(super) files: Vec<Utf8PathBuf>,
}

/// A config file and its place.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    /// The file that was given.
    pub(super) file: Utf8PathBuf,
    /// Its text.
    pub(super) text: String,
    /// Where the container finds it.
    pub(super) target: Utf8PathBuf,
    /// Where the rendered folder has it.
    pub(super) output: Utf8PathBuf,
    why: &'static str,
}

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// Name of stack, service and container.
    pub(super) name: String,
    /// The image's name.
    pub(super) image: String,
    /// Port of the device and port of the container.
    pub(super) port: Option<(u16, u16)>,
    /// Config files.
    pub(super) configs: Vec<ConfigFile>,
    /// Named volumes: target by name.
    pub(super) volumes: BTreeMap<String, Utf8PathBuf>,
    /// Users of the broker's password file, where there is one.
    pub(super) users: BTreeSet<String>,
    /// Number of the user that the container runs as, for secrets.
    pub(super) owner: u32,
    /// Whether it runs as root, which keeps the Engine's usual capabilities.
    pub(super) is_root: bool,
    /// Memory limit.
    pub(super) memory: Bytes,
    /// Limit of processor time.
    pub(super) cpus: Cpus,
}

/// Reads what the image says. Platforms that differ in it are an error: what is signed is one configuration for all.
pub(super) fn facts(layout: &Layout, def: &ImageDef, entry: &ImageEntry) -> Result<Facts> {
    let mut all: Option<Facts> = None;
    for (platform, image) in entry.platforms() {
        let run = image.config().config.clone().unwrap_or_default();
        let files: Vec<Utf8PathBuf> =
            root_fs(layout.blobs(), image)?.files().map(Utf8Path::to_owned).collect();
        let user = run.user.unwrap_or_default();
        let found = Facts {
            image: entry.name().to_string(),
            arguments: run.entrypoint.into_iter().chain(run.cmd).flatten().collect(),
            ports: run.exposed_ports.map(|ports| tcp(&ports.0)).unwrap_or_default(),
            volumes: volumes(def, &user, run.volumes.map(|names| names.0).unwrap_or_default(), &files),
            user,
            files,
        };
        match &mut all {
            None => all = Some(found),
            Some(first) if first.is_like(&found) => first.files.retain(|path| found.files.contains(path)),
            Some(_) => {
                let what = "one configuration for every platform of the image";
                let hint =
                    format!("program, user, ports or volumes of {platform} are other ones: make it a stack");
                return Err(bad(what, entry.name().as_str(), hint));
            }
        }
    }
    Ok(all.unwrap_or_default())
}

impl Facts {
    fn is_like(&self, other: &Self) -> bool {
        let own = (&self.arguments, &self.user, &self.ports, &self.volumes);
        own == (&other.arguments, &other.user, &other.ports, &other.volumes)
    }
}

fn tcp(exposed: &BTreeSet<String>) -> Vec<u16> {
    let port = |text: &String| {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        number.parse().ok().filter(|_| protocol == "tcp")
    };
    exposed.iter().filter_map(port).collect()
}

/// The volumes that the image declares, and the folders of its definition that belong to its user and hold no file: a folder
/// with files as a volume would keep those of the first release for good.
fn volumes(
    def: &ImageDef,
    user: &str,
    declared: BTreeSet<String>,
    files: &[Utf8PathBuf],
) -> BTreeSet<Utf8PathBuf> {
    let owner = user.split(':').next().and_then(|id| id.parse::<u32>().ok());
    let is_empty = |folder: &Utf8Path| !files.iter().any(|file| file.starts_with(folder));
    let own = def.directories.iter().filter(|folder| Some(folder.owner) == owner && folder.owner != 0);
    let own = own.map(|folder| folder.path.clone()).filter(|folder| is_empty(folder));
    own.chain(declared.into_iter().map(Utf8PathBuf::from)).collect()
}

impl Service {
    /// Puts flags and image together; `folder` is where config files are looked for.
    pub(super) fn new(name: String, wanted: &AdHoc, image: &Facts, folder: &Utf8Path) -> Result<Self> {
        let configs: Vec<ConfigFile> =
            wanted.config.iter().map(|given| config(given, image, folder)).collect::<Result<_>>()?;
        refuse_twice(&configs)?;
        let id = image.user.split(':').next().unwrap_or_default();
        let is_root = matches!(id, "" | "0" | "root");
        let users = users(wanted, &configs)?;
        let owner = match id.parse() {
            Ok(owner) => owner,
            Err(_) if is_root || users.is_empty() => 0,
            Err(_) => {
                let hint =
                    "a secret belongs to a user by number: give the image `user: \"UID:GID\"`".to_owned();
                return Err(bad("the number of the image's user", id, hint));
            }
        };
        let is_hidden = |volume: &&Utf8PathBuf| {
            // The folder of a config file is not data: as a volume it would outlive the release that it belongs to.
            configs.iter().any(|config| config.target.parent() == Some(volume.as_path()))
        };
        let volumes = image.volumes.iter().filter(|volume| !is_hidden(volume));
        Ok(Self {
            image: image.image.clone(),
            port: port(wanted, image)?,
            volumes: named(volumes),
            name,
            configs,
            users,
            owner,
            is_root,
            memory: wanted.memory,
            cpus: wanted.cpus,
        })
    }

    /// What was decided, for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let name = &self.name;
        let mut lines =
            vec![format!("{name}: {} · {} of memory · {} processors", self.image, self.memory, self.cpus)];
        if let Some((host, container)) = self.port {
            lines.push(format!("{name}: port {host} of the device is port {container} of the container"));
        }
        for config in &self.configs {
            lines.push(format!("{name}: {} is {} ({})", config.file, config.target, config.why));
        }
        for (volume, target) in &self.volumes {
            lines.push(format!("{name}: {target} is kept, in the volume {volume}"));
        }
        lines
    }
}

/// Volumes by name; two paths that would make one name get a number.
fn named<'a>(targets: impl Iterator<Item = &'a Utf8PathBuf>) -> BTreeMap<String, Utf8PathBuf> {
    let mut all = BTreeMap::new();
    for target in targets {
        let name = slug(target);
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !all.contains_key(name));
        all.insert(free.unwrap_or(name), target.clone());
    }
    all
}

/// A volume's name, from its path: `/mosquitto/data` is `mosquitto-data`.
fn slug(path: &Utf8Path) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    path.as_str().trim_matches('/').chars().map(plain).collect()
}

fn config(given: &str, image: &Facts, folder: &Utf8Path) -> Result<ConfigFile> {
    let (file, target) = match given.split_once(":/") {
        Some((file, target)) => (file, Some(Utf8PathBuf::from(format!("/{target}")))),
        None => (given, None),
    };
    let file = folder.join(file);
    let text = config_text(&file)?;
    let name = file.file_name().unwrap_or_default();
    let (target, why) = match target {
        Some(target) if place::is_place(&target) => (target, "as you said"),
        Some(target) => {
            let hint = format!("an absolute path of plain parts: `--config {file}:/etc/{name}`");
            return Err(bad("a place in the container at", target.as_str(), hint));
        }
        None => match place::find(name, &image.arguments, &image.files) {
            Found::One(target, why) => (target, why),
            Found::Unclear(several) => {
                let several: Vec<&str> = several.iter().map(|path| path.as_str()).collect();
                let known = if several.is_empty() { "/PATH".to_owned() } else { several.join(" or ") };
                let hint = format!("say it: `--config {file}:/PATH`, here {known}");
                return Err(bad("the one place where the image expects", name, hint));
            }
        },
    };
    let output = Utf8Path::new("config").join(target.as_str().trim_start_matches('/'));
    Ok(ConfigFile { file, text, target, output, why })
}

fn refuse_twice(configs: &[ConfigFile]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match configs.iter().find(|config| !seen.insert(&config.target)) {
        Some(twice) => {
            let reason = format!("another file is {} too", twice.target);
            Err(Error::BadFile { path: twice.file.clone(), reason }.into())
        }
        None => Ok(()),
    }
}

/// The port, as the flag or the image says.
fn port(wanted: &AdHoc, image: &Facts) -> Result<Option<(u16, u16)>> {
    let Some(flag) = &wanted.port else {
        return match image.ports[..] {
            [] => Ok(None),
            [only] => Ok(Some((only, only))),
            _ => Err(bad("the one port that is meant of", &image.image, exposed(&image.ports))),
        };
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let unfit =
        || bad("a port in", flag, "`--port 1883`, or `--port 8883:1883` for another one outside".to_owned());
    if let Some((host, container)) = flag.split_once(':') {
        return number(host).zip(number(container)).map(Some).ok_or_else(unfit);
    }
    let host = number(flag).ok_or_else(unfit)?;
    match image.ports[..] {
        _ if image.ports.contains(&host) => Ok(Some((host, host))),
        [] => Ok(Some((host, host))),
        [only] => Ok(Some((host, only))),
        _ => Err(bad("the port of the container for", flag, exposed(&image.ports))),
    }
}

fn exposed(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("the image exposes {}: say `--port PORT:CONTAINER-PORT`", ports.join(", "))
}

/// The users of the password file. A broker that asks for a file that nobody makes would not start on the device (exit 13).
fn users(wanted: &AdHoc, configs: &[ConfigFile]) -> Result<BTreeSet<String>> {
    let target = xedge_model::stack::SECRETS_FOLDER;
    let secret = format!("{target}/{PASSWORDS}");
    let mut asks = false;
    for config in configs.iter().filter(|config| config.target.file_name() == Some("mosquitto.conf")) {
        let conf = Conf::parse(config.file.as_str(), &config.text)?;
        for entry in conf.entries().iter().filter(|entry| entry.key == "password_file") {
            let is_given = configs.iter().any(|other| other.target == entry.value);
            if entry.value == secret {
                asks = true;
            } else if !is_given {
                let reason = format!(
                    "line {}: password_file {}: no step makes that file. With `password_file {secret}` and `--mqtt-user NAME` \
                     it is made on the device, from passwords that are in no bundle",
                    entry.line, entry.value
                );
                return Err(Error::BadFile { path: config.file.clone(), reason }.into());
            }
        }
    }
    if let Some(unfit) = wanted.users.iter().find(|user| !is_name(user)) {
        return Err(bad("a name of a user in", unfit, NAME_RULE.to_owned()));
    }
    match (asks, wanted.users.is_empty()) {
        (true, true) => {
            let hint = "name who may log in: `--mqtt-user NAME`, once for each".to_owned();
            Err(bad("the users of", &secret, hint))
        }
        (false, false) => {
            let hint = format!("`--config` with a mosquitto.conf that has `password_file {secret}`");
            Err(bad("a password file for", &wanted.users.join(", "), hint))
        }
        (true, false) => Ok(wanted.users.iter().cloned().chain([HEALTH_USER.to_owned()]).collect()),
        (false, true) => Ok(BTreeSet::new()),
    }
}
