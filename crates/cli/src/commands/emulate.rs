//! `emulate`: boots any enclave image without Nitro, until it ends or Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use strongroom_emulator::{ConsoleLines, Machine};
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinSet;

use crate::environment;
use crate::error::CliError;
use crate::output::Output;

/// What `emulate` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The image, whoever built it
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// QEMU with vhost-user-test-device, such as `image/qemu` in the source tree unpacks; otherwise
    /// that of the environment's `STRONGROOM_QEMU`, or `qemu-system-x86_64`
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<PathBuf>,

    /// Memory of the enclave, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: u32,

    /// Processors of the enclave
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    cpus: u32,

    /// Context id of the enclave, from 4
    #[arg(long, value_name = "CID", default_value_t = 16)]
    cid: u32,

    /// Start it in debug mode: PCR 0, 1, 2 and 8 are zero then
    #[arg(long)]
    debug: bool,

    /// The parent's IAM role, which is PCR3
    #[arg(long, value_name = "ARN")]
    role: Option<String>,

    /// The parent's instance id, which is PCR4
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,

    /// Forward the enclave's connections to a port of its parent, as vsock-proxy does
    #[arg(long, value_name = "PORT=IP:PORT", value_parser = forward)]
    forward: Vec<(u32, SocketAddr)>,

    /// File for the root certificate (DER) under which its attestation documents verify
    #[arg(long, value_name = "FILE")]
    root_certificate: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    let mut builder = Machine::builder(&args.image)
        .memory_mib(args.memory)
        .cpus(args.cpus)
        .cid(args.cid)
        .debug(args.debug);
    if let Some(qemu) = args.qemu.clone().or_else(environment::qemu) {
        builder = builder.qemu(qemu);
    }
    if let Some(role) = &args.role {
        builder = builder.role_arn(Some(role));
    }
    if let Some(instance_id) = &args.instance_id {
        builder = builder.instance_id(instance_id);
    }
    let started = builder.start();
    let machine = started.map_err(|error| CliError::Emulator(error.to_string()))?;
    if let Some(path) = &args.root_certificate {
        std::fs::write(path, machine.trust_root_der())
            .map_err(|source| CliError::file("write", path, source))?;
    }
    let mut forwarding = JoinSet::new();
    for (port, to) in &args.forward {
        let path = machine.host_port_path(*port);
        let listener = UnixListener::bind(&path)
            .map_err(|source| CliError::file("listen on", &path, source))?;
        forwarding.spawn(forward_all(listener, *to));
    }
    announce(&machine, output)?;
    let lines = machine.console_lines();
    let shown = tokio::task::spawn_blocking(move || show(lines));
    // Aborted on Ctrl-C: the machine is dropped then, and with it the console.
    let _ = shown.await;
    end(&machine)
}

fn announce(machine: &Machine, output: &Output) -> Result<(), CliError> {
    let pcrs: Vec<_> = machine.pcrs().into_iter().filter(|(_, value)| !value.is_zero()).collect();
    let hex = |value: &strongroom_attestation::PcrValue| hex::encode(value.0);
    let socket = machine.socket().display();
    let measured: serde_json::Map<_, _> =
        pcrs.iter().map(|(index, value)| (format!("PCR{index}"), hex(value).into())).collect();
    let value = json!({
        "socket": machine.socket(), "cid": machine.cid(), "enclave": machine.module_id(), "pcrs": measured,
    });
    let mut text = String::new();
    for (index, value) in &pcrs {
        text += &format!("PCR{index:<2} {}\n", hex(value));
    }
    if !measured.contains_key("PCR0") {
        text += "PCR0  is zero: debug mode\n";
    }
    text += &format!("enclave  {}, context id {}\n", machine.module_id(), machine.cid());
    text += &format!("socket   {socket} (send `CONNECT <port>`, get `OK <n>`)\n");
    text += &format!("         strongroomctl status --to vm:{socket}:5005\n");
    output.answer(&value, &text)
}

/// The console, on standard error.
fn show(lines: ConsoleLines) {
    use std::io::Write;
    let mut error = std::io::stderr();
    for line in lines {
        let _ = writeln!(error, "{line}");
    }
}

/// The machine has ended by itself.
fn end(machine: &Machine) -> Result<(), CliError> {
    let ended = machine.wait(Duration::from_secs(5)).is_some();
    let words = machine.last_words();
    match (ended, words.first()) {
        (_, Some(words)) => Err(CliError::Emulator(format!("the enclave has ended: {words}"))),
        (true, None) => Err(CliError::Emulator("the enclave has ended".to_owned())),
        (false, None) => Err(CliError::Emulator("the console has ended".to_owned())),
    }
}

async fn forward_all(listener: UnixListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let mut far = TcpStream::connect(to).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}

/// `PORT=IP:PORT`.
fn forward(text: &str) -> Result<(u32, SocketAddr), String> {
    let wrong = || "expected PORT=IP:PORT, such as 8000=127.0.0.1:8443".to_owned();
    let (port, to) = text.split_once('=').ok_or_else(wrong)?;
    let (port, to) = (port.parse().ok(), to.parse().ok());
    port.zip(to).ok_or_else(wrong)
}

/// The text that ends the help.
const EXAMPLE: &str = "Example, in the source tree:
  strongroomctl emulate strongroom.eif --qemu \"$(image/qemu)\" --memory 128";
