//! Claims about single containers: they are watched while the run goes on, and judged at its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};
use xedge_model::scenario::Expectation;

use super::port;
use super::stage::Stage;
use crate::Error;
use crate::check::{Claim, State};
use crate::history::Kind;
use crate::plan::{ContainerPlan, RunPlan};

/// Pause between two questions to a health check.
const HEALTH: Duration = Duration::from_secs(1);
/// Pause between two attempts to reach a port that does not answer yet.
const PORT: Duration = Duration::from_millis(250);
/// Failures in a row that make a container unhealthy, where no file says: the engines' own number.
const RETRIES: u32 = 3;

/// The claims about single containers of a run.
pub(super) struct Services<'a> {
    stage: &'a Stage<'a>,
    claims: Vec<Watched<'a>>,
}

/// One claim, its container and what was seen so far.
struct Watched<'a> {
    claim: &'a Expectation,
    plan: &'a ContainerPlan,
    since: Instant,
    health: Health,
    port: Port,
}

#[derive(Default)]
struct Health {
    asked: u64,
    failed: u64,
    in_a_row: u32,
    slowest_ms: u64,
    /// What the check said when it had failed too often in a row.
    broken: Option<String>,
    last: Option<String>,
}

#[derive(Default)]
struct Port {
    attempts: u64,
    answered_ms: Option<u64>,
    last: Option<String>,
}

impl<'a> Services<'a> {
    /// The claims of a plan whose containers have just started to answer.
    pub(super) fn of(stage: &'a Stage<'a>, plan: &'a RunPlan) -> Self {
        let since = Instant::now();
        let claims = plan.expectations.iter().filter_map(|claim| {
            let plan = plan.containers.iter().find(|plan| Some(plan.node_id.as_str()) == claim.service())?;
            Some(Watched { claim, plan, since, health: Health::default(), port: Port::default() })
        });
        Self { stage, claims: claims.collect() }
    }

    /// Gives every claimed port the time that a container has for its first answer. One that never does is no error yet.
    pub(super) async fn answer(&mut self) -> Result<(), Error> {
        let stage = self.stage;
        let ports = self.claims.iter_mut().filter_map(|watched| Some((watched.claimed_port()?, watched)));
        try_join_all(ports.map(|(port, watched)| watched.first_answer(stage, port))).await.map(drop)
    }

    /// Goes on asking health checks; ends only with an error.
    pub(super) async fn watch(&mut self) -> Error {
        let stage = self.stage;
        let checks = self.claims.iter_mut().filter(|w| matches!(w.claim, Expectation::ServiceHealthy(_)));
        let watching = checks.map(|watched| watched.ask_on(stage));
        match try_join_all(watching).await {
            Err(error) => error,
            // Without a health check to ask there is nothing to wait for here.
            Ok(_) => std::future::pending().await,
        }
    }

    /// What came of each claim, with a last question.
    pub(super) async fn conclude(mut self) -> Result<Vec<Claim>, Error> {
        let mut claims = Vec::new();
        for watched in &mut self.claims {
            let claim = watched.conclude(self.stage).await?;
            let kind = Kind::Probe { name: claim.id.clone(), result: claim.text.clone() };
            self.stage.recorder.record(&Arc::from(watched.plan.node_id.as_str()), kind);
            claims.push(claim);
        }
        Ok(claims)
    }
}

