//! `matrix`: one file, several scenarios. Values are put in as text before anything else is read.

use std::collections::BTreeMap;

use super::Scenario;
use crate::Failure as _;
use crate::tree::{At, Tree, Value};
use crate::yaml::{Source, YamlError, near};

/// The most scenarios that one file can be.
const MOST: usize = 256;

/// The values of each name, in no order of theirs: labels have that of the file.
pub type Matrix = BTreeMap<String, Vec<String>>;

/// One scenario of a file.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// Which combination it is, such as `[sensors=10,link=lan]`; empty without a matrix.
    pub label: String,
    /// Its text, with the values put in.
    pub source: Source,
    /// The scenario.
    pub scenario: Scenario,
}

/// A name of the matrix with its values.
struct Axis {
    name: String,
    values: Vec<String>,
}

impl Scenario {
    /// Reads and checks every scenario of a file: one, or one for each combination of its `matrix`.
    pub fn parse_all(source: &Source) -> Result<Vec<Expanded>, YamlError> {
        let axes = axes(source)?;
        if axes.is_empty() {
            let scenario = Self::parse(source)?;
            return Ok(vec![Expanded { label: String::new(), source: source.clone(), scenario }]);
        }
        let read = |picked: &Vec<&str>| {
            let pairs: Vec<(&str, &str)> =
                axes.iter().map(|axis| axis.name.as_str()).zip(picked.iter().copied()).collect();
            let source = Source::new(source.file(), put_in(source.text(), &pairs));
            let names: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let label = format!("[{}]", names.join(","));
            match Self::parse(&source) {
                Ok(scenario) => Ok(Expanded { label, source, scenario }),
                Err(error) if error.hint().is_none() => {
                    Err(error.with_hint(format!("in the combination {label}")))
                }
                Err(error) => Err(error),
            }
        };
        combinations(&axes).iter().map(read).collect()
    }
}

/// The names and values, checked; none where the file has no matrix.
fn axes(source: &Source) -> Result<Vec<Axis>, YamlError> {
    if !source.text().contains("matrix") {
        return Ok(Vec::new());
    }
    // What cannot be read at all is told with types.
    let Ok(tree) = Tree::parse(&Source::new(source.file(), marked(source.text()))) else {
        return Ok(Vec::new());
    };
    let Some(matrix) = tree.get("matrix") else { return Ok(Vec::new()) };
    let mut axes = Vec::new();
    for (key, values) in matrix.entries() {
        axes.push(axis(source, &key.name, key.at, values)?);
    }
    if axes.is_empty() {
        return Err(source.error_in(
            matrix.at,
            "`matrix` needs names with lists of values, such as `sensors: [10, 100]`",
            None,
        ));
    }
    let total = axes.iter().try_fold(1_usize, |total, axis| total.checked_mul(axis.values.len()));
    if total.is_none_or(|total| total > MOST) {
        return Err(source.error_in(matrix.at, format!("these are more than {MOST} combinations"), None));
    }
    check_uses(source, &tree, &axes, matrix)?;
    Ok(axes)
}

fn axis(source: &Source, name: &str, at: At, values: &Tree) -> Result<Axis, YamlError> {
    let wrong = |at: At, message: String| Err(source.error_in(at, message, None));
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        return wrong(at, format!("`{name}` is no name of a matrix: lower-case letters, digits and `_`"));
    }
    let Value::List(items) = &values.value else {
        return wrong(values.at, format!("`{name}` needs a list of values, such as [10, 100]"));
    };
    let mut found = Vec::new();
    for item in items {
        // In any place of the file such a text is one value, and nothing else.
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '/' | '+' | '-');
        let text = item.text().filter(|text| !text.is_empty() && text.chars().all(fits));
        match text {
            Some(text) if !found.contains(&text) => found.push(text),
            Some(text) => return wrong(item.at, format!("`{text}` is there twice")),
            None => {
                return wrong(
                    item.at,
                    "a value is one word: letters, digits, `.`, `_`, `%`, `/`, `+`, `-`".to_owned(),
                );
            }
        }
    }
    if found.is_empty() {
        wrong(values.at, format!("`{name}` has no values"))
    } else {
        Ok(Axis { name: name.to_owned(), values: found })
    }
}

/// Every `${name}` must be known, and every name used: combinations that are all the same show nothing.
fn check_uses(source: &Source, tree: &Tree, axes: &[Axis], matrix: &Tree) -> Result<(), YamlError> {
    let mut uses = Vec::new();
    collect(tree, &mut uses);
    let known: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
    if let Some((name, at)) = uses.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        let hint = near(name, known.iter().copied()).map_or_else(
            || format!("known here: {}; `$${{{name}}}` is the text itself", known.join(", ")),
            |near| format!("did you mean `${{{near}}}`?"),
        );
        return Err(source.error_in(*at, format!("unknown name of the matrix `{name}`"), Some(hint)));
    }
    let idle = matrix.entries().iter().find(|(key, _)| !uses.iter().any(|(name, _)| *name == key.name));
    match idle {
        Some((key, _)) => {
            Err(source.error_in(key.at, format!("nothing in the file uses `${{{}}}`", key.name), None))
        }
        None => Ok(()),
    }
}

fn collect(tree: &Tree, uses: &mut Vec<(String, At)>) {
    match &tree.value {
        Value::Text(text) => uses.extend(names(text).map(|name| (name.to_owned(), tree.at))),
        Value::List(items) => items.iter().for_each(|item| collect(item, uses)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| collect(value, uses)),
        _ => {}
    }
}

