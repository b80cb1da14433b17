//! Scenario runs: engine, models, history, checkers and reports.
