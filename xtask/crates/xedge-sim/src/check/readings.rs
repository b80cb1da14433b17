//! Sets of readings, a bit for each: those of 10,000 sensors take less than the sensors' names. Only membership is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Sequence numbers from here on, which no plan of a run reaches, are kept one by one: a payload can say any number.
const DENSE: u64 = 1 << 20;

/// Readings, by sensor and sequence number.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    sensors: BTreeMap<Arc<str>, Numbers>,
    len: u64,
}

impl Readings {
    /// Adds a reading; whether it is new.
    pub fn insert(&mut self, sensor: &Arc<str>, seq: u64) -> bool {
        let new = match self.sensors.get_mut(&**sensor) {
            Some(numbers) => numbers.insert(seq),
            None => self.sensors.entry(sensor.clone()).or_default().insert(seq),
        };
        self.len += u64::from(new);
        new
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many there are of a sensor.
    pub fn count(&self, sensor: &str) -> u64 {
        self.sensors.get(sensor).map_or(0, |numbers| numbers.len)
    }

    /// Whether it is in here.
    pub fn contains(&self, sensor: &str, seq: u64) -> bool {
        self.sensors.get(sensor).is_some_and(|numbers| numbers.contains(seq))
    }

    /// All, by sensor and number.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.sensors.iter().flat_map(|(sensor, numbers)| numbers.iter().map(|seq| (&**sensor, seq)))
    }
}

/// The numbers of one sensor.
#[derive(Clone, Debug, Default)]
struct Numbers {
    /// The numbers under 64, without a list: most sensors of a large run have no others.
    first: u64,
    more: Vec<u64>,
    far: BTreeSet<u64>,
    len: u64,
}

impl Numbers {
    fn insert(&mut self, seq: u64) -> bool {
        let new = match place(seq) {
            Some((word, bit)) => {
                let bits = self.word_mut(word);
                let before = *bits;
                *bits |= bit;
                before & bit == 0
            }
            None => self.far.insert(seq),
        };
        self.len += u64::from(new);
        new
    }

    fn word_mut(&mut self, word: usize) -> &mut u64 {
        let Some(index) = word.checked_sub(1) else { return &mut self.first };
        if self.more.len() <= index {
            self.more.resize(index + 1, 0);
        }
        &mut self.more[index]
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    fn contains(&self, seq: u64) -> bool {
        match place(seq) {
            Some((0, bit)) => self.first & bit != 0,
            Some((word, bit)) => self.more.get(word - 1).is_some_and(|bits| bits & bit != 0),
            None => self.far.contains(&seq),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        let near = (0..).zip(self.words()).flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        });
        near.chain(self.far.iter().copied())
    }
}

/// Word and bit of a number; `None` for those that are kept one by one.
fn place(seq: u64) -> Option<(usize, u64)> {
    if seq >= DENSE {
        return None;
    }
    Some((usize::try_from(seq / 64).ok()?, 1 << (seq % 64)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::{DENSE, Readings};

    #[test]
    fn it_is_a_set() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let all = [0, 1, 63, 64, 65, DENSE - 1, DENSE, u64::MAX];
        let mut readings = Readings::default();
        assert!(readings.is_empty() && readings.iter().next().is_none());
        for seq in all {
            assert!(readings.insert(&a, seq), "{seq}");
            assert!(!readings.insert(&a, seq), "{seq} a second time");
        }
        readings.insert(&b, 7);
        assert_eq!(
            (readings.len(), readings.count("a"), readings.count("b"), readings.count("c")),
            (9, 8, 1, 0)
        );
        assert!(readings.contains("a", 64) && !readings.contains("b", 64) && !readings.contains("a", 62));
        let found: Vec<(&str, u64)> = readings.iter().collect();
        let want: BTreeSet<(&str, u64)> = all.iter().map(|seq| ("a", *seq)).chain([("b", 7)]).collect();
        assert_eq!(found, want.into_iter().collect::<Vec<_>>());
    }
}