impl Watched<'_> {
    fn claimed_port(&self) -> Option<u16> {
        match self.claim {
            Expectation::ServiceAnswers(_, port) => Some(*port),
            _ => None,
        }
    }

    async fn first_answer(&mut self, stage: &Stage<'_>, port: u16) -> Result<(), Error> {
        loop {
            let refused = self.try_port(stage, port).await?;
            if refused.is_none() || self.since.elapsed() >= stage.limits.ready {
                return Ok(());
            }
            stage.up(self.plan, "at once").await?;
            sleep(PORT).await;
        }
    }

    async fn try_port(&mut self, stage: &Stage<'_>, port: u16) -> Result<Option<String>, Error> {
        self.port.attempts += 1;
        let refused = match stage.port(self.plan, port).await? {
            Some(address) => port::refused(address, stage.limits.probe).await,
            None => Some("it is not published".to_owned()),
        };
        if refused.is_none() && self.port.answered_ms.is_none() {
            self.port.answered_ms = Some(millis(self.since.elapsed()));
        }
        self.port.last.clone_from(&refused);
        Ok(refused)
    }

    async fn ask_on(&mut self, stage: &Stage<'_>) -> Result<(), Error> {
        loop {
            self.ask(stage).await?;
            sleep(HEALTH).await;
        }
    }

    /// What is said in an outage that the timeline wants does not count.
    async fn ask(&mut self, stage: &Stage<'_>) -> Result<(), Error> {
        let (asked, before) = (Instant::now(), stage.outages.calm(&self.plan.node_id));
        if before.is_none() {
            return Ok(());
        }
        let answer = stage.health(self.plan).await;
        if stage.outages.calm(&self.plan.node_id) == before {
            self.health.note(answer?, self.retries(), millis(asked.elapsed()));
        }
        Ok(())
    }

    fn retries(&self) -> u32 {
        self.plan.extras.health_pace.map_or(RETRIES, |pace| pace.retries.max(1))
    }

    async fn conclude(&mut self, stage: &Stage<'_>) -> Result<Claim, Error> {
        match self.claim {
            Expectation::ServiceAnswers(_, port) => {
                if self.port.answered_ms.is_some() {
                    self.try_port(stage, *port).await?;
                }
                Ok(self.port.claim(self.claim))
            }
            Expectation::ServiceRuns(..) if stage.outages.was_disturbed(&self.plan.node_id) => {
                let text = "the timeline ended or held it, so it cannot have run all the time";
                Ok(Claim::new(self.claim, State::Invalid, text))
            }
            Expectation::ServiceRuns(_, time) => {
                stage.up(self.plan, "during the run").await?;
                Ok(ran(self.claim, time.0, self.since.elapsed()))
            }
            _ => {
                self.ask(stage).await?;
                let (plan, retries) = (self.plan, self.retries());
                self.health.settle(stage.limits.ready, retries, || stage.health(plan)).await?;
                Ok(self.health.claim(self.claim))
            }
        }
    }
}

impl Health {
    async fn ask(
        &mut self,
        retries: u32,
        answer: impl Future<Output = Result<Option<String>, Error>>,
    ) -> Result<(), Error> {
        let asked = Instant::now();
        let answer = answer.await?;
        self.note(answer, retries, millis(asked.elapsed()));
        Ok(())
    }

