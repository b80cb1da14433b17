//! What a Dockerfile stands on: the images that its `FROM` and `COPY --from` name, and what needs `BuildKit`. Pure; it
//! leaves everything else to the builder.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A Dockerfile, read as far as is needed.
#[derive(Clone, Debug)]
pub(super) struct Dockerfile {
    text: String,
    /// The images that it names, in the order of the text.
    pub(super) images: Vec<Named>,
    /// The line of the first `RUN --mount`.
    pub(super) mount: Option<usize>,
}

/// An image that a Dockerfile names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The name, variables filled in.
    pub(super) image: String,
    /// Line, counted from 1.
    pub(super) line: usize,
    /// The instruction, `FROM` or `COPY --from`.
    pub(super) instruction: &'static str,
    /// Where the name stands in the text.
    place: Range<usize>,
}

impl Named {
    /// Whether it names its image for good.
    pub(super) fn has_digest(&self) -> bool {
        self.image.contains("@sha256:") || self.image.starts_with("sha256:")
    }
}

/// A word of an instruction.
#[derive(Clone)]
struct Word<'a> {
    text: &'a str,
    start: usize,
    line: usize,
}

impl Dockerfile {
    /// Reads a text; `args` are the values of `ARG` and of the platform, as a builder would set them.
    pub(super) fn parse(text: &str, args: &BTreeMap<String, String>) -> Self {
        let mut reader = Reader { args, values: BTreeMap::new(), stages: BTreeSet::new(), stage_count: 0 };
        let mut file = Self { text: text.to_owned(), images: Vec::new(), mount: None };
        for words in instructions(text) {
            let Some((first, rest)) = words.split_first() else { continue };
            match first.text.to_ascii_uppercase().as_str() {
                "ARG" if reader.stage_count == 0 => rest.iter().for_each(|word| reader.arg(word.text)),
                "FROM" => file.images.extend(reader.from(rest)),
                "COPY" => file.images.extend(reader.copy(rest)),
                "RUN" if flags(rest).any(|flag| flag.text.starts_with("--mount")) => {
                    file.mount.get_or_insert(first.line);
                }
                _ => {}
            }
        }
        file
    }

    /// The text with other names in the place of those for which `other` has one.
    pub(super) fn with(&self, other: impl Fn(&Named) -> Option<String>) -> String {
        let mut text = self.text.clone();
        for named in self.images.iter().rev() {
            if let Some(name) = other(named) {
                text.replace_range(named.place.clone(), &name);
            }
        }
        text
    }
}

struct Reader<'a> {
    args: &'a BTreeMap<String, String>,
    values: BTreeMap<String, String>,
    stages: BTreeSet<String>,
    stage_count: usize,
}

impl Reader<'_> {
    fn arg(&mut self, word: &str) {
        let (name, default) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let default = default.map(|value| self.expand(value.trim_matches(['"', '\''])));
        if let Some(value) = self.args.get(name).cloned().or(default) {
            self.values.insert(name.to_owned(), value);
        }
    }

    /// `FROM [--platform=…] IMAGE [AS NAME]`.
    fn from(&mut self, words: &[Word<'_>]) -> Option<Named> {
        let words: Vec<&Word<'_>> = words.iter().filter(|word| !word.text.starts_with("--")).collect();
        let image = words.first()?;
        let named = self.named(image.text, image.start, image.line, "FROM");
        self.stage_count += 1;
        if let [_, keyword, name, ..] = words[..]
            && keyword.text.eq_ignore_ascii_case("as")
        {
            self.stages.insert(name.text.to_ascii_lowercase());
        }
        named.filter(|named| named.image != "scratch")
    }

    /// `COPY --from=IMAGE …`, where a number or the name of a stage is no image.
    fn copy(&self, words: &[Word<'_>]) -> Option<Named> {
        let flag = flags(words).find(|flag| flag.text.starts_with("--from="))?;
        let name = flag.text.strip_prefix("--from=")?;
        if name.parse::<usize>().is_ok() {
            return None;
        }
        self.named(name, flag.start + "--from=".len(), flag.line, "COPY --from")
    }

    fn named(&self, text: &str, start: usize, line: usize, instruction: &'static str) -> Option<Named> {
        let image = self.expand(text.trim_matches(['"', '\'']));
        let is_stage = self.stages.contains(&image.to_ascii_lowercase());
        (!is_stage).then(|| Named { image, line, instruction, place: start..start + text.len() })
    }

    /// `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`.
    fn expand(&self, text: &str) -> String {
        let Some((before, after)) = text.split_once('$') else { return text.to_owned() };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (inner, rest) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((inner, rest)) => (inner, rest),
            None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
        };
        let (name, fallback) = inner.split_once(':').map_or((inner, ""), |(name, rest)| (name, rest));
        let value = self.values.get(name).or_else(|| self.args.get(name)).filter(|value| !value.is_empty());
        let value = match (value, fallback.split_at_checked(1)) {
            (Some(_), Some(("+", other))) => other.to_owned(),
            (None, Some(("-", default))) => default.to_owned(),
            (value, _) => value.cloned().unwrap_or_default(),
        };
        format!("{before}{value}{}", self.expand(rest))
    }
}

