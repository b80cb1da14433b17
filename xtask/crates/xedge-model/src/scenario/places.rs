//! What is mounted into a container, in the forms that Compose files and upstream's scenarios use. Mounts nothing.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Mounts, written as a list of `"SOURCE:TARGET[:ro]"` or as a map of `SOURCE: TARGET[:ro]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(pub Vec<Mount>);

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Name of a volume of the run, or a path in the project that starts with `./`.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// Whether the container sees it read-only.
    pub read_only: bool,
}

impl Mount {
    /// Whether it shows files of the project.
    pub fn is_of_project(&self) -> bool {
        self.source.starts_with('.') || self.source.contains('/')
    }

    fn read(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((source, rest)) if !source.is_empty() => Self::of(source, rest),
            _ => Err(format!(
                "`{text}` is not a mount: expected \"SOURCE:TARGET\", such as \"data:/var/lib/x\""
            )),
        }
    }

    fn of(source: &str, rest: &str) -> Result<Self, String> {
        let (target, read_only) = match rest.split_once(':') {
            None | Some((_, "rw")) => (rest.trim_end_matches(":rw"), false),
            Some((target, "ro")) => (target, true),
            Some((_, mode)) => return Err(format!("`{mode}` is no mode of a mount: expected `ro` or `rw`")),
        };
        if !target.starts_with('/') || target == "/" || target.split('/').any(|part| part == "..") {
            return Err(format!("`{target}` is no place for a mount: expected an absolute path below /"));
        }
        Ok(Self { source: source.to_owned(), target: target.to_owned(), read_only })
    }
}

/// The value of the map form: a target, or upstream's two words for it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bind {
    bind: String,
    #[serde(default)]
    mode: Option<String>,
}

/// Either form of the value.
struct Place(String);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlaceVisitor;
        impl<'de> Visitor<'de> for PlaceVisitor {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a map of `bind` and `mode`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Place, E> {
                Ok(Place(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Place, A::Error> {
                let Bind { bind, mode } =
                    Bind::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Place(mode.map_or(bind.clone(), |mode| format!("{bind}:{mode}"))))
            }
        }
        deserializer.deserialize_any(PlaceVisitor)
    }
}

impl<'de> Deserialize<'de> for Mounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MountsVisitor)
    }
}

struct MountsVisitor;

impl<'de> Visitor<'de> for MountsVisitor {
    type Value = Mounts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of \"SOURCE:TARGET\" or a map of `SOURCE: TARGET`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mounts, A::Error> {
        let mut mounts = Vec::new();
        while let Some((source, place)) = map.next_entry::<String, Place>()? {
            mounts.push(Mount::of(&source, &place.0).map_err(A::Error::custom)?);
        }
        Ok(Mounts(mounts))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Mounts, A::Error> {
        let mut mounts = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            mounts.push(Mount::read(&text).map_err(A::Error::custom)?);
        }
        Ok(Mounts(mounts))
    }
}

#[cfg(test)]
mod tests {
    use super::Mounts;
    use crate::yaml::Source;

    fn read(text: &str) -> Result<String, String> {
        let mounts = Source::new("m.yaml", text).parse::<Mounts>().map_err(|e| e.message().to_owned())?;
        let line = |m: &super::Mount| format!("{} {} {}", m.source, m.target, m.read_only);
        Ok(mounts.0.iter().map(line).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn lists_and_maps_say_the_same() {
        let wanted = Ok("data /var/lib/x false, ./files /etc/x true".to_owned());
        assert_eq!(read("[\"data:/var/lib/x\", \"./files:/etc/x:ro\"]"), wanted);
        assert_eq!(read("{data: /var/lib/x, ./files: \"/etc/x:ro\"}"), wanted);
        assert_eq!(read("{data: {bind: /var/lib/x, mode: rw}, ./files: {bind: /etc/x, mode: ro}}"), wanted);
    }

    #[test]
    fn what_is_no_mount_is_refused() {
        for text in
            ["[data]", "[\":/x\"]", "[\"data:x\"]", "[\"data:/\"]", "[\"data:/a/../b\"]", "[\"data:/x:z\"]"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("{data: {bnd: /x}}").unwrap_err().contains("unknown key `bnd`"));
    }
}
