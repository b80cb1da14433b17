//! `.dockerignore` by Docker's rules: the last pattern that fits decides, `!` takes back, `**` is any number of folders,
//! and what is below a folder that is left out is left out too. Pure.

/// The patterns of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<String>,
    takes_back: bool,
}

impl Ignore {
    /// Reads the lines of a file.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            patterns: text.lines().filter(|line| !line.starts_with('#')).filter_map(Pattern::parse).collect(),
        }
    }

    /// Whether a path of the context, `a/b/c`, is left out.
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let fitting = self.patterns.iter().rev().find(|pattern| pattern.fits(&parts));
        fitting.is_some_and(|pattern| !pattern.takes_back)
    }

    /// Whether something below a folder that is left out may come back in.
    pub(crate) fn takes_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (takes_back, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let mut parts: Vec<String> = Vec::new();
        for part in line.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part.to_owned()),
            }
        }
        (!parts.is_empty()).then_some(Self { parts, takes_back })
    }

    /// A pattern fits a path that it fits whole, and everything below such a path.
    fn fits(&self, path: &[&str]) -> bool {
        (1..=path.len()).any(|length| fits(&self.parts, &path[..length]))
    }
}

fn fits(pattern: &[String], path: &[&str]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    if first == "**" {
        // At the end it is everything below, which is at least one name.
        return if rest.is_empty() {
            !path.is_empty()
        } else {
            (0..=path.len()).any(|skip| fits(rest, &path[skip..]))
        };
    }
    path.split_first().is_some_and(|(name, below)| part_fits(first, name) && fits(rest, below))
}

/// One name, by the rules of Go's `filepath.Match`.
fn part_fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    chars_fit(&pattern, &name)
}

fn chars_fit(pattern: &[char], name: &[char]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => (0..=name.len()).any(|skip| chars_fit(rest, &name[skip..])),
        (Some(('?', rest)), Some((_, name))) => chars_fit(rest, name),
        (Some(('[', rest)), Some((c, name))) => {
            class(rest, *c).is_some_and(|(fits, rest)| fits && chars_fit(rest, name))
        }
        (Some(('\\', rest)), Some((c, name))) => rest.first() == Some(c) && chars_fit(&rest[1..], name),
        (Some((p, rest)), Some((c, name))) => p == c && chars_fit(rest, name),
        _ => false,
    }
}

/// A class such as `[a-z]` or `[^0-9]` after its bracket: whether it has the character, and the pattern behind it.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let (negated, body) = match pattern.split_first() {
        Some(('^' | '!', rest)) => (true, rest),
        _ => (false, pattern),
    };
    let end = body.iter().skip(1).position(|c| *c == ']')? + 1;
    let (mut has, mut at) = (false, 0);
    while at < end {
        let low = body[at];
        let is_range = at + 2 < end && body[at + 1] == '-';
        let high = if is_range { body[at + 2] } else { low };
        has |= (low..=high).contains(&c);
        at += if is_range { 3 } else { 1 };
    }
    Some((has != negated, &body[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::Ignore;

    #[track_caller]
    fn check(text: &str, out: &[&str], kept: &[&str]) {
        let ignore = Ignore::parse(text);
        for path in out {
            assert!(ignore.leaves_out(path), "{path} is kept");
        }
        for path in kept {
            assert!(!ignore.leaves_out(path), "{path} is left out");
        }
    }

    #[test]
    fn patterns_fit_as_docker_says() {
        check("# c\n\n*.md\n", &["a.md"], &["# c", "b/a.md", "a.txt"]);
        check("**/*.md", &["a.md", "b/a.md", "b/c/a.md"], &["a.txt"]);
        check("/target/", &["target", "target/a/b"], &["b/target"]);
        check("*/temp*", &["a/temporary", "a/temp/x"], &["temp", "a/b/temp"]);
        check("temp?", &["tempa"], &["temp", "tempab"]);
        check("a/**", &["a/b", "a/b/c"], &["a", "b"]);
        check("**/node_modules", &["node_modules/x", "a/node_modules"], &["node"]);
        check("[a-c]x\n[^a-c]y", &["ax", "zy"], &["dx", "ay"]);
        check("./a/../b", &["b"], &["a"]);
        check("\\!x", &["!x"], &["x"]);
        check("**", &["a", "a/b"], &[]);
    }

    #[test]
    fn the_last_pattern_decides() {
        check("*.md\n!README*.md\nREADME-secret.md", &["a.md", "README-secret.md"], &["README.md"]);
        check("*\n!src", &["a"], &["src", "src/x"]);
        check("docs\n!docs/keep.md", &["docs/a"], &["docs/keep.md"]);
        assert!(Ignore::parse("!x").takes_back() && !Ignore::parse("x").takes_back());
    }
}
