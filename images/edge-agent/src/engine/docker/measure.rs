//! What a container uses, from two readings of its counters.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use xedge_wire::Measure;

use super::models::{ContainerMemoryStats, ContainerStatsResponse};
use super::{Client, Refusal, query};

/// Time between the readings.
const WINDOW: Duration = Duration::from_secs(1);

/// Measures over about a second. Zeros for a container that does not run.
pub(super) async fn measure(client: &Client, id: &str) -> Result<Measure, Refusal> {
    let options = query::InspectContainerOptionsBuilder::default().size(true).build();
    let found = client.inspect_container(id, Some(options)).await?;
    let disk = found.size_rw.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    if !found.state.and_then(|state| state.running).unwrap_or(false) {
        return Ok(Measure { disk, ..Measure::default() });
    }
    let start = Instant::now();
    let first = processor_ns(&stats(client, id).await?);
    tokio::time::sleep(WINDOW).await;
    let second = stats(client, id).await?;
    let elapsed = start.elapsed().as_secs_f64();
    let used = Duration::from_nanos(processor_ns(&second).saturating_sub(first)).as_secs_f64();
    let memory = second.memory_stats.as_ref().map_or(0, memory);
    Ok(Measure { cpus: used / elapsed, memory, disk })
}

async fn stats(client: &Client, id: &str) -> Result<ContainerStatsResponse, Refusal> {
    let options = query::StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let mut readings = Box::pin(client.stats(id, Some(options)));
    readings.next().await.unwrap_or_else(|| Ok(ContainerStatsResponse::default()))
}

fn processor_ns(stats: &ContainerStatsResponse) -> u64 {
    let usage = stats.cpu_stats.as_ref().and_then(|stats| stats.cpu_usage.as_ref());
    usage.and_then(|usage| usage.total_usage).unwrap_or(0)
}

/// Without what the kernel only keeps until somebody needs the room, as `docker stats` shows it.
fn memory(stats: &ContainerMemoryStats) -> u64 {
    let parts = stats.stats.as_ref();
    let idle = ["total_inactive_file", "inactive_file"].iter().find_map(|name| parts?.get(*name));
    stats.usage.unwrap_or(0).saturating_sub(idle.copied().unwrap_or(0))
}
