//! One passage through virtual time from beginning to end, and two that are compared.

use std::collections::BTreeMap;

use tokio::task::{JoinSet, yield_now};
use xedge_model::Digest;
use xedge_model::scenario::{Expectation, Role};

use super::cast::{Cast, Surroundings};
use super::claims::Checker;
use super::kernel::{Kernel, micros};
use super::link::LinkCount;
use super::plan::VirtualPlan;
use crate::Error;
use crate::check::{Claim, NodeStats, Percentiles};

/// Without scripts, how much of virtual time goes by before somebody who waits is looked after.
const SLICE_US: u64 = 1_000_000;

/// What came of one passage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Passage {
    /// Digest over everything that happened.
    pub trace: Digest,
    /// How much happened.
    pub events: u64,
    /// The claims that virtual time can answer.
    pub claims: Vec<Claim>,
    /// Counts of each node.
    pub nodes: BTreeMap<String, NodeStats>,
    /// What each link did.
    pub links: BTreeMap<String, LinkCount>,
    /// From the sending of a sensor's message to its arrival.
    pub latency: Option<Percentiles>,
    /// Messages that were lost on links.
    pub lost: u64,
    /// Messages that were under way at the end.
    pub in_flight: u64,
    /// What scripts printed, by node.
    pub logs: BTreeMap<String, String>,
}

/// Goes through a plan once.
async fn pass(
    plan: &VirtualPlan,
    expectations: &[Expectation],
    around: &Surroundings,
) -> Result<Passage, Error> {
    let mut kernel = Kernel::new(plan)?;
    let mut cast = Cast::start(plan, around).await?;
    let step = if cast.is_empty() { SLICE_US } else { micros(plan.quantum) };
    let mut now = 0;
    while now < kernel.duration {
        let until = (now + step).min(kernel.duration);
        cast.step(&mut kernel, now, until).await?;
        now = until;
        yield_now().await;
    }
    let logs = cast.end().await;
    kernel.drain(micros(plan.drain));
    Ok(Passage { logs, ..conclude(plan, kernel, expectations) })
}

fn conclude(plan: &VirtualPlan, mut kernel: Kernel<'_>, expectations: &[Expectation]) -> Passage {
    let in_flight = kernel.leave();
    let checker = Checker { plan, kernel: &kernel };
    let claims = expectations.iter().filter_map(|expectation| checker.claim(expectation)).collect();
    let (nodes, sums) = (checker.nodes(), checker.sums(|_: Role| true));
    let (links, latency) = (kernel.links.counts(), kernel.latency.percentiles());
    let (trace, events) = kernel.trace.finish();
    let (lost, logs) = (sums.lost, BTreeMap::new());
    Passage { trace, events, claims, nodes, links, latency, lost, in_flight, logs }
}

/// Goes through a plan twice, side by side and each in surroundings of its own, and adds the claim that both were the same.
/// Dropping the future ends everything.
pub(crate) async fn run_twice(
    plan: &VirtualPlan,
    expectations: &[Expectation],
    surroundings: [Surroundings; 2],
) -> Result<Passage, Error> {
    let mut passes = JoinSet::new();
    for (name, around) in ["first", "second"].into_iter().zip(surroundings) {
        let (plan, expectations) = (plan.clone(), expectations.to_vec());
        passes.spawn(async move { (name, pass(&plan, &expectations, &around).await) });
    }
    let mut done = BTreeMap::new();
    while let Some(joined) = passes.join_next().await {
        let (name, passage) = joined.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        match passage {
            Ok(passage) => drop(done.insert(name, passage)),
            Err(error) => {
                // No script may outlive what is said about the other.
                passes.shutdown().await;
                return Err(error);
            }
        }
    }
    let [mut first, second] = ["first", "second"].map(|name| done.remove(name).expect("both were joined"));
    first.claims.push(Checker::repeats(&first.trace, &second.trace));
    Ok(first)
}
