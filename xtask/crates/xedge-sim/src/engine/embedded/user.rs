//! Who a container's program runs as, with names looked up in the image's own files. The host's users do not count.

use std::path::Path;

use super::root::Root;

/// A user as the kernel knows it, and its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// Resolves `user`, `uid`, `user:group` or `uid:gid`; empty is root. Without a group, the user's own and all that list it
/// as a member count; `more` are added.
pub(super) fn resolve(root: &Root, wanted: &str, more: &[String]) -> Result<User, String> {
    let read = |path: &str| {
        let bytes = root.read(Path::new(path)).map_err(|error| format!("{path} of the image: {error}"))?;
        Ok::<_, String>(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    lookup(&read("etc/passwd")?, &read("etc/group")?, wanted, more)
}

fn lookup(passwd: &str, group: &str, wanted: &str, more: &[String]) -> Result<User, String> {
    let (name, own_group) = match wanted.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (wanted, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let line = fields(passwd).find(|line| line.first() == Some(&name) || line.get(2) == Some(&name));
    let number = |text: Option<&&str>| text.and_then(|text| text.parse::<u32>().ok());
    let uid = number(line.as_ref().and_then(|line| line.get(2)))
        .or_else(|| name.parse().ok())
        .ok_or_else(|| format!("the image has no user `{name}`"))?;
    let gid = match own_group {
        Some(own) => gid_of(group, own)?,
        None => number(line.as_ref().and_then(|line| line.get(3))).unwrap_or(0),
    };
    let mut groups = Vec::new();
    if let (None, Some(login)) = (own_group, line.as_ref().and_then(|line| line.first())) {
        let lists = |line: &Vec<&str>| line.get(3).is_some_and(|all| all.split(',').any(|m| m == *login));
        groups.extend(fields(group).filter(lists).filter_map(|line| number(line.get(2))));
    }
    for name in more {
        groups.push(gid_of(group, name)?);
    }
    let home = line.and_then(|line| line.get(5).copied()).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(User { uid, gid, groups, home: home.to_owned() })
}

fn gid_of(group: &str, name: &str) -> Result<u32, String> {
    let line = fields(group).find(|line| line.first() == Some(&name));
    line.and_then(|line| line.get(2)?.parse().ok())
        .or_else(|| name.parse().ok())
        .ok_or_else(|| format!("the image has no group `{name}`"))
}

fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::{User, lookup};

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nmosquitto:x:100:101::/var/lib/mosquitto:/no\nbroken\n";
    const GROUP: &str = "root:x:0:\nmosquitto:x:101:\nssl-cert:x:107:www,mosquitto\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn names_and_numbers_are_looked_up_in_the_image() {
        let found = |wanted: &str| lookup(PASSWD, GROUP, wanted, &[]).unwrap();
        let refused = |wanted: &str| lookup(PASSWD, GROUP, wanted, &[]).unwrap_err();
        assert_eq!(found(""), user(0, 0, &[], "/root"));
        assert_eq!(found("mosquitto"), user(100, 101, &[107], "/var/lib/mosquitto"));
        assert_eq!(found("100"), user(100, 101, &[107], "/var/lib/mosquitto"));
        assert_eq!(found("mosquitto:ssl-cert"), user(100, 107, &[], "/var/lib/mosquitto"));
        assert_eq!(found("65534:65533"), user(65534, 65533, &[], "/"));
        assert_eq!(found("7"), user(7, 0, &[], "/"));
        assert!(refused("nobody").contains("`nobody`"));
        assert!(refused("root:nogroup").contains("`nogroup`"));
    }

    #[test]
    fn further_groups_are_added() {
        let found = lookup(PASSWD, GROUP, "7:7", &["ssl-cert".into(), "44".into()]);
        assert_eq!(found, Ok(user(7, 7, &[107, 44], "/")));
        assert!(lookup("", "", "7", &["dialout".into()]).is_err());
    }
}
