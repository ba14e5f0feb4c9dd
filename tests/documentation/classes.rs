//! The table of classes in docs/operations.md: it says what the code says, and
//! what it forbids is refused when the manifest is loaded, with the reason.

use strongroom::manifest::Manifest;

use crate::blocks::{named, page};
use crate::fragments::{KEY, completed};

const PAGE: &str = "operations.md";

/// Verb, and the name of its example.
const OPERATIONS: [(&str, &str); 10] = [
    ("mask", "mask"),
    ("reencrypt", "reencrypt"),
    ("tokenize", "tokenize"),
    ("detokenize", "detokenize"),
    ("index", "index"),
    ("match", "match"),
    ("aggregate", "aggregate"),
    ("join-count", "join"),
    ("sign", "sign"),
    ("open", "open"),
];

#[test]
fn the_table_says_what_the_code_says_of_every_operation() {
    let page = page(PAGE);
    for (verb, example) in OPERATIONS {
        let job = named(PAGE, &format!("{example} job"));
        let manifest = Manifest::parse(&completed(&job)).unwrap();
        let operation = &manifest.jobs.values().next().unwrap().operation;
        assert_eq!(operation.verb(), verb);
        let class = format!("{:?}", operation.class()).to_lowercase();
        let learns = operation.class().learns();
        let row = format!("| `{verb}` | {class} | {learns} | ");
        assert!(page.contains(&row), "no row begins with {row:?}");
        assert!(page.contains(&format!("\n## {verb}\n")), "{verb} has no section");
    }
}

#[test]
fn the_table_says_which_results_may_leave_in_the_clear() {
    for (verb, example) in OPERATIONS {
        let page = page(PAGE);
        let row = page.lines().find(|row| row.starts_with(&format!("| `{verb}` | "))).unwrap();
        let says_yes = row.trim_end_matches(" |").rsplit("| ").next().unwrap().starts_with("yes");
        let job = named(PAGE, &format!("{example} job"));
        assert_eq!(parse(&with_output(&job, CLEAR)).is_ok(), says_yes, "{verb}");
        for protected in [KMS, SEAL] {
            parse(&with_output(&job, protected)).unwrap();
        }
    }
}

#[test]
fn plaintext_never_leaves_in_the_clear() {
    for name in ["reencrypt", "open", "detokenize"] {
        let job = with_output(&named(PAGE, &format!("{name} job")), CLEAR);
        assert_refused(&job, "would hand the parent the plaintext; use \"kms\" or \"seal\"");
    }
}

#[test]
fn a_mask_that_masks_nothing_does_not_leave_in_the_clear() {
    let job = |fields: &str, unknown: &str| {
        format!(
            "[[job]]\nname = \"x\"\noperation = \"mask\"\n{}unknown_fields = \"{unknown}\"\n\
             fields = {{ {fields} }}\n{CLEAR}\n",
            input("format = \"csv\"")
        )
    };
    assert_refused(&job("pan = \"keep\"", "keep"), "nothing would be masked");
    parse(&job("pan = \"redact\"", "keep")).unwrap();
    assert_refused(&job("pan = \"keep\"", "drop"), "nothing would be masked");
    parse(&job("pan = \"keep\", note = \"drop\"", "drop")).unwrap();
}

#[test]
fn numbers_about_fewer_than_five_do_not_leave_in_the_clear() {
    for name in ["aggregate", "join"] {
        let job = named(PAGE, &format!("{name} job"));
        let of = |size: u64| job.replace("min_group_size = 5", &format!("min_group_size = {size}"));
        assert_ne!(of(4), job, "{name} has a group size");
        for size in [1, 4] {
            assert_refused(&of(size), "a group must have at least 5 records");
            let listed =
                format!("output = {{ protect = \"seal\", to = [\"{}\"] }}", "a".repeat(64));
            parse(&with_output(&of(size), &listed)).unwrap();
            // The parent can name itself.
            let anyone = with_output(&of(size), SEAL);
            assert_refused(&anyone, "a group must have at least 5 records");
        }
        assert_refused(&of(0), "must be at least 1");
        parse(&of(6)).unwrap();
    }
    let job = named(PAGE, "aggregate job").replace("min_group_size = 5\n", "");
    assert_refused(&job, "how many records must a group have to be shown?");
}

