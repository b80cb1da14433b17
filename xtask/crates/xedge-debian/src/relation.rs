//! Dependency fields (Debian policy §7.1): their grammar and when a version meets them; no choice of packages.

use std::fmt;
use std::str::FromStr;

use crate::Version;

/// One part of a field between commas: alternatives of which one is enough. Shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The alternatives, in the order of preference.
    pub alternatives: Vec<Term>,
    text: String,
}

/// One alternative: a package name with what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// A real or virtual package name.
    pub name: String,
    /// What follows the name after a colon, for example `any`.
    pub qualifier: Option<String>,
    /// The asked-for versions.
    pub constraint: Option<Constraint>,
}

/// An operator and a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    operator: Operator,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Earlier,
    EarlierOrEqual,
    Equal,
    LaterOrEqual,
    Later,
}

/// A dependency field that breaks the grammar.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a relation between packages")]
pub struct NotARelation(String);

impl Term {
    /// Whether the qualifier admits a package of `architecture`, the one that is resolved for.
    pub fn admits_architecture(&self, architecture: &str) -> bool {
        self.qualifier.as_deref().is_none_or(|q| q == "any" || q == architecture)
    }

    /// Whether a package with this very version is what is asked for.
    pub fn admits(&self, version: &Version) -> bool {
        self.constraint.as_ref().is_none_or(|constraint| constraint.admits(version))
    }

    /// Whether a virtual package is what is asked for; one without a version never meets a constraint (policy §7.5).
    pub fn admits_provided(&self, version: Option<&Version>) -> bool {
        match (&self.constraint, version) {
            (None, _) => true,
            (Some(constraint), Some(version)) => constraint.admits(version),
            (Some(_), None) => false,
        }
    }

    /// The version of an exact constraint, as `Provides` uses them.
    pub fn exact_version(&self) -> Option<&Version> {
        self.constraint.as_ref().filter(|c| c.operator == Operator::Equal).map(|c| &c.version)
    }
}

impl Constraint {
    /// Whether a version lies within.
    pub fn admits(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Earlier => order.is_lt(),
            Operator::EarlierOrEqual => order.is_le(),
            Operator::Equal => order.is_eq(),
            Operator::LaterOrEqual => order.is_ge(),
            Operator::Later => order.is_gt(),
        }
    }
}

impl FromStr for Operator {
    type Err = ();

    /// The single signs are the old forms of the ones with `=`.
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "<<" => Self::Earlier,
            "<=" | "<" => Self::EarlierOrEqual,
            "=" => Self::Equal,
            ">=" | ">" => Self::LaterOrEqual,
            ">>" => Self::Later,
            _ => return Err(()),
        })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a field's value. Alternatives that are restricted to other architectures, or to build profiles that are not
/// active (none is), are left out; a relation of nothing else is left out as a whole.
pub fn parse(field: &str, architecture: &str) -> Result<Vec<Relation>, NotARelation> {
    let mut relations = Vec::new();
    for part in field.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let mut alternatives = Vec::new();
        for alternative in part.split('|') {
            alternatives.extend(term(alternative.trim(), architecture)?);
        }
        if !alternatives.is_empty() {
            relations
                .push(Relation { alternatives, text: part.split_whitespace().collect::<Vec<_>>().join(" ") });
        }
    }
    Ok(relations)
}

fn term(text: &str, architecture: &str) -> Result<Option<Term>, NotARelation> {
    let broken = || NotARelation(text.to_owned());
    let end = text.find(|c: char| c.is_whitespace() || "([<".contains(c)).unwrap_or(text.len());
    let (head, mut rest) = (&text[..end], text[end..].trim_start());
    let (name, qualifier) = head.split_once(':').map_or((head, None), |(name, q)| (name, Some(q)));
    if !is_name(name) || qualifier.is_some_and(|q| !is_name(q)) {
        return Err(broken());
    }
    let mut constraint = None;
    if let Some(inner) = bracketed(&mut rest, '(', ')') {
        constraint = Some(parse_constraint(inner).ok_or_else(broken)?);
    }
    let mut active = true;
    if let Some(inner) = bracketed(&mut rest, '[', ']') {
        active &= names_architecture(inner, architecture);
    }
    let mut profiles = Vec::new();
    while let Some(inner) = bracketed(&mut rest, '<', '>') {
        profiles.push(inner);
    }
    // Profiles are alternatives of all-of lists; without an active profile only lists of negations hold.
    active &= profiles.is_empty()
        || profiles.iter().any(|list| list.split_whitespace().all(|profile| profile.starts_with('!')));
    if !rest.is_empty() {
        return Err(broken());
    }
    Ok(active.then(|| Term { name: name.to_owned(), qualifier: qualifier.map(str::to_owned), constraint }))
}

