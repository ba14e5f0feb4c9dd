//! Logs: one JSON line per event on standard error, and panics without content.
//!
//! What is logged is chosen field by field where it is logged; a payload, an
//! argument, a key or a credential never is.

use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;

/// Writes events of `level` and above as JSON lines to standard error.
pub fn init(level: LevelFilter) {
    let subscriber =
        tracing_subscriber::fmt().json().with_max_level(level).with_writer(std::io::stderr);
    // Only a second call can fail, and the first one's subscriber stays.
    let _ = subscriber.try_init();
    std::panic::set_hook(Box::new(on_panic));
}

/// Logs where a panic happened. Its message is left out: it may quote data.
fn on_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, ToString::to_string);
    tracing::error!(place, "panic");
}
