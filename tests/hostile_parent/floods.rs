//! Lengths that nobody sends, connections without end, keys without end.
