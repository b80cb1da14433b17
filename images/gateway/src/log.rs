//! Plain lines on standard error; the container engine adds the time. Never a password, never a raw payload.

use std::fmt::Arguments;

/// Writes one line, formatted as with `format!`.
macro_rules! log {
    ($($arg:tt)*) => { $crate::log::line(format_args!($($arg)*)) };
}
pub(crate) use log;

#[expect(clippy::print_stderr, reason = "the one place where this program writes")]
pub(crate) fn line(message: Arguments) {
    eprintln!("gateway: {message}");
}
