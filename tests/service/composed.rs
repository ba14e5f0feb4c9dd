//! Input that the parent composes: records around encrypted fields, tokens. Whoever
//! signs for such an input names it, and a result can be bound to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_bytes::ByteBuf;
use strongroom_client::{Address, Client, ErrorCode, Job, RecipientSecretKey};
use strongroom_envelope::esdk::EncryptedDataKey;
use strongroom_wire::{Call, Event, FrameDecoder, FrameKind, Payload, Request, Run, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::house::{House, seal};
use crate::raw::{Line, connect, end, frame};
use crate::signer::{Caller, Order, sha256};
use crate::workshop::{INDEX_SECRET, Wrapped, house, house_with, index};

const JOBS: &str = r#"
[[job]]
name = "lookup"
operation = "index"
callers = ["ann"]
secret = "indexes"
input = { format = "ndjson", key = "$customers", fields = { "/email" = { context = { purpose = "email" } } } }
fields = { "/email" = { index = {} }, "/id" = "keep" }
output = { protect = "none" }

[[job]]
name = "restore"
operation = "detokenize"
callers = ["ann"]
secret = "tokens"
input = { format = "csv", encryption = "none" }
fields = { pan = { token = "siv" }, note = "keep" }
output = { protect = "kms", key = "$archive", context = { purpose = "restored" } }
"#;

async fn field(house: &House, purpose: &str, value: &[u8]) -> String {
    let context = [("purpose", purpose)];
    STANDARD.encode(house.encrypt(&house.customers, &context, value, 64).await)
}

#[tokio::test]
async fn a_signed_request_runs_over_no_records_but_those_that_were_signed_for() {
    let ann = Caller::ed25519("ann");
    let secrets = [Wrapped::of("indexes", INDEX_SECRET.to_vec()), Wrapped::generated("tokens")];
    let jobs = [ann.entry(), JOBS.to_owned()].concat();
    let house = house_with(&jobs, &secrets, |text| text).await;
    let hers = field(&house, "email", b"ada@canary.example").await;
    let hers = format!("{{\"id\":1,\"email\":\"{hers}\"}}\n");
    let theirs = field(&house, "email", b"bob@canary.example").await;
    // Long enough for its result to leave in pieces.
    let theirs = format!("{{\"id\":\"the parent's\",\"email\":\"{theirs}\"}}\n").repeat(2000);
    let csv = "pan,note\n,the parent's\n";
    for (job, input) in [("lookup", theirs.as_str()), ("restore", csv)] {
        let calls = || ["Decrypt", "GenerateDataKey"].map(|c| house.nitro.kms.faults().count(c));
        let before = calls();
        let run = Run { job: job.into(), ..Run::default() };
        let unnamed = ann.request(&Order::new(&house, &run));
        let answer = Line::to(&house).await.ask(&unnamed, &[input.as_bytes()]).await;
        assert!(answer.data.is_empty());
        assert_eq!(answer.refusal().code, ErrorCode::BadArgument, "{job}");
        assert_eq!(calls(), before, "{job}: KMS was asked");
        let captured = ann.run(&house, job, &[], hers.as_bytes());
        let answer = Line::to(&house).await.ask(&captured, &[input.as_bytes()]).await;
        assert!(answer.data.is_empty(), "{job}: something of another input was released");
        assert_eq!(answer.refusal().code, ErrorCode::InputMismatch, "{job}");
    }
    let request = ann.run(&house, "lookup", &[], hers.as_bytes());
    let answer = Line::to(&house).await.ask(&request, &[hers.as_bytes()]).await;
    let index = index("/email", "", "ada@canary.example");
    let expected = format!("{{\"id\":1,\"email\":\"{index}\"}}\n");
    assert_eq!(String::from_utf8(answer.whole()).unwrap(), expected);
}

const SEALS: &str = r#"
[[job]]
name = "seals"
operation = "mask"
input = { format = "ndjson", key = "$customers", fields = { "/pan" = { context = { purpose = "pan" } } } }
fields = { "/pan" = "last4", "/balance" = "keep" }
output = { protect = "seal", to = "any" }
"#;

/// A parent that puts a body of its own in the place of the client's, and lets the
/// request's run pass as `change` leaves it.
async fn swapping(house: &House, body: Vec<u8>, change: fn(&mut Run, &[u8])) -> Address {
    let path = tempfile::tempdir().unwrap().keep().join("parent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut service = connect(house).await;
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let (mut decoder, mut input) = (FrameDecoder::new(), Vec::new());
        service.write_all(&strongroom_wire::frame::PREFACE).await.unwrap();
        'client: loop {
            while let Step::Event { consumed, event } = decoder.next(&input).unwrap() {
                match event {
                    Event::Control(FrameKind::Request, cbor) => {
                        let mut request = Request::decode(cbor).unwrap();
                        let Call::Run(run) = &mut request.call else { panic!("not a run") };
                        change(run, &body);
                        let request = frame(FrameKind::Request, &request.encode().unwrap());
                        service.write_all(&request).await.unwrap();
                    }
                    Event::Control(_, _) => break 'client,
                    Event::Data(_) => {}
                }
                input.drain(..consumed);
            }
            client.read_buf(&mut input).await.unwrap();
        }
        service.write_all(&frame(FrameKind::Data, &body)).await.unwrap();
        service.write_all(&end(body.len())).await.unwrap();
        let _ = tokio::io::copy(&mut service, &mut client).await;
    });
    Address::Unix(path)
}

