//! eif-oracle build OUT x86_64|aarch64 KERNEL CMDLINE METADATA.json CERTIFICATE|- KEY|- RAMDISK…
//! eif-oracle describe IMAGE
//!
//! Both print the PCRs as JSON; `describe` also what AWS's reader makes of the
//! signature and the CRC.
use std::fs::OpenOptions;
use std::path::Path;

use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::{
    EifBuilder, PcrSignatureChecker, SignKeyData, get_pcrs,
};
use sha2::{Digest, Sha384};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let printed = match args.as_slice() {
        [
            "build",
            out,
            architecture,
            kernel,
            cmdline,
            metadata,
            certificate,
            key,
            ramdisks @ ..,
        ] => {
            let metadata = std::fs::read(metadata).expect("metadata");
            let metadata = serde_json::from_slice(&metadata).expect("metadata");
            let signer =
                (*key != "-").then(|| SignKeyData::new(key, Path::new(certificate)).expect("key"));
            let flags = u16::from(*architecture == "aarch64");
            let mut builder = EifBuilder::new(
                Path::new(kernel),
                (*cmdline).to_owned(),
                signer,
                Sha384::new(),
                flags,
                metadata,
            );
            for ramdisk in ramdisks {
                builder.add_ramdisk(Path::new(ramdisk));
            }
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .open(out)
                .expect("output");
            serde_json::to_value(builder.write_to(&mut file)).expect("JSON")
        }
        ["describe", image] => {
            let mut reader = EifReader::from_eif((*image).to_owned()).expect("an image");
            let signed = reader.signature_section.is_some();
            let pcrs = get_pcrs(
                &mut reader.image_hasher,
                &mut reader.bootstrap_hasher,
                &mut reader.app_hasher,
                &mut reader.cert_hasher,
                Sha384::new(),
                signed,
            )
            .expect("PCRs");
            let mut pcrs = serde_json::to_value(pcrs).expect("JSON");
            pcrs["CheckCRC"] = reader.check_crc().into();
            if signed {
                let checked =
                    PcrSignatureChecker::from_eif(image).and_then(|mut checker| checker.verify());
                pcrs["SignatureCheck"] = checked.is_ok().into();
            }
            pcrs
        }
        _ => panic!("see the first lines of main.rs"),
    };
    println!("{printed}");
}
