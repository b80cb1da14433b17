//! The image.yaml of an imported image: written once, and afterwards only its `from:` line. Pure.

use xedge_model::image::From;
use xedge_model::yaml::Source;
use xedge_model::{ImageDef, Platform};

use crate::error::Result;

/// What was imported.
pub(super) struct Definition<'a> {
    /// `imported/NAME@sha256:…`.
    pub(super) reference: &'a str,
    /// For which platforms.
    pub(super) platforms: &'a [Platform],
}

impl Definition<'_> {
    /// A first image.yaml.
    pub(super) fn new_text(&self, name: &str, origin: &str) -> String {
        let platforms: Vec<&str> = self.platforms.iter().map(|platform| platform.as_str()).collect();
        let origin: String = origin.chars().filter(|c| !c.is_control()).collect();
        format!(
            "# Built elsewhere; imported from {origin}. A newer one: `cargo xtask image import FILE --name {name}`.\n\
             format: 1\nname: {name}\nplatforms: [{}]\nfrom: {}\n",
            platforms.join(", "),
            self.reference
        )
    }

    /// The same text with another `from:`; comments and the rest stay. A definition that was not imported is refused, and
    /// one that asks for a platform that an earlier import had. A first import narrows the platforms to its own.
    pub(super) fn updated(&self, source: &Source) -> Result<String> {
        let def = ImageDef::parse(source)?;
        let From::Image(before) = &def.from else {
            let why = "this image is not an imported one, and importing would replace its `from`: choose another `--name`";
            return Err(source.error(why).into());
        };
        let has: Vec<&str> = self.platforms.iter().map(|platform| platform.as_str()).collect();
        let mut text = source.text().to_owned();
        if let Some(missing) = def.platforms.value.iter().find(|platform| !self.platforms.contains(platform))
        {
            // A first import takes the place of a reference that may have had more platforms; a later one loses none.
            let first = !before.to_string().starts_with("imported/");
            let narrowed = with_value(&text, "platforms", &format!("[{}]", has.join(", ")));
            text = narrowed.filter(|_| first).ok_or_else(|| {
                let has = has.join(", ");
                let why = format!("what was imported is for {has} and not for {missing}");
                let hint = format!("import a file for {missing} too, or write `platforms: [{has}]`");
                source.error_with_hint(&def.platforms, why, hint)
            })?;
        }
        Ok(with_value(&text, "from", self.reference)
            .ok_or_else(|| source.error("`from` is not on a line of its own: write `from: imported/NAME`"))?)
    }
}

/// Replaces the value on the top-level line `KEY: VALUE`.
fn with_value(text: &str, key: &str, new: &str) -> Option<String> {
    let start = format!("{key}:");
    let mut found = false;
    let line = |line: &str| {
        let Some(value) = line.strip_prefix(start.as_str()).filter(|_| !found) else {
            return line.to_owned();
        };
        let comment = value.find(" #").map_or("", |at| &value[at..]);
        let end = if line.ends_with('\n') && comment.is_empty() { "\n" } else { "" };
        if value[..value.len() - comment.len()].trim().is_empty() {
            return line.to_owned();
        }
        found = true;
        format!("{start} {new}{comment}{end}")
    };
    let text: String = text.split_inclusive('\n').map(line).collect();
    found.then_some(text)
}

#[cfg(test)]
mod tests {
    use xedge_model::Platform;
    use xedge_model::yaml::Source;

    use super::{Definition, with_value};

    const NEW: &str = "imported/x@sha256:1111111111111111111111111111111111111111111111111111111111111111";

    #[test]
    fn only_the_value_changes() {
        let check =
            |before: &str, after: &str| assert_eq!(with_value(before, "from", "new").as_deref(), Some(after));
        check("# a\nfrom: old\nname: x\n", "# a\nfrom: new\nname: x\n");
        check("from: old # why\n  from: no\n", "from: new # why\n  from: no\n");
        check("from:   \"old\"", "from: new");
        assert_eq!(with_value("from:\n  debian: {}\n", "from", "new"), None);
        assert_eq!(with_value("  from: x\n", "from", "new"), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let definition = Definition { reference: NEW, platforms: &[Platform::LinuxAmd64] };
        let text = definition.new_text("x", "a\nb");
        let source = Source::new("image.yaml", text.clone());
        assert_eq!(definition.updated(&source).unwrap(), text);
        let both = text.replace("[linux/amd64]", "[linux/amd64, linux/arm64]");
        let first = both.replace(NEW, "nginx:1.25");
        assert_eq!(definition.updated(&Source::new("image.yaml", first)).unwrap(), text);
        let refused = definition.updated(&Source::new("image.yaml", both)).unwrap_err();
        assert!(refused.chain()[0].contains("not for linux/arm64"), "{refused:?}");
        assert!(
            refused.hint().is_some_and(|hint| hint.contains("`platforms: [linux/amd64]`")),
            "{refused:?}"
        );
        let scratch =
            "format: 1\nname: x\nplatforms: [linux/amd64]\nfrom: scratch\nconfig: {command: [/x]}\n";
        definition.updated(&Source::new("image.yaml", scratch.to_owned())).unwrap_err();
    }
}
