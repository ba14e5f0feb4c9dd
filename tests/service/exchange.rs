//! Ciphertexts in each other's place: what the enclave itself encrypted, and
//! arguments that would leave nothing pinned.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_client::{ErrorCode, Job};

use crate::envelopes::envelope;
use crate::house::{CUSTOMERS, House};
use crate::workshop::{Wrapped, house, house_with};

const JOBS: &str = r#"
[[job]]
name = "restore"
operation = "detokenize"
secret = "tokens"
input = { format = "csv", encryption = "none" }
fields = { pan = { token = "siv" }, email = "keep" }
output = { protect = "kms", key = "$customers", context = { purpose = "restored" } }

[[job]]
name = "fields"
operation = "mask"
input = { format = "csv", key = "$customers", fields = { pan = { context = { purpose = "pan" } } } }
fields = { pan = "drop", email = "keep" }
output = { protect = "kms", key = "$customers", context = { purpose = "composed" } }

[[job]]
name = "index"
operation = "index"
secret = "indexes"
input = { format = "csv", key = "$customers", context = { purpose = "support" } }
fields = { email = { index = {} } }
output = { protect = "none" }

[[job]]
name = "sign"
operation = "sign"
secret = "signer"
input = { key = "$customers", context = { purpose = "orders" } }
sign = { algorithm = "ed25519" }
output = { protect = "none" }

[[job]]
name = "notes"
operation = "mask"
input = { format = "ndjson", key = "$customers", fields = { "/note" = { context = { purpose = "note" } } } }
fields = { "/note" = "keep", "/id" = "redact" }
output = { protect = "none" }
"#;

#[tokio::test]
async fn what_the_enclave_encrypted_for_the_parent_serves_no_other_job() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let signer = Wrapped::of("signer", pair.to_pkcs8v1().unwrap().as_ref().to_vec());
    let secrets = [Wrapped::generated("tokens"), Wrapped::generated("indexes"), signer];
    let house = house_with(JOBS, &secrets, |text| text).await;
    for composes in ["restore", "fields"] {
        let chosen = "pan,email\n,guess@canary.example\n";
        let (message, _) = house.run(&Job::new(composes), chosen.as_bytes()).await.unwrap();
        for takes in ["index", "sign"] {
            let refused = house.refusal(&Job::new(takes), &message).await;
            assert_eq!(refused.code, ErrorCode::ContextMismatch, "{composes} {takes}");
        }
        let record = format!("{{\"note\":\"{}\"}}\n", STANDARD.encode(&message));
        let refused = house.refusal(&Job::new("notes"), record.as_bytes()).await;
        assert_eq!(refused.code, ErrorCode::BadRecord, "{composes}");
    }
}

/// Jobs that pin sixteen entries, each the argument `x`.
fn pinning() -> String {
    let entries: String = (0..16).map(|number| format!(", k{number} = \"{{x}}\"")).collect();
    let context = format!("context = {{ purpose = \"P\"{entries} }}");
    let input = [
        (
            "whole-envelope",
            format!(
                "format = \"csv\", encryption = \"plain-envelope\", key = \"$customers\", {context}"
            ),
        ),
        ("whole-message", format!("format = \"csv\", key = \"$archive\", {context}")),
        (
            "field-envelope",
            format!(
                "format = \"csv\", key = \"$customers\", fields = {{ pan = {{ format = \"plain-envelope\", {context} }} }}"
            ),
        ),
        (
            "field-message",
            format!("format = \"csv\", key = \"$archive\", fields = {{ pan = {{ {context} }} }}"),
        ),
        (
            "required",
            format!(
                "format = \"csv\", key = \"$archive\", context = {{ purpose = \"required\" }}, required_{}",
                context.replace("purpose = \"P\"", "fixed = \"P\"")
            ),
        ),
    ];
    let job = |(name, input): (&str, String)| {
        format!(
            r#"
[[job]]
name = "{name}"
operation = "mask"
args = {{ x = {{ max_length = 4096 }} }}
input = {{ {} }}
fields = {{ name = "keep", pan = "last4" }}
output = {{ protect = "none" }}
"#,
            input.replace("\"P\"", &format!("\"{name}\""))
        )
    };
    input.map(job).concat()
}

/// What another application encrypted, with no context or with the fixed entries.
async fn others(house: &House, name: &str) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for context in [&[][..], &[("purpose", name)]] {
        let (key, encrypted) = house.data_key(&house.customers, context).await;
        let text = if name.starts_with("field") { "4111111111111111" } else { CUSTOMERS };
        let envelope = envelope(&key, &encrypted.ciphertext, context, text.as_bytes());
        let message = house.encrypt(&house.archive, context, text.as_bytes(), 64).await;
        let ciphertext = if name.ends_with("envelope") { envelope } else { message };
        inputs.push(match name.starts_with("field") {
            true => format!("name,pan\nAda,{}\n", STANDARD.encode(ciphertext)).into_bytes(),
            false => ciphertext,
        });
    }
    inputs
}

#[tokio::test]
async fn arguments_that_make_a_pinned_context_too_long_are_refused_before_kms_is_asked() {
    let house = house(&pinning()).await;
    for name in ["whole-envelope", "whole-message", "field-envelope", "field-message", "required"] {
        for input in others(&house, name).await {
            let before = house.nitro.kms.faults().count("Decrypt");
            let job = Job::new(name).arg("x", "x".repeat(4096));
            let refused = house.refusal(&job, &input).await;
            assert_eq!(refused.code, ErrorCode::BadArgument, "{name}");
            assert_eq!(house.nitro.kms.faults().count("Decrypt"), before, "{name}: KMS was asked");
        }
    }
    // Arguments that fit pin what they say.
    let entries: Vec<String> = (0..16).map(|number| format!("k{number}")).collect();
    for x in ["x", &"x".repeat(400)] {
        let mut context = vec![("purpose", "whole-message")];
        context.extend(entries.iter().map(|name| (name.as_str(), x)));
        let input = house.encrypt(&house.archive, &context, CUSTOMERS.as_bytes(), 64).await;
        let job = |x: &str| Job::new("whole-message").arg("x", x);
        assert_eq!(house.refusal(&job("y"), &input).await.code, ErrorCode::ContextMismatch);
        house.run(&job(x), &input).await.unwrap();
    }
}
