//! `demo`: the main job end to end on one machine, with proof of what the parent
//! could and could not see.
//!
//! Nitro and KMS are simulated; the service, the client library, TLS, the
//! signatures and the formats are the real ones. The parent's application talks
//! to the service through one recording relay, the service to KMS through
//! another: what the parent could see is what is on the two tapes.

mod attacks;
mod audit;
mod canaries;
mod customers;
mod play;
mod relay;
mod render;
mod story;
mod world;

use std::time::Instant;

use crate::error::CliError;
use crate::output::Output;
use crate::progress::Busy;
use story::{Story, millis};
use world::World;

/// What `demo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows of the customers file
    #[arg(long, value_name = "N", default_value_t = 50_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rows: u32,
}

/// A small file of customers, to try things with.
pub(crate) fn small_customers() -> Vec<u8> {
    customers::Customers::make(100).csv
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), CliError> {
    let started = Instant::now();
    let busy = Busy::start();
    let mut story = Story::new(args.rows);
    let world = World::start(&mut story).await?;
    let mut played = play::main_job(&world, args.rows, &mut story).await?;
    played.data_keys.extend(attacks::all(&world, &mut story).await?);
    audit::search(&world, &played, &mut story);
    drop(busy);
    story.millis = millis(started);
    story.passed = story.checks.iter().all(|check| check.passed);
    output.answer(&story, &render::text(&story, output))?;
    let failed = story.checks.iter().filter(|check| !check.passed).count();
    match failed {
        0 => Ok(()),
        _ => Err(CliError::Demo { failed, all: story.checks.len() }),
    }
}
