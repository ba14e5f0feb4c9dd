//! Records with encrypted fields: each opened for its own column, at one call to
//! KMS per data key.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_client::{ErrorCode, Job};
use strongroom_envelope::DataKey;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext, Header, Limits, Policy};

use crate::envelopes::envelope;
use crate::house::{House, open, seal};
use crate::raw::{Line, run_of};
use crate::workshop::{house, house_with, lines};

/// Jobs over people whose name, card and e-mail are encrypted each on its own.
fn jobs(format: &str, paths: [&str; 4], extra: &str) -> String {
    let [id, name, pan, email] = paths;
    let input = format!(
        r#"input = {{ format = "{format}", key = "$customers"{extra}, fields = {{ "{name}" = {{ context = {{ purpose = "field", column = "name", tenant = "{{tenant}}" }} }}, "{pan}" = {{ context = {{ purpose = "field", column = "pan", tenant = "{{tenant}}" }} }}, "{email}" = {{ format = "plain-envelope", context = {{ purpose = "field", column = "email", tenant = "{{tenant}}" }} }} }} }}"#
    );
    let again = [(name, "name"), (pan, "pan"), (email, "email")].map(|(path, column)| {
        format!(
            r#""{path}" = {{ context = {{ purpose = "field", column = "{column}", tenant = "{{tenant}}" }} }}"#
        )
    });
    let again = again.join(", ");
    format!(
        r#"
[[job]]
name = "people"
operation = "mask"
args = ["tenant"]
{input}
fields = {{ "{id}" = "keep", "{name}" = "initials", "{pan}" = "last4", "{email}" = "email" }}
output = {{ protect = "none" }}

[[job]]
name = "rekey"
operation = "reencrypt"
args = ["tenant"]
{input}
output = {{ protect = "kms", key = "$archive", context = {{ purpose = "field", tenant = "{{tenant}}" }}, fields = {{ "{email}" = {{ column = "email" }}, "{pan}" = {{ column = "pan" }}, "{name}" = {{ column = "name" }} }} }}

[[job]]
name = "rekeyed"
operation = "mask"
args = ["tenant"]
input = {{ format = "{format}", key = "$archive", fields = {{ {again} }} }}
fields = {{ "{id}" = "keep", "{name}" = "initials", "{pan}" = "last4", "{email}" = "email" }}
output = {{ protect = "none" }}
"#
    )
}

const JSON_PATHS: [&str; 4] = ["/id", "/name", "/card/pan", "/email"];
const CSV_PATHS: [&str; 4] = ["id", "name", "pan", "email"];

/// A data key for a column, and how a producer encrypts a field under it.
struct Column {
    context: [(&'static str, &'static str); 3],
    key: DataKey,
    encrypted: EncryptedDataKey,
}

impl Column {
    async fn new(house: &House, column: &'static str) -> Self {
        let context = [("purpose", "field"), ("column", column), ("tenant", "acme")];
        let (key, encrypted) = house.data_key(&house.customers, &context).await;
        Self { context, key, encrypted }
    }

    fn message(&self, value: &str) -> String {
        let keys = std::slice::from_ref(&self.encrypted);
        STANDARD.encode(seal(&self.key, keys, &self.context, value.as_bytes(), 512))
    }

    fn envelope(&self, value: &str) -> String {
        let encrypted = &self.encrypted.ciphertext;
        STANDARD.encode(envelope(&self.key, encrypted, &self.context, value.as_bytes()))
    }
}

struct Columns {
    name: Column,
    pan: Column,
    email: Column,
}

impl Columns {
    async fn new(house: &House) -> Self {
        let name = Column::new(house, "name").await;
        let pan = Column::new(house, "pan").await;
        Self { name, pan, email: Column::new(house, "email").await }
    }

    fn person(&self, id: usize) -> Value {
        json!({
            "id": id,
            "name": self.name.message("Ada Lovelace"),
            "card": {"pan": self.pan.message(&format!("41111111{id:08}")), "until": "12/29"},
            "email": self.email.envelope("ada@canary.example"),
        })
    }
}

async fn people(house: &House, job: &str, input: &str) -> Result<String, ErrorCode> {
    let request = run_of(job, &[("tenant", "acme")]);
    let answer = Line::to(house).await.ask(&request, &[input.as_bytes()]).await;
    match &answer.error {
        Some(error) => Err(error.code),
        None => Ok(String::from_utf8(answer.whole()).unwrap()),
    }
}

fn kms_calls(house: &House) -> [u64; 2] {
    ["Decrypt", "GenerateDataKey"].map(|operation| house.nitro.kms.faults().count(operation))
}

