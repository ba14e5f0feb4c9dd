//! `demo`: passes, and says so in a form that scripts can read.

use crate::program::{run, run_json};

#[test]
fn the_demo_passes_every_check_and_refuses_every_attack() {
    let (code, json) = run_json(["demo", "--rows", "200"]);
    assert_eq!(code, 0, "{json}");
    assert_eq!((&json["passed"], &json["rows"]), (&true.into(), &200.into()));
    let checks = json["checks"].as_array().unwrap();
    assert!(checks.len() >= 10 && checks.iter().all(|check| check["passed"] == true), "{json}");
    let attacks = json["attacks"].as_array().unwrap();
    let codes: Vec<&str> = attacks.iter().map(|attack| attack["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["context_mismatch", "key_denied", "key_unavailable", "key_denied"]);
    assert_eq!(attacks[3]["error"]["kms"]["code"], "AccessDeniedException");
    assert_eq!(attacks[3]["error"]["pcrs"]["0"], json["enclave"]["pcr0"]);
}

#[test]
fn the_demo_for_people_fits_100_columns_and_80_lines() {
    let output = run(["demo", "--rows", "1"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    assert!(shown.lines().count() <= 80, "{shown}");
    let wide = shown.lines().find(|line| line.chars().count() > 100);
    assert_eq!(wide, None);
    assert!(shown.contains("PASSED") && !shown.contains('\u{1b}'));
}
