//! Which readings of one sensor were already counted. Pure.

/// How many sequence numbers behind the newest are remembered.
const REMEMBERED: u64 = 128;

/// The newest sequence number of a sensor, and which of the 128 up to it have been seen.
///
/// Redelivery by a broker (MQTT 3.1.1 §4.4) or a retransmission by a sensor repeats a reading as it was. A sensor that
/// starts anew counts from the beginning, but with a later `sent_us`, or far behind the newest: that is no repetition.
#[derive(Debug)]
pub(crate) struct Seen {
    last: u64,
    newest_sent_us: u64,
    /// Bit n: `last - n` was seen.
    recent: u128,
}

impl Seen {
    /// A sensor whose first reading this is.
    pub(crate) fn first(seq: u64, sent_us: u64) -> Self {
        Self { last: seq, newest_sent_us: sent_us, recent: 1 }
    }

    /// Whether this reading was not seen before; from now on it was. `redelivered`: the broker says that it is a repetition.
    pub(crate) fn is_new(&mut self, seq: u64, sent_us: u64, redelivered: bool) -> bool {
        let new = if seq > self.last {
            self.advance_to(seq);
            true
        } else {
            self.is_new_behind(seq, sent_us, redelivered)
        };
        self.newest_sent_us = self.newest_sent_us.max(sent_us);
        new
    }

    fn advance_to(&mut self, seq: u64) {
        let step = seq - self.last;
        self.recent = if step < REMEMBERED { self.recent << step | 1 } else { 1 };
        self.last = seq;
    }

    fn is_new_behind(&mut self, seq: u64, sent_us: u64, redelivered: bool) -> bool {
        let age = self.last - seq;
        let later = age > 0 && sent_us > self.newest_sent_us;
        let far = age >= REMEMBERED;
        if later || (far && !redelivered) {
            *self = Self::first(seq, sent_us);
            return true;
        }
        if far {
            // Brokers keep the order of a sensor's messages, so it was delivered before the newest one was.
            return false;
        }
        let bit = 1_u128 << age;
        let new = self.recent & bit == 0;
        self.recent |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_repetition_is_not_new() {
        let mut seen = Seen::first(7, 700);
        assert!(!seen.is_new(7, 700, false));
        assert!(seen.is_new(8, 800, false));
        assert!(!seen.is_new(7, 700, false), "one behind the last");
        assert!(!seen.is_new(8, 850, false), "the same number with another time is still the same reading");
    }

    #[test]
    fn a_whole_redelivered_batch_is_not_new() {
        let mut seen = Seen::first(0, 0);
        assert!((1..100).all(|n| seen.is_new(n, n, false)));
        assert!(!(0..100).any(|n| seen.is_new(n, n, false)));
    }

    #[test]
    fn a_redelivery_from_long_ago_is_not_new() {
        let mut seen = Seen::first(5_000, 5_000);
        assert!(!seen.is_new(10, 10, true));
        assert!(seen.is_new(10, 10, false), "but a sensor that begins anew is");
    }

    #[test]
    fn a_late_reading_is_new_once() {
        let mut seen = Seen::first(1, 1);
        assert!(seen.is_new(3, 3, false));
        assert!(seen.is_new(2, 2, false));
        assert!(!seen.is_new(2, 2, false));
    }

    #[test]
    fn a_sensor_that_starts_anew_is_not_a_repetition() {
        let mut seen = Seen::first(50, 5_000);
        assert!(seen.is_new(0, 6_000, false));
        assert!(seen.is_new(1, 6_100, false));
        let mut seen = Seen::first(5_000, 5_000);
        assert!(seen.is_new(0, 0, false), "its clock began anew too");
    }

    #[test]
    fn gaps_and_extremes_do_not_overflow() {
        let mut seen = Seen::first(0, u64::MAX);
        assert!(seen.is_new(127, 0, false) && seen.is_new(255, 0, false) && seen.is_new(u64::MAX, 0, false));
        assert!(!seen.is_new(u64::MAX, 0, false));
        assert!(seen.is_new(0, 0, false));
    }
}
