use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, date_time_ymd};
use strongroom_eif::{BuildMetadata, Builder, Measurements, Metadata, SigningKey};
use tempfile::TempDir;

use super::*;

/// An image of parts that nothing boots.
fn image(architecture: Architecture, signer: Option<&SigningKey>) -> (Vec<u8>, Measurements) {
    let metadata = Metadata {
        image_name: "x".into(),
        image_version: "0".into(),
        build_metadata: BuildMetadata {
            build_time: "1970-01-01T00:00:00Z".into(),
            build_tool: "x".into(),
            build_tool_version: "0".into(),
            operating_system: "x".into(),
            kernel_version: "0".into(),
        },
        docker_info: serde_json::Value::Null,
        custom_metadata: serde_json::Value::Null,
    };
    let builder = Builder {
        architecture,
        kernel: b"a kernel",
        cmdline: "a command line",
        ramdisks: vec![b"one, ", b"two, ", b"three"],
        metadata: &metadata,
    };
    (builder.build(signer).unwrap(), builder.measurements(signer))
}

/// A signer whose certificate is valid for three years.
fn signer(year: i32) -> SigningKey {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.not_before = date_time_ymd(year, 1, 1);
    params.not_after = date_time_ymd(year + 3, 1, 1);
    let certificate = params.self_signed(&key).unwrap().pem();
    let then = u64::try_from(params.not_before.unix_timestamp()).unwrap() + 1;
    SigningKey::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes(), then).unwrap()
}

fn unpacked(file: &[u8]) -> (TempDir, Result<BootFiles, MachineError>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.eif");
    std::fs::write(&path, file).unwrap();
    let files = unpack(&path, dir.path());
    (dir, files)
}

fn refusal(file: &[u8]) -> String {
    match unpacked(file).1 {
        Err(error @ MachineError::Image { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_images_parts_are_what_a_machine_boots_and_its_pcrs() {
    let (file, measured) = image(Architecture::X86_64, None);
    let (_dir, files) = unpacked(&file);
    let files = files.unwrap();
    assert_eq!(std::fs::read(files.kernel).unwrap(), b"a kernel");
    assert_eq!(std::fs::read(files.initrd).unwrap(), b"one, two, three");
    assert_eq!(files.cmdline, "a command line");
    assert_eq!(files.len, u64::try_from(file.len()).unwrap());
    let expected = [(0, measured.pcr0), (1, measured.pcr1), (2, measured.pcr2)];
    assert_eq!(files.pcrs, expected.map(|(index, value)| (index, PcrValue(value))));
}

#[test]
fn a_signed_image_has_pcr8() {
    let year = 1970 + i32::try_from(unix_now() / 31_556_952).unwrap();
    let (file, measured) = image(Architecture::X86_64, Some(&signer(year - 1)));
    let files = unpacked(&file).1.unwrap();
    assert_eq!(files.pcrs[3], (8, PcrValue(measured.pcr8.unwrap())));
}

#[test]
fn an_image_that_nitro_does_not_start_is_refused() {
    let (file, _) = image(Architecture::X86_64, Some(&signer(2001)));
    assert!(refusal(&file).contains("certificate"), "{}", refusal(&file));
    assert!(refusal(&image(Architecture::Aarch64, None).0).contains("x86-64"));
    assert!(refusal(b"\x7fELF").contains("no enclave image"));
    let (mut file, _) = image(Architecture::X86_64, None);
    file.truncate(file.len() - 1);
    assert!(refusal(&file).contains("strongroomctl image build"));
}