/// Characters that no file has (private use), in the place of those that would be structure to YAML.
const MARKS: [char; 3] = ['\u{e000}', '\u{e001}', '\u{e002}'];

/// The text with `${name}` as words of the same length, so that it can be read before values are put in.
fn marked(text: &str) -> String {
    let [dollar, open, close] = MARKS;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let Some(end) = from.find('}') else { break };
        // An escaped one is a word too, and no use.
        let start = if before.ends_with('$') { '$' } else { dollar };
        out.push_str(before);
        out.extend([start, open]);
        out.push_str(&from[2..end]);
        out.push(close);
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    out
}

/// The names in a marked text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let [dollar, open, close] = MARKS;
    text.split(dollar)
        .skip(1)
        .filter_map(move |rest| rest.strip_prefix(open)?.split_once(close).map(|(name, _)| name))
}

fn put_in(text: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let end = from.find('}').map(|end| end + 1);
        let name = end.map(|end| &from[2..end - 1]);
        let value = pairs.iter().find(|(known, _)| Some(*known) == name).map(|(_, value)| *value);
        match (before.strip_suffix('$'), end, value) {
            (Some(before), ..) => {
                out.extend([before, "${"]);
                rest = &from[2..];
            }
            (None, Some(end), Some(value)) => {
                out.extend([before, value]);
                rest = &from[end..];
            }
            _ => {
                out.extend([before, "${"]);
                rest = &from[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Every pick of one value for each name, the last name moving fastest.
fn combinations(axes: &[Axis]) -> Vec<Vec<&str>> {
    let mut all = vec![Vec::new()];
    for axis in axes {
        let longer = all.iter().flat_map(|picked: &Vec<&str>| {
            axis.values.iter().map(|value| [picked.as_slice(), &[value.as_str()]].concat())
        });
        all = longer.collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::Failure as _;
    use crate::scenario::Scenario;
    use crate::yaml::Source;

    const TEXT: &str = "\
# One of ${link}.
simulation: {duration_s: 5, seed: 1}
links: {lan: {latency: 1ms}, wan: {latency: 50ms}}
nodes:
  - {id: mqtt-broker, type: broker, implementation: docker, docker: {image: xedgesim/mosquitto}}
  - {id: s, type: sensor, count: ${sensors}, via: ${link}, config: {topic: \"a/${link}/$${x}/{id}\"}}
matrix: {sensors: [10, 100], link: [lan, wan]}
";

    /// Name, count of the last node, and its topic.
    type Line = (String, u32, String);

    fn read(text: &str) -> Result<Vec<Line>, (String, Option<String>)> {
        let all = Scenario::parse_all(&Source::new("m.yaml", text));
        let all = all.map_err(|error| (error.to_string(), error.hint()))?;
        let line = |one: &super::Expanded| {
            let node = one.scenario.nodes.value.last().unwrap();
            (one.label.clone(), node.count.as_ref().unwrap().value, node.config.topic.clone().unwrap())
        };
        Ok(all.iter().map(line).collect())
    }

    #[test]
    fn every_combination_is_a_scenario() {
        let all = read(TEXT).unwrap();
        let labels: Vec<&str> = all.iter().map(|(label, ..)| label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "[sensors=10,link=lan]",
                "[sensors=10,link=wan]",
                "[sensors=100,link=lan]",
                "[sensors=100,link=wan]"
            ]
        );
        assert_eq!((all[1].1, all[1].2.as_str()), (10, "a/wan/${x}/{id}"));
        let one = Scenario::parse_all(&Source::new("m.yaml", "simulation: {duration_s: 1, seed: 1}\nnodes: [{id: s, type: sensor, config: {topic: \"${x}\"}}]\n")).unwrap();
        assert_eq!((one.len(), one[0].label.as_str()), (1, ""));
        assert_eq!(one[0].scenario.nodes.value[0].config.topic.as_deref(), Some("${x}"));
    }

    #[test]
    fn a_matrix_that_makes_no_sense_is_refused() {
        let refused = |from: &str, to: &str, message: &str| {
            assert!(TEXT.contains(from), "{from}");
            let (error, _) = read(&TEXT.replacen(from, to, 1)).unwrap_err();
            assert!(error.starts_with(&format!("failed to read m.yaml:{message}")), "{error}");
        };
        refused("count: ${sensors}", "count: ${sensor}", "6:34: unknown name of the matrix `sensor`");
        refused("count: ${sensors}", "count: 5", "7:10: nothing in the file uses `${sensors}`");
        refused("[10, 100]", "[10, 10]", "7:24: `10` is there twice");
        refused("[10, 100]", "[]", "7:19: `sensors` has no values");
        refused("[10, 100]", "10", "7:19: `sensors` needs a list");
        refused("[10, 100]", "[[10]]", "7:20: a value is one word");
        refused("[10, 100]", "[\"1, x: 2\"]", "7:20: a value is one word");
        refused("matrix: {sensors", "matrix: {Sensors", "7:10: `Sensors` is no name of a matrix");
        refused("matrix: {sensors: [10, 100], link: [lan, wan]}", "matrix: {}", "7:9: `matrix` needs names");
        refused("[10, 100]", "[10, many]", "6:34: expected a whole number");
        refused("[lan, wan]", "[lan, lann]", "6:");
        let many: Vec<String> = (1..=200).map(|n| n.to_string()).collect();
        refused("[10, 100]", &format!("[{}]", many.join(", ")), "7:9: these are more than 256");
        let (_, hint) = read(&TEXT.replacen("[10, 100]", "[10, many]", 1)).unwrap_err();
        assert_eq!(hint.as_deref(), Some("in the combination [sensors=many,link=lan]"));
    }
}
