//! The end of the demo: was there anything at the parent that must not be there?

use std::time::Instant;

use super::attacks;
use super::canaries::Canaries;
use super::play::Played;
use super::story::{Story, len};
use super::world::World;

/// Looks for plaintext and data keys in every byte that passed the parent, in
/// the main job and in the attacks.
pub(super) fn search(world: &World, played: &Played, story: &mut Story) {
    let started = Instant::now();
    let texts = played.customers.canaries.iter().map(String::as_str);
    let texts = Canaries::of_texts(texts.chain(attacks::CANARIES));
    let keys = Canaries::of_keys(&played.data_keys);
    let [asked, answered] = world.front.recorded();
    let [to_kms, from_kms] = world.proxy.recorded();
    let (mut leaked, mut keys_leaked, mut bytes) = (0_usize, 0_usize, 0_u64);
    for side in [&asked, &answered, &to_kms, &from_kms] {
        leaked = leaked.saturating_add(texts.found_in(side));
        keys_leaked = keys_leaked.saturating_add(keys.found_in(side));
        bytes = bytes.saturating_add(len(side));
    }
    story.step("auditor", "search all the parent saw, both ways", (Some(bytes), None), started);
    story.check(
        format!("none of {} names, addresses and card numbers passed the parent", texts.len()),
        leaked == 0,
    );
    story.check(
        format!("none of {} data keys passed the parent, in any form", played.data_keys.len()),
        keys_leaked == 0,
    );
    // A search that finds nothing proves nothing unless it can find something.
    let masked_row = Canaries::of_texts([story.sample.parent_gets.as_str()]);
    let sees = masked_row.found_in(&answered) == 1 && texts.found_in(&played.customers.csv) > 0;
    story.check("the search does find what may leave (a masked row)", sees);
}
