//! Tokens and blind indexes, under keys that only the enclave can unwrap.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;
use strongroom_client::attestation::{UnixTime, verify};
use strongroom_client::{ErrorCode, Job, RecipientSecretKey};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::seal::{Opener, StreamHeader};
use strongroom_wire::Run;

use crate::house::{House, now_ms};
use crate::raw::Line;
use crate::signer::{Caller, Order, over};
use crate::workshop::{INDEX_SECRET, Wrapped, house_with, index};

const JOBS: &str = r#"
[[job]]
name = "tokenize"
operation = "tokenize"
args = ["tenant"]
secret = "tokens"
tenant = "{tenant}"
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
fields = { pan = { token = "ff1", alphabet = "digits" }, email = { token = "siv" }, name = "initials" }
output = { protect = "none" }

[[job]]
name = "detokenize"
operation = "detokenize"
args = ["tenant"]
callers = ["desk"]
secret = "tokens"
tenant = "{tenant}"
input = { format = "csv", encryption = "none" }
fields = { pan = { token = "ff1", alphabet = "digits" }, email = { token = "siv" }, name = "keep" }
output = { protect = "seal", to = "any" }

[[job]]
name = "index"
operation = "index"
args = ["tenant"]
secret = "indexes"
tenant = "{tenant}"
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
fields = { email = { index = { normalise = ["trim", "lowercase"], bytes = 16 } }, pan = { index = { normalise = ["digits"], name = "card" } }, name = "drop" }
output = { protect = "none" }
"#;

const PEOPLE: &str = "name,pan,email\n\
    Ada Lovelace,4111-1111-1111-1111,ada@canary.example\n\
    Alan Turing,5500-0055-5555-5559,alan@canary.example\n\
    Ada again,4111-1111-1111-1111, Ada@Canary.example\n\
    Nobody,,\n";

async fn built() -> (House, Caller) {
    let desk = Caller::ed25519("desk");
    let secrets = [Wrapped::generated("tokens"), Wrapped::of("indexes", INDEX_SECRET.to_vec())];
    let jobs = [&desk.entry(), JOBS].concat();
    (house_with(&jobs, &secrets, |text| text).await, desk)
}

async fn people(house: &House, tenant: &str) -> Vec<u8> {
    let context = [("purpose", "support"), ("tenant", tenant)];
    house.encrypt(&house.customers, &context, PEOPLE.as_bytes(), 64).await
}

async fn of_tenant(house: &House, job: &str, tenant: &str) -> String {
    let job = Job::new(job).arg("tenant", tenant);
    let (output, _) = house.run(&job, &people(house, tenant).await).await.unwrap();
    String::from_utf8(output).unwrap()
}

fn column(csv: &str, number: usize) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    reader.records().map(|row| row.unwrap()[number].to_owned()).collect()
}

/// Detokenizes for `tenant` as the desk; the plaintext, or why there is none.
async fn detokenize(
    house: &House,
    desk: &Caller,
    tenant: &str,
    tokens: &str,
) -> Result<String, ErrorCode> {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let args = [("tenant", tenant)];
    let run = Run {
        seal_to: Some(ByteBuf::from(*public.as_bytes())),
        ..over("detokenize", &args, tokens.as_bytes())
    };
    let request = desk.request(&Order::new(house, &run));
    let answer = Line::to(house).await.ask(&request, &[tokens.as_bytes()]).await;
    if let Some(error) = answer.error {
        return Err(error.code);
    }
    Ok(String::from_utf8(unsealed(house, &secret, &answer.whole())).unwrap())
}

/// Opens a sealed stream, padding and all.
pub fn unsealed(house: &House, secret: &RecipientSecretKey, stream: &[u8]) -> Vec<u8> {
    let (header, at) = StreamHeader::parse(stream).unwrap().unwrap();
    let verifier = house.verifier();
    let now = UnixTime::from_millis(now_ms());
    let document = verify(header.attestation(), &verifier.root, now, &verifier.policy).unwrap();
    let user_data = document.user_data().unwrap();
    let mut opener = Opener::new(&header, &header.binding(), secret, user_data).unwrap();
    let (mut plaintext, mut rest) = (SecretBuf::new(), &stream[at..]);
    while !rest.is_empty() {
        let opened = opener.open(rest, &mut plaintext).unwrap();
        assert!(opened > 0, "the stream ends within a chunk");
        rest = &rest[opened..];
    }
    opener.finish().unwrap();
    plaintext.expose().to_vec()
}

