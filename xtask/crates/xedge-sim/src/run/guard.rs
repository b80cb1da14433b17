//! Around a run: whatever ends it (success, error, cancellation, panic), logs are read and everything is taken away.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use tokio::sync::watch;

use super::Progress;
use super::stage::Stage;
use crate::Error;
use crate::plan::ContainerPlan;

/// What was left when a run ended.
pub(super) struct Aftermath {
    /// Log by node.
    pub(super) logs: BTreeMap<String, String>,
    /// What could not be removed.
    pub(super) leftovers: Vec<String>,
}

/// Runs `body` on a stage and clears the stage after it. A panic goes on after the clearing.
pub(super) async fn guarded<T>(
    stage: &Stage<'_>,
    plans: &[ContainerPlan],
    cancel: watch::Receiver<bool>,
    body: impl Future<Output = Result<T, Error>>,
) -> (Result<T, Error>, Aftermath) {
    let body = AssertUnwindSafe(body).catch_unwind();
    let result = tokio::select! {
        biased;
        () = cancelled(cancel) => Ok(Err(Error::Interrupted { run_id: stage.run_id.to_owned() })),
        result = body => result,
    };
    let result = match result {
        Ok(Err(error)) => Ok(Err(stage.cause(error).await)),
        other => other,
    };
    (stage.progress)(Progress::Phase { name: "stop" });
    if matches!(result, Ok(Ok(_))) && !stage.keep {
        stop_all(stage, plans).await;
    }
    let logs = stage.logs(plans).await;
    let cut_short = !matches!(result, Ok(Ok(_)));
    let leftovers = if stage.keep { Vec::new() } else { stage.clear(cut_short).await };
    for leftover in &leftovers {
        (stage.progress)(Progress::Warning(format!("could not remove {leftover}")));
    }
    match result {
        Ok(result) => (result, Aftermath { logs, leftovers }),
        Err(panic) => resume_unwind(panic),
    }
}

/// Stops all containers at once. How that ends is in the history and no reason to fail: nothing is claimed about it.
async fn stop_all(stage: &Stage<'_>, plans: &[ContainerPlan]) {
    let stops = plans.iter().map(|plan| stage.stop(plan));
    for error in futures_util::future::join_all(stops).await.into_iter().filter_map(Result::err) {
        (stage.progress)(Progress::Warning(error.to_string()));
    }
}

/// Ends once the caller cancels; never if the caller cannot any more.
async fn cancelled(mut cancel: watch::Receiver<bool>) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}
