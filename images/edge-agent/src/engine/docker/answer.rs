//! The Engine's refusals: which of them are answers, which pass, and what they say.

use std::time::Duration;

use super::Refusal;

/// How long Podman may take to note down how a container ended.
const NOTING: Duration = Duration::from_secs(10);

pub(super) fn present<T>(answer: Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if status(&error) == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is gone, or being removed by somebody else, is fine.
pub(super) fn gone(answer: Result<(), Refusal>) -> Result<(), Refusal> {
    match answer {
        Err(error) if status(&error) == 404 => Ok(()),
        Err(error) if status(&error) == 409 && error.to_string().contains("already in progress") => Ok(()),
        answer => answer,
    }
}

/// Between two states of a container, as between its end and its exit code (`stopped`), Podman gives it one that Docker's
/// API does not have, and the client library refuses the whole answer. In the same moment it may fail on files of a process
/// that has just gone. Asked again, until it is a state of both.
pub(super) async fn once_noted<T, F: Future<Output = Result<T, Refusal>>>(
    ask: impl Fn() -> F,
) -> Result<T, Refusal> {
    let end = tokio::time::Instant::now() + NOTING;
    loop {
        match Box::pin(ask()).await {
            Err(error) if is_in_between(&error) && tokio::time::Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

fn is_in_between(error: &Refusal) -> bool {
    match error {
        Refusal::JsonDataError { message, .. } => message.contains("unknown variant"),
        Refusal::DockerResponseServerError { status_code: 500, message } => {
            message.contains("/proc/") && message.contains("no such process")
        }
        _ => false,
    }
}

pub(super) fn status(error: &Refusal) -> u16 {
    match error {
        Refusal::DockerResponseServerError { status_code, .. } => *status_code,
        _ => 0,
    }
}

/// The last cause says most: the ones before it are the client library's layers.
pub(super) fn detail(error: &Refusal) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
