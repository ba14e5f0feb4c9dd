//! The commands, one file each.

pub(crate) mod attest;
pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod credentials;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod emulate;
pub(crate) mod encrypt;
pub(crate) mod image;
pub(crate) mod keygen;
pub(crate) mod manifest;
pub(crate) mod open;
pub(crate) mod policy;
pub(crate) mod status;
pub(crate) mod verify;
pub(crate) mod verify_receipt;

use crate::args::Command;
use crate::error::CliError;
use crate::output::Output;

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), CliError> {
    match command {
        Command::Demo(args) => demo::run(&args, output).await,
        Command::Dev(args) => dev::run(&args, output).await,
        Command::Verify(args) => verify::run(&args, output),
        Command::VerifyReceipt(args) => verify_receipt::run(args, output),
        Command::Attest(args) => attest::run(args, output).await,
        Command::Status(args) => status::run(&args, output).await,
        Command::Credentials(args) => credentials::run(args, output).await,
        Command::Call(args) => call::run(args, output).await,
        Command::Encrypt(args) => encrypt::run(args, output).await,
        Command::Keygen(args) => keygen::run(&args, output),
        Command::Open(args) => open::run(args, output).await,
        Command::Image(args) => image::run(args, output),
        Command::Manifest(args) => manifest::run(&args, output),
        Command::Policy(args) => policy::run(&args, output),
        Command::Emulate(args) => emulate::run(&args, output).await,
        Command::Bench(args) => bench::run(&args, output).await,
    }
}
