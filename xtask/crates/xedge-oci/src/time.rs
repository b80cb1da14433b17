//! Seconds since 1970 as RFC 3339 text. Never asks a clock.

/// The first and last second that RFC 3339 can write (years 0000 and 9999).
const RANGE: (i64, i64) = (-62_167_219_200, 253_402_300_799);
const DAY: i64 = 86_400;

/// `2024-02-29T12:34:56Z` for seconds since 1970-01-01 UTC. Times outside the years 0000 to 9999 become the nearest
/// one that the format can write.
pub fn rfc3339(unix: i64) -> String {
    let unix = unix.clamp(RANGE.0, RANGE.1);
    let (year, month, day) = civil(unix.div_euclid(DAY));
    let second = unix.rem_euclid(DAY);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Seconds since 1970 of an RFC 3339 text; fractions are cut off. `None` for what is no such text.
pub fn unix(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(19)?;
    let part = |range: std::ops::Range<usize>| date.get(range)?.parse::<i64>().ok();
    let marks: Vec<u8> =
        [4, 7, 10, 13, 16].into_iter().map(|at| date.as_bytes()[at].to_ascii_uppercase()).collect();
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
    let in_range =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if marks != *b"--T::" || !in_range {
        return None;
    }
    let offset = rest.trim_start_matches('.').trim_start_matches(|c: char| c.is_ascii_digit());
    Some(days(year, month, day) * DAY + hour * 3_600 + minute * 60 + second - seconds_east(offset)?)
}

/// `Z`, `+02:00`.
fn seconds_east(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.strip_prefix(['+', '-'])?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60))
}

/// The number of a day, the way back from [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, march_month) = (year.div_euclid(400), (month + 9) % 12);
    let (year_of_era, day_of_year) = (year.rem_euclid(400), (153 * march_month + 2) / 5 + day - 1);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day number, 1970-01-01 being 0 (proleptic Gregorian calendar).
///
/// Years are counted from 1 March, so that the leap day is the last one of its year and months have a plain formula.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(DAYS_PER_ERA);
    let day_of_era = from_march_0000.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, unix};

    #[test]
    fn known_times() {
        let check = |unix, text: &str| assert_eq!(rfc3339(unix), text);
        check(0, "1970-01-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_827_696, "2000-02-29T12:34:56Z");
        check(1_709_164_800, "2024-02-29T00:00:00Z");
        check(1_735_689_599, "2024-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn texts_are_read_back() {
        for unix_time in [0, -1, 951_827_696, 1_709_164_800, 4_107_542_400, -62_167_219_200] {
            assert_eq!(unix(&rfc3339(unix_time)), Some(unix_time));
        }
        assert_eq!(unix("2000-02-29T14:34:56.123456789+02:00"), Some(951_827_696));
        for bad in [
            "",
            "2000-02-29",
            "2000-02-29T12:34:56",
            "2000-13-29T12:34:56Z",
            "2000-02-29T12:34:56+2",
            "zzzz-zz-zzTzz:zz:zzZ",
        ] {
            assert_eq!(unix(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_ends_of_the_range_hold() {
        assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_day_is_never_skipped_or_said_twice() {
        let mut last = rfc3339(-86_400 * 800);
        for day in -799..60_000 {
            let next = rfc3339(86_400 * day);
            assert!(next > last, "{last} is followed by {next}");
            last = next;
        }
        assert_eq!(last, "2134-04-10T00:00:00Z");
    }
}
