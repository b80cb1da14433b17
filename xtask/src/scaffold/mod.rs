//! New projects, and new images, scenarios and stacks of one: texts are made and checked here, then written together or
//! not at all. Nothing is built, run or overwritten.

mod dockerfile;
mod error;
mod name;
mod parts;
mod project;
mod source;
mod tree;

pub(crate) use error::Error;
pub(crate) use parts::{Base, image, scenario, stack};
pub(crate) use project::{Order, make};
pub(crate) use source::XedgeSource;

/// The text with each mark replaced.
fn fill(text: &str, marks: &[(&str, &str)]) -> String {
    marks.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
}
