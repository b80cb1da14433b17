//! What a number of passes out of a number of runs says about the rate. Arithmetic only.

/// The exact (Clopper and Pearson's) interval of 95 % for the rate behind `passed` of `total` runs.
pub(super) fn interval(passed: u32, total: u32) -> (f64, f64) {
    let tail = 0.025;
    let logs = log_factorials(total);
    let at_least = |rate: f64| (passed..=total).map(|k| chance(&logs, total, k, rate)).sum::<f64>();
    let at_most = |rate: f64| (0..=passed).map(|k| chance(&logs, total, k, rate)).sum::<f64>();
    // More passes are likelier with a higher rate, fewer with a lower one.
    let low = if passed == 0 { 0.0 } else { crossing(|rate| at_least(rate) < tail) };
    let high = if passed == total { 1.0 } else { crossing(|rate| at_most(rate) > tail) };
    (low, high)
}

/// Where what holds at 0 ends to hold.
fn crossing(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

/// The chance of exactly `k` passes in `total` runs of this rate.
fn chance(logs: &[f64], total: u32, k: u32, rate: f64) -> f64 {
    if rate <= 0.0 || rate >= 1.0 {
        let sure = if rate <= 0.0 { 0 } else { total };
        return if k == sure { 1.0 } else { 0.0 };
    }
    let [total_index, k_index, rest_index] = [total, k, total - k].map(|n| n as usize);
    let ways = logs[total_index] - logs[k_index] - logs[rest_index];
    (ways + f64::from(k) * rate.ln() + f64::from(total - k) * (1.0 - rate).ln()).exp()
}

/// The logarithm of each factorial up to that of `last`.
fn log_factorials(last: u32) -> Vec<f64> {
    let mut sum = 0.0;
    let logs = (1..=last).map(|n| {
        sum += f64::from(n).ln();
        sum
    });
    std::iter::once(0.0).chain(logs).collect()
}

#[cfg(test)]
mod tests {
    use super::interval;

    /// Values of published tables, and closed forms where there are some.
    #[test]
    fn intervals_are_those_of_the_tables() {
        let near = |found: (f64, f64), low: f64, high: f64| {
            assert!((found.0 - low).abs() < 5e-5 && (found.1 - high).abs() < 5e-5, "{found:?}");
        };
        near(interval(10, 10), 0.025_f64.powf(0.1), 1.0);
        near(interval(0, 10), 0.0, 1.0 - 0.025_f64.powf(0.1));
        near(interval(1, 1), 0.025, 1.0);
        near(interval(5, 10), 0.1871, 0.8129);
        near(interval(9, 10), 0.5550, 0.9975);
        let (low, high) = interval(999, 1_000);
        assert!(low > 0.994 && high > 0.9999 && high < 1.0, "{low} {high}");
    }
}