#[tokio::test]
async fn a_sealed_result_of_records_that_the_parent_put_in_place_is_not_taken_for_the_owners() {
    let house = house(SEALS).await;
    let record =
        |pan: String, balance: i32| format!("{{\"pan\":\"{pan}\",\"balance\":{balance}}}\n");
    let mine = record(field(&house, "pan", b"4111111111111111").await, 5);
    let other = record(field(&house, "pan", b"5500005555555559").await, -99);
    let job = Job { input_sha256: Some(sha256(mine.as_bytes())), ..Job::new("seals") };
    let (secret, _) = RecipientSecretKey::generate().unwrap();
    type Change = fn(&mut Run, &[u8]);
    let changes: [(&str, Change); 3] = [
        ("the request as it was", |_, _| {}),
        ("without the digest", |run, _| run.input_sha256 = None),
        ("with the digest of the other", |run, body| {
            run.input_sha256 = Some(ByteBuf::from(sha256(body)));
        }),
    ];
    for (what, change) in changes {
        let address = swapping(&house, other.clone().into_bytes(), change).await;
        let mut client = Client::connect(&address).await.unwrap();
        let mut output = Vec::new();
        let done =
            client.run_sealed(&job, &secret, &house.verifier(), mine.as_bytes(), &mut output).await;
        assert!(done.is_err(), "{what}");
        assert!(output.is_empty(), "{what}: {}", String::from_utf8_lossy(&output));
    }
    // A parent that swaps nothing that matters.
    let address = swapping(&house, mine.clone().into_bytes(), |_, _| {}).await;
    let (mut client, mut output) = (Client::connect(&address).await.unwrap(), Vec::new());
    let verifier = house.verifier();
    let done = client.run_sealed(&job, &secret, &verifier, mine.as_bytes(), &mut output).await;
    done.unwrap();
    assert_eq!(output, b"{\"pan\":\"****1111\",\"balance\":5}\n");
}

/// The same job over records of a format, which leaves bad records out or not.
fn dropping(format: &str, path: &str, bad_records: &str) -> String {
    format!(
        r#"
[[job]]
name = "{format}-{bad_records}"
operation = "mask"
input = {{ format = "{format}", bad_records = "{bad_records}", key = "$customers", fields = {{ "{path}" = {{ context = {{ purpose = "field" }} }} }} }}
fields = {{ "{path}" = "keep", "{id}" = "drop" }}
output = {{ protect = "none" }}
"#,
        id = path.replace('a', "id"),
    )
}

#[tokio::test]
async fn one_producers_bad_field_ends_no_request_that_drops_bad_records() {
    let formats = [("csv", "a"), ("ndjson", "/a"), ("json", "/a")];
    let jobs = formats.map(|(format, path)| {
        [dropping(format, path, "drop"), dropping(format, path, "refuse")].concat()
    });
    let longer = |text: String| text.replace("max_record = \"4KiB\"", "max_record = \"64KiB\"");
    let house = house_with(&jobs.concat(), &[], longer).await;
    let context = [("purpose", "field")];
    let (key, encrypted) = house.data_key(&house.customers, &context).await;
    let under = |ciphertext: Vec<u8>| {
        let encrypted = EncryptedDataKey { ciphertext, ..encrypted.clone() };
        STANDARD.encode(seal(&key, &[encrypted], &context, b"bad", 64))
    };
    let with = |name: &str, value: &str| {
        let context = [context[0], (name, value)];
        STANDARD.encode(seal(&key, std::slice::from_ref(&encrypted), &context, b"bad", 64))
    };
    let good = field(&house, "field", b"good").await;
    for (what, bad) in [
        ("bytes that are no text", field(&house, "field", b"\xff").await),
        ("a data key longer than KMS takes", under(vec![1; 7000])),
        ("a data key of the longest that KMS takes", under(vec![1; 6144])),
        ("an empty data key", under(Vec::new())),
        ("a context longer than KMS takes", with("pad", &"x".repeat(10_000))),
        ("a context about as long as KMS takes", with("pad", &"x".repeat(8_150))),
        ("an entry without a name", with("", "x")),
    ] {
        for (format, _) in formats {
            let (input, output) = match format {
                "csv" => (format!("a,id\n{bad},1\n{good},2\n"), "a\ngood\n"),
                "ndjson" => {
                    (format!("{{\"a\":\"{bad}\"}}\n{{\"a\":\"{good}\"}}\n"), "{\"a\":\"good\"}\n")
                }
                _ => {
                    (format!("[{{\"a\":\"{bad}\"}},{{\"a\":\"{good}\"}}]"), "[{\"a\":\"good\"}]\n")
                }
            };
            let done = house.run(&Job::new(format!("{format}-drop")), input.as_bytes()).await;
            let (got, summary) = done.unwrap_or_else(|error| panic!("{what}, {format}: {error}"));
            assert_eq!(String::from_utf8(got).unwrap(), output, "{what}");
            assert_eq!(summary.dropped, Some(1), "{what}");
            let refusing = Job::new(format!("{format}-refuse"));
            let refused = house.refusal(&refusing, input.as_bytes()).await;
            assert_eq!(refused.code, ErrorCode::BadRecord, "{what}, {format}");
        }
    }
}
