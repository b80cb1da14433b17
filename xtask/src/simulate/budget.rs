//! Which scenarios may run side by side on this machine, and which a shard runs. Decides by what scenarios say; measures
//! only the machine's size.

use xedge_model::scenario::{Expectation, Metric, Node, Scenario};

use super::Prepared;

/// What a container or program is taken to need where it has no limit.
const USUAL_CPUS: f64 = 0.4;
const USUAL_BYTES: u64 = 192 << 20;

/// Clients from which on the generator needs the machine to itself.
const MANY: u32 = 1_000;

/// What a scenario takes, or what a machine has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// CPUs.
    pub(crate) cpus: f64,
    /// Bytes of memory.
    pub(crate) bytes: u64,
    /// Whether nothing may run beside it.
    pub(crate) alone: bool,
}

impl Share {
    /// What this machine has.
    pub(crate) fn of_machine() -> Self {
        let cpus = std::thread::available_parallelism()
            .map_or(1.0, |n| f64::from(u32::try_from(n.get()).unwrap_or(1)));
        let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
        // Some of it is for everything else.
        Self { cpus, bytes: available.unwrap_or(2 << 30) / 4 * 3, alone: false }
    }

    /// What a scenario takes.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let nodes = || scenario.nodes.value.iter();
        let limits = |node: &Node| node.limits.as_ref().map(|limits| limits.value);
        let cpus =
            |node: &Node| limits(node).and_then(|l| l.cpus).map_or(USUAL_CPUS, |cpus| cpus.min(USUAL_CPUS));
        let bytes = |node: &Node| limits(node).and_then(|l| l.memory).map_or(USUAL_BYTES, |memory| memory.0);
        let containers = || nodes().filter(|node| node.is_real() || node.is_lockstep());
        let scripts = nodes().filter(|node| node.script.is_some());
        let script_count: u32 = scripts.map(|node| node.count.as_ref().map_or(1, |count| count.value)).sum();
        let models = if scenario.is_virtual() { 1.0 } else { 0.2 };
        Self {
            cpus: containers().map(cpus).sum::<f64>() + models + f64::from(script_count) * 0.05,
            bytes: containers().map(bytes).sum::<u64>() + u64::from(script_count) * (16 << 20) + (64 << 20),
            alone: needs_quiet(scenario),
        }
    }
}

/// Whether its verdict hangs on how busy the machine is.
fn needs_quiet(scenario: &Scenario) -> bool {
    if scenario.is_virtual() {
        return false;
    }
    let clients: u32 =
        scenario.nodes.value.iter().map(|node| node.count.as_ref().map_or(1, |count| count.value)).sum();
    let is_timed = |claim: &Expectation| match claim {
        Expectation::Measure(measure) => matches!(
            measure.metric,
            Metric::Latency(_)
                | Metric::AckLatency(_)
                | Metric::CpuMean(_)
                | Metric::CpuPeak(_)
                | Metric::Recovery(_)
        ),
        _ => false,
    };
    let claims = scenario.expect.iter().flat_map(|list| &list.value);
    let has_lag = scenario.limits.as_ref().is_some_and(|limits| limits.lag_p99.is_some());
    clients >= MANY || has_lag || claims.into_iter().any(|claim| is_timed(&claim.value))
}

/// The available memory that `/proc/meminfo` tells.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Whether one more may start beside those that run. A single one always may: then nothing is gained by waiting.
pub(crate) fn fits(next: Share, running: &[Share], machine: Share, jobs: Option<usize>) -> bool {
    if running.is_empty() {
        return true;
    }
    if next.alone || running.iter().any(|share| share.alone) || jobs.is_some_and(|jobs| running.len() >= jobs)
    {
        return false;
    }
    // Who names a number of jobs knows better about CPUs; memory that is not there is nobody's choice.
    let cpus = next.cpus + running.iter().map(|share| share.cpus).sum::<f64>();
    let bytes = next.bytes + running.iter().map(|share| share.bytes).sum::<u64>();
    (jobs.is_some() || cpus <= machine.cpus) && bytes <= machine.bytes
}

/// The scenarios of one of several shards: the longest first, each to the shard with the least so far. All of them come to
/// all of the scenarios, none twice, the same on every machine.
pub(crate) fn shard(all: Vec<Prepared>, shard: crate::cli::Shard) -> Vec<Prepared> {
    let keys: Vec<(u64, &str)> = all.iter().map(|one| (cost_ms(one), one.name.as_str())).collect();
    let chosen = assign(&keys, shard.of);
    let mine: Vec<bool> = chosen.iter().map(|number| *number == shard.number).collect();
    all.into_iter().zip(mine).filter(|(_, is_mine)| *is_mine).map(|(one, _)| one).collect()
}