#[test]
fn input_in_the_clear_is_for_detokenize_and_signed_sign_only() {
    for (verb, example) in OPERATIONS {
        let job = named(PAGE, &format!("{example} job"));
        let Some(whole) = job.lines().find(|line| line.starts_with("input = ")) else {
            assert_eq!(verb, "join-count");
            continue;
        };
        let format = ["csv", "ndjson"].into_iter().find(|word| whole.contains(*word));
        let format = format.map(|word| format!("format = \"{word}\", ")).unwrap_or_default();
        let clear = job.replace(whole, &format!("input = {{ {format}encryption = \"none\" }}"));
        match verb {
            "detokenize" | "sign" => drop(parse(&clear).unwrap()),
            _ => assert_refused(&clear, "encryption = \"none\" is for detokenize and sign"),
        }
    }
    let unsigned = named(PAGE, "sign job").replace("callers = [\"orders\"]\n", "");
    assert_refused(&unsigned, "whoever can connect could have anything signed");
}

#[test]
fn a_key_or_context_beside_encryption_none_is_refused() {
    let job = named(PAGE, "sign job");
    for beside in [format!("key = \"{KEY}\""), "context = { purpose = \"x\" }".to_owned()] {
        let both = format!("encryption = \"none\", {beside}");
        let job = job.replace("encryption = \"none\"", &both);
        assert_refused(&job, "there is no key and no context");
    }
}

#[test]
fn tokens_and_indexes_are_made_of_encrypted_fields_only() {
    for (verb, rule) in [("tokenize", "{ token = \"siv\" }"), ("index", "{ index = {} }")] {
        let job = |field: &str| {
            format!(
                "[[job]]\nname = \"x\"\noperation = \"{verb}\"\nsecret = \"s\"\n{}\
                 fields = {{ {field} = {rule} }}\n{CLEAR}\n",
                input_with_fields("csv", "pan")
            )
        };
        parse(&job("pan")).unwrap();
        assert_refused(&job("city"), "could have a token or index of any value it likes");
    }
}

#[test]
fn an_encrypted_field_is_not_kept_for_want_of_a_rule() {
    let job = |rules: &str| {
        format!(
            "[[job]]\nname = \"x\"\noperation = \"mask\"\nunknown_fields = \"keep\"\n{}\
             fields = {{ {rules} }}\n{CLEAR}\n",
            input_with_fields("csv", "pan")
        )
    };
    assert_refused(&job("city = \"redact\""), "would be kept in the clear for want of a rule");
    parse(&job("pan = \"last4\"")).unwrap();
}

#[test]
fn what_is_counted_or_compared_comes_encrypted_as_a_whole() {
    for (name, field) in [("aggregate", "amount"), ("match", "email")] {
        let job = named(PAGE, &format!("{name} job"));
        let whole = job.lines().find(|line| line.starts_with("input = ")).unwrap();
        let job = job.replace(whole, input_with_fields("csv", field).trim_end());
        assert_refused(&job, "the caller composes the records");
    }
    let job = named(PAGE, "join job");
    let first = job.lines().find(|line| line.starts_with("  {")).unwrap();
    let fields = input_with_fields("csv", "email");
    let fields = fields.trim_end().strip_prefix("input = ").unwrap();
    assert_refused(&job.replace(first, &format!("  {fields},")), "the caller composes the records");
}

#[test]
fn what_is_in_the_clear_has_no_padding() {
    let padded = "output = { protect = \"none\", pad_to = \"4KiB\" }";
    let job = with_output(&named(PAGE, "mask job"), padded);
    assert_refused(&job, "protect = \"none\" encrypts nothing");
}

#[test]
fn encrypted_fields_of_the_output_are_those_of_the_input() {
    let job = |verb: &str, input: String, fields: &str, more: &str| {
        format!(
            "[[job]]\nname = \"x\"\noperation = \"{verb}\"\n{input}{more}\
             output = {{ protect = \"kms\", key = \"{KEY}\", context = {{}}, fields = [{fields}] }}\n"
        )
    };
    let encrypted = || input_with_fields("csv", "pan");
    parse(&job("reencrypt", encrypted(), "\"pan\"", "")).unwrap();
    for fields in ["\"city\"", "\"pan\", \"city\"", ""] {
        let refused = job("reencrypt", encrypted(), fields, "");
        assert_refused(&refused, "must name the fields of input.fields, all of them");
    }
    let mask = "fields = { pan = \"keep\" }\n";
    assert_refused(&job("mask", encrypted(), "\"pan\"", mask), "is for reencrypt");
    assert_refused(&job("open", encrypted(), "\"pan\"", ""), "is for reencrypt");
}

