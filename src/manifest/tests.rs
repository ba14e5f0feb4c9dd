//! The manifest: strict in every table, and closed to what would let data out.

mod crossing;

use super::*;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A whole manifest; each `{…}` can be replaced.
fn text() -> String {
    format!(
        r#"
[enclave]
name = "strongroom"
cpu_count = 2
memory_mib = 512

[listen]
vsock_port = 5005

[limits]
max_connections = 10

[kms]
region = "eu-west-1"
proxy = {{ cid = 3, port = 8000 }}

[[job]]
name = "mask-customers"
operation = "mask"
args = ["tenant"]
input = {{ format = "csv", key = "{KEY}", context = {{ purpose = "support", tenant = "{{tenant}}" }} }}
fields = {{ pan = "last4", email = "redact", name = "initials", city = "keep", ssn = "drop" }}
output = {{ protect = "none" }}
"#
    )
}

fn parse_with(from: &str, to: &str) -> Result<Manifest, String> {
    let text = text();
    assert!(text.contains(from), "{from:?} is not in the manifest");
    Manifest::parse(&text.replacen(from, to, 1)).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(from: &str, to: &str, because: &str) {
    match parse_with(from, to) {
        Ok(_) => panic!("accepted with {to:?}"),
        Err(error) => assert!(error.contains(because), "{error:?} does not say {because:?}"),
    }
}

#[test]
fn a_whole_manifest_is_what_it_says() {
    let manifest = Manifest::parse(&text()).unwrap();
    assert!(!manifest.allow_debug);
    assert_eq!(manifest.vsock_port, 5005);
    assert_eq!(manifest.limits.max_connections, 10);
    assert_eq!(manifest.limits.idle_timeout, Duration::from_secs(60));
    assert_eq!((manifest.kms.proxy_cid, manifest.kms.proxy_port), (3, 8000));
    let job = &manifest.jobs["mask-customers"];
    let [input] = job.inputs.as_slice() else { panic!("one input") };
    assert_eq!(input.shape, Shape::Csv);
    let Source::Whole(ciphertext) = &input.source else { panic!("the whole of it") };
    assert_eq!(ciphertext.key.as_str(), KEY);
    let args = BTreeMap::from([("tenant".to_owned(), "acme".to_owned())]);
    assert_eq!(ciphertext.context["tenant"].fill(&args), "acme");
    assert!(matches!(job.output, OutputSpec::None));
}

#[test]
fn the_manifest_in_the_repository_parses() {
    let text = include_str!("../../enclave.eif.toml");
    Manifest::parse(text).unwrap();
}

#[test]
fn an_unknown_key_is_refused_in_every_table() {
    for table in [
        "[enclave]\n",
        "[listen]\n",
        "[limits]\n",
        "[kms]\n",
        "[[job]]\n",
        "proxy = { ",
        "input = { ",
        "output = { ",
    ] {
        let unknown = if table.ends_with('\n') {
            format!("{table}surprise = 1\n")
        } else {
            format!("{table}surprise = 1, ")
        };
        assert_refused(table, &unknown, "unknown field `surprise`");
    }
    assert_refused("[enclave]", "[surprise]\n[enclave]", "unknown field `surprise`");
}

#[test]
fn a_key_beside_protect_none_is_refused_and_does_not_pass_unseen() {
    let beside = format!("protect = \"none\", key = \"{KEY}\"");
    assert_refused("protect = \"none\"", &beside, "unknown field `key`");
    assert_refused("protect = \"none\"", "protect = \"none\", to = \"any\"", "unknown field `to`");
    let kms = format!("protect = \"kms\", key = \"{KEY}\", context = {{}}, to = \"any\"");
    assert_refused("protect = \"none\"", &kms, "unknown field `to`");
    assert_refused(
        "protect = \"none\"",
        "protect = \"seal\", to = \"any\", x = 1",
        "unknown field `x`",
    );
    assert_refused("protect = \"none\"", "protect = \"clear\"", "unknown variant `clear`");
    assert_refused("protect = \"none\"", "", "protect");
}

#[test]
fn reencrypt_may_not_leave_in_the_clear() {
    let job = "operation = \"reencrypt\"\nargs = [\"tenant\"]\n";
    let whole = text().replace("operation = \"mask\"\nargs = [\"tenant\"]\n", job);
    let whole = whole.replace("format = \"csv\", ", "");
    let line = whole.lines().find(|line| line.starts_with("fields")).unwrap().to_owned();
    let error = Manifest::parse(&whole.replace(&line, "")).unwrap_err().to_string();
    assert!(error.contains("hand the parent the plaintext"), "{error}");
}

#[test]
fn only_full_arns_of_keys_in_the_region_are_taken() {
    for bad in [
        "alias/customers",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-west-1:111122223333:alias/customers",
        "arn:aws:kms:eu-west-1:11112222333:key/1",
        "arn:aws:kms:eu-west-1:111122223333:key/",
        "arn:aws:kms:eu-west-1:111122223333:key/a/b",
        "arn:aws:kms:eu west:111122223333:key/1",
        "arn:aws:s3:eu-west-1:111122223333:key/1",
        "",
    ] {
        assert!(parse_with(KEY, bad).is_err(), "{bad:?}");
    }
    let elsewhere = KEY.replace("eu-west-1", "us-east-1");
    assert_refused(KEY, &elsewhere, "the key is in us-east-1, but kms.region is eu-west-1");
}

#[test]
fn at_least_one_context_value_is_fixed_by_the_manifest() {
    assert_refused("purpose = \"support\", ", "", "at least one value must be fixed");
    assert_refused(
        "purpose = \"support\", tenant = \"{tenant}\"",
        "",
        "at least one value must be fixed",
    );
}

#[test]
fn templates_name_one_declared_argument_and_close_their_braces() {
    for (value, because) in [
        ("{nobody}", "which is not in the job's args"),
        ("{tenant}{tenant}", "more than one argument"),
        ("{tenant", "does not close it"),
        ("tenant}", "does not open"),
        ("", "is empty"),
    ] {
        assert_refused("\"{tenant}\"", &format!("\"{value}\""), because);
    }
    assert!(parse_with("\"{tenant}\"", "\"a/{tenant}/b\"").is_ok());
    assert_refused("\"{tenant}\"", "\"fixed\"", "is not used in input.context");
}

#[test]
fn contexts_keep_clear_of_the_names_that_the_encryption_sdk_reserves() {
    assert_refused("purpose = ", "aws-crypto-public-key = ", "cannot be a key");
}

#[test]
fn names_of_jobs_and_arguments_are_plain_and_unique() {
    for bad in ["", "Mask", "a b", "a/b", &"x".repeat(65)] {
        assert_refused("\"mask-customers\"", &format!("{bad:?}"), "is not a name");
    }
    assert_refused("args = [\"tenant\"]", "args = [\"tenant\", \"tenant\"]", "named twice");
    assert_refused("args = [\"tenant\"]", "args = [\"Tenant\"]", "is not a name");
    let twice = format!("{}{}", text(), &text()[text().find("[[job]]").unwrap()..]);
    assert!(Manifest::parse(&twice).unwrap_err().to_string().contains("same name"));
}

#[test]
fn a_mask_needs_rules_that_leave_something() {
    let fields = "fields = { pan = \"last4\", email = \"redact\", name = \"initials\", city = \"keep\", ssn = \"drop\" }";
    assert_refused(fields, "", "a rule per field");
    assert_refused(fields, "fields = { pan = \"drop\" }", "no column would be left");
    assert_refused(fields, "fields = { pan = \"shout\" }", "a rule: \"redact\"");
    assert!(parse_with(fields, "fields = { pan = \"drop\" }\nunknown_fields = \"keep\"").is_ok());
    assert_refused("format = \"csv\", ", "", "works on records");
    assert_refused("format = \"csv\", ", "format = \"bytes\", ", "works on records");
}

#[test]
fn a_mask_that_masks_nothing_may_not_leave_in_the_clear() {
    let line = text().lines().find(|line| line.starts_with("fields")).unwrap().to_owned();
    for fields in ["{}", "{ city = \"keep\" }"] {
        let all = format!("fields = {fields}\nunknown_fields = \"keep\"");
        assert_refused(&line, &all, "nothing would be masked");
        let sealed = text().replace(&line, &all).replace("\"none\"", "\"seal\", to = \"any\"");
        assert!(Manifest::parse(&sealed).is_ok());
    }
}

#[test]
fn an_argument_cannot_label_a_result_without_being_checked_against_the_input() {
    let kms = format!("protect = \"kms\", key = \"{KEY}\", context = {{ tenant = \"{{other}}\" }}");
    let whole = text().replace("args = [\"tenant\"]", "args = [\"tenant\", \"other\"]");
    let error = Manifest::parse(&whole.replace("protect = \"none\"", &kms)).unwrap_err();
    assert!(error.to_string().contains("\"other\" is not used in input.context"), "{error}");
}

#[test]
fn limits_are_bounded_on_both_sides() {
    for (bad, because) in [
        ("max_connections = 0", "must be 1 to"),
        ("request_deadline_secs = 0", "must be 1 to"),
        ("idle_timeout_secs = 86401", "must be 1 to"),
        ("max_frame = \"65MiB\"", "must be 1 to"),
        ("max_frame = \"0\"", "must be 1 to"),
        ("max_frame = 4096", "invalid type"),
        ("max_frame = \"4 KiB\"", "not a number of bytes"),
        ("max_frame = \"99999999999GiB\"", "not a number of bytes"),
        ("max_header = \"2MiB\"", "must be 1 to"),
        ("max_record = \"65MiB\"", "must be 1 to"),
        ("max_encrypted_data_keys = 0", "must be 1 to"),
        ("max_in_flight_bytes = \"51MiB\"", "must be at least"),
    ] {
        assert_refused("max_connections = 10", bad, because);
    }
    assert!(parse_with("max_connections = 10", "max_in_flight_bytes = \"52MiB\"").is_ok());
}

#[test]
fn an_aggregate_can_count_persons_by_a_field_of_one_value() {
    let aggregate = "aggregate = { compute = { n = \"count\" }, min_group_size = 5, per = \"id\" }";
    let line = text().lines().find(|line| line.starts_with("fields")).unwrap().to_owned();
    let job = text().replace("\"mask\"", "\"aggregate\"").replace(&line, aggregate);
    let manifest = Manifest::parse(&job).unwrap();
    let OperationSpec::Aggregate(spec) = &manifest.jobs["mask-customers"].operation else {
        panic!("not an aggregate")
    };
    assert_eq!(spec.per, Some(FieldPath::Column("id".into())));
    let json = job.replace("\"csv\"", "\"ndjson\"").replace("per = \"id\"", "per = \"/ids/*\"");
    let error = Manifest::parse(&json).unwrap_err().to_string();
    assert!(error.contains("several values in a record"), "{error}");
}

#[test]
fn a_sealing_job_says_to_whom() {
    let seal = |to: &str| parse_with("protect = \"none\"", &format!("protect = \"seal\"{to}"));
    let key = "a".repeat(64);
    assert!(seal(", to = \"any\"").is_ok());
    assert!(seal(&format!(", to = [\"{key}\"]")).is_ok());
    for bad in ["", ", to = \"everyone\"", ", to = []", ", to = [\"abcd\"]", ", to = [\"zz\"]"] {
        assert!(seal(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_manifest_without_jobs_or_tables_is_refused() {
    let text = text();
    let without_jobs = &text[..text.find("[[job]]").unwrap()];
    assert!(Manifest::parse(without_jobs).unwrap_err().to_string().contains("[[job]]"));
    assert!(Manifest::parse("").is_err());
    assert!(Manifest::parse("not toml").is_err());
}

#[test]
fn a_port_that_the_service_could_not_listen_on_is_refused() {
    for (port, good) in
        [(0_u32, false), (1023, false), (1024, true), (u32::MAX - 1, true), (u32::MAX, false)]
    {
        let text = text().replace("vsock_port = 5005", &format!("vsock_port = {port}"));
        assert_eq!(Manifest::parse(&text).is_ok(), good, "{port}");
    }
}

#[test]
fn keys_are_kept_within_bounds_and_not_at_all_only_in_so_many_words() {
    let cache = |lines: &str| {
        let from = "[kms]\n";
        parse_with(from, &format!("[cache]\n{lines}\n[kms]\n")).map(|manifest| manifest.cache)
    };
    let usual = Manifest::parse(&text()).unwrap().cache;
    assert_eq!((usual.max_keys, usual.bounds.max_age), (1000, Duration::from_secs(60)));
    assert_eq!(cache("max_keys = 0").unwrap(), CacheSpec { max_keys: 0, ..usual });
    for (lines, because) in [
        ("max_keys = 100001", "max_keys"),
        ("max_keys = -1", "max_keys"),
        ("max_age_secs = 0", "max_age_secs"),
        ("max_age_secs = 86401", "max_age_secs"),
        ("max_uses = 0", "max_uses"),
        ("max_bytes = \"0\"", "max_bytes"),
        ("max_bytes = 1", "max_bytes"),
        ("max_age = 60", "max_age"),
    ] {
        let error = cache(lines).unwrap_err();
        assert!(error.contains(because), "{lines}: {error}");
    }
}

#[test]
fn a_data_key_is_reused_only_within_three_bounds_and_never_of_a_signed_result() {
    let kms = |extra: &str| {
        format!(
            "output = {{ protect = \"kms\", key = \"{KEY}\", context = {{ purpose = \"masked\" }}{extra} }}"
        )
    };
    let output = |extra: &str| parse_with("output = { protect = \"none\" }", &kms(extra));
    let reuse = |bounds: &str| output(&format!(", reuse = {{ {bounds} }}"));
    let of = |manifest: Manifest| match manifest.jobs.into_values().next().unwrap().output {
        OutputSpec::Kms(kms) => kms.reuse,
        output => panic!("{output:?}"),
    };
    assert_eq!(of(output("").unwrap()), None);
    let whole = "max_results = 4294967296, max_bytes = \"1\", max_age_secs = 86400";
    let day = Duration::from_secs(86_400);
    let bounds = KeyBounds { max_age: day, max_uses: 1 << 32, max_bytes: 1 };
    assert_eq!(of(reuse(whole).unwrap()), Some(bounds));
    for (bounds, because) in [
        ("max_results = 1, max_bytes = \"1\"", "max_age_secs"),
        ("max_results = 1, max_age_secs = 1", "max_bytes"),
        ("max_bytes = \"1\", max_age_secs = 1", "max_results"),
        ("max_results = 0, max_bytes = \"1\", max_age_secs = 1", "max_results"),
        ("max_results = 4294967297, max_bytes = \"1\", max_age_secs = 1", "max_results"),
        ("max_results = 1, max_bytes = \"0\", max_age_secs = 1", "max_bytes"),
        ("max_results = 1, max_bytes = \"1\", max_age_secs = 0", "max_age_secs"),
        ("max_results = 1, max_bytes = \"1\", max_age_secs = 1, x = 1", "x"),
    ] {
        let error = reuse(bounds).unwrap_err();
        assert!(error.contains(because), "{bounds}: {error}");
    }
    let error = output(&format!(", signed = true, reuse = {{ {whole} }}")).unwrap_err();
    assert!(error.contains("signed"), "{error}");
    let none = text().replace("[kms]\n", "[cache]\nmax_keys = 0\n[kms]\n");
    let none =
        none.replace("output = { protect = \"none\" }", &kms(&format!(", reuse = {{ {whole} }}")));
    let error = Manifest::parse(&none).unwrap_err().to_string();
    assert!(error.contains("max_keys"), "{error}");
}

#[test]
fn calls_to_kms_are_bounded_in_all_and_for_each_job() {
    let limits = |line: &str| parse_with("max_connections = 10", line).map(|m| m.limits);
    let usual = Manifest::parse(&text()).unwrap().limits;
    assert_eq!((usual.max_kms_calls, usual.max_kms_calls_per_job), (8, 4));
    for key in ["max_kms_calls", "max_kms_calls_per_job"] {
        for (value, good) in [(0, false), (1, true), (64, true), (65, false)] {
            assert_eq!(limits(&format!("{key} = {value}")).is_ok(), good, "{key} = {value}");
        }
    }
}
