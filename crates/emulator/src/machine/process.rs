//! The QEMU process of a machine, and the thread that watches over it.
//!
//! Called by `builder.rs`. The thread starts QEMU, reads its console to the end
//! and learns how it ended. QEMU dies with that very thread (`exit-with-parent`),
//! so that no machine outlives a test program that was killed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{Builder, JoinHandle};

use super::console::{Console, plain};
use super::life::Life;
use super::listening::drain;

/// A running QEMU. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    watcher: Option<JoinHandle<()>>,
    log: PathBuf,
}

/// What the watcher tells of what it sees.
pub(super) struct Watched {
    pub(super) life: Arc<Life>,
    pub(super) console: Arc<Console>,
    /// Where last words arrive: those of before the end are waited for.
    pub(super) last_words: PathBuf,
}

impl Process {
    /// Starts QEMU; what it says itself goes to the file `log`.
    pub(super) fn start(mut command: Command, log: &Path, watched: Watched) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let (report, started) = mpsc::channel();
        let watcher = Builder::new().name("qemu".into()).spawn(move || {
            match spawn(&mut command) {
                Ok((child, stdout)) => {
                    let child = Arc::new(Mutex::new(child));
                    let _ = report.send(Ok(child.clone()));
                    watch(&child, stdout, &watched);
                }
                Err(error) => drop(report.send(Err(error))),
            };
        })?;
        let child = started.recv().map_err(io::Error::other)??;
        Ok(Self { child, watcher: Some(watcher), log: log.to_owned() })
    }

    /// The end of what QEMU itself had to say.
    pub(super) fn log(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(MAX_LOG_LEN)))?;
            file.take(MAX_LOG_LEN).read_to_end(&mut text)
        });
        if read.is_err() {
            return String::new();
        }
        let lines = text.split(|byte| *byte == b'\n').map(plain);
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).kill();
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

fn spawn(command: &mut Command) -> io::Result<(Child, ChildStdout)> {
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((child, stdout))
}

fn watch(child: &Mutex<Child>, mut stdout: ChildStdout, watched: &Watched) {
    let mut buffer = vec![0; 4096];
    loop {
        match stdout.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => watched.console.feed(buffer.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    watched.console.close();
    // Its console is closed: it has ended, or is about to.
    let ended = child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    drain(&watched.last_words);
    if let Ok(status) = ended {
        watched.life.end(status);
    }
}

/// Most bytes of QEMU's own words that an error repeats.
const MAX_LOG_LEN: u64 = 4096;
