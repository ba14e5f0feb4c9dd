//! What the confined process does: what serving needs, and what nobody may.

use std::process::Command;
use std::sync::mpsc;

use strongroom::manifest::Manifest;
use strongroom::operation::{Helpers, Material, Operation};
use strongroom_envelope::SecretBuf;

/// Printed once the sandbox is up.
pub const CONFINED: &str = "confined";

/// Exit code of a deed that was refused with error number 0.
pub const REFUSED: i32 = 100;

/// Confines this process, does the deed, and ends.
#[allow(clippy::disallowed_methods, reason = "the deed's end is the process's")]
pub fn confined(deed: &str) -> ! {
    // As the enclave does it: threads inherit what their maker has, and the filter
    // comes when they are there.
    strongroom::sandbox::set_limits(16).unwrap();
    strongroom::sandbox::drop_capabilities().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (go, wait) = mpsc::channel();
    let old = std::thread::spawn(move || {
        wait.recv().unwrap();
        call(libc::SYS_getppid, [0; 6])
    });
    let listener = runtime.block_on(super::serving::listener(deed));
    strongroom::sandbox::confine().unwrap();
    println!("{CONFINED}");
    let raw = || {
        let forbidden = FORBIDDEN.iter().map(|(name, number)| (*name, *number, [0; 6]));
        let spared = SPARED.iter().map(|(name, number)| (*name, *number, [0; 6]));
        let all = forbidden.chain(spared).chain(MISUSED.iter().copied());
        all.into_iter().find(|(name, ..)| *name == deed)
    };
    let done = match deed {
        "serve" => runtime.block_on(super::serving::forever(listener.unwrap())),
        "allocate-on-many-threads" => allocate(),
        "blocking-threads" => runtime.block_on(blocking()),
        "panic-in-a-task" => runtime.block_on(panicking()),
        "timers" => runtime.block_on(timers()),
        "aggregate-with-a-helper" => aggregate(),
        "connect-vsock" => runtime.block_on(connect_vsock()),
        "old-thread" => {
            go.send(()).unwrap();
            old.join().unwrap()
        }
        "spawn-program" => io(Command::new("/bin/true").spawn()),
        "become-program" => {
            use std::os::unix::process::CommandExt;
            io::<()>(Err(Command::new("/bin/true").exec()))
        }
        "connect-tcp" => io(std::net::TcpStream::connect("127.0.0.1:1")),
        "open-file" => io(std::fs::File::open("/etc/passwd")),
        _ => {
            let (_, number, arguments) = raw().expect("the deed is known");
            call(number, arguments)
        }
    };
    std::process::exit(if done == 0 { 0 } else { REFUSED + done })
}

/// A system call as it is; gives the error's number, 0 for none.
#[allow(unsafe_code, reason = "what is tested is what safe code cannot do")]
fn call(number: i64, a: [i64; 6]) -> i32 {
    // SAFETY: none of the calls made here gets past the sandbox, which is what
    // is tested; were one done, the process would end right after it.
    let result = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
}

fn io<T>(result: std::io::Result<T>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(1), |_| 0)
}

/// Fills memory on more threads than there are arenas, in sizes that come from
/// the heap and from mappings, and gives it back.
fn allocate() -> i32 {
    let threads: Vec<_> = (0..64_usize)
        .map(|thread| {
            std::thread::Builder::new()
                .name(format!("filler {thread}"))
                .spawn(move || {
                    let sizes = [16, 4096, 100_000, 3 << 20];
                    (0..40).map(|turn| vec![thread as u8; sizes[turn % 4]].len()).sum::<usize>()
                })
                .unwrap()
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap() > 0);
    }
    let mut grown = Vec::new();
    for turn in 0..3_000_000_u32 {
        grown.push(turn);
    }
    assert!(std::thread::available_parallelism().is_ok());
    0
}