#[tokio::test]
async fn thousands_of_records_cost_one_call_to_kms_per_data_key() {
    let house = house(&jobs("ndjson", JSON_PATHS, "")).await;
    let columns = [Columns::new(&house).await, Columns::new(&house).await];
    let count = 2000;
    // Two generations of data keys, of three columns each.
    let input = lines(count, |id| columns[id % 2].person(id).to_string());
    let before = kms_calls(&house);
    let masked = people(&house, "people", &input).await.unwrap();
    assert_eq!(kms_calls(&house), [before[0] + 6, before[1]]);
    assert_eq!(masked.lines().count(), count);
    for (id, line) in masked.lines().enumerate() {
        let pan = format!("****{:04}", id % 10_000);
        let want =
            json!({"id": id, "name": "A.L.", "card": {"pan": pan}, "email": "***@canary.example"});
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), want);
    }
}

#[tokio::test]
async fn reencrypted_fields_open_one_by_one_under_the_new_key_and_nothing_else_is_touched() {
    let house = house(&jobs("ndjson", JSON_PATHS, "")).await;
    let columns = Columns::new(&house).await;
    let input = lines(50, |id| {
        // A spelling of its own, to be kept byte for byte.
        let person = columns.person(id).to_string();
        person.replacen('{', &format!("{{\"n\\u00e9\":1e2,\"seq\":[ {id},\tnull ],"), 1)
    });
    let before = kms_calls(&house);
    let output = people(&house, "rekey", &input).await.unwrap();
    let after = kms_calls(&house);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [3, 3]);

    let open_policy =
        crate::house::key_policy("").replace("StringEqualsIgnoreCase", "StringNotEquals");
    house.nitro.kms.put_key_policy(&house.archive, &open_policy).unwrap();
    let context = |column| {
        let all = [("purpose", "field"), ("column", column), ("tenant", "acme")];
        EncryptionContext::new(all).unwrap()
    };
    let (mut keys, mut ids) = (BTreeMap::new(), BTreeSet::new());
    for (id, (old, new)) in input.lines().zip(output.lines()).enumerate() {
        let (old_values, new_values) = (fields_of(old), fields_of(new));
        let pan = format!("41111111{id:08}");
        let mut expected = old.to_owned();
        for ((old, new), (column, plain)) in old_values.iter().zip(&new_values).zip([
            ("name", "Ada Lovelace"),
            ("pan", pan.as_str()),
            ("email", "ada@canary.example"),
        ]) {
            let message = STANDARD.decode(new).unwrap();
            let (header, _) =
                Header::parse(&message, &Limits::default(), &Policy::default()).unwrap().unwrap();
            assert_eq!(header.encryption_context(), &context(column));
            assert!(ids.insert(header.message_id().to_vec()), "a message id twice");
            let encrypted = &header.encrypted_data_keys()[0];
            assert_eq!(encrypted.provider_info, house.archive.as_bytes());
            if !keys.contains_key(column) {
                let key = house.decrypt_data_key(&house.parent, encrypted, &context(column)).await;
                keys.insert(column, key.unwrap());
            }
            assert_eq!(open(&message, &keys[column]), plain.as_bytes());
            expected = expected.replace(old, new);
        }
        assert_eq!(new, expected);
    }
    assert_eq!(output.lines().count(), 50);
}

fn fields_of(line: &str) -> [String; 3] {
    let record: Value = serde_json::from_str(line).unwrap();
    ["/name", "/card/pan", "/email"]
        .map(|place| record.pointer(place).unwrap().as_str().unwrap().to_owned())
}

#[tokio::test]
async fn fields_of_csv_rows_and_of_json_documents_are_opened_too() {
    let csv = house(&jobs("csv", CSV_PATHS, "")).await;
    let columns = Columns::new(&csv).await;
    let row = |id: usize| {
        let name = columns.name.message("Lovelace, Ada\nKing");
        let [pan, email] =
            [columns.pan.message("4111111111111111"), columns.email.envelope("a@b.example")];
        format!("{id},\"{name}\",{pan},{email},other")
    };
    let input = format!("id,name,pan,email,note\n{}", lines(3, row));
    let output = people(&csv, "people", &input).await.unwrap();
    let rekeyed = people(&csv, "rekey", &input).await.unwrap();
    assert_eq!(people(&csv, "rekeyed", &rekeyed).await.unwrap(), output);
    assert!(rekeyed.lines().skip(1).all(|row| row.ends_with(",other")), "{rekeyed}");
    assert_eq!(
        output,
        format!(
            "id,name,pan,email\n{}",
            lines(3, |id| format!("{id},L.A.K.,****1111,***@b.example"))
        )
    );

    let house = house(&jobs("json", JSON_PATHS, "")).await;
    let columns = Columns::new(&house).await;
    let input = Value::from((0..3).map(|id| columns.person(id)).collect::<Vec<_>>());
    for text in [input.to_string(), serde_json::to_string_pretty(&input).unwrap()] {
        let output = people(&house, "people", &text).await.unwrap();
        let rekeyed = people(&house, "rekey", &text).await.unwrap();
        assert_eq!(people(&house, "rekeyed", &rekeyed).await.unwrap(), output);
        // What was encrypted anew for one field is none of another.
        let mut swapped: Value = serde_json::from_str(&rekeyed).unwrap();
        swapped[1]["name"] = swapped[1]["card"]["pan"].clone();
        let swapped = people(&house, "rekeyed", &swapped.to_string()).await;
        assert_eq!(swapped, Err(ErrorCode::BadRecord));
        let output: Value = serde_json::from_str(&output).unwrap();
        let person = |id| json!({"id": id, "name": "A.L.", "card": {"pan": format!("****{id:04}")}, "email": "***@canary.example"});
        assert_eq!(output, Value::from((0..3).map(person).collect::<Vec<_>>()));
    }
}

