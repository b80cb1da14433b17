//! The list of what is in an image, as SPDX 2.3 JSON. Guesses nothing: what is not known is `NOASSERTION`.

mod document;
mod package;

pub use document::spdx;
pub use package::SbomPackage;

#[cfg(test)]
mod tests;
