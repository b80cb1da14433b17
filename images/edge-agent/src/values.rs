//! Values that only this device has, such as the name of its site (FORMAT.md §6). Whether they fit is for the stack's
//! declarations to say.

use std::collections::BTreeMap;

use xedge_model::stack::{DEVICE_NAME_RULE, is_device_name};

use crate::home::StackHome;
use crate::{Error, Result, sealed};

/// The most values that are kept of a stack.
const MAX_VALUES: usize = 1000;
/// The most bytes that a value may have.
const MAX_BYTES: usize = 4096;

/// The values of a stack, by name.
pub fn load(stack: &StackHome) -> Result<BTreeMap<String, String>> {
    Ok(sealed::read(&stack.values())?.unwrap_or_default())
}

/// Keeps values beside those that are there, in place of those of the same name. All or none.
pub fn merge(stack: &StackHome, new: &BTreeMap<String, String>) -> Result<()> {
    let before = load(stack)?;
    let mut all = before.clone();
    for (name, value) in new {
        let refuse = |reason: String| Error::Given {
            what: format!("the device value `{}`", name.escape_debug()),
            reason,
        };
        if !is_device_name(name) {
            return Err(refuse(format!("its name: {DEVICE_NAME_RULE}")));
        }
        if value.len() > MAX_BYTES || value.contains(char::is_control) {
            return Err(refuse(format!("it has more than {MAX_BYTES} bytes, or a control character")));
        }
        all.insert(name.clone(), value.clone());
    }
    if all.len() > MAX_VALUES {
        let reason = format!("{} are more than the {MAX_VALUES} that are kept", all.len());
        return Err(Error::Given { what: "the device values".to_owned(), reason });
    }
    if all == before { Ok(()) } else { sealed::write(&stack.values(), &all) }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::Home;

    #[test]
    fn values_are_kept_beside_each_other_and_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let stack = Home::new(Utf8PathBuf::try_from(folder.path().to_owned()).unwrap()).stack("edge");
        let map = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(load(&stack).unwrap(), map(&[]));
        merge(&stack, &map(&[("site", "a"), ("room", "1")])).unwrap();
        merge(&stack, &map(&[("site", "b")])).unwrap();
        assert_eq!(load(&stack).unwrap(), map(&[("room", "1"), ("site", "b")]));
        for bad in [&[("Site", "x"), ("aaa", "ok")][..], &[("site", "a\nb")], &[("site", &"x".repeat(5000))]]
        {
            assert!(matches!(merge(&stack, &map(bad)), Err(Error::Given { .. })), "{bad:?}");
        }
        assert_eq!(load(&stack).unwrap(), map(&[("room", "1"), ("site", "b")]));
        std::fs::write(stack.values(), b"{}").unwrap();
        assert!(matches!(load(&stack), Err(Error::Damaged { .. })));
    }
}
