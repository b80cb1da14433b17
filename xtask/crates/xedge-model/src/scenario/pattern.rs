//! Regular expressions over log lines, of bounded size and linear time. Reads no log.

use std::cmp::Ordering;
use std::fmt;

use regex_lite::{Regex, RegexBuilder};

/// A pattern, written `/…/`.
#[derive(Clone, Debug)]
pub struct LogPattern {
    text: String,
    regex: Regex,
}

/// The most that a compiled pattern may take.
const SIZE: usize = 1 << 20;

/// The longest pattern.
const LONGEST: usize = 1_000;

impl LogPattern {
    /// A pattern between its slashes.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let Some(inner) = inner.filter(|inner| !inner.is_empty()) else {
            return Err("a pattern stands between slashes, such as /No space left/".to_owned());
        };
        if inner.len() > LONGEST {
            return Err(format!("a pattern has at most {LONGEST} bytes"));
        }
        let regex = RegexBuilder::new(inner).size_limit(SIZE).build();
        let regex = regex.map_err(|error| format!("/{inner}/ is no regular expression: {error}"))?;
        Ok(Self { text: inner.to_owned(), regex })
    }

    /// Whether it is found in a line.
    pub fn is_match(&self, line: &str) -> bool {
        self.regex.is_match(line)
    }
}

impl fmt::Display for LogPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

impl Ord for LogPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for LogPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for LogPattern {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for LogPattern {}

#[cfg(test)]
mod tests {
    use super::LogPattern;

    #[test]
    fn patterns_are_bounded_and_anything_else_is_refused() {
        let pattern = LogPattern::read("/No (space|room) left/").unwrap();
        assert!(pattern.is_match("error: No room left on device"));
        assert!(!pattern.is_match("room"));
        assert_eq!(pattern.to_string(), "/No (space|room) left/");
        assert!(LogPattern::read("/a/b/").unwrap().is_match("a/b"));
        for text in ["x", "/x", "//", "/(/", &format!("/{}/", "x".repeat(1_001)), "/(x{1000}){1000}/"] {
            assert!(LogPattern::read(text).is_err(), "{text}");
        }
    }
}