/// Records in which one field is not what it should be.
fn bad_records(
    columns: &Columns,
    stranger: &Column,
    elsewhere: &str,
    file: &[u8],
) -> Vec<(&'static str, Value)> {
    let with = |field: &str, value: Value| {
        let mut person = columns.person(7);
        person[field] = value;
        person
    };
    let good = columns.name.message("x");
    let mut flipped = STANDARD.decode(&good).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    vec![
        ("another column's message", with("name", json!(columns.pan.message("4111111111111111")))),
        ("another column's envelope", with("email", json!(columns.name.envelope("Ada")))),
        ("another tenant's message", with("name", json!(stranger.message("Eve")))),
        ("another key's message", with("name", json!(elsewhere))),
        ("a whole file of the tenant", with("name", json!(STANDARD.encode(file)))),
        ("a changed message", with("name", json!(STANDARD.encode(&flipped)))),
        ("a cut message", with("name", json!(STANDARD.encode(&flipped[..flipped.len() - 9])))),
        ("text in the clear", with("name", json!("Ada Lovelace"))),
        ("a message that is no envelope", with("email", json!(columns.email.message("a@b.c")))),
        ("a number", with("name", json!(7))),
        ("a bool", with("name", json!(true))),
        ("a list", with("name", json!([good]))),
    ]
}

async fn stranger(house: &House) -> (Column, String) {
    let context = [("purpose", "field"), ("column", "name"), ("tenant", "globex")];
    let (key, encrypted) = house.data_key(&house.customers, &context).await;
    let name = Column::new(house, "name").await;
    let (key_there, there) = house.data_key(&house.archive, &name.context).await;
    let elsewhere = STANDARD.encode(seal(&key_there, &[there], &name.context, b"Ada", 512));
    (Column { context, key, encrypted }, elsewhere)
}

