//! How one environment differs from another: six rows computed from the rendered files, and everything else by name.
//!
//! Nothing is taken from descriptions: a row says what the parsed mosquitto.conf and the typed Compose file say.

mod cells;
mod text;

use std::collections::BTreeMap;
use std::fs;

use camino::Utf8Path;
use serde::Serialize;
use xedge_model::stack::{Aspect, Extra, Parity};
use xedge_model::yaml::Source;

use crate::Error;
use crate::rendered::Rendered;

/// The file in the templates folder that holds the reasons.
const FILE: &str = "parity.yaml";

/// The comparison of two environments.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct Table {
    /// Format version of the JSON form.
    pub format: u32,
    /// The stack.
    pub stack: String,
    /// The first environment.
    pub from: String,
    /// The second environment.
    pub to: String,
    /// The six rows, in fixed order.
    pub rows: Vec<Row>,
    /// The named differences outside the six rows, in the order of parity.yaml.
    pub extras: Vec<ExtraRow>,
    /// Differences that nothing explains.
    pub unexplained: Vec<Difference>,
}

/// One of the six rows.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is about.
    pub aspect: Aspect,
    /// What holds in the first environment.
    pub from: String,
    /// What holds in the second environment.
    pub to: String,
    /// Why they may differ.
    pub reason: String,
    /// The settings behind it.
    pub differences: Vec<Difference>,
}

/// Differences under one name.
#[derive(Clone, Debug, Serialize)]
pub struct ExtraRow {
    /// Name.
    pub name: String,
    /// Why they may differ.
    pub reason: String,
    /// The settings.
    pub differences: Vec<Difference>,
}

/// One setting that is not the same in both environments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// File and setting, such as `compose.yaml services.mosquitto.restart`.
    pub place: String,
    /// Value in the first environment; `None` where it is not set.
    pub from: Option<String>,
    /// Value in the second environment; `None` where it is not set.
    pub to: Option<String>,
}

/// Reads the reasons from the templates folder.
pub fn reasons(root: &Utf8Path) -> Result<Parity, Error> {
    let path = root.join(FILE);
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    Ok(Parity::parse(&Source::new(path.as_str(), text))?)
}

/// Compares two renderings of one stack. A place in `reasons` at which nothing differs is an error; differences that
/// nothing explains are listed in the table, see [`Table::check`].
pub fn compare(from: &Rendered, to: &Rendered, reasons: &Parity) -> Result<Table, Error> {
    compare_among(from, to, reasons, &[])
}

/// Like [`compare`], in a project whose `others` are the other stacks in the same two environments: a place at which one of
/// them differs is no error either.
pub fn compare_among(
    from: &Rendered,
    to: &Rendered,
    reasons: &Parity,
    others: &[(Rendered, Rendered)],
) -> Result<Table, Error> {
    let all = differences(from, to);
    let elsewhere = others.iter().flat_map(|(from, to)| differences(from, to));
    let anywhere: Vec<Difference> = all.iter().cloned().chain(elsewhere).collect();
    let unused = unused(&anywhere, &reasons.extras);
    if !unused.is_empty() {
        return Err(Error::Unused {
            from: from.environment().to_owned(),
            to: to.environment().to_owned(),
            unused,
        });
    }
    let (mut by_aspect, mut by_extra, unexplained) = sorted(all, &reasons.extras);
    let row = |aspect: Aspect| Row {
        aspect,
        from: cells::cell(aspect, from),
        to: cells::cell(aspect, to),
        reason: reasons.reason(aspect).to_owned(),
        differences: by_aspect.remove(&aspect).unwrap_or_default(),
    };
    let rows = Aspect::ALL.map(row).into();
    let extras = reasons.extras.iter().enumerate().map(|(index, extra)| ExtraRow {
        name: extra.name.value.clone(),
        reason: extra.reason.value.clone(),
        differences: by_extra.remove(&index).unwrap_or_default(),
    });
    Ok(Table {
        format: 1,
        stack: to.stack().to_owned(),
        from: from.environment().to_owned(),
        to: to.environment().to_owned(),
        rows,
        extras: extras.collect(),
        unexplained,
    })
}

impl Table {
    /// An error that lists the differences which nothing explains, if there are any.
    pub fn check(&self) -> Result<(), Error> {
        if self.unexplained.is_empty() {
            return Ok(());
        }
        Err(Error::Unexplained {
            from: self.from.clone(),
            to: self.to.clone(),
            unexplained: self.unexplained.iter().map(ToString::to_string).collect(),
        })
    }

    /// The table for people, at most `width` columns wide.
    pub fn to_text(&self, width: usize) -> String {
        text::table(self, width)
    }

    /// The table as JSON, with a final line break.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a table has string keys only");
        text.push('\n');
        text
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show =
            |value: &Option<String>| value.as_ref().map_or("not set".into(), |text| format!("`{text}`"));
        write!(f, "{}: {} -> {}", self.place, show(&self.from), show(&self.to))
    }
}

fn differences(from: &Rendered, to: &Rendered) -> Vec<Difference> {
    let (from, to) = (from.flatten(), to.flatten());
    let mut places: Vec<&String> = from.keys().chain(to.keys()).collect();
    places.sort();
    places.dedup();
    places
        .into_iter()
        .filter(|place| from.get(*place) != to.get(*place))
        .map(|place| Difference {
            place: place.clone(),
            from: from.get(place).cloned(),
            to: to.get(place).cloned(),
        })
        .collect()
}

/// Differences by aspect, by position of the entry under `extras`, and those without either.
type Sorted = (BTreeMap<Aspect, Vec<Difference>>, BTreeMap<usize, Vec<Difference>>, Vec<Difference>);

fn sorted(all: Vec<Difference>, extras: &[Extra]) -> Sorted {
    let (mut by_aspect, mut by_extra, mut unexplained) = Sorted::default();
    for difference in all {
        let extra = extras.iter().position(|extra| covers(extra, &difference.place));
        match (cells::aspect(&difference.place), extra) {
            (Some(aspect), _) => by_aspect.entry(aspect).or_default().push(difference),
            (None, Some(index)) => by_extra.entry(index).or_default().push(difference),
            (None, None) => unexplained.push(difference),
        }
    }
    (by_aspect, by_extra, unexplained)
}

/// Places that explain nothing: the difference is gone, or it was never there, or one of the six rows has it already.
fn unused(all: &[Difference], extras: &[Extra]) -> Vec<String> {
    let needed =
        |pattern: &str| all.iter().any(|d| cells::aspect(&d.place).is_none() && matches(pattern, &d.place));
    let places = extras.iter().flat_map(|extra| extra.places.value.iter().map(move |place| (extra, place)));
    places
        .filter(|(_, place)| !needed(&place.value))
        .map(|(extra, place)| format!("{} at `{}`", extra.name.value, place.value))
        .collect()
}

fn covers(extra: &Extra, place: &str) -> bool {
    extra.places.value.iter().any(|pattern| matches(&pattern.value, place))
}

/// Whether a place fits a pattern in which `*` stands for one part between dots; the file must be the same.
pub(crate) fn matches(pattern: &str, place: &str) -> bool {
    let Some((pattern_file, pattern)) = pattern.split_once(' ') else { return false };
    let Some((file, setting)) = place.split_once(' ') else { return false };
    let (mut pattern, mut setting) = (pattern.split('.'), setting.split('.'));
    pattern_file == file
        && loop {
            match (pattern.next(), setting.next()) {
                (None, None) => break true,
                (Some(wanted), Some(part)) if wanted == "*" || wanted == part => {}
                _ => break false,
            }
        }
}

#[cfg(test)]
mod tests;
