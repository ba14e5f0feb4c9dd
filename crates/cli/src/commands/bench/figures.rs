//! Numbers: medians, percentiles, and one row of the result.

use std::time::Duration;

use serde::Serialize;

/// One figure of the service beside the echo's.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// The row's name, as `--only` takes it, and which case of it.
    pub(super) row: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) case: String,
    /// What was measured.
    pub(super) of: String,
    pub(super) unit: &'static str,
    pub(super) service: f64,
    pub(super) echo: Option<f64>,
    /// Service divided by echo: the median of the runs' own ratios.
    pub(super) ratio: Option<f64>,
    /// What each run gave, the service's and the echo's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) runs: Vec<(f64, f64)>,
}

impl Row {
    /// Of runs in which the two took turns.
    pub(super) fn of_runs(
        (row, case): (&'static str, &str),
        (of, unit): (&str, &'static str),
        runs: Vec<(f64, f64)>,
    ) -> Self {
        let ratios = runs.iter().map(|(ours, echo)| ours / echo).collect();
        Self {
            row,
            case: case.to_owned(),
            of: of.to_owned(),
            unit,
            service: median(runs.iter().map(|(ours, _)| *ours).collect()),
            echo: Some(median(runs.iter().map(|(_, echo)| *echo).collect())),
            ratio: Some(median(ratios)).filter(|ratio| ratio.is_finite()),
            runs,
        }
    }

    /// Of the service alone.
    pub(super) fn alone(
        (row, case): (&'static str, &str),
        (of, unit): (&str, &'static str),
        service: f64,
    ) -> Self {
        let (case, of) = (case.to_owned(), of.to_owned());
        Self { row, case, of, unit, service, echo: None, ratio: None, runs: Vec::new() }
    }
}

/// The middle one, or 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

/// Latencies, to be asked for percentiles.
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn new(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// The latency that `permille` of a thousand requests did not exceed, in
    /// microseconds.
    pub(super) fn micros(&self, permille: usize) -> f64 {
        let rank = (self.0.len() * permille).div_ceil(1000).saturating_sub(1);
        self.0.get(rank).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    }
}

/// The percentiles that are shown, in permille.
pub(super) const PERCENTILES: [(&str, usize); 3] = [("p50", 500), ("p99", 990), ("p99.9", 999)];

/// A count as a floating point number.
pub(super) fn float(count: u64) -> f64 {
    let half = |half: u64| f64::from(u32::try_from(half & 0xffff_ffff).unwrap_or(u32::MAX));
    half(count >> 32) * 4_294_967_296.0 + half(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn a_percentile_is_a_latency_that_so_many_did_not_exceed() {
        let latencies = Latencies::new((1..=1000).rev().map(Duration::from_micros).collect());
        let shown = PERCENTILES.map(|(_, permille)| latencies.micros(permille).round());
        assert_eq!(shown, [500.0, 990.0, 999.0]);
        let one = Latencies::new(vec![Duration::from_micros(7)]);
        assert_eq!(one.micros(999).round(), 7.0);
        assert_eq!(Latencies::new(vec![]).micros(500), 0.0);
    }

    #[test]
    fn a_large_count_keeps_its_value() {
        for count in [0, 1, u64::from(u32::MAX), 1 << 32, 10 << 30, (1 << 53) - 1] {
            assert_eq!(format!("{}", float(count)), count.to_string());
        }
    }
}
