//! Whose fault an error is, which is also the exit code. One table for everything (ARCHITECTURE.md, exit codes).

use std::{fmt, io};

/// The class of an error or verdict; the discriminant is the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Environment or infrastructure: the only class that is worth a retry.
    Environment = 1,
    /// An expectation or a gate failed, or a container exited at once.
    Failed = 2,
    /// Bad input: usage, file, configuration, policy.
    Input = 3,
    /// An invalid run: a fault or probe had no effect, the generator lagged.
    Invalid = 4,
    /// Some runs passed and some failed.
    Flaky = 5,
    /// Signature, digest, rollback, expiry, missing evidence, no pinned root.
    Integrity = 6,
    /// A bug of ours.
    Bug = 101,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Class {
    /// From the most to the least pressing, so that a retryable 1 never hides a 2.
    const PRECEDENCE: [Class; 8] = [
        Class::Interrupted,
        Class::Bug,
        Class::Integrity,
        Class::Input,
        Class::Failed,
        Class::Invalid,
        Class::Flaky,
        Class::Environment,
    ];

    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        self as u8
    }

    /// Whose fault it is that a file of the user's cannot be read: what is not there or is no text is bad input, and
    /// trying again does not help.
    pub fn of_read(error: &io::Error) -> Self {
        use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound};
        match error.kind() {
            InvalidData | IsADirectory | NotADirectory | NotFound => Self::Input,
            _ => Self::Environment,
        }
    }

    /// The class to report when several verdicts meet in one run; `None` for an empty list.
    pub fn worst(classes: impl IntoIterator<Item = Class>) -> Option<Class> {
        let rank = |class: &Class| Self::PRECEDENCE.iter().position(|c| c == class);
        classes.into_iter().min_by_key(rank)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Environment => "environment",
            Class::Failed => "failed",
            Class::Input => "bad input",
            Class::Invalid => "invalid run",
            Class::Flaky => "flaky",
            Class::Integrity => "integrity",
            Class::Bug => "bug",
            Class::Interrupted => "interrupted",
        })
    }
}

/// An error that knows its class and what to do about it. Every error type of the workspace implements it.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// Whose fault it is.
    fn class(&self) -> Class;
    /// What to do next, ending with a command to type where there is one. No `hint:` prefix, no full stop needed.
    fn hint(&self) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn a_retryable_class_never_hides_another() {
        let worst = |list: &[Class]| Class::worst(list.iter().copied());
        assert_eq!(worst(&[Class::Environment, Class::Failed]), Some(Class::Failed));
        assert_eq!(worst(&[Class::Failed, Class::Integrity, Class::Input]), Some(Class::Integrity));
        assert_eq!(worst(&[Class::Flaky, Class::Invalid]), Some(Class::Invalid));
        assert_eq!(worst(&[]), None);
    }
}
