//! The `xtask` binary: it hands the arguments and the environment to the library and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main(std::env::args_os(), xtask::Environment::of_process())
}
