//! The scalar values of a Compose file: text without interpolation, sizes, processor shares.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Text that means the same on every machine: no variables of it, no control characters. A `$` is written `$$`, as Compose
/// demands, and held as the one that the container sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(String);

/// Text that is refused, or a value of another form than its key takes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub(super) String);

impl FromStr for Text {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.replace("$$", "").contains('$') {
            let why = "`$` is refused: Compose would fill it in from the machine's environment";
            let hint = "write `$$` for the character itself";
            return Err(BadValue(format!("{why}, {hint}, here in `{}`", text.escape_debug())));
        }
        Self::literal(&text.replace("$$", "$"))
    }
}

impl Text {
    /// Text as a container sees it, in which `$` is only a character.
    pub fn literal(text: &str) -> Result<Self, BadValue> {
        match text.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            Some(c) => Err(BadValue(format!("text holds the control character U+{:04X}", u32::from(c)))),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// As a Compose file writes it.
    pub(super) fn written(&self) -> String {
        self.0.replace('$', "$$")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let scalar = deserializer.deserialize_any(Scalar("text"))?;
        scalar.parse().map_err(Error::custom)
    }
}

/// Reads text or a number as it would be written; a boolean or nothing is refused.
pub(super) struct Scalar(pub(super) &'static str);

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

/// A size in bytes; its text is a number and one of `b`, `k`, `m`, `g` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// The Engine refuses less ("minimum memory limit allowed is 6MB").
const LEAST_MEMORY: u64 = 6 << 20;

impl FromStr for Bytes {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse::<Size>()? {
            Size(bytes) if bytes >= LEAST_MEMORY => Ok(Self(bytes)),
            _ => Err(BadValue(format!("`{text}` is less than the 6m that the Engine demands"))),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size(self.0).fmt(f)
    }
}

/// A size in bytes that may be as small as one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => Some(0),
            "k" | "kb" => Some(10),
            "m" | "mb" => Some(20),
            "g" | "gb" => Some(30),
            _ => None,
        };
        let bytes = number.parse::<u64>().ok().zip(shift).and_then(|(n, s)| n.checked_mul(1 << s));
        match bytes {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            _ => Err(BadValue(format!("`{text}` is not a size: expected a number and k, m or g"))),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "g"), (20, "m"), (10, "k")];
        match units.into_iter().find(|(shift, _)| self.0.is_multiple_of(1 << shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}b", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("a size such as 64m"))?.parse().map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar("a size such as 128m"))?.parse().map_err(Error::custom)
    }
}

/// A share of processor time; its text is a number of processors such as `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(u64);

const NANO: u64 = 1_000_000_000;

impl Cpus {
    /// Billionths of a processor.
    pub fn nano(self) -> u64 {
        self.0
    }
}

impl FromStr for Cpus {
    type Err = BadValue;

    /// By digits, not by floating point: `0.1` is exactly 100,000,000.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let fits = digits(whole) && digits(fraction) && fraction.len() <= 9;
        let nano = || {
            let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
            whole.parse::<u64>().ok()?.checked_mul(NANO)?.checked_add(fraction)
        };
        match fits.then(nano).flatten() {
            Some(nano) if nano > 0 => Ok(Self(nano)),
            _ => Err(BadValue(format!("`{text}` is not a number of processors such as 0.5"))),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % NANO);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}.0", self.0 / NANO),
            fraction => write!(f, "{}.{fraction}", self.0 / NANO),
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Scalar("a number of processors such as 0.5"))?
            .parse()
            .map_err(Error::custom)
    }
}
