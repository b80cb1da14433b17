//! Package versions and their order, as deb-version(7) defines them; no knowledge of packages.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version `[epoch:]upstream[-revision]`. Equality follows the order, so that `1.0` and `1.00-0` are equal.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    epoch: u32,
    /// Where the upstream part starts and ends in `text`; the revision, if any, starts one later.
    upstream: (usize, usize),
}

/// Text that is not a version.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a version of a Debian package")]
pub struct NotAVersion(String);

impl Version {
    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn upstream(&self) -> &str {
        &self.text[self.upstream.0..self.upstream.1]
    }

    /// A missing revision is the empty one, which equals `0`.
    fn revision(&self) -> &str {
        self.text.get(self.upstream.1 + 1..).unwrap_or("")
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        parse(text).ok_or_else(|| NotAVersion(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Version> {
    let start = text.find(':').map_or(0, |colon| colon + 1);
    let epoch = match start {
        0 => 0,
        _ => epoch(&text[..start - 1])?,
    };
    let end = text.rfind('-').filter(|dash| *dash >= start).unwrap_or(text.len());
    let (upstream, revision) = (&text[start..end], text.get(end + 1..));
    let in_upstream =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '~') || (start > 0 && c == ':');
    let in_revision = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~');
    let valid = !upstream.is_empty()
        && upstream.chars().all(in_upstream)
        && revision.is_none_or(|r| !r.is_empty() && r.chars().all(in_revision));
    valid.then(|| Version { text: text.to_owned(), epoch, upstream: (start, end) })
}

/// dpkg keeps epochs in a C `int`.
fn epoch(digits: &str) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let value = plain.then(|| digits.parse::<i32>().ok()).flatten()?;
    u32::try_from(value).ok()
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare(self.upstream().as_bytes(), other.upstream().as_bytes()))
            .then_with(|| compare(self.revision().as_bytes(), other.revision().as_bytes()))
    }
}

/// Alternating runs of non-digits, compared by weight, and of digits, compared as numbers of any length.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (word_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (word_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = split(rest_a, u8::is_ascii_digit);
        let (number_b, rest_b) = split(rest_b, u8::is_ascii_digit);
        let order = compare_words(word_a, word_b).then_with(|| compare_numbers(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn split(text: &[u8], inside: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|c| !inside(c)).unwrap_or(text.len()))
}

fn compare_words(a: &[u8], b: &[u8]) -> Ordering {
    let longest = a.len().max(b.len());
    let weights = |word: &[u8]| (0..longest).map(|i| weight(word.get(i).copied())).collect::<Vec<_>>();
    weights(a).cmp(&weights(b))
}

/// A tilde sorts before the end, the end before letters, letters before everything else.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(other) => i32::from(other) + 256,
    }
}

fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let (_, a) = split(a, |c| *c == b'0');
    let (_, b) = split(b, |c| *c == b'0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
#[path = "version_tests.rs"]
mod tests;
