//! junit.xml: a test suite a scenario, a test case a claim.

use camino::Utf8Path;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use xedge_model::atomic;

use super::json::chain;
use crate::Error;
use crate::check::{Claim, State};
use crate::plan::RunPlan;
use crate::run::outcome::Outcome;

pub(super) fn of_outcome(outcome: &Outcome) -> Report {
    let mut suite = TestSuite::new(outcome.scenario());
    suite.add_test_cases(outcome.claims().iter().map(case));
    suite.add_property(("seed", outcome.seed().to_string().as_str()));
    suite.add_property(("verdict", outcome.verdict().word()));
    report(suite)
}

pub(super) fn of_error(plan: &RunPlan, error: &Error) -> Report {
    let mut suite = TestSuite::new(plan.scenario_name.as_str());
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(chain(error));
    suite.add_test_case(TestCase::new("run", status));
    report(suite)
}

fn case(claim: &Claim) -> TestCase {
    let mut status = match claim.state {
        State::Held => TestCaseStatus::success(),
        State::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        State::Invalid => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if claim.state != State::Held {
        status.set_message(claim.text.clone());
    }
    let mut case = TestCase::new(claim.id.as_str(), status);
    case.set_classname("xedge.sim");
    if claim.state == State::Held {
        case.set_system_out(claim.text.clone());
    }
    case
}

fn report(suite: TestSuite) -> Report {
    let mut report = Report::new("xedge sim");
    report.add_test_suite(suite);
    report
}

pub(super) fn write(folder: &Utf8Path, report: &Report) -> Result<(), Error> {
    let xml = report.to_string();
    let xml = xml.map_err(|e| Error::Report { what: "junit.xml", detail: e.to_string() })?;
    Ok(atomic::write(&folder.join("junit.xml"), xml.as_bytes(), 0o644)?)
}
