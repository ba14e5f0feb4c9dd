//! Looks for values that must not be there, in everything the parent saw.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_envelope::DataKey;
use zeroize::Zeroizing;

/// Values to look for.
pub(super) struct Canaries {
    patterns: Vec<Zeroizing<Vec<u8>>>,
    /// Indices of patterns by their first two bytes.
    starts: Vec<Vec<usize>>,
}

impl Canaries {
    /// Looks for texts as they are.
    pub(super) fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let patterns = texts.into_iter().map(|text| Zeroizing::new(text.as_bytes().to_vec()));
        Self::new(patterns.collect())
    }

    /// Looks for keys: raw, in hex of either case, and in base64 as in JSON.
    pub(super) fn of_keys<'a>(keys: impl IntoIterator<Item = &'a DataKey>) -> Self {
        let forms = keys.into_iter().flat_map(|key| {
            let raw = key.expose();
            [
                raw.to_vec(),
                hex::encode(raw).into_bytes(),
                hex::encode_upper(raw).into_bytes(),
                STANDARD.encode(raw).into_bytes(),
            ]
            .map(Zeroizing::new)
        });
        Self::new(forms.collect())
    }

    /// How many of the values are in `bytes`.
    pub(super) fn found_in(&self, bytes: &[u8]) -> usize {
        let mut found = vec![false; self.patterns.len()];
        let mut rest = bytes;
        while let [first, second, ..] = rest {
            let candidates = self.starts.get(slot(*first, *second)).map_or(&[][..], Vec::as_slice);
            for index in candidates {
                let hit = self.patterns.get(*index).is_some_and(|p| rest.starts_with(p));
                if let (true, Some(found)) = (hit, found.get_mut(*index)) {
                    *found = true;
                }
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        found.into_iter().filter(|found| *found).count()
    }

    pub(super) const fn len(&self) -> usize {
        self.patterns.len()
    }

    fn new(patterns: Vec<Zeroizing<Vec<u8>>>) -> Self {
        let mut starts = vec![Vec::new(); 1 << 16];
        for (index, pattern) in patterns.iter().enumerate() {
            if let [first, second, ..] = pattern.as_slice()
                && let Some(start) = starts.get_mut(slot(*first, *second))
            {
                start.push(index);
            }
        }
        Self { patterns, starts }
    }
}

fn slot(first: u8, second: u8) -> usize {
    usize::from(u16::from_be_bytes([first, second]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_wherever_it_stands_and_counted_once() {
        let canaries = Canaries::of_texts(["4000001234567890", "anna@example.org", "absent"]);
        assert_eq!(canaries.len(), 3);
        assert_eq!(canaries.found_in(b""), 0);
        assert_eq!(canaries.found_in(b"4000001234567890"), 1);
        assert_eq!(canaries.found_in(b"x4000001234567890anna@example.org4000001234567890"), 2);
        assert_eq!(canaries.found_in(b"400000123456789-4000001234567891 absen"), 0);
    }

    #[test]
    fn a_key_is_found_in_every_form_it_could_leak_in() {
        let key = DataKey::from_slice(&[0xa7; 32]).unwrap();
        let canaries = Canaries::of_keys([&key]);
        let leaks =
            [vec![0xa7; 32], "a7".repeat(32).into(), "A7".repeat(32).into(), b"\"p6en".to_vec()];
        assert_eq!(leaks.map(|leak| canaries.found_in(&leak)), [1, 1, 1, 0]);
        let json = format!("{{\"Plaintext\":\"{}\"}}", STANDARD.encode([0xa7; 32]));
        assert_eq!(canaries.found_in(json.as_bytes()), 1);
    }
}
