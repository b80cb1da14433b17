//! The dates of Release files (`Sat, 21 Nov 2026 00:53:02 UTC`) as Unix seconds; always UTC, never the local zone.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970, or `None` for text that is not such a date. The day of the week is not looked at.
pub(super) fn unix(text: &str) -> Option<i64> {
    let (_, date) = text.split_once(", ")?;
    let words: Vec<&str> = date.split_whitespace().collect();
    let [day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else { return None };
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let (day, year) = (number(day, 31)?, number(year, 9999)?);
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts[..] else { return None };
    let seconds = number(hour, 23)? * 3_600 + number(minute, 59)? * 60 + number(second, 60)?;
    (day > 0 && year >= 1970).then(|| days(year, month, day) * 86_400 + seconds)
}

fn number(text: &str, max: i64) -> Option<i64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|value| plain && *value <= max)
}

/// Days since 1970-01-01 in the Gregorian calendar; years start in March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    let before_month = (month * 153 + 2) / 5;
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::unix;

    #[test]
    fn dates_are_those_of_the_date_command() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 UTC", 0),
            ("Sat, 21 Nov 2026 00:53:02 UTC", 1_795_222_382),
            ("Thu, 29 Feb 2024 23:59:59 UTC", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Tue, 31 Dec 2030 12:00:00 +0000", 1_924_948_800),
            ("Wed, 1 Mar 2000 00:00:00 UTC", 951_868_800),
        ] {
            assert_eq!(unix(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "21 Nov 2026 00:53:02 UTC",
            "Sat, 21 Nov 2026 00:53:02",
            "Sat, 21 Nov 2026 00:53:02 CET",
            "Sat, 21 Nov 2026 00:53:02 UTC x",
            "Sat, 00 Nov 2026 00:53:02 UTC",
            "Sat, 32 Nov 2026 00:53:02 UTC",
            "Sat, 21 nov 2026 00:53:02 UTC",
            "Sat, 21 Nov 2026 24:00:00 UTC",
            "Sat, 21 Nov -2026 00:00:00 UTC",
            "Sat, 21 Nov 2026 00:00 UTC",
        ] {
            assert_eq!(unix(text), None, "{text}");
        }
    }
}
