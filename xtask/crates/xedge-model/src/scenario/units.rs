//! Sizes, rates and shares as people write them: `64B`, `110MiB`, `2mbit`, `20%`. Only reads and writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes; its text is a number and one of `B`, `k`, `m`, `g`, `KiB`, `MiB`, `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bits per second; its text is a number and one of `bit`, `kbit`, `mbit`, `gbit`, each a thousand of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// A part of a whole, from 0 to 1; its text is a percentage such as `20%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// Text that is not a size.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a size: expected a number and a unit, such as 64B, 64k, 128m, 110MiB or 1g")]
pub struct NotASize(String);

/// Text that is not a rate.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a rate: expected a number and a unit, such as 500kbit, 2mbit or 1gbit")]
pub struct NotARate(String);

/// Text that is not a share.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a share: expected a percentage from 0% to 100%, such as 20%")]
pub struct NotAShare(String);

const SIZES: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
    ("b", 1),
    ("B", 1),
];

const RATES: [(&str, u64); 4] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];

/// A whole number with one of these units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that says it without a fraction.
fn in_unit(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)], smallest: &str) -> fmt::Result {
    let fits = |(_, factor): &&(&str, u64)| value > 0 && value.is_multiple_of(*factor);
    match units.iter().find(fits) {
        Some((name, factor)) if *factor > 1 => write!(f, "{}{name}", value / factor),
        _ => write!(f, "{value}{smallest}"),
    }
}

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        with_unit(text, &SIZES).map(Self).ok_or_else(|| NotASize(text.to_owned()))
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        with_unit(text, &RATES).map(Self).ok_or_else(|| NotARate(text.to_owned()))
    }
}

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let number = text.strip_suffix('%').filter(|n| n.starts_with(|c: char| c.is_ascii_digit()));
        let percent = number.and_then(|n| n.parse::<f64>().ok()).filter(|n| (0.0..=100.0).contains(n));
        percent.map(|n| Self(n / 100.0)).ok_or_else(|| NotAShare(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_unit(f, self.0, &SIZES, "B")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_unit(f, self.0, &RATES, "bit")
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

/// Texts in YAML and JSON.
macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Size, Rate, Share);

#[cfg(test)]
mod tests {
    use super::{Rate, Share, Size};

    #[test]
    fn text_round_trips() {
        for (text, bytes, again) in
            [("64B", 64, "64B"), ("64m", 64 << 20, "64MiB"), ("110MiB", 110 << 20, "110MiB"), ("0B", 0, "0B")]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, again));
        }
        for (text, bits) in [("2mbit", 2_000_000), ("500kbit", 500_000), ("8bit", 8)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.0, rate.to_string().as_str()), (bits, text));
        }
        assert!(("20%".parse::<Share>().unwrap().0 - 0.2).abs() < 1e-12);
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for text in ["64", "MB", "64MB", "1.5m", "-1m", "64 m", "99999999999g", ""] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["2", "2mbps", "2MBit", "mbit", "-2mbit", "99999999999999gbit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["20", "%", "-1%", "101%", "nan%", "inf%", "+5%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
