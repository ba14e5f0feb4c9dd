//! `match`: yes or no, and never for a value that the parent says in the clear.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom::manifest::Manifest;
use strongroom_client::{ErrorCode, Job};

use crate::house::{ACME, House};
use crate::workshop::{INDEX_SECRET, Wrapped, house_with, index};

const JOBS: &str = r#"
[[job]]
name = "known"
operation = "match"
args = ["tenant", "email"]
secret = "indexes"
tenant = "{tenant}"
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
match = { field = "email", arg = "email", as = "indexed", index = { normalise = ["lowercase"] } }
output = { protect = "none" }

[[job]]
name = "same"
operation = "match"
args = { tenant = {}, email = { max_length = 4096 } }
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
match = { field = "email", arg = "email", as = "encrypted" }
output = { protect = "none" }
"#;

async fn built() -> House {
    let secrets = [Wrapped::of("indexes", INDEX_SECRET.to_vec())];
    house_with(JOBS, &secrets, |text| text).await
}

fn job(name: &str, value: &str) -> Job {
    Job::new(name).arg("tenant", "acme").arg("email", value)
}

async fn encrypted(house: &House, value: &str) -> String {
    STANDARD.encode(house.encrypt(&house.customers, &ACME, value.as_bytes(), 64).await)
}

async fn answer(house: &House, job: &Job) -> String {
    let (output, _) = house.run(job, &house.acme().await).await.unwrap();
    String::from_utf8(output).unwrap()
}

#[tokio::test]
async fn match_says_one_or_zero_and_nothing_else() {
    let house = built().await;
    for (value, want) in [
        ("ada@canary.example", "1"),
        ("alan@canary.example", "1"),
        ("eve@canary.example", "0"),
        ("da@canary.example", "0"),
    ] {
        assert_eq!(
            answer(&house, &job("known", &index("email", "acme", value))).await,
            want,
            "{value}"
        );
        assert_eq!(answer(&house, &job("same", &encrypted(&house, value).await)).await, want);
    }
    // The index of another tenant is another one.
    let other = job("known", &index("email", "globex", "ada@canary.example"));
    assert_eq!(answer(&house, &other).await, "0");
}

#[tokio::test]
async fn a_value_in_the_clear_is_compared_with_nothing() {
    let house = built().await;
    let acme = house.acme().await;
    let good = index("email", "acme", "ada@canary.example");
    for value in [
        "ada@canary.example",
        &good[..62],
        &good.to_uppercase(),
        &format!("{good}00"),
        &encrypted(&house, "ada@canary.example").await,
    ] {
        let refused = house.refusal(&job("known", value), &acme).await;
        assert_eq!(refused.code, ErrorCode::BadArgument, "{value}");
        assert!(!refused.message.contains("canary"));
    }
    assert_eq!(house.nitro.kms.faults().count("Decrypt"), 0, "KMS was asked for a guess");
    let clear = STANDARD.encode("ada@canary.example");
    for (value, code) in [
        ("ada@canary.example", ErrorCode::BadArgument),
        (clear.as_str(), ErrorCode::BadMessage),
        (good.as_str(), ErrorCode::BadMessage),
    ] {
        let refused = house.refusal(&job("same", value), &acme).await;
        assert_eq!(refused.code, code, "{value}");
        assert!(!refused.message.contains("canary"));
    }
}

#[tokio::test]
async fn a_value_that_was_encrypted_for_another_use_is_compared_with_nothing() {
    let house = built().await;
    let acme = house.acme().await;
    let email = b"ada@canary.example";
    for (key, context, code) in [
        (&house.customers, [ACME[0], ("tenant", "globex")], ErrorCode::ContextMismatch),
        (&house.customers, [("purpose", "billing"), ACME[1]], ErrorCode::ContextMismatch),
        (&house.archive, ACME, ErrorCode::WrongKey),
    ] {
        let value = STANDARD.encode(house.encrypt(key, &context, email, 64).await);
        assert_eq!(house.refusal(&job("same", &value), &acme).await.code, code, "{context:?}");
    }
    let mut changed = house.encrypt(&house.customers, &ACME, email, 64).await;
    *changed.last_mut().unwrap() ^= 1;
    let refused = house.refusal(&job("same", &STANDARD.encode(&changed)), &acme).await;
    assert_eq!(refused.code, ErrorCode::DecryptFailed);
}

#[tokio::test]
async fn a_manifest_that_would_answer_guesses_does_not_load() {
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1";
    let text = |jobs: &str| crate::house::manifest(key, key) + &jobs.replace("$customers", key);
    let same = JOBS.split_once("[[job]]\nname = \"same\"").unwrap().1;
    let same = format!("[[job]]\nname = \"same\"{same}");
    Manifest::parse(&text(&same)).unwrap();
    let source = same.lines().find(|line| line.starts_with("input")).unwrap();
    for (what, bad) in [
        ("a value in the clear", same.replace("\"encrypted\"", "\"clear\"")),
        ("records in the clear", same.replace(source, "input = { format = \"csv\", encryption = \"none\" }")),
        ("records that the caller composes", same.replace(source, "input = { format = \"csv\", fields = { email = { key = \"$customers\", context = { a = \"b\", t = \"{tenant}\" } } } }")),
        ("a value that is no argument", same.replace("arg = \"email\"", "arg = \"mail\"")),
    ] {
        assert_ne!(bad, same);
        Manifest::parse(&text(&bad)).expect_err(what);
    }
}
