//! Binding: a caller gets exactly what the manifest says, or a reason.

use super::*;

const MAX_ARG_LEN: usize = ArgSpec::MAX_LEN;
use crate::manifest::Manifest;

fn manifest() -> Manifest {
    let key = "arn:aws:kms:eu-west-1:111122223333:key/k";
    let listed = "11".repeat(32);
    Manifest::parse(&format!(
        r#"
[enclave]
name = "s"
cpu_count = 2
memory_mib = 512
[listen]
vsock_port = 5005
[kms]
region = "eu-west-1"
[[job]]
name = "mask"
operation = "mask"
args = ["tenant"]
input = {{ format = "csv", key = "{key}", context = {{ purpose = "p", tenant = "{{tenant}}" }} }}
fields = {{ pan = "last4" }}
output = {{ protect = "none" }}
[[job]]
name = "seal"
operation = "reencrypt"
input = {{ key = "{key}", context = {{ purpose = "p" }} }}
output = {{ protect = "seal", to = ["{listed}"] }}
[[job]]
name = "rotate"
operation = "reencrypt"
args = ["tenant"]
input = {{ key = "{key}", context = {{ purpose = "p", tenant = "{{tenant}}" }} }}
output = {{ protect = "kms", key = "{key}", context = {{ tenant = "new/{{tenant}}" }} }}
"#
    ))
    .unwrap()
}

fn run(job: &str, args: &[(&str, &str)]) -> Run {
    let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Run { job: job.to_owned(), args, ..Run::default() }
}

fn refusal(run: Run) -> JobError {
    match BoundJob::bind(&manifest(), run, None) {
        Ok(_) => panic!("was bound"),
        Err(error) => error,
    }
}

#[test]
fn a_job_that_the_manifest_lacks_is_unknown() {
    assert_eq!(refusal(run("decrypt", &[])), JobError::Unknown("decrypt".into()));
    assert_eq!(refusal(run("", &[])), JobError::Unknown(String::new()));
}

#[test]
fn arguments_are_exactly_those_declared() {
    assert_eq!(refusal(run("mask", &[])), JobError::MissingArg("tenant".into()));
    let more = run("mask", &[("tenant", "a"), ("key", "b")]);
    assert_eq!(refusal(more), JobError::UndeclaredArg("key".into()));
}

#[test]
fn an_argument_is_bounded_and_plain() {
    let long = "x".repeat(MAX_ARG_LEN);
    assert!(BoundJob::bind(&manifest(), run("mask", &[("tenant", &long)]), None).is_ok());
    for bad in ["", "a\nb", "a\0", "\u{7f}", &format!("{long}x")] {
        let error = refusal(run("mask", &[("tenant", bad)]));
        assert_eq!(error, JobError::BadArg("tenant".into(), MAX_ARG_LEN), "{bad:?}");
    }
}

#[test]
fn a_result_is_sealed_only_to_a_listed_key() {
    let with_key = |job: &str, args: &[(&str, &str)], key: &[u8]| Run {
        seal_to: Some(ByteBuf::from(key.to_vec())),
        ..run(job, args)
    };
    let manifest = manifest();
    assert!(BoundJob::bind(&manifest, with_key("seal", &[], &[0x11; 32]), None).is_ok());
    assert_eq!(refusal(with_key("seal", &[], &[0x12; 32])), JobError::RecipientNotListed);
    assert_eq!(refusal(with_key("seal", &[], &[0x11; 31])), JobError::MissingRecipient);
    assert_eq!(refusal(run("seal", &[])), JobError::MissingRecipient);
    let unwanted = with_key("mask", &[("tenant", "a")], &[0x11; 32]);
    assert_eq!(refusal(unwanted), JobError::UnwantedRecipient);
    let nonce = Run { nonce: Some(ByteBuf::from(vec![1])), ..run("mask", &[("tenant", "a")]) };
    assert_eq!(refusal(nonce), JobError::UnwantedRecipient);
}

#[test]
fn the_output_context_carries_the_arguments() {
    let manifest = manifest();
    let job = BoundJob::bind(&manifest, run("rotate", &[("tenant", "acme")]), None).unwrap();
    let BoundOutput::Kms(kms) = job.output() else { panic!("not kms") };
    assert_eq!(kms.context.get("tenant"), Some("new/acme"));
}
