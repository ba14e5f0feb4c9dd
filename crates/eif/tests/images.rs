//! Images: what is written is read back, what is broken is refused, and other
//! people's tools agree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use strongroom_eif::{
    Architecture, BuildMetadata, Builder, Image, Metadata, SignatureError, SigningError, SigningKey,
};

fn metadata() -> Metadata {
    Metadata {
        image_name: "strongroom".into(),
        image_version: "1".into(),
        build_metadata: BuildMetadata {
            build_time: "1970-01-01T00:00:00Z".into(),
            build_tool: "test".into(),
            build_tool_version: "0".into(),
            operating_system: "none".into(),
            kernel_version: "6.12".into(),
        },
        docker_info: serde_json::Value::Null,
        custom_metadata: serde_json::Value::Null,
    }
}

fn build(ramdisks: &[&[u8]], signer: Option<&SigningKey>) -> Vec<u8> {
    let builder = Builder {
        architecture: Architecture::X86_64,
        kernel: b"a kernel",
        cmdline: "console=ttyS0",
        ramdisks: ramdisks.to_vec(),
        metadata: &metadata(),
    };
    builder.build(signer).unwrap()
}

/// A self-signed certificate and its key on `curve`, valid from now for a day.
fn openssl_key(dir: &Path, curve: &str) -> (Vec<u8>, Vec<u8>) {
    let (key, certificate) = (dir.join("key.pem"), dir.join("certificate.pem"));
    let run = |args: &[&str]| {
        let output = Command::new("openssl").args(args).output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (key_path, certificate_path) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    run(&["ecparam", "-name", curve, "-genkey", "-out", key_path]);
    run(&[
        "req",
        "-new",
        "-x509",
        "-key",
        key_path,
        "-days",
        "1",
        "-sha384",
        "-subj",
        "/CN=signer",
        "-out",
        certificate_path,
    ]);
    (std::fs::read(certificate).unwrap(), std::fs::read(key).unwrap())
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Writes the CRC-32 that fits, after a change.
fn with_crc(mut file: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file[..544]);
    hasher.update(&file[548..]);
    let crc = hasher.finalize().to_be_bytes();
    file[544..548].copy_from_slice(&crc);
    file
}

#[test]
fn any_flipped_bit_and_any_cut_is_noticed() {
    let good = build(&[b"one", b"two!"], None);
    for at in 0..good.len() * 8 {
        let mut file = good.clone();
        file[at / 8] ^= 1 << (at % 8);
        assert!(Image::parse(&file).is_err(), "bit {at}");
    }
    for len in 0..good.len() {
        assert!(Image::parse(&good[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_signed_image_verifies_and_a_changed_one_does_not() {
    for curve in ["prime256v1", "secp384r1", "secp521r1"] {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = openssl_key(dir.path(), curve);
        let signer = SigningKey::from_pem(&certificate, &key, now()).unwrap();
        let file = build(&[b"one"], Some(&signer));
        let image = Image::parse(&file).unwrap();
        let signature = image.signature().unwrap().unwrap();
        let measured = image.measurements();
        signature.verify(&measured.pcr0, now()).unwrap();
        assert_eq!(measured.pcr8, strongroom_eif::certificate_pcr(&certificate).ok());
        assert_eq!(signature.verify(&[1; 48], now()), Err(SignatureError::OtherImage));
        let expired = signature.verify(&measured.pcr0, now() + 10 * 86_400);
        assert_eq!(expired, Err(SignatureError::Certificate("has expired")));
        // PKCS #8 is read as well.
        let pkcs8 = Command::new("openssl")
            .args(["pkcs8", "-topk8", "-nocrypt", "-in"])
            .arg(dir.path().join("key.pem"))
            .output()
            .unwrap();
        SigningKey::from_pem(&certificate, &pkcs8.stdout, now()).unwrap();
    }
}

/// Whoever changes a signed image can mend its CRC.
#[test]
fn no_change_to_a_signed_image_keeps_both_signature_and_pcr8() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = openssl_key(dir.path(), "secp384r1");
    let signer = SigningKey::from_pem(&certificate, &key, now()).unwrap();
    let ramdisk = b"a ramdisk";
    let (unsigned, file) = (build(&[ramdisk], None), build(&[ramdisk], Some(&signer)));
    let verify = |file: &[u8]| {
        let image = Image::parse(file).unwrap();
        let signature = image.signature()?.unwrap();
        signature.verify(&image.measurements().pcr0, now()).map(|()| image.measurements().pcr8)
    };
    let pcr8 = verify(&file).unwrap();

    let find = |content: &[u8]| file.windows(content.len()).position(|w| w == content).unwrap();
    for at in [find(b"a kernel"), find(b"console="), find(ramdisk)] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert_eq!(verify(&with_crc(changed)), Err(SignatureError::OtherImage));
    }
    let mut without_effect = 0;
    let section = unsigned.len() + 12..file.len();
    let cose = unsigned.len()
        + file[unsigned.len()..].windows(9).rposition(|w| w == b"signature").unwrap();
    for (at, bit) in section.zip((0..8).cycle()) {
        let mut changed = file.clone();
        changed[at] ^= 1 << bit;
        let Ok(found) = verify(&with_crc(changed)) else { continue };
        assert!(at < cose, "byte {at} of the COSE_Sign1");
        without_effect += usize::from(found == pcr8);
    }
    // The end of line after the certificate: a CBOR integer of one byte.
    assert!(without_effect <= 1, "{without_effect} bytes");
}

#[test]
fn keys_that_cannot_sign_are_refused_before_an_image_is_made() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certificate, key) = openssl_key(one.path(), "secp384r1");
    let (_, foreign) = openssl_key(other.path(), "secp384r1");
    let (_, other_curve) = openssl_key(other.path(), "prime256v1");
    let from = |certificate: &[u8], key: &[u8], now| {
        SigningKey::from_pem(certificate, key, now).unwrap_err()
    };
    assert!(matches!(from(&certificate, &foreign, now()), SigningError::Mismatch));
    assert!(matches!(from(&certificate, &other_curve, now()), SigningError::Mismatch));
    assert!(matches!(from(&certificate, b"no key", now()), SigningError::Key));
    assert!(matches!(from(&certificate, &certificate, now()), SigningError::Key));
    // One file may hold both; but a certificate section must begin with the certificate.
    let both = [&key[..], &certificate[..]].concat();
    assert!(SigningKey::from_pem(&certificate, &both, now()).is_ok());
    assert!(matches!(from(&both, &key, now()), SigningError::Certificate(_)));
    assert!(matches!(from(b"no certificate", &key, now()), SigningError::Certificate(_)));
    assert!(matches!(from(&certificate, &key, now() + 10 * 86_400), SigningError::Validity(_)));
    assert!(matches!(from(&certificate, &key, 0), SigningError::Validity(_)));
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(
        kernel in prop::collection::vec(any::<u8>(), 0..200),
        cmdline in "[ -~]{0,60}",
        ramdisks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
    ) {
        let metadata = metadata();
        let builder = Builder {
            architecture: Architecture::Aarch64,
            kernel: &kernel,
            cmdline: &cmdline,
            ramdisks: ramdisks.iter().map(Vec::as_slice).collect(),
            metadata: &metadata,
        };
        let file = builder.build(None).unwrap();
        let image = Image::parse(&file).unwrap();
        prop_assert_eq!(image.kernel(), &kernel[..]);
        prop_assert_eq!(image.cmdline(), &cmdline);
        prop_assert!(image.ramdisks().eq(ramdisks.iter().map(Vec::as_slice)));
        prop_assert_eq!(image.measurements(), builder.measurements(None));
        prop_assert_eq!(Metadata::read(image.metadata().unwrap()).unwrap(), metadata);
        prop_assert_eq!(image.architecture(), Architecture::Aarch64);
    }

    #[test]
    fn no_bytes_panic(mut file in prop::collection::vec(any::<u8>(), 548..900), sections in 0_u16..40) {
        let _ = Image::parse(&file);
        file[..8].copy_from_slice(b".eif\0\x04\0\0");
        file[26..28].copy_from_slice(&sections.to_be_bytes());
        let _ = Image::parse(&with_crc(file));
    }

    #[test]
    fn no_signature_section_panics(section in prop::collection::vec(any::<u8>(), 0..300)) {
        // Written where the signature is, over a good image's.
        let good = build(&[b"one"], None);
        let mut file = good.clone();
        file.extend([0, 4, 0, 0]);
        file.extend((section.len() as u64).to_be_bytes());
        file.extend(&section);
        file[26..28].copy_from_slice(&5_u16.to_be_bytes());
        file[28 + 8 * 4..28 + 8 * 5].copy_from_slice(&(good.len() as u64).to_be_bytes());
        file[284 + 8 * 4..284 + 8 * 5].copy_from_slice(&(section.len() as u64).to_be_bytes());
        let file = with_crc(file);
        let image = Image::parse(&file).unwrap();
        prop_assert!(image.is_signed() && image.signature().is_err());
        prop_assert_eq!(image.measurements().pcr8, None);
    }
}

/// Every image of a folder of real and made ones, as its index says.
#[test]
fn vectors() {
    let Some(folder) = std::env::var_os("STRONGROOM_VECTORS") else { return };
    let folder = Path::new(&folder).join("eif");
    let index = std::fs::read(folder.join("manifest.json")).unwrap();
    let index: Vec<serde_json::Value> = serde_json::from_slice(&index).unwrap();
    assert!(!index.is_empty());
    for entry in index {
        let name = entry["file"].as_str().unwrap();
        let file = std::fs::read(folder.join(name)).unwrap();
        let parsed = Image::parse(&file);
        let sound = parsed.as_ref().is_ok_and(|image| match image.signature() {
            Ok(None) => true,
            // Their certificates' time is not what is tried here.
            Ok(Some(signature)) => {
                signature.verify(&image.measurements().pcr0, signature.validity().0).is_ok()
            }
            Err(_) => false,
        });
        assert_eq!(sound, entry["valid"].as_bool().unwrap(), "{name}: {parsed:?}");
        let Ok(image) = parsed else { continue };
        let Some(pcrs) = entry["pcrs"].as_object() else { continue };
        let found: serde_json::Map<_, _> = image
            .measurements()
            .by_index()
            .map(|(index, pcr)| (format!("PCR{index}"), hex(pcr).into()))
            .collect();
        assert_eq!(&found, pcrs, "{name}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
