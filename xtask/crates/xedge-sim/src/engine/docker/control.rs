//! What is done to containers that run: signals, pauses, measuring. It judges nothing.

use futures_util::TryStreamExt;

use super::models::ContainerStatsResponse;
use super::{Docker, query, status};
use crate::Error;
use crate::engine::usage::{self, Usage};

impl Docker {
    /// Sends a signal to a container's main process; its restart policy does not bring it back.
    pub(crate) async fn kill(&self, container: &str, signal: &str) -> Result<(), Error> {
        let options = query::KillContainerOptionsBuilder::default().signal(signal).build();
        let sent = self.client.kill_container(container, Some(options)).await;
        sent.map_err(|e| self.failed(&format!("send SIG{signal} to container {container}"), e))
    }

    /// Holds all processes of a container.
    pub(crate) async fn pause(&self, container: &str) -> Result<(), Error> {
        let held = self.client.pause_container(container).await;
        held.map_err(|e| self.failed(&format!("pause container {container}"), e))
    }

    /// Lets a held container go on.
    pub(crate) async fn unpause(&self, container: &str) -> Result<(), Error> {
        let resumed = self.client.unpause_container(container).await;
        resumed.map_err(|e| self.failed(&format!("unpause container {container}"), e))
    }

    /// Whether it is there at all.
    pub(crate) async fn answers(&self) -> Result<(), Error> {
        self.client.ping().await.map(drop).map_err(|e| self.failed("see whether it is there", e))
    }

    /// What a running container uses; `None` where neither this machine's files nor the Engine can tell.
    pub(crate) async fn usage(&self, container: &str) -> Result<Option<Usage>, Error> {
        let found = self.inspected(container).await?;
        let pid = found.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        let Some((pid, id)) = pid.zip(found.id) else { return Ok(None) };
        match usage::of_process(pid, &id) {
            Some(usage) => Ok(Some(usage)),
            None => self.stats(container).await,
        }
    }

    /// The Engine's own figures: of an Engine elsewhere there are no files here.
    async fn stats(&self, container: &str) -> Result<Option<Usage>, Error> {
        let options = query::StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut figures = self.client.stats(container, Some(options));
        match figures.try_next().await {
            Ok(found) => Ok(found.and_then(|found| figure(&found))),
            // It ended in between.
            Err(error) if matches!(status(&error), 404 | 409) => Ok(None),
            Err(error) => Err(self.failed(&format!("read the figures of container {container}"), error)),
        }
    }
}

/// Zero memory is an Engine that cannot read its groups.
fn figure(found: &ContainerStatsResponse) -> Option<Usage> {
    let memory = found.memory_stats.as_ref()?;
    let idle = |stats: &std::collections::HashMap<String, u64>| {
        stats.get("total_inactive_file").or_else(|| stats.get("inactive_file")).copied()
    };
    let idle = memory.stats.as_ref().and_then(idle).unwrap_or(0);
    let memory_bytes = memory.usage?.saturating_sub(idle);
    let cpu_us = found.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage? / 1_000;
    Some(Usage { memory_bytes, cpu_us }).filter(|usage| usage.memory_bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::figure;
    use crate::engine::usage::Usage;

    #[test]
    fn figures_of_zero_are_none() {
        let read = |memory: &str| {
            let text =
                format!(r#"{{"memory_stats":{memory},"cpu_stats":{{"cpu_usage":{{"total_usage":9000}}}}}}"#);
            figure(&serde_json::from_str(&text).unwrap())
        };
        let used = read(r#"{"usage":5000,"stats":{"inactive_file":1000}}"#);
        assert_eq!(used, Some(Usage { memory_bytes: 4_000, cpu_us: 9 }));
        assert_eq!(read(r#"{"usage":0}"#), None);
        assert_eq!(read("{}"), None);
    }
}
