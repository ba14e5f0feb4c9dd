//! Jobs that the manifest keeps for some callers, and arguments within bounds.

use strongroom_client::{ErrorCode, Job};
use strongroom_envelope::receipt;
use strongroom_wire::{ErrorBody, Payload, Run};

use crate::house::{ACME, CUSTOMERS, House, MASKED, now_ms};
use crate::raw::{Line, owned, run_of};
use crate::signer::{Caller, Order, over, random, signed};
use crate::workshop::{house, house_with};

const JOBS: &str = r#"
[[job]]
name = "kept"
operation = "mask"
args = ["tenant"]
callers = ["ann"]
input = { format = "csv", key = "$customers", context = { purpose = "support", tenant = "{tenant}" } }
fields = { name = "initials", pan = "last4", city = "keep" }
output = { protect = "none" }
"#;

const ARGS: &[(&str, &str)] = &[("tenant", "acme")];

struct Cast {
    house: House,
    ann: Caller,
    bob: Caller,
}

async fn cast(ann: Caller) -> Cast {
    let bob = Caller::p256("bob");
    let jobs = [ann.entry(), bob.entry(), JOBS.to_owned()].concat();
    Cast { house: house(&jobs).await, ann, bob }
}

impl Cast {
    async fn refused(&self, request: &[u8], input: &[u8]) -> ErrorBody {
        let before = self.house.nitro.kms.faults().count("Decrypt");
        let answer = Line::to(&self.house).await.ask(request, &[input]).await;
        assert!(answer.data.is_empty());
        let refused = answer.refusal();
        assert_eq!(self.house.nitro.kms.faults().count("Decrypt"), before, "KMS was asked");
        refused
    }

    fn kept(&self) -> Order {
        let run = Run { job: "kept".into(), args: owned(ARGS), ..Run::default() };
        Order::new(&self.house, &run)
    }
}

#[tokio::test]
async fn a_job_with_callers_runs_for_whom_it_names_with_either_kind_of_key() {
    for ann in [Caller::ed25519("ann"), Caller::p256("ann")] {
        let cast = cast(ann).await;
        let input = cast.house.acme().await;
        let mut line = Line::to(&cast.house).await;
        // With the input's digest or without it: this job opens only what KMS does.
        for order in [cast.kept(), Order::new(&cast.house, &over("kept", ARGS, &input))] {
            let answer = line.ask(&cast.ann.request(&order), &[&input]).await;
            assert_eq!(answer.whole(), MASKED.as_bytes());
        }
    }
}

#[tokio::test]
async fn who_has_not_signed_or_is_not_named_by_the_job_is_refused_before_kms_is_asked() {
    let cast = cast(Caller::ed25519("ann")).await;
    let input = cast.house.acme().await;
    let order = cast.kept();
    let eve = Caller::ed25519("ann");
    for (what, request) in [
        ("nobody signed", run_of("kept", ARGS)),
        ("a caller of other jobs", cast.bob.request(&order)),
        ("a caller that the manifest does not name", Caller::ed25519("eve").request(&order)),
        ("another key under her name", eve.request(&order)),
        ("his signature under her name", signed(&order, "ann", &cast.bob.sign(&order))),
        ("her signature under his name", signed(&order, "bob", &cast.ann.sign(&order))),
        ("no signature", signed(&order, "ann", &[0; 64])),
        ("half a signature", signed(&order, "ann", &cast.ann.sign(&order)[..32])),
    ] {
        assert_eq!(cast.refused(&request, &input).await.code, ErrorCode::BadCaller, "{what}");
    }
    // None of it used up the order.
    let answer = Line::to(&cast.house).await.ask(&cast.ann.request(&order), &[&input]).await;
    assert_eq!(answer.whole(), MASKED.as_bytes());
}

