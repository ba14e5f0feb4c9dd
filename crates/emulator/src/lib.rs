//! A Nitro machine for developers who have none: boots a real enclave image in
//! stock QEMU, with the two devices that an enclave has.
//!
//! For tests and development only, and never part of the product.
//!
//! # What is real, and what is not
//!
//! The image is: kernel, command line and ramdisks are taken from the file as
//! Nitro takes them, PCR 0, 1, 2 and 8 are measured from it, a signature that
//! does not hold is refused. The guest finds its devices as on Nitro (virtio
//! over MMIO, on the command line; no ACPI, no PCI), drives them with the
//! kernel's own drivers, and cannot tell that its module ([`nsm`]) is the
//! simulator's but by the root of its certificates. The parent is context id 3,
//! and the boot heartbeat is answered as nitro-cli does.
//!
//! What is not real: the processor (QEMU's software emulation, several times
//! slower and with a clock that jumps under load), the isolation (whoever runs
//! this reads the guest's memory), and Amazon's signature (verify against
//! [`Machine::trust_root_der`]).
//!
//! # What it needs
//!
//! Linux, no privileges, no KVM, no Docker; a QEMU with `vhost-user-test-device`
//! (`image/qemu` unpacks one); a kernel in the image that takes devices from its
//! command line, as Amazon's and `image/kernel`'s do.
//!
//! # Use
//!
//! ```no_run
//! use std::io::{BufRead, BufReader, Write};
//! use std::os::unix::net::UnixStream;
//! use std::time::Duration;
//! use strongroom_emulator::{Machine, NsmFault};
//!
//! let machine = Machine::builder("enclave.eif")
//!     .qemu("/opt/qemu/qemu")
//!     .memory_mib(128)
//!     .start()?;
//! let took = machine.wait_for_heartbeat(Duration::from_secs(60))?;
//! println!("up in {took:?}");
//!
//! // To port 5005 of the enclave.
//! let mut stream = UnixStream::connect(machine.socket())?;
//! stream.write_all(b"CONNECT 5005\n")?;
//! let mut ok = String::new();
//! BufReader::new(&stream).read_line(&mut ok)?;
//!
//! // What happens when the module fails now?
//! machine.nsm_fault().set(NsmFault::error());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The enclave's own connections to port `P` of its parent arrive at
//! [`Machine::host_port_path`]`(P)`: listen there before it connects. When the
//! guest gives up, [`Machine::wait`] returns and [`Machine::last_words`] says
//! why; [`Machine::console`] has the rest. One machine is one boot: start
//! another for the next.
#![forbid(unsafe_code)]

mod machine;
pub mod nsm;
mod qemu;
pub mod vsock;

pub use machine::{ConsoleLines, Machine, MachineBuilder, MachineError, Report};
pub use nsm::{NsmFault, NsmFaultHandle, RequestKind};
pub use qemu::{Qemu, QemuError};
