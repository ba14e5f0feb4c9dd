//! Runs real data, in a folder named by `STRONGROOM_VECTORS`, through the code.
//! Without the variable it does nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod encryption_sdk;
mod kms_cms;
mod master_keys;
mod tally;

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// A folder of the real data; `None` when there is nothing to run.
fn folder(under: &str) -> Option<PathBuf> {
    env::var_os("STRONGROOM_VECTORS").map(|all| PathBuf::from(all).join(under))
}

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field)?.as_str()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