#[tokio::test]
async fn a_signature_counts_for_one_request_to_one_enclave_within_minutes() {
    let cast = cast(Caller::ed25519("ann")).await;
    let input = cast.house.acme().await;
    let order = cast.kept();
    let signature = cast.ann.sign(&order);
    let other_run = Run { job: "mask".into(), args: owned(ARGS), ..Run::default() };
    let globex = Run { job: "kept".into(), args: owned(&[("tenant", "globex")]), ..Run::default() };
    for (what, changed) in [
        ("another request id", Order { id: random(), ..order.clone() }),
        ("another nonce", Order { nonce: random(), ..order.clone() }),
        ("a later time", Order { time_ms: order.time_ms + 1, ..order.clone() }),
        ("another job", Order { run: other_run.encode().unwrap(), ..order.clone() }),
        ("another tenant", Order { run: globex.encode().unwrap(), ..order.clone() }),
    ] {
        let request = signed(&changed, "ann", &signature);
        assert_eq!(cast.refused(&request, &input).await.code, ErrorCode::BadCaller, "{what}");
    }
    let (now, minutes) = (now_ms(), 60_000);
    let other_enclave = "i-0000000000000000-enc0000000000000000".to_owned();
    for (what, order) in [
        ("signed for another enclave", Order { enclave: other_enclave, ..cast.kept() }),
        ("signed six minutes ago", Order { time_ms: now - 6 * minutes, ..cast.kept() }),
        ("signed six minutes ahead", Order { time_ms: now + 6 * minutes, ..cast.kept() }),
    ] {
        let refused = cast.refused(&cast.ann.request(&order), &input).await;
        assert_eq!(refused.code, ErrorCode::BadCaller, "{what}");
    }
    // What is signed four minutes ago is good, once.
    let order = Order { time_ms: now - 4 * minutes, ..cast.kept() };
    let request = cast.ann.request(&order);
    let answer = Line::to(&cast.house).await.ask(&request, &[&input]).await;
    assert_eq!(answer.whole(), MASKED.as_bytes());
    assert_eq!(cast.refused(&request, &input).await.code, ErrorCode::BadCaller, "replayed");
    let again = Order { id: random(), time_ms: now, ..order };
    let refused = cast.refused(&cast.ann.request(&again), &input).await;
    assert_eq!(refused.code, ErrorCode::BadCaller, "a nonce twice");
}

#[tokio::test]
async fn a_signed_request_whose_input_was_put_in_place_by_another_gives_no_result() {
    let cast = cast(Caller::ed25519("ann")).await;
    let asked = cast.house.acme().await;
    // Long enough for its result to leave in pieces.
    let long = format!("name,pan,city\n{}", "A B,4111111111111111,X\n".repeat(20_000));
    let sent = cast.house.encrypt(&cast.house.customers, &ACME, long.as_bytes(), 4096).await;
    let request = cast.ann.run(&cast.house, "kept", ARGS, &asked);
    let answer = Line::to(&cast.house).await.ask(&request, &[&sent]).await;
    assert!(answer.data.is_empty(), "something of another input was released");
    assert_eq!(answer.refusal().code, ErrorCode::InputMismatch);
    // Nor does an unsigned one that says what its input is.
    let honest = Run { job: "mask".into(), ..over("mask", ARGS, &asked) };
    let request = crate::raw::request(strongroom_wire::Call::Run(honest));
    let answer = Line::to(&cast.house).await.ask(&request, &[&sent]).await;
    assert!(answer.data.is_empty(), "something of another input was released");
    assert_eq!(answer.refusal().code, ErrorCode::InputMismatch);
    let answer = Line::to(&cast.house).await.ask(&request, &[&asked]).await;
    assert_eq!(answer.whole(), MASKED.as_bytes());
}

#[tokio::test]
async fn a_signed_request_for_an_open_job_runs_and_its_receipt_names_the_caller() {
    let cast = cast(Caller::ed25519("ann")).await;
    let input = cast.house.acme().await;
    let key = cast.house.client().await.status().await.unwrap().receipt_key;
    let mut line = Line::to(&cast.house).await;
    for (request, caller) in [
        (cast.bob.run(&cast.house, "mask", ARGS, &input), Some("bob")),
        (run_of("mask", ARGS), None),
    ] {
        let answer = line.ask(&request, &[&input]).await;
        let receipt = answer.trailer.clone().unwrap().receipt.unwrap();
        assert_eq!(answer.whole(), MASKED.as_bytes());
        assert_eq!(receipt::verify(&receipt, &key).unwrap().caller.as_deref(), caller);
    }
    // A wrong signature is refused even where none is needed.
    let order = Order::new(&cast.house, &over("mask", ARGS, &input));
    let request = signed(&order, "bob", &cast.ann.sign(&order));
    assert_eq!(cast.refused(&request, &input).await.code, ErrorCode::BadCaller);
}

#[tokio::test]
async fn arguments_are_of_the_jobs_pattern_and_length_or_refused() {
    let typed = JOBS.replace("callers = [\"ann\"]\n", "").replace(
        "[\"tenant\"]",
        r#"{ tenant = { pattern = "[a-z]+|t-[0-9]{3}", max_length = 6 } }"#,
    );
    let house = house_with(&typed, &[], |text| text).await;
    let input = house
        .encrypt(
            &house.customers,
            &[("purpose", "support"), ("tenant", "t-007")],
            CUSTOMERS.as_bytes(),
            64,
        )
        .await;
    let job = |tenant: &str| Job::new("kept").arg("tenant", tenant);
    house.run(&job("t-007"), &input).await.unwrap();
    house.run(&job("acme"), &house.acme().await).await.unwrap();
    for tenant in ["", "Acme", "acme ", "acme\n", "t-07", "t-0071", "xt-007", "acmeacm", "äcme"] {
        let refused = house.refusal(&job(tenant), &input).await;
        assert_eq!(refused.code, ErrorCode::BadArgument, "{tenant:?}");
    }
}
