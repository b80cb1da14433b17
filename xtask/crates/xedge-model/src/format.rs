//! The format version of a file, looked at before anything else: a file of a newer format has keys that this tool does not
//! know, and "unknown key" would send people looking for a typing error.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::yaml::{Source, Spanned, YamlError};

/// What to do where a file is newer than the tool.
pub const UPDATE: &str = "the file is newer than this xedge, update xedge: `git pull` in its clone, or a newer `rev` in xtask/Cargo.toml";

/// What to do where a file is older than the tool, or of no format that ever was.
pub const MIGRATE: &str =
    "xedge's CHANGELOG.md says what changed between two formats: change the file, then its `format`";

/// All that is read of a file of any format.
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    format: Option<Spanned<u32>>,
}

/// The format that a file says it has; `None` where it says none, or nothing that can be read.
pub fn of(source: &Source) -> Option<u32> {
    probe(source).map(|format| format.value)
}

fn probe(source: &Source) -> Option<Spanned<u32>> {
    source.parse::<Probe>().ok().and_then(|probe| probe.format)
}

/// What to do about a file of another format.
pub fn advice(found: u32, known: u32) -> &'static str {
    if found > known { UPDATE } else { MIGRATE }
}

/// Reads a file whose format must be `known` where it says one, or fails with what to do.
pub(crate) fn parse<T: DeserializeOwned>(source: &Source, known: u32) -> Result<T, YamlError> {
    match probe(source).filter(|format| format.value != known) {
        Some(other) => {
            let message = format!("the file has format {}, this xedge reads format {known}", other.value);
            Err(source.error_with_hint(&other, message, advice(other.value, known).to_owned()))
        }
        None => source.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::{MIGRATE, UPDATE, of};
    use crate::yaml::Source;
    use crate::{Failure, ImageDef, Scenario};

    const IMAGE: &str = "format: 1\nname: a/b\nplatforms: [linux/amd64]\nfrom: dockerfile\n";

    #[test]
    fn a_newer_file_is_not_taken_for_a_typing_error() {
        let read = |text: &str| ImageDef::parse(&Source::new("image.yaml", text));
        assert!(read(IMAGE).is_ok());
        let newer = read("format: 2\nname: a/b\nshape: round\n").unwrap_err();
        assert!(
            newer.to_string().contains("image.yaml:1:9: the file has format 2, this xedge reads format 1"),
            "{newer}"
        );
        assert_eq!(newer.hint().as_deref(), Some(UPDATE));
        let older = read(&IMAGE.replace("format: 1", "format: 0")).unwrap_err();
        assert_eq!(older.hint().as_deref(), Some(MIGRATE));
        assert!(
            read(&IMAGE.replace("format: 1\n", ""))
                .unwrap_err()
                .to_string()
                .contains("missing field `format`")
        );
    }

    #[test]
    fn a_scenario_may_leave_its_format_out() {
        let text = "simulation: {duration_s: 1, seed: 1}\nnodes:\n  - {id: s, type: sensor}\n";
        let read = |text: &str| Scenario::parse(&Source::new("s.yaml", text));
        assert!(read(text).is_ok());
        assert!(read(&format!("format: 1\n{text}")).is_ok());
        assert!(read(&format!("{text}format: 7\n")).unwrap_err().to_string().contains("s.yaml:4:9"));
    }

    #[test]
    fn what_cannot_be_read_has_no_format() {
        let of = |text: &str| of(&Source::new("f.yaml", text));
        assert_eq!(of("format: 3\nanything: [1]\n"), Some(3));
        assert_eq!(of("format: x\n"), None);
        assert_eq!(of("- 1\n"), None);
        assert_eq!(of("format: 1\nformat: 2\n"), None);
        assert_eq!(of(""), None);
    }
}
