//! `templates/parity.yaml`: why production differs from simulation, one reason for each way in which it does.

use serde::{Deserialize, Serialize};

use super::FORMAT;
use crate::format;
use crate::yaml::{Source, Spanned, YamlError};

/// The allowed differences between two environments.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// Format version of the file.
    pub format: Spanned<u32>,
    /// The six aspects in which environments differ by intent, each exactly once.
    pub rows: Spanned<Vec<ParityRow>>,
    /// Further differences.
    #[serde(default)]
    pub extras: Vec<Extra>,
}

/// One row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityRow {
    /// What differs.
    pub aspect: Spanned<Aspect>,
    /// Why it may.
    pub reason: Spanned<String>,
}

/// A named difference outside the six aspects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extra {
    /// Name, for people.
    pub name: Spanned<String>,
    /// Why it may differ.
    pub reason: Spanned<String>,
    /// Places such as `compose.yaml services.*.mem_limit`; `*` stands for one part between dots.
    pub places: Spanned<Vec<Spanned<String>>>,
}

/// What differs between simulation and production, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Who may connect.
    Authentication,
    /// What survives a restart.
    Persistence,
    /// What is logged, and where to.
    Logging,
    /// What happens when a container ends.
    RestartPolicy,
    /// Where data lies.
    Volumes,
    /// How services are reached.
    Networking,
}

impl Aspect {
    /// All, in the order of the table.
    pub const ALL: [Aspect; 6] = [
        Aspect::Authentication,
        Aspect::Persistence,
        Aspect::Logging,
        Aspect::RestartPolicy,
        Aspect::Volumes,
        Aspect::Networking,
    ];

    /// The name as the table prints it.
    pub fn title(self) -> &'static str {
        match self {
            Aspect::Authentication => "Authentication",
            Aspect::Persistence => "Persistence",
            Aspect::Logging => "Logging",
            Aspect::RestartPolicy => "Restart Policy",
            Aspect::Volumes => "Volumes",
            Aspect::Networking => "Networking",
        }
    }
}

impl Parity {
    /// Reads and checks the file.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let parity: Self = format::parse(source, FORMAT)?;
        for aspect in Aspect::ALL {
            let mut rows = parity.rows.value.iter().filter(|row| row.aspect.value == aspect);
            match (rows.next(), rows.next()) {
                (None, _) => {
                    let message = format!("the row of {} is missing", aspect.title());
                    return Err(source.error_at(&parity.rows, message));
                }
                (_, Some(second)) => {
                    let message = format!("the row of {} is there twice", aspect.title());
                    return Err(source.error_at(&second.aspect, message));
                }
                _ => {}
            }
        }
        parity.check_texts(source)?;
        Ok(parity)
    }

    /// The reason that is given for one aspect.
    pub fn reason(&self, aspect: Aspect) -> &str {
        let row = self.rows.value.iter().find(|row| row.aspect.value == aspect);
        row.map_or("", |row| row.reason.value.as_str())
    }

    fn check_texts(&self, source: &Source) -> Result<(), YamlError> {
        let reasons = self.rows.value.iter().map(|row| &row.reason);
        let extras = self.extras.iter().flat_map(|extra| [&extra.name, &extra.reason]);
        if let Some(empty) = reasons.chain(extras).find(|text| text.value.trim().is_empty()) {
            return Err(source.error_at(empty, "a name or reason is empty"));
        }
        for (index, extra) in self.extras.iter().enumerate() {
            if extra.places.value.is_empty() {
                return Err(source.error_at(&extra.places, "`places` is empty"));
            }
            if self.extras[..index].iter().any(|earlier| earlier.name.value == extra.name.value) {
                return Err(source.error_at(&extra.name, format!("`{}` is there twice", extra.name.value)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Aspect, Parity};
    use crate::yaml::Source;

    fn text() -> String {
        let rows = |aspect: &str| format!("  - {{aspect: {aspect}, reason: why {aspect}}}\n");
        let aspects = ["authentication", "persistence", "logging", "restart_policy", "volumes", "networking"];
        let rows = aspects.map(rows).concat();
        format!(
            "format: 1\nrows:\n{rows}extras:\n  - {{name: x, reason: y, places: [\"compose.yaml a.*\"]}}\n"
        )
    }

    fn refused(from: &str, to: &str, part: &str) {
        assert!(text().contains(from));
        let error = Parity::parse(&Source::new("p.yaml", text().replacen(from, to, 1))).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn six_rows_and_every_text_are_demanded() {
        let parity = Parity::parse(&Source::new("p.yaml", text())).unwrap();
        assert_eq!(parity.reason(Aspect::Volumes), "why volumes");
        refused("  - {aspect: volumes, reason: why volumes}\n", "", "the row of Volumes is missing");
        refused("aspect: volumes", "aspect: logging", "the row of Logging is there twice");
        refused(
            "  - {aspect: volumes",
            "  - {aspect: logging, reason: z}\n  - {aspect: volumes",
            "Logging is there twice",
        );
        refused("reason: why logging", "reason: \"  \"", "a name or reason is empty");
        refused("[\"compose.yaml a.*\"]", "[]", "`places` is empty");
        refused("aspect: volumes", "aspect: volume", "unknown value `volume`");
    }
}
