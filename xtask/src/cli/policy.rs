//! `policy`, as data.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

/// `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Review a stack's configuration, or files of others; print what was found, worst first
    Check(PolicyCheck),
    /// Say what a rule asks for, what can go wrong without it, and what to do
    Explain {
        /// Rule; all are listed when none is named
        rule: Option<String>,
    },
}

/// `policy check`.
#[derive(Args, Debug)]
pub(crate) struct PolicyCheck {
    /// Files of others instead of a stack: a Compose file (.yaml, .yml), mosquitto's (.conf, passwd, acl)
    #[arg(conflicts_with_all = ["stack", "env", "class"])]
    pub(crate) files: Vec<Utf8PathBuf>,
    /// Image that reads the files, by folder or name: its package list says which mosquitto it has
    #[arg(long, value_name = "NAME", requires = "files")]
    pub(crate) image: Option<String>,
    /// Stack, a folder below templates/stacks; the only one when there is one
    #[arg(long)]
    pub(crate) stack: Option<String>,
    /// Environment, a file below templates/environments
    #[arg(long, default_value = "production")]
    pub(crate) env: String,
    /// Class of devices, one of the environment's `classes`
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
}
