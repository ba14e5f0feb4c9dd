use super::*;

fn builder() -> MachineBuilder {
    MachineBuilder::new(Path::new("no.eif"))
}

#[test]
fn context_ids_and_processors_that_no_enclave_has_are_refused() {
    for cid in [0, 1, 2, 3, u32::MAX] {
        assert!(matches!(builder().cid(cid).check(), Err(MachineError::Setting { .. })), "{cid}");
    }
    for cpus in [0, 65] {
        assert!(matches!(builder().cpus(cpus).check(), Err(MachineError::Setting { .. })));
    }
    assert!(builder().cid(4).cpus(64).check().is_ok());
}

#[test]
fn memory_follows_nitro_clis_rules() {
    let mib = 1 << 20;
    for (image_len, memory_mib, fits) in
        [(0, 63, false), (0, 64, true), (20 * mib, 80, true), (20 * mib + 1, 80, false)]
    {
        let checked = builder().memory_mib(memory_mib).check_memory(image_len);
        assert_eq!(checked.is_ok(), fits, "{image_len} bytes in {memory_mib} MiB");
    }
    let refused = builder().memory_mib(80).check_memory(20 * mib + 1).unwrap_err().to_string();
    assert!(refused.contains("81 MiB"), "{refused}");
}

#[test]
fn a_folder_whose_sockets_would_have_too_long_a_path_is_refused_and_left_empty() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(90));
    std::fs::create_dir(&long).unwrap();
    let refused = builder().folder(&long).make_folder().unwrap_err();
    assert!(matches!(refused, MachineError::PathTooLong { .. }), "{refused}");
    assert!(refused.to_string().contains("TMPDIR"), "{refused}");
    assert_eq!(std::fs::read_dir(&long).unwrap().count(), 0);

    let made = builder().folder(dir.path()).make_folder().unwrap();
    let mode = std::fs::metadata(made.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "private");
}

#[test]
fn a_comma_in_a_path_is_no_option() {
    assert_eq!(escaped("/run/a,b"), "/run/a,,b");
}