#[test]
fn an_argument_that_nothing_proves_is_refused() {
    let job =
        named(PAGE, "reencrypt job").replace(", tenant = \"{tenant}\" } }\noutput", " } }\noutput");
    assert_refused(&job, "\"tenant\" is not used in input.context");
    // Whoever signs the request answers for it.
    parse(&job.replace("args =", "callers = [\"signer\"]\nargs =")).unwrap();
    let job = named(PAGE, "match job").replace("callers = [\"onboarding\"]\n", "");
    parse(&job).unwrap();
    let tenant = job.replace("match =", "tenant = \"{who}\"\nmatch =");
    assert_refused(&tenant, "\"who\" is not used in input.context");
}

#[test]
fn a_ciphertext_that_could_stand_in_the_place_of_another_field_is_refused() {
    let job = |pan: &str, city: &str| {
        format!(
            "[[job]]\nname = \"x\"\noperation = \"mask\"\n\
             input = {{ format = \"csv\", key = \"{KEY}\", fields = {{ \
             pan = {{ context = {{ {pan} }} }}, city = {{ context = {{ {city} }} }} }} }}\n\
             fields = {{ pan = \"last4\", city = \"keep\" }}\n{CLEAR}\n"
        )
    };
    let purpose = "purpose = \"support\"";
    let own = |field: &str| format!("{purpose}, field = \"{field}\"");
    parse(&job(&own("pan"), &own("city"))).unwrap();
    let because = "either could be put in the other's place";
    assert_refused(&job(purpose, purpose), because);
    // What the one must have, the other may have.
    assert_refused(&job(&own("pan"), purpose), because);
}

#[test]
fn an_argument_that_only_some_encrypted_fields_prove_labels_no_tokens() {
    let job = |name: &str| {
        format!(
            "[[job]]\nname = \"x\"\noperation = \"tokenize\"\nargs = [\"tenant\"]\n\
             secret = \"s\"\ntenant = \"{{tenant}}\"\n\
             input = {{ format = \"csv\", key = \"{KEY}\", fields = {{ \
             pan = {{ context = {{ field = \"pan\", tenant = \"{{tenant}}\" }} }}, \
             name = {{ context = {{ field = \"name\"{name} }} }} }} }}\n\
             fields = {{ pan = \"last4\", name = {{ token = \"siv\" }} }}\n{CLEAR}\n"
        )
    };
    parse(&job(", tenant = \"{tenant}\"")).unwrap();
    assert_refused(&job(""), "would label what nothing proves");
}

#[test]
fn fields_of_the_output_are_not_signed() {
    let job = |more: &str| {
        format!(
            "[[job]]\nname = \"x\"\noperation = \"reencrypt\"\n{}\
             output = {{ protect = \"kms\", key = \"{KEY}\", context = {{}}, fields = [\"pan\"]{more} }}\n",
            input_with_fields("csv", "pan")
        )
    };
    parse(&job("")).unwrap();
    assert_refused(&job(", signed = true"), "cannot be signed");
}

const CLEAR: &str = "output = { protect = \"none\" }";
const KMS: &str = "output = { protect = \"kms\", key = \"arn:aws:kms:eu-west-1:111122223333:key/8d2b6c94-6b0d-4c39-8a11-70c2f0a9be02\", context = {} }";
const SEAL: &str = "output = { protect = \"seal\", to = \"any\" }";

fn input(more: &str) -> String {
    format!("input = {{ {more}, key = \"{KEY}\", context = {{ purpose = \"x\" }} }}\n")
}

fn input_with_fields(format: &str, field: &str) -> String {
    format!(
        "input = {{ format = \"{format}\", key = \"{KEY}\", \
         fields = {{ {field} = {{ context = {{ purpose = \"x\" }} }} }} }}\n"
    )
}

/// The job with another output.
fn with_output(job: &str, output: &str) -> String {
    let own = job.lines().find(|line| line.starts_with("output = ")).unwrap();
    job.replace(own, output)
}

fn parse(job: &str) -> Result<Manifest, String> {
    Manifest::parse(&completed(job)).map_err(|error| format!("{error}\n{job}"))
}

#[track_caller]
fn assert_refused(job: &str, because: &str) {
    match Manifest::parse(&completed(job)) {
        Ok(_) => panic!("accepted:\n{job}"),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(because), "{error:?} does not say {because:?}");
        }
    }
}
