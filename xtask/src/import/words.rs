//! Small languages inside of a Compose file's text: command lines, lengths of time, sizes.

/// A command line as the words that Compose makes of it: quotes and backslashes as in a shell, nothing is filled in.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a quote is not closed"),
                    }
                }
            }
            '"' => double(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next().ok_or("a backslash ends the line")?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match chars.next().ok_or("a quote is not closed")? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or("a quote is not closed")? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// A length of time such as `1m30s` or `1.5s` in milliseconds.
pub(super) fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let micros = match &unit[..end] {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(number, micros)?)?;
        rest = &unit[end..];
    }
    (!text.is_empty() && total.is_multiple_of(1_000)).then_some(total / 1_000)
}

/// A size such as `512M` or `1.5gb` in bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    if number.is_empty() { None } else { scaled(number, factor) }
}

/// A decimal number times a factor, where that is whole.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let part = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = part(fraction)?.checked_mul(factor)?;
    (fraction.is_multiple_of(scale) && !number.starts_with('.'))
        .then(|| part(whole)?.checked_mul(factor)?.checked_add(fraction / scale))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{bytes, millis, split};

    #[test]
    fn command_lines_split_as_in_a_shell() {
        let words = split(r#"mosquitto -c '/a b/c' "x \"y\" \n" z\ w """#).unwrap();
        assert_eq!(words, ["mosquitto", "-c", "/a b/c", r#"x "y" \n"#, "z w", ""]);
        for bad in ["'a", "\"a", "a\\"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_and_sizes_are_exact() {
        for (text, ms) in [("1m30s", 90_000), ("1.5s", 1_500), ("2h", 7_200_000), ("250ms", 250)] {
            assert_eq!(millis(text), Some(ms), "{text}");
        }
        for text in ["", "5", "s", "1x", "1s5", "1us", ".5s"] {
            assert_eq!(millis(text), None, "{text}");
        }
        for (text, size) in [("512M", 512 << 20), ("1.5gb", 3 << 29), ("100", 100), ("64k", 65_536)] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "m", "1t", "1.3b", "-1"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
