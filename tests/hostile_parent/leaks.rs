//! What leaves the enclave beside results: errors, logs, counters, sizes, times.
