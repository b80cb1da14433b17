//! YAML of unknown shape with the place of every value: for files of others, which are read leniently and sorted key by key.
//!
//! Anchors, aliases and merge keys are resolved, within the parser's budget.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::yaml::{Source, Spanned, YamlError};

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl<T> From<&Spanned<T>> for At {
    fn from(spanned: &Spanned<T>) -> Self {
        let location = spanned.referenced;
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Where.
    pub at: At,
    /// What.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it would be written.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// Keys and values in their order.
    Map(Vec<(Key, Tree)>),
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where.
    pub at: At,
    /// Its text.
    pub name: String,
}

/// The most values that one file can hold, aliases counted each time they are used.
const MOST: usize = 20_000;

impl Tree {
    /// Reads one file. Aliases that unfold without end, duplicate keys and keys that are no text are errors.
    pub fn parse(source: &Source) -> Result<Self, YamlError> {
        let tree = Self::of(source.parse::<Spanned<Raw>>()?);
        if tree.count() > MOST {
            return Err(source.error(format!("more than {MOST} values, counted where aliases put them")));
        }
        Ok(tree)
    }

    fn of(raw: Spanned<Raw>) -> Self {
        let at = At::from(&raw);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(flag) => Value::Bool(flag),
            Raw::Number(number) => Value::Number(number),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(items.into_iter().map(Self::of).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Key { at: At::from(&key), name: key.value }, Self::of(value)))
                    .collect(),
            ),
        };
        Self { at, value }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|(_, value)| value.count()).sum(),
            _ => 0,
        }
    }

    /// The text of a scalar, as it would be written; `None` for nothing, lists and maps.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(text) | Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a map's key.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    /// The values that are no lists or maps with something in them, each with its path such as `services.db.ports[0]`.
    pub fn leaves(&self) -> Vec<(String, At)> {
        let mut all = Vec::new();
        self.collect(String::new(), self.at, &mut all);
        all
    }

    fn collect(&self, path: String, at: At, all: &mut Vec<(String, At)>) {
        match &self.value {
            Value::Map(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    value.collect(join(&path, &key.name), key.at, all);
                }
            }
            Value::List(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    item.collect(format!("{path}[{index}]"), item.at, all);
                }
            }
            _ => all.push((path, at)),
        }
    }
}

/// The path of a key in what stands at `path`.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// As the parser gives it.
enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::{At, Tree};
    use crate::yaml::Source;

    fn tree(text: &str) -> Result<Tree, crate::yaml::YamlError> {
        Tree::parse(&Source::new("f.yaml", text))
    }

    #[test]
    fn places_and_merge_keys_are_kept() {
        let text = "x: &x {a: 1, b: [no, 2.5]}\ny:\n  <<: *x\n  a: ~\n  8080: true\n";
        let tree = tree(text).unwrap();
        let leaves: Vec<String> = tree.leaves().into_iter().map(|(path, _)| path).collect();
        let mut sorted = leaves.clone();
        sorted.sort();
        assert_eq!(sorted, ["x.a", "x.b[0]", "x.b[1]", "y.8080", "y.a", "y.b[0]", "y.b[1]"]);
        let y = tree.get("y").unwrap();
        assert_eq!(y.get("a").unwrap().text(), None);
        assert_eq!(y.get("8080").unwrap().text().unwrap(), "true");
        assert_eq!(y.get("8080").unwrap().at, At { line: 5, column: 9 });
        assert_eq!(tree.get("x").unwrap().get("a").unwrap().text().unwrap(), "1");
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let last = n - 1;
            let items = vec![format!("*a{last}"); 10].join(", ");
            text = format!("{text}a{n}: &a{n} [{items}]\n");
        }
        assert!(tree(&text).is_err());
        let wide = vec!["x"; 30_000].join(", ");
        assert!(tree(&format!("[{wide}]")).unwrap_err().to_string().contains("20000 values"));
    }
}
