//! The enclave's binary for laboratories: an emulated machine, a simulated KMS.
//!
//! Everything but one value is the product's own: KMS's certificate is judged
//! under the roots in [`ROOTS`], a file of the image, instead of Amazon's. The
//! file is measured like the rest, and so is this binary: an image made with it
//! has other PCRs than any image of the product.
#![forbid(unsafe_code)]

mod measure;

use std::process::ExitCode;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Why there are no roots.
#[derive(Debug, thiserror::Error)]
enum RootsError {
    #[error("{ROOTS} is not a file of PEM certificates: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("{ROOTS} has a certificate that cannot be a root: {0}")]
    Root(#[from] rustls::Error),
    #[error("{ROOTS} has no certificate")]
    None,
}

fn main() -> ExitCode {
    misbehave();
    measure::begin();
    strongroom::enclave::main(roots)
}

fn roots() -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ROOTS)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err(RootsError::None) } else { Ok(roots) }
}

/// In an image that brings [`MISBEHAVE`], a thread that has the service (not the
/// init) do,
/// some time after its start, what its sandbox must not let it do.
fn misbehave() {
    if std::process::id() != 1 && std::path::Path::new(MISBEHAVE).exists() {
        std::thread::spawn(|| {
            wait();
            let _ = std::process::Command::new("/init").spawn();
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of no runtime")]
fn wait() {
    std::thread::sleep(std::time::Duration::from_secs(3));
}

/// Where the image keeps the roots for KMS, PEM.
const ROOTS: &str = "/kms-roots.pem";

/// A file whose presence asks for a violation.
const MISBEHAVE: &str = "/lab-misbehave";
