//! Jobs that lend themselves to one another: what one takes or gives, put in the
//! place of another's by whoever carries the ciphertexts.

use super::{KEY, Manifest};

const ARCHIVE: &str = "arn:aws:kms:eu-west-1:111122223333:key/8d2b6c94-6b0d-4c39-8a11-70c2f0a9be02";

/// A manifest of these jobs; `$key` and `$archive` stand for KMS keys.
fn parse(jobs: &[&str]) -> Result<(), String> {
    let text = super::text();
    let (head, _) = text.split_once("[[job]]").unwrap();
    let ann = format!("[[caller]]\nname = \"ann\"\npublic_key = \"{}\"\n", "ab".repeat(32));
    let secrets = ["tokens", "indexes", "signer"].map(|name| {
        format!(
            "[[secret]]\nname = \"{name}\"\nkey = \"{KEY}\"\ncontext = {{ use = \"{name}\" }}\nwrapped = \"AQID\"\n"
        )
    });
    let jobs: String = jobs.iter().map(|job| format!("[[job]]\n{job}\n")).collect();
    let text = [head, &ann, &secrets.concat(), &jobs]
        .concat()
        .replace("$key", KEY)
        .replace("$archive", ARCHIVE);
    Manifest::parse(&text).map(|_| ()).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(jobs: &[&str], because: &str) {
    let error = parse(jobs).expect_err("accepted");
    assert!(error.contains(because), "{error:?} does not say {because:?}");
}

const INDEX: &str = r#"name = "index"
operation = "index"
secret = "indexes"
input = { format = "csv", key = "$key", context = { purpose = "support" } }
fields = { email = { index = {} } }
output = { protect = "none" }"#;

const SIGN: &str = r#"name = "sign"
operation = "sign"
secret = "signer"
input = { key = "$key", context = { purpose = "support" } }
sign = { algorithm = "ed25519" }
output = { protect = "none" }"#;

/// Its caller composes everything but the tokens.
const RESTORE: &str = r#"name = "restore"
operation = "detokenize"
secret = "tokens"
input = { format = "csv", encryption = "none" }
fields = { pan = { token = "siv" }, email = "keep" }
output = { protect = "kms", key = "$key", context = { purpose = "support" } }"#;

/// Its caller composes everything but one column.
const FIELDS: &str = r#"name = "fields"
operation = "mask"
input = { format = "csv", key = "$key", fields = { pan = { context = { purpose = "pan" } } } }
fields = { pan = "last4", email = "keep" }
output = { protect = "kms", key = "$key", context = { purpose = "support" } }"#;

#[test]
fn what_a_caller_composed_is_not_indexed_or_signed_as_a_producers_data() {
    for composes in [RESTORE, FIELDS] {
        for takes in [INDEX, SIGN] {
            assert_refused(&[composes, takes], "for a producer's data: fix an entry");
            let apart =
                composes.replace("{ purpose = \"support\" } }", "{ purpose = \"restored\" } }");
            parse(&[&apart, takes]).unwrap();
        }
    }
    // An argument can be any value.
    let labelled = FIELDS
        .replace("operation", "args = [\"why\"]\ncallers = [\"ann\"]\noperation")
        .replace("{ purpose = \"support\" } }", "{ purpose = \"{why}\" } }");
    assert_refused(&[&labelled, INDEX], "for a producer's data");
}

/// A file that is masked.
const MASK: &str = r#"name = "mask"
operation = "mask"
input = { format = "csv", key = "$key", context = { purpose = "file" } }
fields = { pan = "last4" }
output = { protect = "none" }"#;

/// The same file, under another KMS key.
const ROTATE: &str = r#"name = "rotate"
operation = "reencrypt"
input = { key = "$key", context = { purpose = "file" } }
output = { protect = "kms", key = "$archive", context = { purpose = "archive" } }"#;

/// Shows a field.
const NOTES: &str = r#"name = "notes"
operation = "mask"
input = { format = "ndjson", key = "$archive", fields = { "/note" = { context = { purpose = "archive" } } } }
fields = { "/note" = "keep", "/id" = "redact" }
output = { protect = "none" }"#;

#[test]
fn a_whole_file_is_not_shown_as_a_field_that_is_kept() {
    let notes = NOTES.replace("$archive", "$key").replace("archive", "file");
    assert_refused(&[MASK, &notes], "either could be put in the other's place");
    parse(&[MASK, &notes.replace("\"file\"", "\"note\"")]).unwrap();
}

#[test]
fn a_whole_file_encrypted_anew_is_not_shown_as_a_field_that_is_kept() {
    assert_refused(&[MASK, ROTATE, NOTES], "would take this result for a field");
    parse(&[MASK, ROTATE, &NOTES.replace("\"archive\"", "\"note\"")]).unwrap();
    let tenants = |job: &str| {
        job.replace("operation", "args = [\"tenant\"]\noperation")
            .replace("\" } }", "\", tenant = \"{tenant}\" } }")
            .replace("\" }\noutput", "\", tenant = \"{tenant}\" } }\noutput")
    };
    assert_refused(&[&tenants(ROTATE), NOTES], "would take this result for a field");
}

/// Fields encrypted anew, each in its place.
const REKEY: &str = r#"name = "rekey"
operation = "reencrypt"
input = { format = "ndjson", key = "$key", fields = { "/pan" = { context = { purpose = "pan" } }, "/note" = { context = { purpose = "note" } } } }
output = { protect = "kms", key = "$archive", context = { purpose = "archive" }, fields = OWN }"#;

#[test]
fn a_field_encrypted_anew_is_not_shown_as_another_that_is_kept() {
    let listed = REKEY.replace("OWN", r#"["/pan", "/note"]"#);
    assert_refused(&[&listed, NOTES], r#"would take the field "/pan" of this result for its own"#);
    // Nobody opens them, or each has a context of its own.
    parse(&[&listed]).unwrap();
    let own =
        REKEY.replace("OWN", r#"{ "/pan" = { column = "pan" }, "/note" = { column = "note" } }"#);
    let notes = |column: &str| {
        NOTES.replace(
            "{ purpose = \"archive\" }",
            &format!("{{ purpose = \"archive\", column = \"{column}\" }}"),
        )
    };
    parse(&[&own, &notes("note")]).unwrap();
    assert_refused(&[&own, &notes("pan")], "would take the field \"/pan\"");
    // A job that does not ask for the column takes any.
    assert_refused(&[&own, NOTES], "would take the field \"/pan\"");
    // Nor is it a file.
    assert_refused(
        &[&own, &MASK.replace("$key", "$archive").replace("file", "archive")],
        "would take the field",
    );
}

#[test]
fn fields_of_one_name_in_different_places_of_a_record_are_kept_apart() {
    let job = |one: &str, other: &str| {
        format!(
            r#"name = "numbers"
operation = "mask"
input = {{ format = "ndjson", key = "$key", fields = {{ "/card/number" = {{ context = {{ {one} }} }}, "/order/number" = {{ context = {{ {other} }} }} }} }}
fields = {{ "/card/number" = "last4", "/order/number" = "keep" }}
output = {{ protect = "none" }}"#
        )
    };
    let (card, order) = ("purpose = \"card\"", "purpose = \"order\"");
    assert_refused(&[&job(card, card)], "either could be put in the other's place");
    parse(&[&job(card, order)]).unwrap();
}

#[test]
fn a_tenant_that_a_record_may_leave_unproven_labels_no_result() {
    let job = |output: &str| {
        format!(
            r#"name = "label"
operation = "reencrypt"
args = ["tenant"]
input = {{ format = "ndjson", key = "$key", fields = {{ "/ssn" = {{ context = {{ purpose = "support", tenant = "{{tenant}}" }} }} }} }}
output = {{ protect = "kms", key = "$archive", context = {{ {output} }} }}"#
        )
    };
    let because = "\"tenant\" would label what nothing proves";
    assert_refused(&[&job("purpose = \"archive\", tenant = \"{tenant}\"")], because);
    parse(&[&job("purpose = \"archive\"")]).unwrap();
}

#[test]
fn a_range_of_one_number_masks_nothing() {
    let job = |width: &str| MASK.replace("\"last4\"", &format!("{{ generalise = {width} }}"));
    assert_refused(&[&job("1")], "nothing would be masked");
    parse(&[&job("10")]).unwrap();
}
