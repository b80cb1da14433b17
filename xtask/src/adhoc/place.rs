//! Where an image expects a config file. A file is mounted in just that place, so that nothing else of its folder is hidden.

use camino::{Utf8Path, Utf8PathBuf};
use xedge_model::stack::RelPath;

/// Folders in which a file of the same name is documentation or another program's.
const NOT_CONFIG: [&str; 6] = ["/usr", "/proc", "/sys", "/dev", "/run", "/tmp"];

/// Places that could be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// One, and why it is this one.
    One(Utf8PathBuf, &'static str),
    /// None, or several.
    Unclear(Vec<Utf8PathBuf>),
}

/// Looks for the place of a file: an argument of the image's program that is a file of the same ending, else the only file
/// of the image with the same name.
pub(super) fn find(file_name: &str, arguments: &[String], files: &[Utf8PathBuf]) -> Found {
    let ending = Utf8Path::new(file_name).extension();
    let mut named: Vec<Utf8PathBuf> = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| absolute(argument))
        .filter(|path| path.extension() == ending)
        .filter(|path| ending.is_some() || path.file_name() == Some(file_name))
        .collect();
    named.sort();
    named.dedup();
    if let [only] = &named[..] {
        return Found::One(only.clone(), "the image's program is started with it");
    }
    let is_config = |path: &&Utf8PathBuf| !NOT_CONFIG.iter().any(|folder| path.starts_with(folder));
    let same: Vec<Utf8PathBuf> =
        files.iter().filter(|path| path.file_name() == Some(file_name)).filter(is_config).cloned().collect();
    match &same[..] {
        [only] => Found::One(only.clone(), "the image has a file of that name there"),
        [] => Found::Unclear(named),
        _ => Found::Unclear(same),
    }
}

/// The absolute path in an argument such as `/etc/x.conf` or `--config=/etc/x.conf`.
fn absolute(argument: &str) -> Option<Utf8PathBuf> {
    let path = match argument.split_once('=') {
        Some((flag, path)) if flag.starts_with('-') => path,
        _ => argument,
    };
    Some(Utf8PathBuf::from(path)).filter(|path| is_place(path))
}

/// Whether a file can be mounted there: an absolute path of plain parts, in no folder of the kernel's or of secrets.
pub(super) fn is_place(path: &Utf8Path) -> bool {
    let kernels = ["/proc", "/sys", "/dev", "/run/secrets"];
    let below = path.as_str().strip_prefix('/').and_then(|below| below.parse::<RelPath>().ok());
    let plain = !path.as_str().contains(|c: char| c == '$' || c == '{' || c == '}' || c.is_whitespace());
    below.is_some() && plain && !kernels.iter().any(|folder| path.starts_with(folder))
}
