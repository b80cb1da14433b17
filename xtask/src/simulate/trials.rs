//! The runs of one scenario: which there are, what they come to together, and the report about all of them. A run that
//! passes never makes up for one that did not, but as far as `min_pass_rate` says.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use xedge_model::Class;
use xedge_model::scenario::Scenario;
use xedge_sim::Outcome;

use super::report::write_json;
use super::{Flags, Prepared, rate};
use crate::commands::Context;
use crate::error::{Failed, Result};

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    /// Its seed.
    pub(super) seed: u64,
    /// Which of the runs with that seed it is, from 1.
    repeat: u32,
    /// Which of all it is, from 1, and how many there are.
    number: (usize, usize),
}

/// The runs that a scenario and the user ask for, seed by seed.
pub(super) fn of(scenario: &Scenario, flags: Flags) -> Vec<Trial> {
    let runs = scenario.runs.as_ref();
    let own = runs.and_then(|runs| runs.seeds.as_ref()).map(|seeds| seeds.value.clone());
    let seeds = match flags.seed {
        Some(seed) => vec![seed],
        None => own.unwrap_or_else(|| vec![scenario.simulation.seed]),
    };
    let repeat = flags.repeat.unwrap_or_else(|| own_repeat(scenario));
    let total = seeds.len() * repeat as usize;
    let pairs = seeds.iter().flat_map(|seed| (1..=repeat).map(|repeat| (*seed, repeat)));
    pairs
        .enumerate()
        .map(|(index, (seed, repeat))| Trial { seed, repeat, number: (index + 1, total) })
        .collect()
}

fn own_repeat(scenario: &Scenario) -> u32 {
    scenario.runs.as_ref().map_or(1, |runs| runs.repeat.value)
}

/// Whether these are at least the runs that the scenario asks for; fewer are no evidence.
pub(super) fn are_enough(scenario: &Scenario, flags: Flags) -> bool {
    flags.repeat.is_none_or(|repeat| repeat >= own_repeat(scenario))
}

impl Trial {
    /// Says which run it is, where there are several.
    pub(super) fn announce(&self, cx: &Context<'_>) {
        let (number, total) = self.number;
        if total > 1 {
            cx.printer.say(&format!("  run {number} of {total}, seed {}", self.seed));
        }
    }

    /// Where its report goes, in the folder of the scenario.
    pub(super) fn folder(&self, scenario: &Utf8Path) -> Utf8PathBuf {
        if self.number.1 == 1 { scenario.to_owned() } else { scenario.join("runs").join(self.label()) }
    }

    fn label(&self) -> String {
        format!("{}-{}", self.seed, self.repeat)
    }
}

/// What the runs of a scenario came to.
pub(crate) struct Series {
    done: Vec<(Trial, Outcome)>,
    planned: usize,
    min_pass_rate: f64,
}

impl Series {
    /// None yet.
    pub(super) fn new(scenario: &Scenario, planned: usize) -> Self {
        let min_pass_rate = scenario.runs.as_ref().map_or(1.0, |runs| runs.min_pass_rate.value);
        Self { done: Vec::new(), planned, min_pass_rate }
    }

    /// One more.
    pub(super) fn add(&mut self, trial: Trial, outcome: Outcome) {
        self.done.push((trial, outcome));
    }

    /// How many passed, of how many.
    pub(crate) fn passed(&self) -> (u32, u32) {
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let passed = self.done.iter().filter(|(_, outcome)| outcome.verdict().class().is_none());
        (count(passed.count()), count(self.done.len()))
    }

    /// The verdict over all; `None` is a pass.
    pub(crate) fn class(&self) -> Option<Class> {
        let classes = self.done.iter().map(|(_, outcome)| outcome.verdict().class());
        over(&classes.collect::<Vec<_>>(), self.min_pass_rate)
    }

    /// The run that shows why: the first that did not pass, or the first of all that did.
    pub(crate) fn telling(&self) -> &Outcome {
        let wanted = self.class().is_none();
        let fits = |(_, outcome): &&(Trial, Outcome)| outcome.verdict().class().is_none() == wanted;
        let (_, outcome) = self.done.iter().find(fits).expect("a verdict has a run that shows it");
        outcome
    }

