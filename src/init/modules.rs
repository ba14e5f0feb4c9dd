//! Kernel modules that the image brings, such as AWS's `nsm.ko`. The kernel of
//! the product has none.

use std::ffi::CString;
use std::fs::File;
use std::io;

use rustix::system::finit_module;

use super::InitError;

/// Loads what `/modules/order` lists, in that order.
pub(super) fn load_all() -> Result<(), InitError> {
    let Ok(order) = std::fs::read_to_string("/modules/order") else { return Ok(()) };
    let cmdline = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    for name in order.lines().map(str::trim).filter(|name| !name.is_empty()) {
        load(name, &cmdline).map_err(|error| InitError::Module { name: name.to_owned(), error })?;
    }
    // Loaded, they are of no more use.
    let _ = std::fs::remove_dir_all("/modules");
    Ok(())
}

fn load(name: &str, cmdline: &str) -> io::Result<()> {
    let parameters = CString::new(parameters(name, cmdline))?;
    let file = File::open(format!("/modules/{name}"))?;
    match finit_module(&file, &parameters, 0) {
        // Already there is as good.
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The parameters that the kernel's command line has for a module:
/// `name.parameter=value`, where `-` and `_` are the same. A module that is
/// built in gets them from the kernel; one that is loaded gets them so.
fn parameters(file: &str, cmdline: &str) -> String {
    let module = file.split('.').next().unwrap_or(file).replace('-', "_");
    let own = cmdline.split_whitespace().filter_map(|word| {
        let (name, parameter) = word.split_once('.')?;
        (name.replace('-', "_") == module).then_some(parameter)
    });
    own.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_module_gets_its_own_parameters_in_order() {
        let cmdline =
            "reboot=k virtio-mmio.device=4K@0x1:5 nsm.x=1 virtio_mmio.device=4K@0x2:6 a.b";
        assert_eq!(parameters("virtio_mmio.ko", cmdline), "device=4K@0x1:5 device=4K@0x2:6");
        assert_eq!(parameters("virtio-mmio.ko", cmdline), "device=4K@0x1:5 device=4K@0x2:6");
        assert_eq!(parameters("nsm.ko", cmdline), "x=1");
        assert_eq!(parameters("vsock.ko", cmdline), "");
    }

    proptest! {
        #[test]
        fn no_command_line_gives_a_module_what_is_not_its_own(cmdline in "[a-c._= -]{0,60}") {
            let parameters = parameters("a.ko", &cmdline);
            for parameter in parameters.split(' ').filter(|text| !text.is_empty()) {
                let word = format!("a.{parameter}");
                prop_assert!(cmdline.split_whitespace().any(|found| found == word));
            }
        }
    }
}
