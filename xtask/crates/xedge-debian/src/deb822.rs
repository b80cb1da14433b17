//! Paragraphs of `Field: value` lines (deb822(5)), read one at a time in constant memory; no meaning of any field.

use std::io::{self, BufRead};

/// More than any real paragraph: a Release file is one of about 150 kB.
const MAX_PARAGRAPH: usize = 16 << 20;

/// One paragraph; field names are compared without case.
#[derive(Clone, Debug, Default)]
pub struct Paragraph {
    text: String,
    fields: Vec<Field>,
}

/// Where a field's name and value lie in the paragraph's text.
#[derive(Clone, Copy, Debug)]
struct Field {
    start: usize,
    colon: usize,
    end: usize,
}

impl Paragraph {
    /// The value of a field. Continuation lines follow a line break, without their first blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|f| self.text[f.start..f.colon].eq_ignore_ascii_case(name))?;
        Some(&self.text[found.colon..found.end])
    }

    fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    /// Adds one line without its line break.
    fn push(&mut self, line: &str) -> Result<(), String> {
        if self.text.len() + line.len() > MAX_PARAGRAPH {
            return Err(format!("a paragraph is longer than {MAX_PARAGRAPH} bytes"));
        }
        match line.strip_prefix([' ', '\t']) {
            Some(rest) => self.continue_field(rest),
            None => self.start_field(line),
        }
    }

    fn continue_field(&mut self, line: &str) -> Result<(), String> {
        let field = self.fields.last_mut().ok_or("a continuation line has no field before it")?;
        self.text.push('\n');
        self.text.push_str(line.trim_end());
        field.end = self.text.len();
        Ok(())
    }

    fn start_field(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("`{}` is no field", clip(line)))?;
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("`{}` is no field name", clip(name)));
        }
        if self.get(name).is_some() {
            return Err(format!("the field `{name}` is there twice"));
        }
        let start = self.text.len();
        self.text.push_str(name);
        let colon = self.text.len();
        self.text.push_str(value.trim());
        self.fields.push(Field { start, colon, end: self.text.len() });
        Ok(())
    }
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Reads paragraphs from a stream. Lines that start with `#` are comments.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    paragraph: Paragraph,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of `input`.
    pub fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, paragraph: Paragraph::default() }
    }

    /// The next paragraph, or `None` at the end. Broken text is an error of kind `InvalidData` that names the line.
    pub fn next_paragraph(&mut self) -> io::Result<Option<&Paragraph>> {
        self.paragraph.clear();
        while self.read_line()? {
            let line = std::str::from_utf8(&self.line).map_err(|_| self.broken("this is not UTF-8"))?;
            if line.starts_with('#') {
                continue;
            }
            if !line.trim().is_empty() {
                self.paragraph.push(line).map_err(|problem| self.broken(&problem))?;
            } else if !self.paragraph.fields.is_empty() {
                break;
            }
        }
        Ok((!self.paragraph.fields.is_empty()).then_some(&self.paragraph))
    }

    /// Reads a line without its break; false at the end of the input.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let limit = u64::try_from(MAX_PARAGRAPH).unwrap_or(u64::MAX);
        let count = io::Read::take(&mut self.input, limit).read_until(b'\n', &mut self.line)?;
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if count == MAX_PARAGRAPH {
            return Err(self.broken("the line is too long"));
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(count > 0)
    }

    fn broken(&self, problem: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {problem}", self.number))
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::{MAX_PARAGRAPH, Reader};

    #[test]
    fn paragraphs_fields_and_continuations() {
        let text = "\n# note\nPackage: a\nDescription: one\n two\n\tthree \n .\n\n\n \nPACKAGE:b\r\nEmpty:\n";
        let mut reader = Reader::new(text.as_bytes());
        let first = reader.next_paragraph().unwrap().unwrap();
        assert_eq!(first.get("package"), Some("a"));
        assert_eq!(first.get("Description"), Some("one\ntwo\nthree\n."));
        assert_eq!(first.get("Descr"), None);
        let second = reader.next_paragraph().unwrap().unwrap();
        assert_eq!(second.get("Package"), Some("b"));
        assert_eq!(second.get("Empty"), Some(""));
        assert_eq!(second.get("Description"), None);
        assert!(reader.next_paragraph().unwrap().is_none());
        assert!(reader.next_paragraph().unwrap().is_none());
    }

    #[test]
    fn broken_text_names_its_line() {
        for (text, place) in [
            ("A: 1\nno field\n", "line 2: "),
            (" continued\nA: 1\n", "line 1: "),
            ("\n\n: empty name\n", "line 3: "),
            ("-A: 1\n", "line 1: "),
            ("A b: 1\n", "line 1: "),
            ("A: 1\na: 2\n", "line 2: the field `a` is there twice"),
        ] {
            let error = Reader::new(text.as_bytes()).next_paragraph().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().starts_with(place), "{error}");
        }
        assert!(Reader::new(&b"A: \xff\n"[..]).next_paragraph().is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let endless_line = vec![b'a'; MAX_PARAGRAPH + 1];
        assert!(Reader::new(&endless_line[..]).next_paragraph().is_err());
        let endless_field = format!("A: 1\n{}", " x\n".repeat(MAX_PARAGRAPH));
        assert!(Reader::new(endless_field.as_bytes()).next_paragraph().is_err());
    }
}
