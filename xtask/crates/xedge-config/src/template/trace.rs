//! From which part of a template each rendered line comes: a second rendering in which every piece of output is marked.
//!
//! What is written to files never comes from here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use minijinja::Error;
use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// Around the number of a mark: characters that Unicode reserves for use within a program.
pub(super) const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// What one rendered line comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// Byte offset in the template of the first thing that is written on it.
    pub(crate) offset: usize,
    /// Dotted names of the values that are written on it.
    pub(crate) written: Vec<String>,
    /// Dotted names of the values that decided that it is there.
    pub(crate) decided: Vec<String>,
}

/// A template that writes a mark before everything that it writes.
pub(super) struct Marked {
    pub(super) template: String,
    marks: Vec<Line>,
}

/// Marks a template. Trimming has been done when the result is read: it is to be rendered without.
pub(super) fn mark(text: &str, syntax: SyntaxConfig) -> Result<Marked, Error> {
    let mut marker =
        Marker { text, made: Marked { template: String::new(), marks: Vec::new() }, open: Vec::new() };
    marker.open.push(Frame::default());
    let mut tag = Vec::new();
    for token in tokenize(text, false, syntax) {
        match token? {
            (Token::TemplateData(data), span) => marker.data(data, start(span)),
            end @ (Token::VariableEnd | Token::BlockEnd, _) => {
                tag.push(end);
                marker.tag(&std::mem::take(&mut tag));
            }
            inside => tag.push(inside),
        }
    }
    Ok(marker.made)
}

/// Where a template first asks for the value of this dotted name, or for something in it.
pub(super) fn first(text: &str, syntax: SyntaxConfig, asked: &str) -> Option<usize> {
    let tokens: Vec<_> = tokenize(text, false, syntax).filter_map(Result::ok).collect();
    let is_asked =
        |path: &str| path.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    paths(&tokens).into_iter().find(|(path, _)| is_asked(path)).map(|(_, offset)| offset)
}

impl Marked {
    /// The lines of what the marked template renders to, and the text without the marks.
    pub(super) fn lines(&self, rendered: &str) -> (String, Vec<Line>) {
        let (text, pieces) = self.pieces(rendered);
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let range = start..start + line.len();
            start = range.end;
            lines.push(self.line(&text, &pieces, &range));
        }
        (text, lines)
    }

    /// Where in the text without marks each marked piece is, and the number of its mark.
    fn pieces(&self, rendered: &str) -> (String, Vec<(Range<usize>, usize)>) {
        let mut text = String::with_capacity(rendered.len());
        let mut pieces = Vec::new();
        for part in rendered.split(MARKS[0]) {
            let Some((number, written)) = part.split_once(MARKS[1]) else { continue };
            let start = text.len();
            text.push_str(written);
            pieces.push((start..text.len(), number.parse().unwrap_or(usize::MAX)));
        }
        pieces.retain(|(_, mark)| *mark < self.marks.len());
        (text, pieces)
    }

    fn line(&self, text: &str, pieces: &[(Range<usize>, usize)], range: &Range<usize>) -> Line {
        let from = pieces.partition_point(|(piece, _)| piece.end < range.start);
        let on_it = |piece: &Range<usize>| {
            piece.start < range.end && (piece.end > range.start || piece.start >= range.start)
        };
        let on_line = pieces[from..].iter().take_while(|(piece, _)| piece.start < range.end);
        let on_line: Vec<_> = on_line.filter(|(piece, _)| on_it(piece)).collect();
        let says = |piece: &Range<usize>| {
            let (start, end) = (piece.start.max(range.start), piece.end.min(range.end));
            text.get(start..end).is_some_and(|shown| !shown.trim().is_empty())
        };
        let first = on_line.iter().find(|(piece, _)| says(piece)).or(on_line.first());
        let mut line =
            Line { offset: first.map_or(0, |(_, mark)| self.marks[*mark].offset), ..Line::default() };
        for (piece, mark) in on_line {
            let mark = &self.marks[*mark];
            add(&mut line.written, &mark.written);
            if says(piece) || !mark.written.is_empty() {
                add(&mut line.decided, &mark.decided);
            }
        }
        line
    }
}

