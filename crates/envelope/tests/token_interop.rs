//! Tokens and indexes against Python's `cryptography`, by the recipes that the
//! documentation gives. Skipped, with a line that says so, where it is missing;
//! `STRONGROOM_PYTHON` names the interpreter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs
)]

use std::process::Command;

use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::{BlindIndex, Normalise};
use strongroom_envelope::token::{Siv, TokenKey};

const SECRET: [u8; 32] = *b"a secret of thirty-two bytes len";
const FIELD: &str = "e-mail";
const TENANT: &str = "acme ü";

const RECIPES: &str = r#"
import sys
from base64 import urlsafe_b64encode
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

secret, field, tenant, value = (a.encode() for a in sys.argv[1:])

key = HKDF(SHA256(), length=64, salt=None, info=b"strongroom token siv v1").derive(secret)
token = AESSIV(key).encrypt(value, [field, tenant])
print(urlsafe_b64encode(token).decode().rstrip("="))

value = " ".join("".join(c.lower() for c in value.decode()).split()).encode()
label = b"strongroom index v1"
key = HKDF(SHA256(), length=32, salt=None, info=label).derive(secret)
mac = HMAC(key, SHA256())
for text in (label, field, tenant, value):
    mac.update(len(text).to_bytes(8, "big") + text)
print(mac.finalize()[:16].hex())
"#;

#[test]
fn python_recomputes_token_and_index_by_the_documented_recipes() {
    let python = std::env::var("STRONGROOM_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import cryptography"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no cryptography; STRONGROOM_PYTHON names another");
        return;
    }
    let key = TokenKey::new(&SECRET).unwrap();
    let siv = Siv::new(&key, FIELD, TENANT).unwrap();
    let steps = [Normalise::Lowercase, Normalise::CollapseSpaces, Normalise::Trim];
    let index = BlindIndex::new(&key, FIELD, TENANT, &steps, 16).unwrap();
    for value in ["x", "  Anna  VAN Dyk ", "anna@example.org", &"Å".repeat(1000)] {
        let output = Command::new(&python)
            .args(["-c", RECIPES, std::str::from_utf8(&SECRET).unwrap(), FIELD, TENANT, value])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut ours = SecretBuf::new();
        siv.tokenize(value.as_bytes(), &mut ours).unwrap();
        ours.push(b'\n');
        index.index(value, &mut ours).unwrap();
        ours.push(b'\n');
        assert_eq!(ours.expose(), output.stdout, "{value:?}");
    }
}
