//! Tags that buildx finds images of the project by. They go with the build; those of builds that were killed are found
//! by the process that made them.

use rustix::process::{Pid, test_kill_process};
use xedge_model::Digest;
use xedge_sim::Docker;

use crate::error::Result;

/// The repository of tags that are taken away again.
pub(super) const REPOSITORY: &str = "xedge-build";

/// The tag of an image for the build of a process.
pub(super) fn tag(process: u32, id: &Digest) -> String {
    format!("xedge-{process}-{}", &id.hex()[..12])
}

pub(super) async fn untag(docker: &Docker, tag: &str) -> Result<()> {
    Ok(docker.untag(&format!("{REPOSITORY}:{tag}")).await?)
}

/// Takes away the tags of builds that were killed, so that their images have none.
pub(crate) async fn untag_dead(docker: &Docker) -> Result<()> {
    for tag in docker.tags(REPOSITORY).await?.iter().filter(|tag| is_dead(tag)) {
        untag(docker, tag).await?;
    }
    Ok(())
}

/// Whether a tag is one of ours, of a process that ended.
fn is_dead(tag: &str) -> bool {
    let process = tag.strip_prefix("xedge-").and_then(|rest| rest.split_once('-')?.0.parse().ok());
    let Some(process) = process.and_then(Pid::from_raw) else { return false };
    // One of another user cannot be asked, but is there.
    test_kill_process(process) == Err(rustix::io::Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use xedge_model::Digest;

    use super::{is_dead, tag};

    #[test]
    fn only_tags_of_processes_that_ended_are_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = Digest::of(b"");
        assert!(!is_dead(&tag(std::process::id(), &id)));
        child.wait().unwrap();
        assert!(is_dead(&tag(child.id(), &id)));
        for other in ["latest", "xedge-", "xedge-x-1", "xedge-0-1", "mine-1-1"] {
            assert!(!is_dead(other), "{other}");
        }
    }
}