/// What is open at a place of the template, from outside to inside.
#[derive(Default)]
struct Frame {
    kind: String,
    decided: Vec<String>,
    locals: BTreeMap<String, Vec<String>>,
    captured: Option<Captured>,
}

/// Something that is not written at once: the names in it, and where it goes.
struct Captured {
    names: Vec<String>,
    goes: Goes,
}

enum Goes {
    /// Into a name of the template's own.
    To(String),
    /// Through a filter, below the mark of this number.
    Through(usize),
}

struct Marker<'t> {
    text: &'t str,
    made: Marked,
    open: Vec<Frame>,
}

type Spanned<'t> = (Token<'t>, Span);

impl Marker<'_> {
    fn data(&mut self, data: &str, offset: usize) {
        let mut at = offset;
        for piece in data.split_inclusive('\n') {
            let blank = piece.len() - piece.trim_start().len();
            self.mark(at + if blank < piece.len() { blank } else { 0 }, Vec::new());
            self.literal(piece);
            at += piece.len();
        }
    }

    fn tag(&mut self, tokens: &[Spanned<'_>]) {
        let [(first, begin), inner @ .., (_, end)] = tokens else { return };
        let inside = self.text.get(begin.end_offset as usize..end.start_offset as usize).unwrap_or_default();
        let inside = inside.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']);
        if matches!(first, Token::VariableStart) {
            let names = self.names(inner);
            self.mark(start(*begin), names);
            let _ = write!(self.made.template, "{{{{ {inside} }}}}");
        } else {
            self.block(inner, start(*begin));
            let _ = write!(self.made.template, "{{% {inside} %}}");
        }
    }

    /// Opens and closes what a statement opens and closes.
    fn block(&mut self, tokens: &[Spanned<'_>], offset: usize) {
        let Some((Token::Ident(kind), _)) = tokens.first() else { return };
        let rest = &tokens[1..];
        let names = self.names(asking(kind, rest));
        let targets = targets(kind, rest);
        match *kind {
            "elif" => add(&mut self.innermost().decided, &names),
            "else" => {}
            "set" if rest.iter().any(|(token, _)| matches!(token, Token::Assign)) => {
                let scope = self.open.iter_mut().rev().find(|frame| frame.kind != "if");
                let locals = targets.into_iter().map(|target| (target, names.clone()));
                if let Some(frame) = scope {
                    frame.locals.extend(locals);
                }
            }
            "set" => self.capture("set", Goes::To(targets.into_iter().next().unwrap_or_default())),
            "filter" => {
                let number = self.made.marks.len();
                self.mark(offset, names);
                self.capture("filter", Goes::Through(number));
            }
            end if end.starts_with("end") => self.close(),
            kind => {
                let over = self.names(before_if(kind, asking(kind, rest)));
                let locals = targets.into_iter().map(|target| (target, over.clone())).collect();
                let decided = if kind == "with" { Vec::new() } else { names };
                self.open(kind, Frame { decided, locals, ..Frame::default() });
            }
        }
    }

    fn open(&mut self, kind: &str, frame: Frame) {
        self.open.push(Frame { kind: kind.to_owned(), ..frame });
    }

    fn capture(&mut self, kind: &str, goes: Goes) {
        let captured = Some(Captured { names: Vec::new(), goes });
        self.open(kind, Frame { captured, ..Frame::default() });
    }

    fn close(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        match frame.captured.map(|captured| (captured.goes, captured.names)) {
            Some((Goes::To(target), names)) => {
                self.innermost().locals.insert(target, names);
            }
            Some((Goes::Through(number), names)) => {
                if let Some(mark) = self.made.marks.get_mut(number) {
                    add(&mut mark.written, &names);
                }
            }
            None => {}
        }
    }

    fn innermost(&mut self) -> &mut Frame {
        if self.open.is_empty() {
            self.open.push(Frame::default());
        }
        self.open.last_mut().expect("one was just pushed")
    }

    /// Writes a mark, unless what follows is not written at once: a filter would see it.
    fn mark(&mut self, offset: usize, written: Vec<String>) {
        if let Some(captured) = self.open.iter_mut().find_map(|frame| frame.captured.as_mut()) {
            add(&mut captured.names, &written);
            return;
        }
        let mut decided = Vec::new();
        for frame in &self.open {
            add(&mut decided, &frame.decided);
        }
        let number = self.made.marks.len();
        self.made.marks.push(Line { offset, written, decided });
        self.literal(&format!("{}{number}{}", MARKS[0], MARKS[1]));
    }

    fn literal(&mut self, text: &str) {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(self.made.template, "{{{{ \"{escaped}\" }}}}");
    }

    /// The values that an expression asks for; for a name of the template's own, those that it was made from.
    fn names(&self, tokens: &[Spanned<'_>]) -> Vec<String> {
        let mut names = Vec::new();
        for (path, _) in paths(tokens) {
            let head = path.split('.').next().unwrap_or_default();
            match self.open.iter().rev().find_map(|frame| frame.locals.get(head)) {
                Some(made_from) => add(&mut names, made_from),
                None => add(&mut names, &[path]),
            }
        }
        names
    }
}

/// The part of a statement that asks for values.
fn asking<'a, 't>(kind: &str, tokens: &'a [Spanned<'t>]) -> &'a [Spanned<'t>] {
    let skipped = match kind {
        "for" => {
            tokens.iter().position(|(token, _)| matches!(token, Token::Ident("in"))).map_or(0, |at| at + 1)
        }
        "filter" => 1,
        "set" if !tokens.iter().any(|(token, _)| matches!(token, Token::Assign)) => tokens.len(),
        _ => 0,
    };
    &tokens[skipped.min(tokens.len())..]
}

