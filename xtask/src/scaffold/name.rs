//! Names of projects, images, stacks and scenarios: one rule that fits every place in which they end up.

use super::Error;
use crate::error::Result;

const RULE: &str = "up to 40 lower-case letters, digits, `-` and `_`, the first and last a letter or digit";

/// Refuses a name that could not be a folder, an image, a stack and a service at once.
pub(super) fn check(name: &str) -> Result<()> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    // Two separators in a row are no part of an image's name in every registry.
    let doubled = ["--", "__", "-_", "_-"].iter().any(|pair| name.contains(pair));
    let fits = name.len() <= 40 && edge(name.chars().next()) && edge(name.chars().last()) && !doubled;
    if fits && name.chars().all(inner) {
        return Ok(());
    }
    Err(Error::Name { name: name.to_owned(), rule: RULE }.into())
}

/// The name that a folder's name stands for: `My Service` becomes `my-service`.
pub(super) fn of_folder(folder: &str) -> String {
    let lower = folder.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let mut name = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(word);
    }
    name.truncate(40);
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{check, of_folder};

    #[test]
    fn names_fit_everywhere() {
        for good in ["a", "my-service", "edge_2", "0x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a.b", "a--b", "ä", &"a".repeat(41)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_gives_its_name_where_it_can() {
        assert_eq!(of_folder("My Service (2)"), "my-service-2");
        assert_eq!(of_folder("..."), "");
        assert!(check(&of_folder(&"Long Name ".repeat(9))).is_ok());
    }
}
