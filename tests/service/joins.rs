//! `join-count`: two inputs of two owners, under two keys, in one request.

use std::time::Duration;

use strongroom_envelope::receipt;
use strongroom_wire::{Call, ErrorCode, FrameKind, Run};

use crate::house::House;
use crate::raw::{Answer, Line, end, frame, owned, request, run_of};
use crate::signer::{Caller, sha256};
use crate::workshop::{house, house_with, lines};

const JOBS: &str = r#"
[[job]]
name = "common"
operation = "join-count"
args = ["round"]
inputs = [
  { format = "csv", key = "$customers", context = { purpose = "overlap", round = "{round}" } },
  { format = "ndjson", key = "$archive", context = { purpose = "overlap", round = "{round}" } },
]
join = { on = ["email", "/mail"], normalise = ["trim", "lowercase"], min_group_size = 5 }
output = { protect = "none" }

[[job]]
name = "spent"
operation = "join-count"
args = ["round"]
inputs = [
  { format = "csv", key = "$customers", context = { purpose = "overlap", round = "{round}" } },
  { format = "ndjson", key = "$archive", context = { purpose = "overlap", round = "{round}" } },
]
join = { on = ["email", "/mail"], normalise = ["trim", "lowercase"], min_group_size = 5 }
aggregate = { group_by = ["/city"], compute = { people = "count", sum = { sum = "/spent" } } }
output = { protect = "none" }
"#;

const ROUND: &[(&str, &str)] = &[("round", "7")];
const CONTEXT: [(&str, &str); 2] = [("purpose", "overlap"), ("round", "7")];

fn left(count: usize) -> String {
    format!("id,email\n{}", lines(count, |n| format!("{n}, User{n}@Canary.example ")))
}

fn right(from: usize, to: usize) -> String {
    lines(to - from, |n| {
        let (n, city) = (n + from, if n % 2 == 0 { "Bonn" } else { "Ulm" });
        format!("{{\"mail\":\"user{n}@canary.example\",\"city\":\"{city}\",\"spent\":1.5}}")
    })
}

async fn pair(house: &House, left: &str, right: &str) -> [Vec<u8>; 2] {
    [
        house.encrypt(&house.customers, &CONTEXT, left.as_bytes(), 4096).await,
        house.encrypt(&house.archive, &CONTEXT, right.as_bytes(), 4096).await,
    ]
}

/// Asks, and is not kept waiting.
async fn ask(line: &mut Line, request: &[u8], bodies: &[&[u8]]) -> Answer {
    let asked = tokio::time::timeout(Duration::from_secs(60), line.ask(request, bodies));
    asked.await.expect("the connection hangs")
}

async fn joined(house: &House, job: &str, left: &str, right: &str) -> String {
    let [left, right] = pair(house, left, right).await;
    let answer = ask(&mut Line::to(house).await, &run_of(job, ROUND), &[&left, &right]).await;
    String::from_utf8(answer.whole()).unwrap()
}

#[tokio::test]
async fn two_inputs_under_two_keys_are_counted_together_and_the_receipt_names_both() {
    let house = house(JOBS).await;
    let [left, right] = pair(&house, &left(100), &right(90, 300)).await;
    let key = house.client().await.status().await.unwrap().receipt_key;
    let answer = ask(&mut Line::to(&house).await, &run_of("common", ROUND), &[&left, &right]).await;
    let trailer = answer.trailer.clone().unwrap();
    let receipt = receipt::verify(trailer.receipt.as_ref().unwrap(), &key).unwrap();
    assert_eq!(receipt.inputs, [sha256(&left), sha256(&right)]);
    let mut keys = vec![house.customers.clone(), house.archive.clone()];
    keys.sort();
    assert_eq!(receipt.keys, keys);
    assert_eq!(receipt.result, sha256(&answer.data));
    // How many there were of either is not the other owner's business.
    assert_eq!((trailer.records, receipt.records), (None, None));
    assert_eq!(answer.whole(), b"{\"suppressed\":false,\"count\":10}\n");
}

#[tokio::test]
async fn too_few_in_common_is_all_that_is_said_of_few_and_of_none() {
    let house = house(JOBS).await;
    for (from, to) in [(96, 150), (200, 210), (0, 0)] {
        let result = joined(&house, "common", &left(100), &right(from, to)).await;
        assert_eq!(result, "{\"suppressed\":true,\"count\":null}\n", "{from} to {to}");
        let result = joined(&house, "spent", &left(100), &right(from, to)).await;
        assert!(result.starts_with("{\"suppressed\":true,") && result.lines().count() == 1);
    }
    let result = joined(&house, "common", &left(100), &right(95, 100)).await;
    assert_eq!(result, "{\"suppressed\":false,\"count\":5}\n");
    // Ten each in two towns; of eight in all neither town has five.
    let result = joined(&house, "spent", &left(100), &right(80, 200)).await;
    assert_eq!(
        result,
        "{\"suppressed\":false,\"/city\":\"Bonn\",\"people\":10,\"sum\":15}\n\
         {\"suppressed\":false,\"/city\":\"Ulm\",\"people\":10,\"sum\":15}\n"
    );
    let result = joined(&house, "spent", &left(100), &right(92, 200)).await;
    assert!(!result.contains("Bonn") && !result.contains("Ulm"), "{result}");
}

