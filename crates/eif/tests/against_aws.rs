//! Against AWS's own builder and reader (`tests/oracles/eif`): the same parts
//! give the same bytes, and each reads what the other wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

use serde_json::Value;
use strongroom_eif::cpio::Archive;
use strongroom_eif::{Architecture, BuildMetadata, Builder, Image, Metadata, SigningKey};

/// Parts of an image, as files too.
struct Parts {
    dir: tempfile::TempDir,
    architecture: Architecture,
    kernel: Vec<u8>,
    ramdisks: Vec<Vec<u8>>,
    metadata: Metadata,
}

const CMDLINE: &str = "reboot=k panic=30 console=ttyS0";

fn oracle(args: &[&str]) -> Option<Value> {
    let Some(program) = std::env::var_os("STRONGROOM_EIF_ORACLE") else {
        // Past the test harness, which would swallow it; one line for all tests.
        static SKIPPED: Once = Once::new();
        SKIPPED.call_once(|| {
            let mut out = std::io::stderr();
            writeln!(out, "skipped: STRONGROOM_EIF_ORACLE names no program; `tests/run` builds it")
                .unwrap();
        });
        return None;
    };
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

impl Parts {
    fn new(architecture: Architecture) -> Self {
        let mut archive = Archive::default();
        archive.file("init", 0o755, &[7; 100_000]).unwrap();
        archive.folder("dev").unwrap();
        let metadata = Metadata {
            image_name: "strongroom".into(),
            image_version: "1.2".into(),
            build_metadata: BuildMetadata {
                build_time: "1970-01-01T00:00:00Z".into(),
                build_tool: "strongroomctl".into(),
                build_tool_version: "0".into(),
                operating_system: "none".into(),
                kernel_version: "6.12".into(),
            },
            docker_info: Value::Null,
            custom_metadata: serde_json::json!({ "z": 1, "a": [true, null] }),
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            architecture,
            kernel: (0..=255).cycle().take(70_001).collect(),
            ramdisks: vec![archive.write().unwrap(), b"second".to_vec(), Vec::new()],
            metadata,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn ours(&self, signer: Option<&SigningKey>) -> Vec<u8> {
        let builder = Builder {
            architecture: self.architecture,
            kernel: &self.kernel,
            cmdline: CMDLINE,
            ramdisks: self.ramdisks.iter().map(Vec::as_slice).collect(),
            metadata: &self.metadata,
        };
        builder.build(signer).unwrap()
    }

    /// What AWS's builder makes of the same parts, and the PCRs that it prints.
    fn theirs(&self, certificate: &str, key: &str) -> Option<(Vec<u8>, Value)> {
        let kernel = self.file("kernel", &self.kernel);
        let metadata = self.file("metadata.json", &serde_json::to_vec(&self.metadata).unwrap());
        let out = self.path("theirs.eif");
        let ramdisks: Vec<_> = (0..)
            .zip(&self.ramdisks)
            .map(|(n, data): (u8, _)| self.file(&format!("ramdisk{n}"), data))
            .collect();
        let mut args = vec!["build", &out, self.architecture.as_str(), &kernel, CMDLINE];
        args.extend([metadata.as_str(), certificate, key]);
        args.extend(ramdisks.iter().map(String::as_str));
        let printed = oracle(&args)?;
        Some((std::fs::read(out).unwrap(), printed))
    }
}

fn assert_same_pcrs(ours: &Image<'_>, theirs: &Value) {
    let mut count = 0;
    for (index, pcr) in ours.measurements().by_index() {
        let hex: String = pcr.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(theirs[format!("PCR{index}")], hex, "PCR{index}");
        count += 1;
    }
    let listed = theirs.as_object().unwrap().keys().filter(|key| key.starts_with("PCR")).count();
    assert_eq!(listed, count);
}

/// Two files whose signature section begins at `at`. Its length varies, because
/// bytes are CBOR integers there: header and section name it, and the CRC differs.
fn assert_same_but_for_the_signature(ours: &[u8], theirs: &[u8], at: usize) {
    let sections = |file: &[u8]| u16::from_be_bytes(file[26..28].try_into().unwrap());
    let size_at = 284 + 8 * usize::from(sections(ours) - 1);
    for same in [0..size_at, size_at + 8..544, 548..at + 4] {
        assert!(ours[same.clone()] == theirs[same.clone()], "bytes {same:?} differ");
    }
    let parts = |file: &[u8]| {
        let [entry]: [Entry; 1] = serde_cbor::from_slice(&file[at + 12..]).unwrap();
        assert!(serde_cbor::to_vec(&[&entry]).unwrap() == file[at + 12..], "encoded otherwise");
        let serde_cbor::Value::Array(cose) = serde_cbor::from_slice(&entry.signature).unwrap()
        else {
            panic!("no COSE_Sign1")
        };
        let serde_cbor::Value::Bytes(signature) = &cose[3] else { panic!("no signature") };
        // The signature is at the end; all before it, its length too, must be the same.
        assert!(entry.signature.ends_with(signature));
        let before = entry.signature[..entry.signature.len() - signature.len()].to_vec();
        (entry, before)
    };
    let ((ours, our_cose), (theirs, their_cose)) = (parts(ours), parts(theirs));
    assert_eq!(ours.signing_certificate, theirs.signing_certificate);
    assert_eq!(our_cose, their_cose);
    assert_ne!(ours.signature, theirs.signature);
}

/// An entry of a signature section, its members in AWS's order.
#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    signing_certificate: Vec<u8>,
    signature: Vec<u8>,
}

#[test]
fn an_unsigned_image_is_byte_for_byte_what_aws_writes() {
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let parts = Parts::new(architecture);
        let Some((theirs, printed)) = parts.theirs("-", "-") else { return };
        let ours = parts.ours(None);
        assert!(ours == theirs, "the files differ");
        let image = Image::parse(&ours).unwrap();
        assert_eq!(image.architecture(), architecture);
        assert_same_pcrs(&image, &printed);
    }
}

#[test]
fn signed_images_verify_on_both_sides_and_differ_in_the_random_signature_alone() {
    for curve in ["prime256v1", "secp384r1", "secp521r1"] {
        let parts = Parts::new(Architecture::X86_64);
        let (key, certificate) = (parts.path("key.pem"), parts.path("certificate.pem"));
        let openssl = |args: &[&str]| {
            assert!(Command::new("openssl").args(args).output().unwrap().status.success());
        };
        openssl(&["ecparam", "-name", curve, "-genkey", "-noout", "-out", &key]);
        openssl(&[
            "req",
            "-new",
            "-x509",
            "-key",
            &key,
            "-days",
            "2",
            "-subj",
            "/CN=x",
            "-out",
            &certificate,
        ]);
        let Some((theirs, printed)) = parts.theirs(&certificate, &key) else { return };

        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let read = |path: &str| std::fs::read(PathBuf::from(path)).unwrap();
        let signer = SigningKey::from_pem(&read(&certificate), &read(&key), now).unwrap();
        let ours = parts.ours(Some(&signer));
        for file in [&ours, &theirs] {
            let image = Image::parse(file).unwrap();
            image.signature().unwrap().unwrap().verify(&image.measurements().pcr0, now).unwrap();
            assert_same_pcrs(&image, &printed);
        }
        let path = parts.file("ours.eif", &ours);
        let described = oracle(&["describe", &path]).unwrap();
        assert_eq!(
            (&described["CheckCRC"], &described["SignatureCheck"]),
            (&true.into(), &true.into())
        );
        assert_same_pcrs(&Image::parse(&ours).unwrap(), &described);
        assert_same_but_for_the_signature(&ours, &theirs, parts.ours(None).len());
    }
}

/// The format leaves the order of sections open, and it is measured.
#[test]
fn a_command_line_elsewhere_is_measured_where_it_stands() {
    let parts = Parts::new(Architecture::X86_64);
    let ours = parts.ours(None);
    let sections = |order: &[usize]| {
        let at = |field: usize, index: usize| {
            let start = field + 8 * index;
            usize::try_from(u64::from_be_bytes(ours[start..start + 8].try_into().unwrap())).unwrap()
        };
        let (mut file, mut body) = (ours[..548].to_vec(), Vec::new());
        for (place, &index) in order.iter().enumerate() {
            let (start, len) = (at(28, index), at(284, index));
            let offset = u64::try_from(548 + body.len()).unwrap();
            file[28 + 8 * place..36 + 8 * place].copy_from_slice(&offset.to_be_bytes());
            let size = u64::try_from(len).unwrap();
            file[284 + 8 * place..292 + 8 * place].copy_from_slice(&size.to_be_bytes());
            body.extend(&ours[start..start + 12 + len]);
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&file[..544]);
        hasher.update(&body);
        file[544..].copy_from_slice(&hasher.finalize().to_be_bytes());
        file.extend(body);
        file
    };
    let usual = sections(&[0, 1, 2, 3, 4, 5]);
    assert!(usual == ours);
    for order in [[1, 0, 2, 3, 4, 5], [0, 2, 3, 4, 5, 1], [0, 2, 3, 1, 4, 5]] {
        let file = sections(&order);
        let image = Image::parse(&file).unwrap();
        assert_ne!(image.measurements(), Image::parse(&ours).unwrap().measurements());
        let path = parts.file("ordered.eif", &file);
        let Some(described) = oracle(&["describe", &path]) else { return };
        assert_same_pcrs(&image, &described);
    }
}