/// What a loop goes over, without the condition for its items.
fn before_if<'a, 't>(kind: &str, tokens: &'a [Spanned<'t>]) -> &'a [Spanned<'t>] {
    let condition = tokens.iter().position(|(token, _)| matches!(token, Token::Ident("if")));
    &tokens[..condition.filter(|_| kind == "for").unwrap_or(tokens.len())]
}

/// Words of the template language that look like names.
const WORDS: [&str; 13] =
    ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "loop"];

/// The dotted names in an expression with their places, but those of filters, tests, functions and arguments.
fn paths(tokens: &[Spanned<'_>]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (index, (token, span)) in tokens.iter().enumerate() {
        let Token::Ident(head) = token else { continue };
        let before = tokens[..index].iter().rev().map(|(token, _)| token).take(2).collect::<Vec<_>>();
        let of_something = matches!(
            before[..],
            [Token::Dot | Token::Pipe | Token::Ident("is"), ..] | [Token::Ident("not"), Token::Ident("is")]
        );
        if of_something || WORDS.contains(head) {
            continue;
        }
        let mut path = (*head).to_owned();
        let mut rest = &tokens[index + 1..];
        while let [(Token::Dot, _), (Token::Ident(part), _), more @ ..] = rest {
            path = format!("{path}.{part}");
            rest = more;
        }
        if !matches!(rest.first(), Some((Token::Assign, _))) && (path.contains('.') || !is_call(rest)) {
            found.push((path, start(*span)));
        }
    }
    found
}

fn is_call(rest: &[Spanned<'_>]) -> bool {
    matches!(rest.first(), Some((Token::ParenOpen, _)))
}

/// The names that a statement gives to something.
fn targets(kind: &str, tokens: &[Spanned<'_>]) -> Vec<String> {
    let name = |token: &Token<'_>| match token {
        Token::Ident(name) => Some((*name).to_owned()),
        _ => None,
    };
    match kind {
        "for" => {
            let target = tokens.iter().map(|(token, _)| token);
            target.take_while(|token| !matches!(token, Token::Ident("in"))).filter_map(name).collect()
        }
        "set" if tokens.iter().all(|(token, _)| !matches!(token, Token::Assign)) => {
            tokens.first().and_then(|(token, _)| name(token)).into_iter().collect()
        }
        "set" | "with" => {
            let assigned = tokens.windows(2).filter(|pair| matches!(pair[1].0, Token::Assign));
            assigned.filter_map(|pair| name(&pair[0].0)).collect()
        }
        _ => Vec::new(),
    }
}

fn add(names: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
}

fn start(span: Span) -> usize {
    span.start_offset as usize
}
