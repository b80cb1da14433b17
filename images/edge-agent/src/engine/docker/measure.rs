//! What a container uses, from two readings of its counters.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use xedge_wire::Measure;

use super::models::{ContainerMemoryStats, ContainerStatsResponse};
use super::processes::used;
use super::{Client, Refusal, query};

/// Time between the readings.
const WINDOW: Duration = Duration::from_secs(1);

/// Measures over about a second. Zeros for a container that does not run.
pub(super) async fn measure(client: &Client, id: &str) -> Result<Measure, Refusal> {
    let options = query::InspectContainerOptionsBuilder::default().size(true).build();
    let found = client.inspect_container(id, Some(options)).await?;
    let disk = found.size_rw.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let state = found.state.unwrap_or_default();
    let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let (true, Some(pid)) = (state.running.unwrap_or(false), pid) else {
        return Ok(Measure { disk, ..Measure::default() });
    };
    let proc = Path::new("/proc");
    let start = Instant::now();
    let (first, first_used) = (stats(client, id).await?, used(proc, pid));
    tokio::time::sleep(WINDOW).await;
    let (second, second_used) = (stats(client, id).await?, used(proc, pid));
    let elapsed = start.elapsed().as_secs_f64();
    // An Engine that cannot read its counters says nothing but zeros.
    let processor = match (processor(&first), processor(&second)) {
        (_, Duration::ZERO) => second_used.processor.saturating_sub(first_used.processor),
        (first, second) => second.saturating_sub(first),
    };
    let memory = match second.memory_stats.as_ref().map_or(0, memory) {
        0 => second_used.memory,
        memory => memory,
    };
    Ok(Measure { cpus: processor.as_secs_f64() / elapsed, memory, disk })
}

async fn stats(client: &Client, id: &str) -> Result<ContainerStatsResponse, Refusal> {
    let options = query::StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let mut readings = Box::pin(client.stats(id, Some(options)));
    readings.next().await.unwrap_or_else(|| Ok(ContainerStatsResponse::default()))
}

fn processor(stats: &ContainerStatsResponse) -> Duration {
    let usage = stats.cpu_stats.as_ref().and_then(|stats| stats.cpu_usage.as_ref());
    Duration::from_nanos(usage.and_then(|usage| usage.total_usage).unwrap_or(0))
}

/// Without what the kernel only keeps until somebody needs the room, as `docker stats` shows it.
fn memory(stats: &ContainerMemoryStats) -> u64 {
    let parts = stats.stats.as_ref();
    let idle = ["total_inactive_file", "inactive_file"].iter().find_map(|name| parts?.get(*name));
    stats.usage.unwrap_or(0).saturating_sub(idle.copied().unwrap_or(0))
}