#[tokio::test]
async fn a_field_that_does_not_belong_in_its_place_is_a_bad_record_and_the_error_names_it() {
    let house = house(&jobs("ndjson", JSON_PATHS, "")).await;
    let columns = Columns::new(&house).await;
    let (stranger, elsewhere) = stranger(&house).await;
    for (what, bad) in bad_records(&columns, &stranger, &elsewhere, &house.acme().await) {
        let input = lines(5, |id| match id {
            3 => bad.to_string(),
            id => columns.person(id).to_string(),
        });
        for job in ["people", "rekey"] {
            let refused =
                house.refusal(&Job::new(job).arg("tenant", "acme"), input.as_bytes()).await;
            let where_ = (refused.code, refused.record);
            assert_eq!(where_, (ErrorCode::BadRecord, Some(4)), "{job} {what}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn bad_records_are_left_out_and_counted_where_the_job_says_so() {
    let house = house(&jobs("ndjson", JSON_PATHS, ", bad_records = \"drop\"")).await;
    let columns = Columns::new(&house).await;
    let (stranger, elsewhere) = stranger(&house).await;
    let bad = bad_records(&columns, &stranger, &elsewhere, &house.acme().await);
    let mut input = columns.person(0).to_string() + "\n";
    bad.iter().for_each(|(_, record)| input += &format!("{record}\n"));
    input += "not json\n";
    input += &format!("{}\n", columns.person(1));
    for job in ["people", "rekey"] {
        let request = run_of(job, &[("tenant", "acme")]);
        let answer = Line::to(&house).await.ask(&request, &[input.as_bytes()]).await;
        let trailer = answer.trailer.clone().unwrap();
        assert_eq!(trailer.dropped, Some(bad.len() as u64 + 1), "{job}");
        let output = String::from_utf8(answer.whole()).unwrap();
        let ids: Vec<Value> = output
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].clone())
            .collect();
        assert_eq!(ids, [json!(0), json!(1)], "{job}");
        if job == "people" {
            assert_eq!(trailer.records, Some(2));
        }
    }
}

#[tokio::test]
async fn a_request_over_fields_uses_max_data_keys_and_not_one_more() {
    let limit = |text: String| text.replace("max_record", "max_data_keys = 4\nmax_record");
    let house = house_with(&jobs("ndjson", JSON_PATHS, ""), &[], limit).await;
    let columns = Columns::new(&house).await;
    let other = Column::new(&house, "name").await;
    let more = Column::new(&house, "name").await;
    let with = |name: &Column| {
        let mut person = columns.person(9);
        person["name"] = json!(name.message("Grace Hopper"));
        person.to_string()
    };
    let four = [columns.person(0).to_string(), with(&other), with(&other)].join("\n");
    assert_eq!(people(&house, "people", &four).await.unwrap().lines().count(), 3);
    let five = [four, with(&more)].join("\n");
    assert_eq!(people(&house, "people", &five).await, Err(ErrorCode::TooLarge));
}

#[tokio::test]
async fn what_is_null_or_empty_stays_so_and_what_comes_twice_is_opened_or_refused() {
    let house = house(&jobs("ndjson", JSON_PATHS, "")).await;
    let columns = Columns::new(&house).await;
    let input = lines(3, |_| json!({"id": 1, "name": null, "card": {"pan": ""}}).to_string());
    let before = kms_calls(&house);
    let rekeyed = people(&house, "rekey", &input).await.unwrap();
    assert_eq!(rekeyed, input);
    assert_eq!(kms_calls(&house)[0], before[0], "there was nothing to decrypt");
    // The same ciphertext in two records is two values.
    let twice = format!("{0}\n{0}\n", columns.person(3));
    let masked = people(&house, "people", &twice).await.unwrap();
    assert_eq!(masked.lines().count(), 2);
    // The same member twice is none: readers differ in which of them counts.
    let name = columns.name.message("Ada");
    let doubled = format!("{{\"name\":\"{name}\",\"name\":\"{name}\"}}\n");
    assert_eq!(people(&house, "people", &doubled).await, Err(ErrorCode::BadRecord));
}

#[tokio::test]
async fn where_and_why_a_changed_field_does_not_open_is_not_told() {
    let house = house(&jobs("ndjson", JSON_PATHS, "")).await;
    let columns = Columns::new(&house).await;
    let good = STANDARD.decode(columns.name.message("canary")).unwrap();
    let (_, other) = house.data_key(&house.customers, &columns.name.context).await;
    let keys = std::slice::from_ref(&other);
    // Under a data key that the message does not commit to.
    let mut bad = vec![seal(&columns.pan.key, keys, &columns.name.context, b"canary", 512)];
    // From the encrypted data key on, as long as it is a message at all.
    let key = good.windows(40).position(|w| w == &columns.name.encrypted.ciphertext[..40]).unwrap();
    let lengths = key + columns.name.encrypted.ciphertext.len()..good.len() - 60;
    for at in (key + 30..good.len()).filter(|at| !lengths.contains(at)).step_by(7) {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        bad.push(flipped);
    }
    let mut texts = BTreeSet::new();
    for message in &bad {
        let record = json!({"name": STANDARD.encode(message)}).to_string();
        let job = Job::new("people").arg("tenant", "acme");
        let refused = house.refusal(&job, record.as_bytes()).await;
        assert_eq!(refused.code, ErrorCode::BadRecord);
        texts.insert(refused.message);
    }
    assert_eq!(texts.len(), 1, "the errors can be told apart: {texts:?}");
    assert!(bad.len() > 10);
}

#[tokio::test]
async fn manifests_in_which_one_ciphertext_could_stand_for_another_do_not_load() {
    use strongroom::manifest::Manifest;
    let [key, other] = [1, 2].map(|n| format!("arn:aws:kms:eu-west-1:111122223333:key/{n}"));
    let load = |jobs: &str| {
        let jobs = jobs.replace("$customers", &key).replace("$archive", &other);
        Manifest::parse(&(crate::house::manifest(&key, &other) + &jobs))
    };
    let good = jobs("ndjson", JSON_PATHS, "");
    load(&good).unwrap();
    for (what, bad) in [
        ("a field could be a whole file", good.replace("purpose = \"field\", ", "")),
        (
            "a field could be another",
            good.replace("column = \"pan\", ", "").replace("column = \"name\", ", ""),
        ),
    ] {
        assert_ne!(bad, good);
        load(&bad).expect_err(what);
    }
}
