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

/// `secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Make a random value where there is none
    Gen {
        /// User, or file secret; without one, every password that is missing
        name: Option<String>,
        /// Environment
        #[arg(long, value_name = "ENV", default_value = "development")]
        env: String,
        /// Characters
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(16..=500))]
        length: Option<u16>,
    },
    /// Take a value from a file or from stdin, never from the command line
    Set {
        /// User, or file secret
        name: String,
        /// Only here to be refused without being repeated
        #[arg(hide = true, allow_hyphen_values = true)]
        value: Vec<std::ffi::OsString>,
        /// The file that holds it; stdin when not given
        #[arg(long, value_name = "FILE")]
        file: Option<Utf8PathBuf>,
        /// Environment
        #[arg(long, value_name = "ENV", default_value = "development")]
        env: String,
    },
    /// Show which secrets there are, and who uses them; never a value
    List {
        /// Environment; all when not given
        #[arg(long, value_name = "ENV")]
        env: Option<String>,
    },
    /// Make a new value for a password, and say which services need it
    Rotate {
        /// User
        name: String,
        /// Environment
        #[arg(long, value_name = "ENV", default_value = "development")]
        env: String,
        /// Characters
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(16..=500))]
        length: Option<u16>,
    },
    /// Write the secret files of a stack as its containers read them, for a device
    Export {
        /// Stack; the only one when there is one
        #[arg(long)]
        stack: Option<String>,
        /// Environment
        #[arg(long, value_name = "ENV", default_value = "production")]
        env: String,
        /// Folder to write, mode 0700
        #[arg(long, value_name = "DIR")]
        out: Utf8PathBuf,
    },
}
