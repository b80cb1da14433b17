//! Where a new project gets xedge from: a repository at a commit, or a clone on this machine.

use std::str::FromStr;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::Error;
use crate::error::Result;

/// How long a repository has to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where xedge comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum XedgeSource {
    /// A repository, at a commit of 40 hexadecimal digits.
    Git { url: String, commit: String },
    /// A folder with xedge's `Cargo.toml`.
    Path(Utf8PathBuf),
}

impl FromStr for XedgeSource {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some(("path", folder)) if !folder.is_empty() => Ok(Self::Path(folder.into())),
            Some(("git", rest)) => {
                let (url, commit) = rest.rsplit_once('@').unwrap_or((rest, ""));
                let url = repository(url)
                    .ok_or("expected a URL that Cargo takes, such as https://HOST/OWNER/xedge")?;
                if !is_commit(commit) {
                    return Err("expected git=URL@COMMIT with all 40 digits: `git rev-parse HEAD`".to_owned());
                }
                Ok(Self::Git { url, commit: commit.to_owned() })
            }
            _ => Err("expected git=URL@COMMIT or path=DIR".to_owned()),
        }
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A repository as Cargo names it, without a password; `None` for a folder and for what nobody else can reach.
fn repository(url: &str) -> Option<String> {
    if let Some((scheme, rest)) = url.split_once("://") {
        let (host, path) = rest.split_once('/')?;
        let bare = host.rsplit_once('@').map_or(host, |(_, bare)| bare);
        return match scheme {
            "https" | "http" if !bare.is_empty() && !path.is_empty() => {
                Some(format!("{scheme}://{bare}/{path}"))
            }
            "ssh" | "git" if !bare.is_empty() && !path.is_empty() => Some(url.to_owned()),
            // Only where it was asked for by name: a folder of this machine.
            "file" if host.is_empty() && !path.is_empty() => Some(url.to_owned()),
            _ => None,
        };
    }
    // git's own short form, USER@HOST:PATH.
    let (host, path) = url.split_once(':')?;
    (host.contains('@') && !host.contains('/') && !path.is_empty()).then(|| format!("ssh://{host}/{path}"))
}

impl XedgeSource {
    /// Where this xedge comes from, and why it is not a repository if it is none: a commit that its remote has and that
    /// is what runs here, else the clone that it was built in.
    pub(crate) fn of_this_tool() -> Result<(Self, Option<String>)> {
        let clone = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Utf8Path::new("/"));
        if !clone.join("xtask/Cargo.toml").is_file() {
            return Err(Error::NoSource(format!("{clone}, where it was built, is not there any more")).into());
        }
        match crate::commands::runtime()?.block_on(published(clone)) {
            Ok(source) => Ok((source, None)),
            Err(_) if clone.as_str().contains("/git/checkouts/") => {
                let why = "Cargo fetched it into a folder of its own".to_owned();
                Err(Error::NoSource(why).into())
            }
            Err(why) => Ok((Self::Path(clone.to_owned()), Some(why))),
        }
    }

    /// The line of a Cargo.toml, with a comment that says how to change it.
    pub(super) fn dependency(&self) -> String {
        match self {
            Self::Git { url, commit } => format!(
                "# The commit is the version: a newer one takes `cargo update --package xtask` after a change here.\n\
                 xedge = {{ package = \"xtask\", git = {url:?}, rev = {commit:?} }}\n"
            ),
            Self::Path(folder) => format!(
                "# A clone on this machine. For others, and for CI: {{ package = \"xtask\", git = \"URL\", rev = \"COMMIT\" }}\n\
                 xedge = {{ package = \"xtask\", path = {:?} }}\n",
                folder.join("xtask").as_str()
            ),
        }
    }

    /// `OWNER/REPOSITORY` on GitHub.
    pub(super) fn on_github(&self) -> Option<&str> {
        let Self::Git { url, .. } = self else { return None };
        let path = ["https://github.com/", "ssh://git@github.com/"]
            .iter()
            .find_map(|host| url.strip_prefix(host))?;
        Some(path.trim_end_matches('/').trim_end_matches(".git"))
    }
}

/// The repository and commit of a clone, or why others cannot get this commit.
async fn published(clone: &Utf8Path) -> std::result::Result<XedgeSource, String> {
    let url = git(clone, &["remote", "get-url", "origin"]).await.ok_or("it has no remote")?;
    let url = repository(&url).filter(|url| !url.starts_with("file:")).ok_or("its remote is a folder")?;
    let commit = git(clone, &["rev-parse", "HEAD"]).await.filter(|commit| is_commit(commit));
    let commit = commit.ok_or("it has no commit")?;
    if git(clone, &["status", "--porcelain"]).await.is_none_or(|changes| !changes.is_empty()) {
        return Err("it has changes that are not committed".to_owned());
    }
    if git(clone, &["branch", "--remotes", "--contains", &commit]).await.is_none_or(|found| found.is_empty())
    {
        return Err("its commit is not pushed".to_owned());
    }
    if git(clone, &["ls-remote", "--exit-code", &url, "HEAD"]).await.is_none() {
        return Err("its remote does not answer".to_owned());
    }
    Ok(XedgeSource::Git { url, commit })
}

/// What git answers, without its line ending; `None` when it fails, asks, or takes too long.
async fn git(clone: &Utf8Path, arguments: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new("git");
    command.arg("-C").arg(clone).args(arguments).kill_on_drop(true).stdin(std::process::Stdio::null());
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{XedgeSource, repository};

    #[test]
    fn a_source_is_a_commit_or_a_folder() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let parse = |text: &str| text.parse::<XedgeSource>();
        let git = |url: &str| XedgeSource::Git { url: url.to_owned(), commit: commit.to_owned() };
        assert_eq!(parse("path=../xedge"), Ok(XedgeSource::Path("../xedge".into())));
        assert_eq!(parse(&format!("git=https://h/o/x.git@{commit}")), Ok(git("https://h/o/x.git")));
        assert_eq!(parse(&format!("git=git@h:o/x.git@{commit}")), Ok(git("ssh://git@h/o/x.git")));
        for bad in ["git=https://h/o/x", "git=https://h/o/x@main", "path=", "/xedge", "git=@", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_password_is_written_into_a_project() {
        assert_eq!(repository("https://user:token@h/o/x").as_deref(), Some("https://h/o/x"));
        assert_eq!(repository("/srv/git/x.git"), None);
        assert_eq!(repository("../x"), None);
        assert_eq!(repository("ftp://h/x"), None);
    }

    #[test]
    fn github_is_known_by_its_address() {
        let source = |url: &str| XedgeSource::Git { url: url.to_owned(), commit: String::new() };
        assert_eq!(source("https://github.com/o/x.git").on_github(), Some("o/x"));
        assert_eq!(source("ssh://git@github.com/o/x").on_github(), Some("o/x"));
        assert_eq!(source("https://example.com/o/x").on_github(), None);
    }
}
