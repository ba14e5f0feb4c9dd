//! The oracle of the tests: a walk that `serde_json` checks the syntax for, and
//! finds names and values, over lines and elements that are found beforehand.
//! Slow, plain, and in use before the scanner was.

pub(in crate::shape) mod array;
pub(in crate::shape) mod document;
pub(in crate::shape) mod lines;
pub(in crate::shape) mod tree;