#[tokio::test]
async fn after_an_error_of_either_body_the_connection_carries_the_next_request() {
    let house = house(JOBS).await;
    let [one, two] = pair(&house, &left(100), &right(90, 300)).await;
    let cut = |message: &[u8]| message[..message.len() - 1].to_vec();
    let elsewhere = house.encrypt(&house.customers, &CONTEXT, b"{}", 64).await;
    let other_round = [CONTEXT[0], ("round", "8")];
    let moved = house.encrypt(&house.archive, &other_round, right(90, 300).as_bytes(), 64).await;
    let bad_csv = house.encrypt(&house.customers, &CONTEXT, b"id,email\n1\n", 64).await;
    let bad_json = house.encrypt(&house.archive, &CONTEXT, b"{\"mail\":[]}\n", 64).await;
    let big = vec![b'x'; 3 << 20];
    let ours = run_of("common", ROUND);
    let stranger = Caller::ed25519("eve").run(&house, "common", ROUND, &one);
    let misnamed = Run {
        job: "common".into(),
        args: owned(ROUND),
        input_sha256: Some(serde_bytes::ByteBuf::from(sha256(&two))),
        ..Run::default()
    };
    for (what, request, bodies, code) in [
        ("the first is cut", &ours, [&cut(&one), &two], ErrorCode::DecryptFailed),
        ("the second is cut", &ours, [&one, &cut(&two)], ErrorCode::DecryptFailed),
        ("the first is no message", &ours, [&big, &two], ErrorCode::BadMessage),
        ("the second is no message", &ours, [&one, &big], ErrorCode::BadMessage),
        ("the first is empty", &ours, [&Vec::new(), &two], ErrorCode::BadMessage),
        ("the second is empty", &ours, [&one, &Vec::new()], ErrorCode::BadMessage),
        ("they are swapped", &ours, [&two, &one], ErrorCode::WrongKey),
        ("the second is under the first's key", &ours, [&one, &elsewhere], ErrorCode::WrongKey),
        ("the second is of another round", &ours, [&one, &moved], ErrorCode::ContextMismatch),
        ("the first has a bad record", &ours, [&bad_csv, &two], ErrorCode::BadRecord),
        ("the second has a bad record", &ours, [&one, &bad_json], ErrorCode::BadRecord),
        ("a stranger signed", &stranger, [&one, &two], ErrorCode::BadCaller),
        ("an argument is missing", &run_of("common", &[]), [&one, &two], ErrorCode::BadArgument),
        (
            "the first is not the one named",
            &request(Call::Run(misnamed)),
            [&one, &two],
            ErrorCode::InputMismatch,
        ),
    ] {
        let mut line = Line::to(&house).await;
        let answer = ask(&mut line, request, &[bodies[0], bodies[1]]).await;
        assert!(answer.data.is_empty(), "{what}");
        assert_eq!(answer.refusal().code, code, "{what}");
        let again = ask(&mut line, &ours, &[&one, &two]).await;
        assert_eq!(again.error, None, "after: {what}");
        assert_eq!(again.whole(), b"{\"suppressed\":false,\"count\":10}\n", "after: {what}");
    }
}

#[tokio::test]
async fn a_body_too_few_or_too_many_is_an_error_and_nobody_is_kept_waiting() {
    let house = house(JOBS).await;
    let [one, two] = pair(&house, &left(100), &right(90, 300)).await;
    let (_, error) = crate::raw::talk(
        &house,
        &[
            &strongroom_wire::frame::PREFACE[..],
            &run_of("common", ROUND),
            &frame(FrameKind::Data, &one),
            &end(one.len()),
        ]
        .concat(),
    )
    .await;
    assert_eq!(error.unwrap().code, ErrorCode::BadRequest);
    // The third body stands where the next request should.
    let mut line = Line::to(&house).await;
    let answer = ask(&mut line, &run_of("common", ROUND), &[&one, &two, &two]).await;
    assert_eq!(answer.whole(), b"{\"suppressed\":false,\"count\":10}\n");
    let next = ask(&mut line, &[], &[]).await;
    assert_eq!(next.refusal().code, ErrorCode::BadRequest);
    // Nobody knows how many bodies an unknown job takes.
    let mut line = Line::to(&house).await;
    let answer = ask(&mut line, &run_of("nope", ROUND), &[&one, &two]).await;
    assert_eq!(answer.refusal().code, ErrorCode::UnknownJob);
    let next = ask(&mut line, &run_of("common", ROUND), &[&one, &two]).await;
    assert!(next.trailer.is_none());
}

#[tokio::test]
async fn the_keys_of_a_join_count_against_the_memory_of_all_requests() {
    // Room for the buffers of a stream, whatever its length, and for 40 bytes a
    // key of a few thousand keys.
    let small = |text: String| {
        let limit = "max_in_flight_bytes = \"3MiB\"\nmax_record";
        text.replace("\"1MiB\"", "\"64KiB\"").replace("max_record", limit)
    };
    let house = house_with(JOBS, &[], small).await;
    let same = format!("id,email\n{}", "1, user1@canary.example  \n".repeat(150_000));
    let [one, few] = pair(&house, &same, &right(0, 10)).await;
    let answer = ask(&mut Line::to(&house).await, &run_of("common", ROUND), &[&one, &few]).await;
    assert_eq!(answer.whole(), b"{\"suppressed\":true,\"count\":null}\n");
    let [many, few] = pair(&house, &left(150_000), &right(0, 10)).await;
    let mut line = Line::to(&house).await;
    let ours = run_of("common", ROUND);
    let answer = ask(&mut line, &ours, &[&many, &few]).await;
    assert_eq!(answer.refusal().code, ErrorCode::Busy);
    let [one, two] = pair(&house, &left(100), &right(90, 300)).await;
    let answer = ask(&mut line, &ours, &[&one, &two]).await;
    assert_eq!(answer.whole(), b"{\"suppressed\":false,\"count\":10}\n");
}