#[tokio::test]
async fn tokens_of_a_key_that_nobody_knows_come_back_for_the_caller_the_job_names() {
    let (house, desk) = built().await;
    let tokens = of_tenant(&house, "tokenize", "acme").await;
    assert!(!tokens.contains("canary") && !tokens.contains("4111-1111"), "{tokens}");
    let (pans, emails) = (column(&tokens, 1), column(&tokens, 2));
    // Equal values have equal tokens, others have others; nothing stays nothing.
    assert_eq!(pans[0], pans[2]);
    assert_eq!(BTreeSet::from_iter(&pans).len(), 3);
    assert_eq!(BTreeSet::from_iter(&emails).len(), 4);
    assert_eq!((pans[3].as_str(), emails[3].as_str()), ("", ""));
    // Format-preserving: digits where digits were.
    let form = |pan: &str| pan.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(form(&pans[0]), "0000-0000-0000-0000");
    // Made again, they are the same.
    assert_eq!(of_tenant(&house, "tokenize", "acme").await, tokens);

    let names = tokens.replace("A.L.", "Ada Lovelace").replace("A.T.", "Alan Turing");
    let back = detokenize(&house, &desk, "acme", &names).await.unwrap();
    assert_eq!((column(&back, 1), column(&back, 2)), (column(PEOPLE, 1), column(PEOPLE, 2)));
}

#[tokio::test]
async fn tokens_are_a_tenants_own_and_a_changed_or_moved_one_is_a_bad_record() {
    let (house, desk) = built().await;
    let acme = of_tenant(&house, "tokenize", "acme").await;
    let globex = of_tenant(&house, "tokenize", "globex").await;
    for number in [1, 2] {
        let (ours, theirs) = (column(&acme, number), column(&globex, number));
        assert!(ours.iter().zip(&theirs).all(|(a, b)| a.is_empty() || a != b));
    }
    assert_eq!(detokenize(&house, &desk, "acme", &globex).await, Err(ErrorCode::BadRecord));
    let emails = column(&acme, 2);
    let other = if emails[0].starts_with('A') { 'B' } else { 'A' };
    let changed = acme.replacen(&emails[0], &format!("{other}{}", &emails[0][1..]), 1);
    let clear = "name,pan,email\nx,4111-1111-1111-1111,ada@canary.example\n".to_owned();
    for bad in [changed, clear] {
        assert_eq!(detokenize(&house, &desk, "acme", &bad).await, Err(ErrorCode::BadRecord));
    }
    // Nobody but the desk gets values for tokens at all.
    let (_, public) = RecipientSecretKey::generate().unwrap();
    let run = Run {
        seal_to: Some(ByteBuf::from(*public.as_bytes())),
        ..over("detokenize", &[("tenant", "acme")], acme.as_bytes())
    };
    let request = crate::raw::request(strongroom_wire::Call::Run(run.clone()));
    let answer = Line::to(&house).await.ask(&request, &[acme.as_bytes()]).await;
    assert_eq!(answer.refusal().code, ErrorCode::BadCaller);
    // And the desk says which tokens it means.
    let unnamed = Order::new(&house, &Run { input_sha256: None, ..run });
    let answer = Line::to(&house).await.ask(&desk.request(&unnamed), &[acme.as_bytes()]).await;
    assert_eq!(answer.refusal().code, ErrorCode::BadArgument);
}

#[tokio::test]
async fn a_wrapped_key_of_another_use_is_refused_by_kms_and_one_of_no_use_by_the_operation() {
    let jobs = format!("\n[[job]]{}", JOBS.split("\n[[job]]").nth(1).unwrap());
    let moved = Wrapped { wrapped_for: "receipts", ..Wrapped::generated("tokens") };
    let house = house_with(&jobs, &[moved], |text| text).await;
    let job = Job::new("tokenize").arg("tenant", "acme");
    let refused = house.refusal(&job, &people(&house, "acme").await).await;
    assert_eq!(refused.code, ErrorCode::KeyDenied);
    assert_eq!(refused.kms.unwrap().code, "InvalidCiphertextException");
    assert_eq!(
        house.nitro.kms.faults().count("Decrypt"),
        1,
        "the data was opened without a key to work with"
    );

    let short = Wrapped::of("tokens", b"too short".to_vec());
    let house = house_with(&jobs, &[short], |text| text).await;
    let refused = house.refusal(&job, &people(&house, "acme").await).await;
    assert_eq!(refused.code, ErrorCode::Internal);
    assert!(!refused.message.contains("too short"));
}

#[tokio::test]
async fn an_index_is_what_another_implementation_makes_of_the_normalised_value() {
    let (house, _) = built().await;
    for tenant in ["acme", "globex"] {
        let indexed = of_tenant(&house, "index", tenant).await;
        assert!(indexed.starts_with("pan,email\n"), "{indexed}");
        let email = |value: &str| index("email", tenant, value)[..32].to_owned();
        let ada = email("ada@canary.example");
        let emails = [ada.clone(), email("alan@canary.example"), ada, String::new()];
        assert_eq!(column(&indexed, 1), emails);
        let card = |value: &str| index("card", tenant, value);
        let one = card("4111111111111111");
        assert_eq!(
            column(&indexed, 0),
            [one.clone(), card("5500005555555559"), one, String::new()]
        );
    }
}
