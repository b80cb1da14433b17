//! Scalars without quotes that versions of YAML read differently, so that nobody knows what was meant.

use xedge_model::tree::{At, Tree, Value, join};
use xedge_model::yaml::Source;

use super::report::Report;

/// Asks for a decision about each of them in a tree.
pub(super) fn note(source: &Source, path: &str, tree: &Tree, report: &mut Report) {
    match &tree.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                note(source, &join(path, &key.name), value, report);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                note(source, &format!("{path}[{index}]"), item, report);
            }
        }
        // Permission bits are written in octal by everybody, and read so.
        _ if path.rsplit('.').next() == Some("mode") => {}
        _ => {
            if let Some(written) = ambiguous(source.text(), tree.at) {
                let what = format!(
                    "`{written}` without quotes means different things to different versions of YAML"
                );
                report.decide(path, tree.at, what, "put what you mean between quotes, and import again");
            }
        }
    }
}

/// The scalar that stands at a place, if it is one of those: octal numbers, exponents, numbers to the base of sixty, and
/// words for yes and no (YAML 1.1 and 1.2.2, §10).
pub(super) fn ambiguous(text: &str, at: At) -> Option<&str> {
    let line = text.lines().nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
    let (start, _) = line.char_indices().nth(usize::try_from(at.column).ok()?.checked_sub(1)?)?;
    let ends = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '#');
    let scalar = line[start..].split(ends).next().unwrap_or_default();
    let number = scalar.trim_start_matches(['-', '+']);
    let odd = is_octal(number) || is_exponent(number) || is_sexagesimal(number) || is_switch(scalar);
    odd.then_some(scalar)
}

fn is_octal(number: &str) -> bool {
    let digits =
        |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let other_base = ["0x", "0o", "0b"].iter().any(|start| number.starts_with(start));
    other_base || number.strip_prefix('0').is_some_and(digits) || (number.contains('_') && digits(number))
}

fn is_exponent(number: &str) -> bool {
    let number = number.to_ascii_lowercase();
    let Some((mantissa, exponent)) = number.split_once('e') else { return false };
    let digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    digits(mantissa) && digits(exponent.trim_start_matches(['-', '+']))
}

fn is_sexagesimal(number: &str) -> bool {
    let mut parts = number.split(':');
    let first = parts.next().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut rest = parts.peekable();
    let some = rest.peek().is_some();
    some && digits(first) && rest.all(|part| digits(part) && part.parse::<u8>().is_ok_and(|part| part < 60))
}

fn is_switch(scalar: &str) -> bool {
    ["yes", "no", "on", "off"].contains(&scalar.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use xedge_model::tree::At;

    use super::ambiguous;

    #[test]
    fn what_two_versions_read_differently_is_found() {
        let at = |scalar: &str| {
            let text = format!("x:\n  é: [{scalar}, 1]\n");
            ambiguous(&text, At { line: 2, column: 7 }).map(str::to_owned)
        };
        for odd in ["010", "022", "1e3", "12:30:45", "22:22", "0x1f", "1_000", "yes", "Off", "-07"] {
            assert_eq!(at(odd).as_deref(), Some(odd));
        }
        for plain in
            ["10", "0", "0.5", "8080:80", "true", "1.2.3.4", "\"010\"", "e3", "a1e3", "1.0", "*a", "60:80"]
        {
            assert_eq!(at(plain), None, "{plain}");
        }
    }
}
