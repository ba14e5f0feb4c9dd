//! The enclave's binary: the service with Amazon's roots for KMS, and nothing
//! taken from the environment. The PCRs say all there is to say.

use std::process::ExitCode;

fn main() -> ExitCode {
    strongroom::enclave::main(strongroom::keys::roots::amazon)
}
