//! A process of what is measured, as the bench sees it: where it listens, what
//! CPU time and memory it has taken (proc(5)).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::time::Duration;

use strongroom::transport::Endpoint;
use strongroom_client::Address;

use super::stand::{Hello, Kind};
use crate::error::CliError;

/// Ends when it is dropped.
pub(super) struct Child {
    process: Process,
    /// Closes with this: the process ends then, also if the bench is killed.
    _stdin: Option<ChildStdin>,
    pub(super) kind: Kind,
    pub(super) hello: Hello,
    pub(super) address: Address,
    pub(super) endpoint: Endpoint,
}

impl Child {
    /// Starts one with so many worker threads, or as many as tokio thinks fit.
    pub(super) async fn start(
        kind: Kind,
        at: Address,
        workers: Option<usize>,
    ) -> Result<Self, CliError> {
        let started = tokio::task::spawn_blocking(move || Self::start_now(kind, &at, workers));
        started.await.map_err(|_| CliError::Internal("a thread panicked"))?
    }

    fn start_now(kind: Kind, at: &Address, workers: Option<usize>) -> Result<Self, CliError> {
        let failed = |error| CliError::file("start", Path::new("a process of the bench"), error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        let name = match kind {
            Kind::Service => "service",
            Kind::Echo => "echo",
        };
        command.args(["bench", "--stand", name, "--stand-at", &at.to_string()]);
        if let Some(workers) = workers {
            // Which tokio's runtime goes by.
            command.env("TOKIO_WORKER_THREADS", workers.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(failed)?;
        let (stdin, mut line) = (process.stdin.take(), String::new());
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
        }
        let unheard = || CliError::Bench(format!("the {name} under measurement does not start"));
        let parsed = serde_json::from_str::<Hello>(&line).map_err(|_| unheard());
        let hello = parsed.inspect_err(|_| end(&mut process))?;
        let address: Address = hello.address.parse()?;
        let endpoint = match &address {
            Address::Unix(path) => Endpoint::Unix(path.clone()),
            Address::Tcp(address) => Endpoint::Tcp(*address),
            Address::Vsock { .. } | Address::Vm { .. } => return Err(unheard()),
        };
        Ok(Self { process, _stdin: stdin, kind, hello, address, endpoint })
    }

    /// CPU time of its threads that live; its workers do until it ends.
    pub(super) fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Bytes of memory that are resident now.
    pub(super) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Most bytes of memory that were resident at once since the last
    /// [`Child::forget_peak`].
    pub(super) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    pub(super) fn forget_peak(&self) {
        // Where that is not allowed, the peak is that of the whole life.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5");
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() << 10
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Process) {
    // It may have ended by itself.
    let _ = process.kill();
    let _ = process.wait();
}