/// Names of packages and architectures (policy §5.6.1), without their minimal length.
fn is_name(text: &str) -> bool {
    let tail = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(tail)
}

/// Takes a bracketed piece off the front of `rest`.
fn bracketed<'a>(rest: &mut &'a str, open: char, close: char) -> Option<&'a str> {
    let (inner, after) = rest.strip_prefix(open)?.split_once(close)?;
    *rest = after.trim_start();
    Some(inner.trim())
}

fn parse_constraint(text: &str) -> Option<Constraint> {
    let split = text.find(|c| !"<=>".contains(c))?;
    let (operator, version) = text.split_at(split);
    Some(Constraint { operator: operator.parse().ok()?, version: version.trim().parse().ok()? })
}

/// `[amd64 arm64]` names what is meant, `[!armhf]` what is not; `any` and `linux-any` stand for all that Linux runs on.
fn names_architecture(list: &str, architecture: &str) -> bool {
    let is = |item: &str| {
        matches!(item, "any" | "linux-any") || item.strip_prefix("any-").unwrap_or(item) == architecture
    };
    let mut negated = list.split_whitespace().filter_map(|item| item.strip_prefix('!')).peekable();
    match negated.peek() {
        Some(_) => !negated.any(is),
        None => list.split_whitespace().any(is),
    }
}

#[cfg(test)]
mod tests {
    use super::{Relation, parse};
    use crate::Version;

    fn one(text: &str) -> Relation {
        let mut relations = parse(text, "arm64").unwrap();
        assert_eq!(relations.len(), 1, "{text}");
        relations.remove(0)
    }

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn each_operator_admits_what_it_says() {
        for (operator, admitted) in [
            ("<<", "100"),
            ("<=", "110"),
            ("=", "010"),
            (">=", "011"),
            (">>", "001"),
            ("<", "110"),
            (">", "011"),
        ] {
            let relation = one(&format!("a ({operator} 1.0)"));
            let term = &relation.alternatives[0];
            let found: String = ["0.9", "1.0", "1.1"]
                .map(|v| if term.admits(&version(v)) { '1' } else { '0' })
                .iter()
                .collect();
            assert_eq!(found, admitted, "{operator}");
        }
    }

    #[test]
    fn alternatives_qualifiers_and_loose_blanks() {
        let relation = one("perl:any(>=5)|  c++-lib ( = 1:2-3 ) ,");
        assert_eq!(relation.to_string(), "perl:any(>=5)| c++-lib ( = 1:2-3 )");
        let [perl, lib] = &relation.alternatives[..] else { panic!("two alternatives") };
        assert!(
            perl.admits_architecture("arm64") && perl.admits(&version("5.0")) && !perl.admits(&version("4"))
        );
        assert_eq!((lib.name.as_str(), lib.exact_version()), ("c++-lib", Some(&version("1:2-3"))));
        assert!(!one("a:i386").alternatives[0].admits_architecture("arm64"));
        assert!(one("a:arm64").alternatives[0].admits_architecture("arm64"));
    }

    #[test]
    fn a_provided_name_needs_a_version_to_meet_a_constraint() {
        let (plain, bounded) = (one("a"), one("a (>= 2)"));
        assert!(plain.alternatives[0].admits_provided(None));
        assert!(!bounded.alternatives[0].admits_provided(None));
        assert!(bounded.alternatives[0].admits_provided(Some(&version("2"))));
        assert!(!bounded.alternatives[0].admits_provided(Some(&version("1"))));
    }

    #[test]
    fn other_architectures_and_profiles_are_left_out() {
        let names = |text: &str| {
            parse(text, "arm64")
                .unwrap()
                .iter()
                .map(|r| r.alternatives[0].name.clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names("a [amd64], b [arm64], c [!arm64], d [!amd64 !i386], e [linux-any]"), "b d e");
        assert_eq!(
            names("a <nocheck>, b <!nocheck>, c <!nocheck> <cross>, d (>= 1) [any-arm64] <!x !y>"),
            "b c d"
        );
        assert_eq!(names("x [amd64] | y, z"), "y z");
        assert_eq!(names(" , "), "");
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for text in [
            "a (1.0)",
            "a (>= )",
            "a (>= 1",
            "a b",
            "a |",
            "-a",
            "a (~ 1)",
            "a (=> 1)",
            "a:",
            "${x}",
            "a (>= 1) c",
        ] {
            assert!(parse(text, "arm64").is_err(), "{text}");
        }
    }
}