async fn blocking() -> i32 {
    let tasks: Vec<_> = (0..40)
        .map(|task| {
            tokio::task::spawn_blocking(move || {
                let mut random = [0; 32];
                aws_lc_rs::rand::fill(&mut random).unwrap();
                (task, random)
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    0
}

async fn panicking() -> i32 {
    strongroom::telemetry::init(tracing::level_filters::LevelFilter::INFO);
    let panicked = tokio::spawn(async { panic!("on purpose") }).await;
    assert!(panicked.unwrap_err().is_panic());
    let panicked = tokio::task::spawn_blocking(|| panic!("on purpose")).await;
    assert!(panicked.unwrap_err().is_panic());
    tokio::spawn(async { 0 }).await.unwrap()
}

async fn timers() -> i32 {
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let never = std::future::pending::<()>();
    let late = tokio::time::timeout(std::time::Duration::from_millis(5), never).await;
    assert!(late.is_err());
    assert!(std::time::SystemTime::now() > std::time::UNIX_EPOCH);
    0
}

/// An aggregate long enough that a thread of its own reads half of it.
fn aggregate() -> i32 {
    let job = r#"
[[job]]
name = "cities"
operation = "aggregate"
args = ["tenant"]
input = { format = "csv", key = "$key", context = { purpose = "support", tenant = "{tenant}" } }
aggregate = { group_by = ["city"], compute = { people = "count" }, min_group_size = 5 }
output = { protect = "none" }
"#;
    let manifest = super::house::manifest(super::serving::KEY, super::serving::KEY);
    let manifest = Manifest::parse(&(manifest + &job.replace("$key", super::serving::KEY)));
    let manifest = manifest.unwrap();
    let job = &manifest.jobs["cities"];
    let limits = &manifest.limits;
    let operation = Operation::new(&job.operation, &job.inputs, Material::None, limits).unwrap();
    let mut operation = operation.with_helpers(&Helpers::new(1));
    let (mut input, mut out) = (SecretBuf::new(), SecretBuf::new());
    input.extend_from_slice(b"name,city\n");
    let piece = "Ada Lovelace,London\n".repeat(10_000);
    let mut threads = 0;
    for _ in 0..20 {
        input.extend_from_slice(piece.as_bytes());
        operation.process(&mut input, &mut out).unwrap();
        // What runs here is shown by the memory that the other reader has.
        threads = threads.max(usize::from(operation.memory() > piece.len() / 2));
    }
    operation.finish(&mut input, &mut out).unwrap();
    assert_eq!(threads, 1, "nobody helped");
    assert_eq!(out.expose(), b"suppressed,city,people\nfalse,London,200000\n");
    0
}

/// There need not be vsock on the machine of the tests; asking for it is allowed.
async fn connect_vsock() -> i32 {
    let parent = strongroom::transport::Endpoint::Vsock { cid: 3, port: 8000 };
    let connect = tokio::time::timeout(std::time::Duration::from_secs(5), parent.connect()).await;
    assert!(!matches!(connect, Ok(Ok(_))), "there is no parent here");
    0
}

pub const HARMLESS: &[&str] = &[
    "allocate-on-many-threads",
    "blocking-threads",
    "panic-in-a-task",
    "timers",
    "connect-vsock",
    "aggregate-with-a-helper",
];

/// Calls that end the process. All arguments are zero: the number is enough.
pub const FORBIDDEN: &[(&str, i64)] = &[
    ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("kill", libc::SYS_kill),
    ("tkill", libc::SYS_tkill),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("setuid", libc::SYS_setuid),
    ("capset", libc::SYS_capset),
    ("seccomp", libc::SYS_seccomp),
    ("personality", libc::SYS_personality),
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("chroot", libc::SYS_chroot),
    ("pivot_root", libc::SYS_pivot_root),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("open_tree", libc::SYS_open_tree),
    ("fsopen", libc::SYS_fsopen),
    ("openat2", libc::SYS_openat2),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("unlinkat", libc::SYS_unlinkat),
    ("mkdirat", libc::SYS_mkdirat),
    ("mknodat", libc::SYS_mknodat),
    ("fchmodat", libc::SYS_fchmodat),
    ("memfd_create", libc::SYS_memfd_create),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_setup", libc::SYS_io_setup),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("init_module", libc::SYS_init_module),
    ("finit_module", libc::SYS_finit_module),
    ("kexec_load", libc::SYS_kexec_load),
    ("reboot", libc::SYS_reboot),
    ("syslog", libc::SYS_syslog),
    ("settimeofday", libc::SYS_settimeofday),
    ("clock_settime", libc::SYS_clock_settime),
    ("clock_adjtime", libc::SYS_clock_adjtime),
    ("setrlimit", libc::SYS_setrlimit),
    ("socketpair", libc::SYS_socketpair),
    ("bind", libc::SYS_bind),
    ("listen", libc::SYS_listen),
    // Would take a program for the kernel (SO_ATTACH_FILTER).
    ("setsockopt", libc::SYS_setsockopt),
    // Would pass descriptors on.
    ("sendmsg", libc::SYS_sendmsg),
    ("recvmsg", libc::SYS_recvmsg),
    ("shmget", libc::SYS_shmget),
    ("pkey_mprotect", libc::SYS_pkey_mprotect),
    ("remap_file_pages", libc::SYS_remap_file_pages),
    #[cfg(target_arch = "x86_64")]
    ("fork", libc::SYS_fork),
    #[cfg(target_arch = "x86_64")]
    ("vfork", libc::SYS_vfork),
    #[cfg(target_arch = "x86_64")]
    ("arch_prctl", libc::SYS_arch_prctl),
    #[cfg(target_arch = "x86_64")]
    ("modify_ldt", libc::SYS_modify_ldt),
    // The kernel's other ABI of x86-64 has the same calls under other numbers.
    #[cfg(target_arch = "x86_64")]
    ("x32 getpid", 0x4000_0000 + libc::SYS_getpid),
];

const LEN: i64 = 4096;
const ANONYMOUS: i64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as i64;
const WRITE_EXEC: i64 = (libc::PROT_WRITE | libc::PROT_EXEC) as i64;

/// Calls that are allowed, but not so.
pub const MISUSED: &[(&str, i64, [i64; 6])] = &[
    ("socket inet", libc::SYS_socket, [libc::AF_INET as i64, 1, 0, 0, 0, 0]),
    ("socket inet6", libc::SYS_socket, [libc::AF_INET6 as i64, 1, 0, 0, 0, 0]),
    ("socket unix", libc::SYS_socket, [libc::AF_UNIX as i64, 1, 0, 0, 0, 0]),
    ("socket netlink", libc::SYS_socket, [libc::AF_NETLINK as i64, 3, 0, 0, 0, 0]),
    ("socket packet", libc::SYS_socket, [libc::AF_PACKET as i64, 3, 0, 0, 0, 0]),
    ("socket alg", libc::SYS_socket, [libc::AF_ALG as i64, 5, 0, 0, 0, 0]),
    ("clone as fork", libc::SYS_clone, [libc::SIGCHLD as i64, 0, 0, 0, 0, 0]),
    ("mmap write and execute", libc::SYS_mmap, [0, LEN, WRITE_EXEC, ANONYMOUS, -1, 0]),
    ("mmap execute", libc::SYS_mmap, [0, LEN, libc::PROT_EXEC as i64, ANONYMOUS, -1, 0]),
    // Bits above the argument's 32 do not hide those below.
    ("mmap high bits", libc::SYS_mmap, [0, LEN, (1 << 32) | WRITE_EXEC, ANONYMOUS, -1, 0]),
    ("mprotect execute", libc::SYS_mprotect, [0, LEN, libc::PROT_EXEC as i64, 0, 0, 0]),
    ("ioctl TIOCSTI", libc::SYS_ioctl, [0, libc::TIOCSTI as i64, 0, 0, 0, 0]),
    ("ioctl TIOCSCTTY", libc::SYS_ioctl, [0, libc::TIOCSCTTY as i64, 0, 0, 0, 0]),
    ("ioctl RNDADDENTROPY", libc::SYS_ioctl, [0, 0x4008_5203, 0, 0, 0, 0]),
    ("fcntl F_SETOWN", libc::SYS_fcntl, [0, libc::F_SETOWN as i64, 1, 0, 0, 0]),
    ("fcntl F_SETSIG", libc::SYS_fcntl, [0, 10, 9, 0, 0, 0]),
    ("prctl PR_SET_DUMPABLE", libc::SYS_prctl, [libc::PR_SET_DUMPABLE as i64, 1, 0, 0, 0, 0]),
    ("prctl PR_SET_SECCOMP", libc::SYS_prctl, [libc::PR_SET_SECCOMP as i64, 0, 0, 0, 0, 0]),
    ("prlimit64 set", libc::SYS_prlimit64, [0, libc::RLIMIT_CORE as i64, 1, 0, 0, 0]),
    ("tgkill PID 1", libc::SYS_tgkill, [1, 1, libc::SIGTERM as i64, 0, 0, 0]),
];

/// Calls that are refused, and end nothing.
pub const SPARED: &[(&str, i64)] = &[
    ("clone3", libc::SYS_clone3),
    ("openat", libc::SYS_openat),
    ("statx", libc::SYS_statx),
    ("readlinkat", libc::SYS_readlinkat),
    #[cfg(target_arch = "x86_64")]
    ("open", libc::SYS_open),
];