    /// Writes `report.json` over all runs, where there are several; a single one has written its own.
    pub(super) fn write(
        &self,
        cx: &Context<'_>,
        prepared: &Prepared,
        folder: &Utf8Path,
        error: Option<&Failed>,
    ) -> Result<()> {
        if self.planned == 1 || (self.done.is_empty() && error.is_none()) {
            return Ok(());
        }
        let (passed, total) = self.passed();
        let (low, high) = rate::interval(passed, total.max(1));
        if error.is_none() {
            cx.printer.say(&format!(
                "  {passed} of {total} runs passed: with 95 % confidence the rate is {:.1} to {:.1} %",
                low * 100.0,
                high * 100.0
            ));
        }
        let class = error.map_or_else(|| self.class(), |error| Some(error.class()));
        let runs: Vec<_> = self.done.iter().map(|(trial, outcome)| {
            let verdict = outcome.verdict();
            json!({"seed": trial.seed, "run": trial.repeat, "verdict": verdict.word(),
                "exit_code": verdict.class().map_or(0, Class::exit_code), "report": format!("runs/{}", trial.label())})
        }).collect();
        let report = json!({
            "schema": 1,
            "scenario": prepared.name,
            "verdict": class.map_or("passed".to_owned(), |class| class.to_string()),
            "exit_code": class.map_or(0, Class::exit_code),
            "error": error.map(|error| error.chain().join(": ")),
            "planned": self.planned,
            "passed": passed,
            "total": total,
            "min_pass_rate": self.min_pass_rate,
            "interval_95": if total == 0 { None } else { Some([low, high]) },
            "runs": runs,
        });
        write_json(&folder.join("report.json"), &report)
    }
}

/// What runs of these classes come to. One that measured nothing leaves the rate unknown.
fn over(classes: &[Option<Class>], min_pass_rate: f64) -> Option<Class> {
    let passed = classes.iter().filter(|class| class.is_none()).count();
    let failed = classes.iter().filter(|class| **class == Some(Class::Failed)).count();
    if let Some(worst) =
        Class::worst(classes.iter().flatten().copied()).filter(|class| *class != Class::Failed)
    {
        return Some(worst);
    }
    if passed + failed < classes.len() {
        return Some(if passed == 0 { Class::Failed } else { Class::Invalid });
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 1000 runs")]
    let is_enough = passed as f64 >= min_pass_rate * classes.len() as f64 - 1e-9;
    match (is_enough, passed) {
        (true, 1..) => None,
        (_, 0) => Some(Class::Failed),
        _ => Some(Class::Flaky),
    }
}

#[cfg(test)]
mod tests {
    use xedge_model::Class;
    use xedge_model::scenario::Scenario;
    use xedge_model::yaml::Source;

    use super::{are_enough, of, over};
    use crate::locks::Mode;
    use crate::simulate::Flags;

    const FLAGS: Flags = Flags { duration: None, seed: None, repeat: None, keep: false, mode: Mode::Use };

    #[test]
    fn a_pass_never_makes_up_for_a_failure() {
        let (pass, fail, invalid) = (None, Some(Class::Failed), Some(Class::Invalid));
        for (classes, rate, class) in [
            (&[pass][..], 1.0, None),
            (&[fail], 1.0, fail),
            (&[fail, fail], 0.5, fail),
            (&[fail, pass], 1.0, Some(Class::Flaky)),
            (&[pass, pass, pass, fail], 0.75, None),
            (&[pass, pass, fail, fail], 0.75, Some(Class::Flaky)),
            (&[pass, invalid], 0.1, invalid),
            (&[fail, invalid], 0.1, fail),
            (&[fail, pass, invalid], 1.0, invalid),
            (&[invalid], 1.0, invalid),
        ] {
            assert_eq!(over(classes, rate), class, "{classes:?} {rate}");
        }
    }

    #[test]
    fn every_seed_runs_as_often_as_asked() {
        let text = "simulation: {duration_s: 1, seed: 7}\nnodes: [{id: s, type: sensor}]\n";
        let read = |more: &str| Scenario::parse(&Source::new("s.yaml", format!("{text}{more}"))).unwrap();
        let list = |scenario: &Scenario, flags| {
            of(scenario, flags).iter().map(super::Trial::label).collect::<Vec<_>>()
        };
        assert_eq!(list(&read(""), FLAGS), ["7-1"]);
        let runs = read("runs: {seeds: [1, 2], repeat: 2}\n");
        assert_eq!(list(&runs, FLAGS), ["1-1", "1-2", "2-1", "2-2"]);
        assert_eq!(list(&runs, Flags { seed: Some(9), ..FLAGS }), ["9-1", "9-2"]);
        let once = Flags { repeat: Some(1), ..FLAGS };
        assert_eq!(list(&runs, once), ["1-1", "2-1"]);
        assert!(!are_enough(&runs, once) && are_enough(&runs, Flags { repeat: Some(3), ..FLAGS }));
    }
}
