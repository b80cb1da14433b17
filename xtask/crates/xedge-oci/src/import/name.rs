//! Names in archives of others: cleaned, or refused where they lead out. Looks at no file system.

/// A name below a root, without `.` and empty parts; the root itself is empty.
pub(super) fn clean(name: &str) -> Result<String, &'static str> {
    if name.starts_with('/') && !name.trim_matches('/').is_empty() {
        return Err("is absolute");
    }
    below(name)
}

/// Like [`clean`], for the target of a hard link: unpackers take an absolute one from the image's root.
pub(super) fn below(name: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") { Err("leads out of it") } else { Ok(parts.join("/")) }
}

/// Where a symbolic link in `name`'s folder points, as a name of the archive.
pub(super) fn resolve(name: &str, target: &str) -> Result<String, &'static str> {
    if target.starts_with('/') {
        return Err("is absolute");
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or("leads out of it")?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Whether two people mean one image: Docker's host and the tag `latest` may be left out.
pub(super) fn same(one: &str, other: &str) -> bool {
    full(one) == full(other)
}

fn full(name: &str) -> String {
    let short = ["docker.io/library/", "docker.io/", "index.docker.io/library/"];
    let name = short.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::{clean, resolve, same};

    #[test]
    fn names_stay_inside() {
        assert_eq!(clean("./a//b/").unwrap(), "a/b");
        assert_eq!(clean("/").unwrap(), "");
        for name in ["/etc/passwd", "a/../../b", "..", "a/.."] {
            clean(name).unwrap_err();
        }
        assert_eq!(resolve("one/layer.tar", "../two/layer.tar").unwrap(), "two/layer.tar");
        resolve("one/layer.tar", "../../two").unwrap_err();
        resolve("one/layer.tar", "/two").unwrap_err();
    }

    #[test]
    fn hosts_and_tags_may_be_left_out() {
        assert!(same("docker.io/library/redis:latest", "redis"));
        assert!(same("docker.io/eclipse/mosquitto:2", "eclipse/mosquitto:2"));
        assert!(!same("localhost:5000/redis", "redis"));
        assert!(!same("redis:7", "redis"));
    }
}