    /// One that just fails may have its retries, but not all the time that a file can ask for.
    async fn settle<F>(&mut self, limit: Duration, retries: u32, answer: impl Fn() -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<Option<String>, Error>>,
    {
        let settled = timeout(limit, async {
            while self.last.is_some() && self.broken.is_none() {
                sleep(HEALTH).await;
                self.ask(retries, answer()).await?;
            }
            Ok(())
        });
        let settled = settled.await;
        settled.unwrap_or_else(|_| {
            self.give_up(limit);
            Ok(())
        })
    }

    fn note(&mut self, answer: Option<String>, retries: u32, took_ms: u64) {
        self.asked += 1;
        self.slowest_ms = self.slowest_ms.max(took_ms);
        if answer.is_some() {
            self.failed += 1;
            self.in_a_row += 1;
        } else {
            self.in_a_row = 0;
        }
        if self.in_a_row >= retries && self.broken.is_none() {
            self.broken.clone_from(&answer);
        }
        self.last = answer;
    }

    /// It did not pass again in the time that it had after the run.
    fn give_up(&mut self, waited: Duration) {
        let why = self.last.as_deref().unwrap_or("it does not answer");
        self.broken = Some(format!("{why}, and it did not pass for {} s after the run", waited.as_secs()));
    }

    fn claim(&self, claim: &Expectation) -> Claim {
        let (asked, failed) = (self.asked, self.failed);
        let (state, text) = match &self.broken {
            Some(why) => (State::Failed, format!("the health check failed {failed} of {asked} times: {why}")),
            None if failed > 0 => {
                let text =
                    format!("the health check passed at the end, and failed {failed} of {asked} times");
                (State::Held, text + ", never too often in a row")
            }
            None => (State::Held, format!("the health check passed {asked} times, to the end")),
        };
        Claim::new(claim, state, text).with([
            ("checks", asked),
            ("failures", failed),
            ("slowest_ms", self.slowest_ms),
        ])
    }
}

impl Port {
    fn claim(&self, claim: &Expectation) -> Claim {
        let attempts = ("attempts", self.attempts);
        match (self.answered_ms, &self.last) {
            (Some(ms), None) => {
                let text = format!("it took a connection after {ms} ms and at the end");
                Claim::new(claim, State::Held, text).with([attempts, ("answered_ms", ms)])
            }
            (Some(ms), Some(why)) => {
                let text = format!("it took a connection after {ms} ms, and none at the end: {why}");
                Claim::new(claim, State::Failed, text).with([attempts, ("answered_ms", ms)])
            }
            (None, why) => {
                let why = why.as_deref().unwrap_or("it was not asked");
                let text = format!("it took no connection in {} attempts: {why}", self.attempts);
                Claim::new(claim, State::Failed, text).with([attempts])
            }
        }
    }
}

/// A container that ended has ended the run with an error, so what is left to say is how long it was seen.
fn ran(claim: &Expectation, wanted: Duration, seen: Duration) -> Claim {
    let (ms, wanted_ms) = (millis(seen), millis(wanted));
    let state = if seen >= wanted { State::Held } else { State::Invalid };
    let text = match state {
        State::Held => format!("it ran for {ms} ms without being started again"),
        _ => format!("it was seen for {ms} ms only, and the claim is about {wanted_ms} ms"),
    };
    Claim::new(claim, state, text).with([("ran_ms", ms)])
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xedge_model::scenario::Expectation;

    use super::{Health, Port, ran};
    use crate::check::State;

    fn health(answers: &[bool], retries: u32) -> State {
        let mut health = Health::default();
        for passes in answers {
            health.note((!passes).then(|| "its health check ends with 1".to_owned()), retries, 5);
        }
        let claim = health.claim(&Expectation::ServiceHealthy("web".into()));
        assert_eq!(claim.counts["checks"], answers.len() as u64);
        claim.state
    }

    #[test]
    fn so_many_failures_in_a_row_are_unhealthy_and_stay_so() {
        assert_eq!(health(&[true, true], 3), State::Held);
        assert_eq!(health(&[true, false, false, true], 3), State::Held);
        assert_eq!(health(&[true, false, false, true], 2), State::Failed);
        assert_eq!(health(&[false], 1), State::Failed);
    }

    #[tokio::test]
    async fn one_that_goes_on_failing_is_not_waited_for_without_end() {
        let mut health = Health::default();
        let failing = || async { Ok(Some("its health check ends with 1".to_owned())) };
        health.ask(u32::MAX, failing()).await.unwrap();
        health.settle(Duration::from_millis(20), u32::MAX, failing).await.unwrap();
        let claim = health.claim(&Expectation::ServiceHealthy("web".into()));
        assert_eq!(claim.state, State::Failed);
        assert!(claim.text.contains("ends with 1, and it did not pass"), "{}", claim.text);
    }

    #[test]
    fn a_port_must_answer_and_go_on_answering() {
        let id = Expectation::ServiceAnswers("web".into(), 80);
        let port = |answered_ms, last: Option<&str>| {
            Port { attempts: 2, answered_ms, last: last.map(str::to_owned) }.claim(&id)
        };
        assert_eq!(port(Some(7), None).state, State::Held);
        assert_eq!(port(Some(7), None).counts["answered_ms"], 7);
        assert_eq!(port(Some(7), Some("refused")).state, State::Failed);
        assert!(port(None, Some("refused")).text.ends_with("in 2 attempts: refused"));
    }

    #[test]
    fn a_run_that_was_too_short_proves_no_length() {
        let id = Expectation::ServiceRuns("web".into(), "2s".parse().unwrap());
        let seconds = Duration::from_secs;
        assert_eq!(ran(&id, seconds(2), seconds(3)).state, State::Held);
        assert_eq!(ran(&id, seconds(2), seconds(1)).state, State::Invalid);
    }
}
