//! The two formats of apt's source files (sources.list(5)); what a source is good for is decided elsewhere.

use crate::deb822::{Paragraph, Reader};

/// One enabled source of binary packages.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) uris: Vec<String>,
    pub(super) suites: Vec<String>,
    signed_by: Option<String>,
}

impl Source {
    /// Up for Debian's keyring, down for another one: a vendor's archive for Debian has the vendor's key.
    pub(super) fn rank(&self) -> i32 {
        match &self.signed_by {
            Some(keyring) if keyring.contains("debian-archive-") => 2,
            Some(_) => -2,
            None => 0,
        }
    }

    fn of(
        uris: Vec<String>,
        suites: Vec<String>,
        components: &[String],
        signed_by: Option<String>,
    ) -> Option<Self> {
        let web = |uri: &String| uri.starts_with("http://") || uri.starts_with("https://");
        // Raspbian has Debian's suite names and keys of its own.
        let raspbian = |uri: &String| uri.contains("raspbian");
        let uris: Vec<String> = uris.into_iter().filter(|uri| web(uri) && !raspbian(uri)).collect();
        let usable = !uris.is_empty() && components.iter().any(|component| component == "main");
        usable.then_some(Self { uris, suites, signed_by })
    }
}

/// The usable sources of one file. What apt itself could not read either is passed over.
pub(super) fn sources(name: &str, text: &str) -> Vec<Source> {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("list") => text.lines().filter_map(line).collect(),
        Some("sources") => paragraphs(text),
        _ => Vec::new(),
    }
}

/// `deb [options] uri suite component…`
fn line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = words(rest).into_iter();
    let (uri, suite) = (words.next()?, words.next()?);
    let components: Vec<String> = words.collect();
    Source::of(vec![uri], vec![suite], &components, signed_by.map(str::to_owned))
}

fn paragraphs(text: &str) -> Vec<Source> {
    let mut reader = Reader::new(text.as_bytes());
    let mut sources = Vec::new();
    while let Ok(Some(paragraph)) = reader.next_paragraph() {
        sources.extend(source(paragraph));
    }
    sources
}

fn source(paragraph: &Paragraph) -> Option<Source> {
    let list = |field: &str| words(paragraph.get(field).unwrap_or_default());
    let off = |value: &str| {
        matches!(value.to_ascii_lowercase().as_str(), "no" | "false" | "without" | "off" | "disable" | "0")
    };
    if paragraph.get("Enabled").is_some_and(off) || !list("Types").iter().any(|kind| kind == "deb") {
        return None;
    }
    let signed_by = paragraph.get("Signed-By").filter(|value| value.starts_with('/'));
    Source::of(list("URIs"), list("Suites"), &list("Components"), signed_by.map(str::to_owned))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
