//! The system calls that serving needs. Any other one ends the process.
//!
//! Two filters, of which the stricter answer counts: the first ends the process
//! on whatever is not listed; the second refuses, with ENOSYS, the few calls
//! that libraries try and do without.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::SandboxError;

/// Confines every thread of the process to the listed system calls, for good.
///
/// # Errors
/// [`SandboxError::Filter`] when the kernel does not take the filter.
pub fn confine() -> Result<(), SandboxError> {
    let filter = |error: String| SandboxError::Filter(error);
    let [allow, refuse] = filters().map_err(|error| filter(error.to_string()))?;
    for program in [refuse, allow] {
        apply_filter_all_threads(&program).map_err(|error| filter(error.to_string()))?;
    }
    Ok(())
}

/// The filter that ends the process, and the one that refuses.
fn filters() -> Result<[BpfProgram; 2], BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let mut allowed: Rules = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    allowed.extend(SPARED.iter().map(|call| (*call, Vec::new())));
    allowed.extend(narrowed()?);
    let refused: Rules = SPARED.iter().map(|call| (*call, Vec::new())).collect();
    let errno = u32::try_from(libc::ENOSYS).unwrap_or(1);
    Ok([
        program(allowed, SeccompAction::KillProcess, SeccompAction::Allow, arch)?,
        program(refused, SeccompAction::Allow, SeccompAction::Errno(errno), arch)?,
    ])
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    listed: SeccompAction,
    arch: TargetArch,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, listed, arch)?.try_into()
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are allowed with some arguments only.
fn narrowed() -> Result<Rules, BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq};
    let rule = |index, len, op, value| {
        SeccompRule::new(vec![SeccompCondition::new(index, len, op, value)?])
    };
    let not_executable = || rule(2, Dword, MaskedEq(u64::from(libc::PROT_EXEC.cast_unsigned())), 0);
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    Ok([
        // The module's one request, non-blocking mode and close-on-exec of sockets.
        (
            libc::SYS_ioctl,
            [NSM_REQUEST, FIONBIO, FIOCLEX]
                .into_iter()
                .map(|request| rule(1, Dword, Eq, request))
                .collect::<Result<_, _>>()?,
        ),
        // Flags of descriptors; not whom the kernel signals about them.
        (
            libc::SYS_fcntl,
            [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL]
                .into_iter()
                .map(|command| rule(1, Dword, Eq, u64::from(command.cast_unsigned())))
                .collect::<Result<_, _>>()?,
        ),
        // An abort signals this process; there is another one, PID 1.
        (libc::SYS_tgkill, vec![rule(0, Dword, Eq, u64::from(std::process::id()))?]),
        // Of networks, the one to the parent.
        (libc::SYS_socket, vec![rule(0, Dword, Eq, AF_VSOCK)?]),
        // Threads, and no processes.
        (libc::SYS_clone, vec![rule(0, Qword, MaskedEq(thread), thread)?]),
        // Memory, and no code.
        (libc::SYS_mmap, vec![not_executable()?]),
        (libc::SYS_mprotect, vec![not_executable()?]),
        // Names of threads and of memory.
        (libc::SYS_prctl, vec![rule(0, Dword, Eq, PR_SET_NAME)?, rule(0, Dword, Eq, PR_SET_VMA)?]),
        // Limits are read, not set.
        (libc::SYS_prlimit64, vec![rule(2, Qword, Eq, 0)?]),
    ]
    .into())
}

/// What serving does. Without it nothing works; with it nothing is reached that
/// is not open already, but a vsock connection.
const ALLOWED: &[i64] = &[
    // Bytes in and out of what is open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_close,
    // Connections: from the parent, and to its proxy.
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    // Waiting.
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    // Time and randomness.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads: made, scheduled, ended.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals: how a stack overflow or an abort ends.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// What libraries try and do without: `clone3` before `clone`, and looking for
/// the number of processors in files.
const SPARED: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_openat,
    libc::SYS_statx,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_sched_setaffinity,
    libc::SYS_membarrier,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
];

/// `_IOWR(0x0A, 0, 32 bytes)`: a request to `/dev/nsm`.
const NSM_REQUEST: u64 = 0xC020_0A00;
const FIONBIO: u64 = 0x5421;
const FIOCLEX: u64 = 0x5451;
const AF_VSOCK: u64 = 40;
const PR_SET_NAME: u64 = 15;
const PR_SET_VMA: u64 = 0x5356_4D41;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_and_nothing_dangerous_is_listed() {
        assert!(filters().is_ok());
        let listed: Vec<i64> = ALLOWED.iter().chain(SPARED).copied().collect();
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_process_vm_readv,
            libc::SYS_kexec_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_reboot,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_kill,
        ] {
            assert!(!listed.contains(&call), "{call}");
        }
    }
}
