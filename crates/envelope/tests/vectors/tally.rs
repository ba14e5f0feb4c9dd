//! What came of a set of vectors.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// Counts verdicts by kind and keeps every wrong one until the end.
#[derive(Default)]
pub(crate) struct Tally {
    right: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, kind: &str, name: &str, verdict: Result<(), String>) {
        match verdict {
            Ok(()) => *self.right.entry(kind.to_owned()).or_default() += 1,
            Err(why) => self.wrong.push(format!("{name} ({kind}): {why}")),
        }
    }

    /// Says what came of it, and refuses any wrong verdict.
    pub(crate) fn finish(self, what: &str) {
        let wrong = self.report(what);
        assert_eq!(wrong, 0, "{wrong} wrong verdicts");
    }

    /// Says what came of it: how many verdicts were wrong. Written directly, so
    /// that it shows although the test passes.
    pub(crate) fn report(self, what: &str) -> usize {
        let mut err = io::stderr();
        let right: usize = self.right.values().sum();
        let _ = writeln!(err, "{what}: {right} right {:?}, {} wrong", self.right, self.wrong.len());
        for wrong in &self.wrong {
            let _ = writeln!(err, "{what}: WRONG {wrong}");
        }
        self.wrong.len()
    }
}
