//! Times by size in constant memory: percentiles of any number of them, off by less than one part in 128.

use xedge_model::scenario::Rank;

use crate::check::Percentiles;

/// Buckets for each doubling.
const FINE: usize = 128;
/// Doublings above the exact ones; 2^42 µs is 50 days.
const DOUBLINGS: usize = 36;

/// A count for each size of time.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; FINE * (DOUBLINGS + 1)], count: 0, max: 0 }
    }

    pub(super) fn add(&mut self, us: u64) {
        let last = self.counts.len() - 1;
        self.counts[bucket(us).min(last)] += 1;
        self.count += 1;
        self.max = self.max.max(us);
    }

    /// Percentiles by nearest rank; a bucket speaks for its upper end, so that no claim holds by rounding.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let [p50_us, p90_us] = [self.rank(Rank::P50)?, self.rank(Rank::P90)?];
        let [p99_us, max_us] = [self.rank(Rank::P99)?, self.max];
        Some(Percentiles { count: self.count, p50_us, p90_us, p99_us, max_us })
    }

    /// One of them; `None` of no times.
    pub(super) fn rank(&self, rank: Rank) -> Option<u64> {
        let at = |percent: u64| self.at_rank((u128::from(self.count) * u128::from(percent)).div_ceil(100));
        (self.count > 0).then(|| match rank {
            Rank::P50 => at(50),
            Rank::P90 => at(90),
            Rank::P99 => at(99),
            Rank::Max => self.max,
        })
    }

    fn at_rank(&self, rank: u128) -> u64 {
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return upper(bucket).min(self.max);
            }
        }
        self.max
    }
}

/// Below 128 each number has its own; above, each doubling has 128.
fn bucket(us: u64) -> usize {
    let small = usize::try_from(us).unwrap_or(usize::MAX);
    if small < FINE {
        return small;
    }
    let doubling = us.ilog2() - FINE.ilog2();
    let within = usize::try_from(us >> doubling).unwrap_or(usize::MAX) - FINE;
    // The first doubling above 128 has steps of 1 as well.
    FINE * (doubling as usize + 1) + within
}

fn upper(bucket: usize) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let doubling = bucket / FINE - 1;
    let within = (bucket % FINE + FINE + 1) as u64;
    (within << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn small_times_are_exact_and_large_ones_nearly() {
        let mut small = Histogram::new();
        (1..=100).for_each(|us| small.add(us));
        let found = small.percentiles().unwrap();
        assert_eq!((found.count, found.p50_us, found.p99_us, found.max_us), (100, 50, 99, 100));
        assert!(Histogram::new().percentiles().is_none());
        for us in [127, 128, 255, 256, 1_000, 20_000, 3_600_000_000, 86_400_000_000] {
            let mut one = Histogram::new();
            one.add(us);
            one.add(us * 2);
            let found = one.percentiles().unwrap();
            assert!((us..=us + us / 128).contains(&found.p50_us), "{us}: {}", found.p50_us);
            assert_eq!(found.max_us, us * 2);
        }
    }
}
