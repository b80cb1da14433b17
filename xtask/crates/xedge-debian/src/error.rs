//! The errors of this crate, with their class and what to do next; nothing else.

use std::io;

use xedge_model::{Class, Failure};

/// What can go wrong with Debian's files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The suite's signing keys are not part of this tool.
    #[error("failed to find the signing keys of the suite `{suite}`: known here is {known}")]
    UnknownSuite {
        /// The suite that was asked for.
        suite: String,
        /// The suites whose keys are known.
        known: &'static str,
    },
    /// gpgv is not installed.
    #[error("failed to start `{program}`, which checks the signatures of Debian's indexes")]
    NoGpgv {
        /// The program that was tried.
        program: String,
        /// Why it did not start.
        source: io::Error,
    },
    /// A file or a stream could not be read or written.
    #[error("failed to read or write {file}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A signed index whose signature does not hold.
    #[error("failed to verify the signature of InRelease: {problem}")]
    Signature {
        /// What is wrong with it.
        problem: String,
    },
    /// The index is a genuine one of another suite.
    #[error("failed to accept the index of {pocket}: it says that it is {found}")]
    WrongSuite {
        /// The pocket that was asked for.
        pocket: String,
        /// The code name in the index.
        found: String,
    },
    /// The index is older than its signers allow.
    #[error("failed to accept the index of {pocket}: it was valid until {valid_until} only")]
    Expired {
        /// The pocket.
        pocket: String,
        /// The end of its life, as the file says it.
        valid_until: String,
    },
    /// A file whose content is not what its format asks for.
    #[error("failed to read {file}: {problem}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A wanted package that the suite does not have.
    #[error("failed to find the package `{name}` for {architecture}")]
    UnknownPackage {
        /// The package.
        name: String,
        /// Debian's name of the architecture.
        architecture: String,
        /// A package with nearly that name.
        near: Option<String>,
    },
    /// A dependency that nothing in the suite meets.
    #[error("failed to meet the dependency `{relation}` of {chain} for {architecture}")]
    Unmet {
        /// The dependency as the package states it.
        relation: String,
        /// The package, and why it was chosen.
        chain: String,
        /// Debian's name of the architecture.
        architecture: String,
    },
    /// Two packages of the result that refuse to be together.
    #[error("failed to combine the packages `{package}` and `{other}`: the first one refuses `{relation}`")]
    Conflict {
        /// The package that states the conflict.
        package: String,
        /// The other package.
        other: String,
        /// What it states.
        relation: String,
    },
    /// An omission that omits nothing.
    #[error("failed to use the omission of `{name}`: no chosen package depends on it")]
    StaleOmission {
        /// The omitted name.
        name: String,
    },
    /// A package that is both wanted and omitted.
    #[error("failed to use the omission of `{name}`: the same package is wanted")]
    WantedAndOmitted {
        /// The package.
        name: String,
    },
    /// Platforms whose packages come from different versions of the same source.
    #[error("failed to match the platforms: the source package `{source_package}` is {versions}")]
    Skew {
        /// The source package.
        source_package: String,
        /// Each platform with its version.
        versions: String,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NoGpgv { .. } | Self::Io { .. } | Self::Skew { .. } => Class::Environment,
            Self::Signature { .. }
            | Self::WrongSuite { .. }
            | Self::Expired { .. }
            | Self::Malformed { .. } => Class::Integrity,
            Self::UnknownSuite { .. }
            | Self::UnknownPackage { .. }
            | Self::Unmet { .. }
            | Self::Conflict { .. }
            | Self::StaleOmission { .. }
            | Self::WantedAndOmitted { .. } => Class::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoGpgv { .. } => "install what this machine lacks: `cargo xtask setup`".into(),
            Self::Expired { .. } => {
                "the mirror may lag or the clock be wrong; where a lagging mirror is meant, apt's \
                 own switch is obeyed: `Acquire::Check-Valid-Until \"false\";` in /etc/apt/apt.conf.d"
                    .into()
            }
            Self::Signature { .. } | Self::WrongSuite { .. } => {
                "the mirror, or a proxy on the way, may have changed the file: try another one, \
                 `XEDGE_DEBIAN_MIRROR=http://HOST/debian cargo xtask lock`"
                    .into()
            }
            Self::UnknownPackage { near, .. } => match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "package names are those of Debian's main archive: `apt-cache search WORD`".into(),
            },
            Self::Unmet { .. } => {
                "if the image can do without it, list it under `omit` in image.yaml, then `cargo xtask lock`"
                    .into()
            }
            Self::StaleOmission { name } => {
                format!("remove `{name}` from `omit` in image.yaml, then `cargo xtask lock`")
            }
            Self::WantedAndOmitted { name } => format!(
                "remove `{name}` from `packages` or from `omit` in image.yaml, then `cargo xtask lock`"
            ),
            Self::Skew { .. } => "the archive has not built the newest version for every platform yet: \
                 repeat later, `cargo xtask lock --update`"
                .into(),
            Self::UnknownSuite { .. } | Self::Io { .. } | Self::Malformed { .. } | Self::Conflict { .. } => {
                return None;
            }
        };
        Some(text)
    }
}

