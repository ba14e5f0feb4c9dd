//! `bench` measures what it says. No figure is judged: another machine, another
//! figure.

use serde_json::Value;

use crate::program::{misused, program, run, run_json, stderr, text};

/// As little of everything as there is.
const LITTLE: [&str; 7] = ["bench", "--quick", "--size", "64KiB", "--runs", "1", "--millis=5"];

#[test]
fn every_row_has_finite_figures_and_a_ratio_to_the_echo() {
    let folder = tempfile::tempdir().unwrap();
    let plot = text(&folder.path().join("plot.svg"));
    let (code, json) = run_json(LITTLE.iter().chain(&["--huge=1MiB", "--plot", &plot]));
    assert_eq!((code, &json["transport"]), (0, &"unix".into()), "{json}");
    let rows = json["rows"].as_array().unwrap();
    let names = [
        ("reencrypt", 6),
        ("mask", 6),
        ("latency", 8),
        ("rate", 4),
        ("connections", 4),
        ("idle", 2),
        ("workers", 4),
        ("open-loop", 28),
        ("client", 4),
    ];
    for (name, least) in names {
        let of_name: Vec<&Value> = rows.iter().filter(|row| row["row"] == name).collect();
        let beside = of_name.iter().filter(|row| row["echo"].is_number()).count();
        assert!(beside >= least, "{name}: {of_name:?}");
    }
    for row in rows {
        assert!(row["service"].as_f64().unwrap().is_finite(), "{row}");
        let measured = row["echo"].as_f64().is_some_and(|echo| echo > 0.0);
        assert!(!measured || row["ratio"].as_f64().is_some_and(f64::is_finite), "{row}");
    }
    let peak = rows.iter().find(|row| row["of"] == "peak resident memory").unwrap();
    assert!(peak["service"].as_f64().unwrap() > 1e6, "{peak}");
    // Warm requests ask KMS for nothing.
    let calls = |row: &&Value| row["row"] == "rate" && row["of"] == "calls to KMS";
    let calls: Vec<&Value> = rows.iter().filter(calls).map(|row| &row["service"]).collect();
    assert_eq!(calls, [0.0, 0.0]);
    let plot = std::fs::read_to_string(plot).unwrap();
    assert_eq!(plot.matches("<polyline").count(), 6, "{plot}");
}

#[test]
fn a_table_over_tcp_has_the_rows_that_were_asked_for_and_no_others() {
    let output = run(LITTLE.iter().chain(&["--tcp", "--only", "latency,mask", "--case=CSV"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = String::from_utf8(output.stdout).unwrap();
    for part in
        ["latency, 1 KiB", "latency, 1 KiB, no receipt", "mask, CSV", "raw echo", "p99.9 (µs)"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    for part in ["mask, NDJSON", "reencrypt", "open-loop"] {
        assert!(!shown.contains(part), "{shown}");
    }
}

#[test]
fn a_measured_process_ends_with_its_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = format!("unix:{}", text(&folder.path().join("echo")));
    // Its standard input is at its end from the start.
    let output = program().args(["bench", "--stand=echo", "--stand-at", &at]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let hello: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(hello["address"], at.as_str());
}

#[test]
fn what_cannot_be_measured_is_wrong_usage() {
    misused(["bench", "--only", "nonsense"]);
    misused(["bench", "--size", "much"]);
    misused(["bench", "--write", "2MiB"]);
    misused(["bench", "--write", "0"]);
    misused(["bench", "--quick", "--full"]);
    misused(["bench", "--plot", "x.svg", "--only", "latency"]);
}