fn flags<'a, 'b>(words: &'b [Word<'a>]) -> impl Iterator<Item = &'b Word<'a>> {
    words.iter().take_while(|word| word.text.starts_with("--"))
}

/// The instructions as words. Comments, continued lines and here-documents are understood.
fn instructions(text: &str) -> Vec<Vec<Word<'_>>> {
    let escape = escape_of(text);
    let (mut all, mut words, mut ends) = (Vec::new(), Vec::new(), Vec::<String>::new());
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let offset = start;
        start += line.len();
        let content = line.trim();
        if let Some(end) = ends.first() {
            if content == end {
                ends.remove(0);
            }
            continue;
        }
        if content.starts_with('#') || (content.is_empty() && words.is_empty()) {
            continue;
        }
        let (kept, continues) = match line.trim_end().strip_suffix(escape) {
            Some(kept) => (kept, true),
            None => (line, false),
        };
        words.extend(split(kept, offset, number + 1));
        if !continues {
            ends = here_documents(&words);
            all.push(std::mem::take(&mut words));
        }
    }
    all.push(words);
    all
}

/// The parser directive `# escape=` of the first lines; a backslash without it.
fn escape_of(text: &str) -> char {
    let directives = text.lines().map_while(|line| line.trim().strip_prefix('#')?.split_once('='));
    let escape = directives.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("escape"));
    escape.and_then(|(_, value)| value.trim().chars().next()).unwrap_or('\\')
}

fn split(line: &str, offset: usize, number: usize) -> impl Iterator<Item = Word<'_>> {
    let place = move |word: &str| word.as_ptr().addr() - line.as_ptr().addr() + offset;
    line.split_whitespace().map(move |text| Word { text, start: place(text), line: number })
}

/// The words that end the here-documents of an instruction.
fn here_documents(words: &[Word<'_>]) -> Vec<String> {
    let takes_them = |word: &Word<'_>| {
        ["RUN", "COPY", "ADD"].iter().any(|instruction| word.text.eq_ignore_ascii_case(instruction))
    };
    if !words.first().is_some_and(takes_them) {
        return Vec::new();
    }
    let end = |word: &Word<'_>| {
        let name = word.text.strip_prefix("<<")?.trim_start_matches('-').trim_matches(['"', '\'']);
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| name.to_owned())
    };
    words.iter().filter_map(end).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Dockerfile;

    fn parse(text: &str) -> Dockerfile {
        Dockerfile::parse(text, &BTreeMap::from([("TAG".to_owned(), "7".to_owned())]))
    }

    fn images(text: &str) -> Vec<String> {
        parse(text)
            .images
            .iter()
            .map(|named| format!("{}:{} {}", named.line, named.instruction, named.image))
            .collect()
    }

    #[test]
    fn images_are_found_and_stages_are_not() {
        let text = "# FROM no\nARG TAG=1\nARG BASE=a/b\nfrom --platform=$BUILDPLATFORM ${BASE}:$TAG as Build\n\
                    RUN x \\\n  # FROM no\n  FROM no\nFROM build\nCOPY --from=build /x /\nCOPY --from=0 /x /\n\
                    COPY --chown=1 --from=c/d:1 /x /\nFROM scratch\nFROM e@sha256:0\n";
        assert_eq!(images(text), ["4:FROM a/b:7", "11:COPY --from c/d:1", "13:FROM e@sha256:0"]);
        assert_eq!(parse(text).images.iter().filter(|named| named.has_digest()).count(), 1);
    }

    #[test]
    fn variables_have_defaults() {
        assert_eq!(images("FROM ${X:-a}${TAG:+b}${TAG}-$Y"), ["1:FROM ab7-"]);
        assert_eq!(images("ARG X=\"q\"\nFROM $X"), ["2:FROM q"]);
    }

    #[test]
    fn here_documents_and_another_escape_are_understood() {
        assert_eq!(images("FROM a\nRUN <<EOF\nFROM no\nEOF\nFROM b\n"), ["1:FROM a", "5:FROM b"]);
        assert_eq!(images("# escape=`\nFROM `\n  a\nRUN x `\nFROM no\n"), ["3:FROM a"]);
        assert_eq!(images(""), Vec::<String>::new());
    }

    #[test]
    fn only_names_are_replaced() {
        let text = "FROM a:1 AS x # a:1\nCOPY --from=b /a:1 /\nRUN --mount=type=cache,target=/x y\n";
        let file = parse(text);
        assert_eq!(file.mount, Some(3));
        let other =
            file.with(|named| (named.image == "b" || named.image == "a:1").then(|| "sha256:00".to_owned()));
        let wanted = text.replace("FROM a:1", "FROM sha256:00").replace("--from=b", "--from=sha256:00");
        assert_eq!(other, wanted);
    }
}