impl Error {
    /// A file that breaks its format.
    pub(crate) fn malformed(file: &str, problem: impl Into<String>) -> Self {
        Self::Malformed { file: file.to_owned(), problem: problem.into() }
    }

    /// Tells content that does not decode from a machine that cannot read.
    pub(crate) fn reading(file: &str, source: io::Error) -> Self {
        use io::ErrorKind as K;
        match source.kind() {
            K::InvalidData | K::InvalidInput | K::UnexpectedEof | K::Other => {
                Self::malformed(file, source.to_string())
            }
            _ => Self::Io { file: file.to_owned(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use xedge_model::{Class, Failure};

    use super::Error;

    fn samples() -> Vec<(Error, Class)> {
        let text = || "x".to_owned();
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let chain = || "`b`, needed by `a`".to_owned();
        vec![
            (Error::UnknownSuite { suite: text(), known: "bookworm" }, Class::Input),
            (Error::NoGpgv { program: text(), source: full() }, Class::Environment),
            (Error::Io { file: text(), source: full() }, Class::Environment),
            (Error::Signature { problem: text() }, Class::Integrity),
            (Error::WrongSuite { pocket: text(), found: text() }, Class::Integrity),
            (Error::Expired { pocket: text(), valid_until: text() }, Class::Integrity),
            (Error::Malformed { file: text(), problem: text() }, Class::Integrity),
            (Error::UnknownPackage { name: text(), architecture: text(), near: None }, Class::Input),
            (Error::Unmet { relation: text(), chain: chain(), architecture: text() }, Class::Input),
            (Error::Conflict { package: text(), other: text(), relation: text() }, Class::Input),
            (Error::StaleOmission { name: text() }, Class::Input),
            (Error::WantedAndOmitted { name: text() }, Class::Input),
            (Error::Skew { source_package: text(), versions: text() }, Class::Environment),
        ]
    }

    #[test]
    fn texts_follow_the_house_rules_and_classes_the_table() {
        for (error, class) in samples() {
            let text = error.to_string();
            assert!(text.starts_with("failed to ") && !text.ends_with('.'), "{text}");
            assert!(error.source().is_none_or(|source| !text.contains(&source.to_string())), "{text}");
            assert!(
                error.hint().is_none_or(|hint| !hint.starts_with("hint") && !hint.ends_with('.')),
                "{text}"
            );
            assert_eq!(error.class(), class, "{text}");
        }
    }

    #[test]
    fn a_machine_that_cannot_read_is_told_from_a_file_that_is_broken() {
        let class = |kind| Error::reading("f", io::Error::new(kind, "x")).class();
        assert_eq!(class(io::ErrorKind::UnexpectedEof), Class::Integrity);
        assert_eq!(class(io::ErrorKind::InvalidData), Class::Integrity);
        assert_eq!(class(io::ErrorKind::PermissionDenied), Class::Environment);
    }
}
