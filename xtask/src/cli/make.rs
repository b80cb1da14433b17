//! The flags of what makes files of a project, and secrets beside it: new, secrets. Types only, no behaviour.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use crate::scaffold::XedgeSource;

/// `new`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct New {
    /// Folder of the new project, `.` for this one; a Dockerfile in it becomes the first image
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folder: Option<Utf8PathBuf>,
    /// Name of the project; the folder's when not given
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where it gets xedge from, git=URL@COMMIT or path=DIR; where this one was built from when not given
    #[arg(long, value_name = "SOURCE")]
    pub(crate) xedge: Option<XedgeSource>,
    #[command(subcommand)]
    pub(crate) command: Option<NewCommand>,
}

/// `new` subcommands; a project's folder of such a name is written `./image`.
#[derive(Debug, Subcommand)]
pub(crate) enum NewCommand {
    /// Add images/NAME/image.yaml; without a flag, of images/NAME/Dockerfile
    Image {
        /// Name and folder
        name: String,
        /// Built by an Engine: a Dockerfile, or the folder with one
        #[arg(long, value_name = "PATH", group = "base")]
        dockerfile: Option<Utf8PathBuf>,
        /// An existing image, such as HOST/NAME@sha256:DIGEST
        #[arg(long, value_name = "REFERENCE", group = "base")]
        from: Option<String>,
        /// Debian packages
        #[arg(long, value_name = "PACKAGE", num_args = 1.., group = "base")]
        debian: Vec<String>,
        /// Program and arguments of an image of Debian packages
        #[arg(long, value_name = "WORD", num_args = 1.., requires = "debian", allow_hyphen_values = true)]
        entrypoint: Vec<String>,
    },
    /// Add scenarios/NAME.yaml, which runs all services of a stack
    Scenario {
        /// Name
        name: String,
        /// Stack; the only one when there is one
        #[arg(long)]
        stack: Option<String>,
    },
    /// Add templates/stacks/NAME and a scenario for its gate
    Stack {
        /// Name
        name: String,
        /// Images of this project, by folder or name: a service each
        #[arg(long, value_name = "IMAGE", num_args = 1..)]
        service: Vec<String>,
    },
}
