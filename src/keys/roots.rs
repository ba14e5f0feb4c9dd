//! Amazon's roots: whose certificates are believed to be KMS's.
//!
//! The five roots of Amazon Trust Services (<https://www.amazontrust.com/repository/>),
//! under which every AWS endpoint's certificate stands. Nothing else is
//! trusted, whatever the machine around has installed.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The trust store for a production image.
///
/// # Errors
/// When the built-in certificates cannot be read; a test proves that they can.
pub fn amazon() -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(PEM) {
        let certificate = certificate.map_err(|error| rustls::Error::General(error.to_string()))?;
        roots.add(certificate)?;
    }
    Ok(roots)
}

const PEM: &[u8] = include_bytes!("amazon_roots.pem");

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest;

    #[test]
    fn the_roots_are_the_five_that_amazon_publishes_and_no_other() {
        let published = [
            "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
            "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
            "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
            "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
            "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
        ];
        let built_in: Vec<String> = CertificateDer::pem_slice_iter(PEM)
            .map(|der| hex::encode(digest::digest(&digest::SHA256, &der.unwrap())))
            .collect();
        assert_eq!(built_in, published);
        assert_eq!(amazon().unwrap().len(), published.len());
    }
}
