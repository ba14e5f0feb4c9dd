//! Streams that are cut, reordered, repeated or spliced.
