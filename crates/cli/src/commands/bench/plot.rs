//! Latency against arrival rate, as a picture (SVG 1.1): both axes logarithmic.

use std::fmt::Write as _;

use super::figures::{PERCENTILES, Row};
use super::open;

/// The picture, or `None` when the rows for it were not measured.
pub(super) fn svg(rows: &[Row], transport: &str) -> Option<String> {
    let series = series(rows);
    let points = || series.iter().flat_map(|series| &series.points);
    let x = Axis::over(points().map(|(rate, _)| *rate), (LEFT, RIGHT))?;
    let y = Axis::over(points().map(|(_, micros)| *micros), (BOTTOM, TOP))?;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"460\" \
         viewBox=\"0 0 760 460\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"460\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">Latency of 1 KiB requests at constant \
         arrival rates, over a {transport} socket</text>\n"
    );
    grid(&mut svg, &x, &y);
    for (number, series) in series.iter().enumerate() {
        draw(&mut svg, number, series, &x, &y);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// One line.
struct Series {
    name: String,
    colour: &'static str,
    dash: &'static str,
    points: Vec<(f64, f64)>,
}

fn series(rows: &[Row]) -> Vec<Series> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.row == open::ROW).collect();
    let of =
        |name: &str| -> Vec<&Row> { rows.iter().copied().filter(|row| row.of == name).collect() };
    let mut all = Vec::new();
    for (ours, colour) in [(true, "#0b62a4"), (false, "#8a8a8a")] {
        let value = |row: &Row| if ours { Some(row.service) } else { row.echo };
        for ((percentile, _), dash) in PERCENTILES.iter().zip(["", "6 3", "2 3"]) {
            let both = of(open::ARRIVALS).into_iter().zip(of(percentile));
            let points = both.filter_map(|(rate, row)| Some((value(rate)?, value(row)?)));
            let who = if ours { "service" } else { "raw echo" };
            let (name, points) = (format!("{who}, {percentile}"), points.collect());
            all.push(Series { name, colour, dash, points });
        }
    }
    all
}

/// A logarithmic axis, of whole powers of ten.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, (start, end): (f64, f64)) -> Option<Self> {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| {
            (low.min(log), high.max(log))
        });
        let high = high.ceil().max(low.floor() + 1.0);
        low.is_finite().then(|| Self { low: low.floor(), high, start, end })
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        self.start + part * (self.end - self.start)
    }

    /// The powers of ten on it.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let first = self.low;
        (0_i32..12).map(move |n| first + f64::from(n)).take_while(|log| *log <= self.high)
    }
}

/// Writing to a String cannot fail.
fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    for log in x.ticks() {
        let (at, label) = (x.at(10_f64.powf(log)), 10_f64.powf(log));
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            BOTTOM + 18.0
        );
    }
    for log in y.ticks() {
        let (at, label) = (y.at(10_f64.powf(log)), duration(10_f64.powf(log)));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">requests per second</text>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 38.0
    );
}

fn draw(svg: &mut String, number: usize, series: &Series, x: &Axis, y: &Axis) {
    let Series { name, colour, dash, points } = series;
    let path =
        points.iter().map(|(rate, micros)| format!("{:.1},{:.1}", x.at(*rate), y.at(*micros)));
    let path: Vec<String> = path.collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dash}\"/>",
        path.join(" ")
    );
    let line = TOP + 14.0 + 18.0 * super::figures::float(super::body::count(number));
    let _ = writeln!(
        svg,
        "<path d=\"M{} {line}h28\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"{}\">{name}</text>",
        RIGHT + 10.0,
        RIGHT + 44.0,
        line + 4.0
    );
}

fn duration(micros: f64) -> String {
    match micros {
        large if large >= 1e6 => format!("{} s", micros / 1e6),
        medium if medium >= 1e3 => format!("{} ms", micros / 1e3),
        _ => format!("{micros} µs"),
    }
}

/// Where the axes are.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 410.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |of, both| Row::of_runs((open::ROW, "50 %"), (of, "µs"), vec![both]);
        let point = |rate, both: (f64, f64)| {
            let latencies = PERCENTILES.map(|(name, _)| row(name, both));
            [vec![row(open::ARRIVALS, rate)], latencies.to_vec()].concat()
        };
        [point((100.0, 1000.0), (10.0, 1.0)), point((1000.0, 10_000.0), (100.0, 10.0))].concat()
    }

    #[test]
    fn there_is_a_line_for_each_percentile_of_service_and_echo() {
        let svg = svg(&rows(), "unix").unwrap();
        assert_eq!(svg.matches("<polyline").count(), 6);
        // 100 to 10000 requests on an axis of two decades, 1 to 100 µs likewise.
        assert_eq!(svg.matches("\"70.0,225.0 335.0,40.0\"").count(), 3, "{svg}");
        assert_eq!(svg.matches("\"335.0,410.0 600.0,225.0\"").count(), 3, "{svg}");
    }

    #[test]
    fn rows_without_the_open_loop_give_no_picture() {
        assert!(svg(&[], "unix").is_none());
        let other = Row::of_runs(("rate", ""), (open::ARRIVALS, "1/s"), vec![(1.0, 1.0)]);
        assert!(svg(&[other], "unix").is_none());
    }
}
