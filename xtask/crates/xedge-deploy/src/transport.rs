//! The seam to a device: commands that run there, with their streams. What they are for is not its business.

use crate::error::Result;
use crate::process::Process;

/// A way to a device.
pub trait Transport {
    /// The device, for messages.
    fn host(&self) -> &str;
    /// Makes the connection, or makes it anew where it is gone.
    fn connect(&mut self) -> Result<()>;
    /// Starts a command line for a POSIX shell there; `what` says in words what it does.
    fn start(&self, command: &str, what: &str) -> Result<Process>;
}

/// Words as a command line that any POSIX shell takes apart into just these.
pub fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(quote).collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | ',' | '+');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_shell_gives_the_words_back() {
        let given = ["a b", "", "it's", "$HOME", "`x`", "a\nb", "-n", "\\", "*", "plain/1.0"];
        let line = format!("printf '%s\\0' {}", words(given));
        let output = std::process::Command::new("sh").args(["-c", &line]).output().expect("a shell");
        let text = String::from_utf8(output.stdout).expect("text");
        let back: Vec<&str> = text.split_terminator('\0').collect();
        assert_eq!(back, given);
    }
}
