//! The demo for people: fits 100 columns and a screen or two.

use std::fmt::Write as _;

use super::story::{Attack, Story};
use crate::output::{Output, size};

pub(super) fn text(story: &Story, output: &Output) -> String {
    // Writing to a String cannot fail.
    let mut out = String::new();
    let title = "strongroom demo: simulated Nitro and KMS, everything else real";
    let _ = writeln!(out, "{}", output.bold(title));
    let enclave = &story.enclave;
    let pcr0 = enclave.pcr0.get(..16).unwrap_or_default();
    let _ = writeln!(out, "enclave {} ({}), PCR0 {pcr0}…\n", enclave.module_id, enclave.mode);
    steps(&mut out, story, output);
    sample(&mut out, story, output);
    parties(&mut out, story, output);
    attacks(&mut out, story, output);
    checks(&mut out, story, output);
    out
}

fn steps(out: &mut String, story: &Story, output: &Output) {
    let _ = writeln!(
        out,
        "{}",
        output.bold(&format!(
            "{:<15} {:<44} {:>10} {:>10} {:>9}",
            "WHO", "WHAT", "IN", "OUT", "TIME"
        ))
    );
    let shown = |bytes: Option<u64>| bytes.map(size).unwrap_or_default();
    for step in &story.steps {
        let _ = writeln!(
            out,
            "{:<15} {:<44} {:>10} {:>10} {:>6} ms",
            step.who,
            step.what,
            shown(step.bytes_in),
            shown(step.bytes_out),
            step.millis
        );
    }
}

fn sample(out: &mut String, story: &Story, output: &Output) {
    let _ = writeln!(out, "\n{}", output.bold(&format!("ONE OF {} CUSTOMERS", story.rows)));
    let _ = writeln!(out, "producer has    {}", cut(&story.sample.producer_has, 82));
    let _ = writeln!(out, "parent gets     {}", cut(&story.sample.parent_gets, 82));
}

fn parties(out: &mut String, story: &Story, output: &Output) {
    let head = format!("{:<18} {:<19} {}", "PARTY", "HELD", "SAW");
    let _ = writeln!(out, "\n{}", output.bold(&head));
    for party in &story.parties {
        let line = format!("{:<18} {:<19} {}", party.party, party.held, party.saw);
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn attacks(out: &mut String, story: &Story, output: &Output) {
    let _ = writeln!(out, "\n{}", output.bold("WHAT A HOSTILE PARENT GETS"));
    for (number, attack) in (1..).zip(&story.attacks) {
        let verdict = match attack.code {
            Some(_) => output.good("refused"),
            None => output.bad("WENT THROUGH"),
        };
        let _ = writeln!(out, "{number}. {}: {verdict} ({} ms)", attack.attack, attack.millis);
        for line in quoted(attack) {
            let _ = writeln!(out, "   {}", output.dim(&line));
        }
    }
}

fn checks(out: &mut String, story: &Story, output: &Output) {
    let _ = writeln!(out, "\n{}", output.bold("CHECKS"));
    for check in &story.checks {
        let mark = if check.passed { output.good("ok    ") } else { output.bad("FAILED") };
        let _ = writeln!(out, "{mark}  {}", check.check);
    }
    let verdict = if story.passed {
        output.good("PASSED: the parent ran three jobs on data that it never saw")
    } else {
        output.bad("FAILED: see the checks above")
    };
    let _ = writeln!(out, "\n{verdict} ({}.{:01} s)", story.millis / 1000, story.millis / 100 % 10);
}

/// The error as a user reads it, wrapped; of very long ones the beginning.
fn quoted(attack: &Attack) -> Vec<String> {
    let mut lines = Vec::new();
    for line in attack.text.lines() {
        let short: Vec<String> = line.split(' ').map(short_word).collect();
        let wrapped = wrap(&short.join(" "), WIDTH);
        let too_long = wrapped.len() > MAX_LINES;
        lines.extend(wrapped.into_iter().take(MAX_LINES));
        if let (true, Some(last)) = (too_long, lines.last_mut()) {
            last.push_str(" …");
        }
    }
    lines
}

/// A PCR value's beginning is enough here; `--json` has it whole.
fn short_word(word: &str) -> String {
    match word.len() > 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => cut(word, 32),
        false => word.to_owned(),
    }
}

/// Breaks a line at spaces; a longer word is broken where it must.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in line.split(' ') {
        let mut word = word;
        if !current.is_empty() && current.chars().count() + word.chars().count() >= width {
            lines.push(std::mem::take(&mut current));
        }
        while word.chars().count() > width {
            let (start, rest) = split_chars(word, width);
            lines.push(start.to_owned());
            word = rest;
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    lines.push(current);
    lines
}

fn split_chars(text: &str, count: usize) -> (&str, &str) {
    let at = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

fn cut(text: &str, width: usize) -> String {
    match split_chars(text, width) {
        (whole, "") => whole.to_owned(),
        (start, _) => format!("{start}…"),
    }
}

/// Columns of a quoted error.
const WIDTH: usize = 95;
/// Lines of one paragraph of an error.
const MAX_LINES: usize = 5;