/// How long a scenario takes, about: its runs, each with the start of its containers.
fn cost_ms(prepared: &Prepared) -> u64 {
    let scenario = &prepared.scenario;
    let runs = scenario.runs.as_ref().map_or(1, |runs| {
        u64::from(runs.repeat.value) * runs.seeds.as_ref().map_or(1, |seeds| seeds.value.len() as u64)
    });
    let own = std::time::Duration::from_secs_f64(scenario.simulation.duration_s.value);
    let own =
        if scenario.is_virtual() { 0 } else { u64::try_from(own.as_millis()).unwrap_or(u64::MAX / 2_000) };
    runs * (own + 5_000)
}

/// The shard of each, from 1.
fn assign(keys: &[(u64, &str)], shards: u32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(keys[*index].0), keys[*index].1));
    let mut loads: Vec<(u64, u32)> = (1..=shards).map(|number| (0, number)).collect();
    let mut chosen = vec![0; keys.len()];
    for index in order {
        if let Some(least) = loads.iter_mut().min() {
            chosen[index] = least.1;
            least.0 += keys[index].0;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use xedge_model::scenario::Scenario;
    use xedge_model::yaml::Source;

    use super::{Share, assign, available, fits};

    const BROKER: &str = "{id: b, type: broker, implementation: docker, docker: {image: a/b}";

    fn share(nodes: &str, more: &str) -> Share {
        let text = format!("simulation: {{duration_s: 1, seed: 1}}\nnodes: [{nodes}]\n{more}");
        Share::of(&Scenario::parse(&Source::new("s.yaml", text)).unwrap())
    }

    #[test]
    fn shards_are_disjoint_and_all_of_them_are_all() {
        let names: Vec<String> = (0..37).map(|n| format!("s{n}")).collect();
        let keys: Vec<(u64, &str)> =
            names.iter().enumerate().map(|(n, name)| ((n as u64 * 7) % 60, name.as_str())).collect();
        for shards in 1..=40 {
            let chosen = assign(&keys, shards);
            assert_eq!(chosen.len(), keys.len());
            assert!(chosen.iter().all(|shard| (1..=shards).contains(shard)), "each is in exactly one");
            let load = |shard: u32| {
                chosen.iter().zip(&keys).filter(|(s, _)| **s == shard).map(|(_, (cost, _))| cost).sum::<u64>()
            };
            let (least, most) =
                ((1..=shards).map(load).min().unwrap(), (1..=shards).map(load).max().unwrap());
            assert!(most - least <= 60, "{shards}: {least} to {most}");
        }
        let mut reversed = keys.clone();
        reversed.reverse();
        let mut again = assign(&reversed, 5);
        again.reverse();
        assert_eq!(again, assign(&keys, 5), "the order of the files decides nothing");
    }

    #[test]
    fn what_is_timed_runs_alone() {
        let sensor = "{id: s, type: sensor}";
        assert!(!share(&format!("{BROKER}}}, {sensor}"), "").alone);
        assert!(share(&format!("{BROKER}}}, {{id: s, type: sensor, count: 10000}}"), "").alone);
        assert!(!share("{id: s, type: sensor, count: 10000}", "").alone, "virtual time waits for nobody");
        assert!(share(&format!("{BROKER}}}, {sensor}"), "limits: {lag_p99: 20ms}").alone);
        let claims = "expect: [broker.starts, mqtt.latency.p99 < 1s]";
        assert!(share(&format!("{BROKER}}}, {sensor}"), claims).alone);
    }

    #[test]
    fn a_machine_takes_what_fits() {
        let one = share(&format!("{BROKER}, limits: {{memory: 256m}}}}"), "");
        assert_eq!(one.bytes, (256 + 64) << 20);
        let machine = Share { cpus: 2.0, bytes: 800 << 20, alone: false };
        assert!(fits(one, &[], machine, None) && fits(one, &[one], machine, None));
        assert!(!fits(one, &[one, one], machine, None), "memory");
        let wide = Share { bytes: 8 << 30, ..machine };
        assert!(fits(one, &[one, one], wide, None) && !fits(one, &[one, one, one], wide, None), "CPUs");
        assert!(fits(one, &[one, one, one], wide, Some(4)) && !fits(one, &[one], wide, Some(1)));
        let alone = Share { alone: true, ..one };
        assert!(
            fits(alone, &[], machine, None)
                && !fits(alone, &[one], wide, Some(9))
                && !fits(one, &[alone], wide, Some(9))
        );
    }

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }
}
