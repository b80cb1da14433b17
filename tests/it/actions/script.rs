//! A shell script as the commands in it: enough of the shell's grammar for what a workflow file should hold.

use std::iter::Peekable;
use std::str::Chars;

/// What a variable is whose value only a run knows.
const UNKNOWN: &str = "value";

/// The commands of a script, each as its words, without assignments before them. Pipes, lists, redirections and
/// `$(…)` end a command; variables are looked up.
pub fn commands(script: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Vec<Vec<String>> {
    let mut reader = Reader { commands: vec![Vec::new()], word: None };
    let mut quote = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                reader.push("");
            }
            (Some('\''), c) => reader.push(&c.to_string()),
            (_, '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(c) => reader.push(&c.to_string()),
            },
            (_, '$') => match variable(&mut chars) {
                Some(name) => {
                    let value = lookup(&name).unwrap_or_else(|| UNKNOWN.to_owned());
                    reader.expand(&value, quote.is_some());
                }
                None => reader.end_command(),
            },
            (None, '#') if reader.word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, '\n' | ';' | '|' | '&' | '<' | '>' | '(' | ')') => reader.end_command(),
            (None, c) if c.is_whitespace() => reader.end_word(),
            (_, c) => reader.push(&c.to_string()),
        }
    }
    assert_eq!(quote, None, "an open quote in\n{script}");
    reader.end_command();
    reader.commands.into_iter().map(without_assignments).filter(|words| !words.is_empty()).collect()
}

/// The name in `$NAME` or `${NAME…}`, after the dollar; `None` for `$(`.
fn variable(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let braced = chars.next_if_eq(&'{').is_some();
    if !braced && chars.next_if_eq(&'(').is_some() {
        return None;
    }
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if braced {
        // What is done to the value (`%%/*`, `:-x`) changes no command.
        while chars.next_if(|c| *c != '}').is_some() {}
        assert_eq!(chars.next(), Some('}'), "an open brace");
    }
    Some(name)
}

struct Reader {
    commands: Vec<Vec<String>>,
    word: Option<String>,
}

impl Reader {
    fn push(&mut self, text: &str) {
        self.word.get_or_insert_default().push_str(text);
    }

    /// A value outside of quotes is split into words.
    fn expand(&mut self, value: &str, quoted: bool) {
        if quoted {
            return self.push(value);
        }
        for (index, part) in value.split_whitespace().enumerate() {
            if index > 0 {
                self.end_word();
            }
            self.push(part);
        }
    }

    fn end_word(&mut self) {
        let command = self.commands.last_mut().expect("there is always one");
        command.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        self.commands.push(Vec::new());
    }
}

fn without_assignments(words: Vec<String>) -> Vec<String> {
    let is_assignment = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    words.into_iter().skip_while(is_assignment).collect()
}

#[test]
fn scripts_are_read_as_the_shell_reads_them() {
    let lookup = |name: &str| (name == "TWO").then(|| "a b".to_owned());
    let read = |script: &str| {
        commands(script, &lookup).iter().map(|words| words.join("·")).collect::<Vec<_>>().join(" / ")
    };
    for (script, expected) in [
        ("A=1 B=\"x y\" cargo xtask sim --locked", "cargo·xtask·sim·--locked"),
        (
            "printf '%s' \"$P\" | cargo xtask registry login \"${R%%/*}\"",
            "printf·%s·value / cargo·xtask·registry·login·value",
        ),
        ("cargo xtask sim $TWO \"$TWO\" # why | not\ncargo fmt", "cargo·xtask·sim·a·b·a b / cargo·fmt"),
        ("x=$(cargo xtask build) && cargo \\\n  xtask ci >log", "cargo·xtask·build / cargo·xtask·ci / log"),
        ("echo \"a;b|c\" '$X' \\$Y ''; true", "echo·a;b|c·$X·$Y· / true"),
        ("", ""),
    ] {
        assert_eq!(read(script), expected, "{script}");
    }
}
