//! Normalisation: makes equal what means the same, before values are compared.
//!
//! For [`super::join_count`]. Takes UTF-8 and gives UTF-8; a value of which
//! nothing is left is no value.

use strongroom_envelope::SecretBuf;
use strongroom_envelope::index::Normalise;

use crate::manifest::fields;
use crate::shape::FieldError;

/// The steps of a job, with buffers to take them in, which are erased.
pub(super) struct Normaliser {
    steps: Vec<Normalise>,
    text: SecretBuf,
    next: SecretBuf,
}

impl Normaliser {
    pub(super) fn new(steps: &[fields::Normalise]) -> Self {
        let steps = steps.iter().map(|step| (*step).into()).collect();
        Self { steps, text: SecretBuf::new(), next: SecretBuf::new() }
    }

    /// The value after all steps, until the next one comes.
    ///
    /// # Errors
    /// [`FieldError::NotUtf8`].
    pub(super) fn apply(&mut self, value: &[u8]) -> Result<&[u8], FieldError> {
        self.text.clear();
        self.text.extend_from_slice(value);
        for step in &self.steps {
            let text = str::from_utf8(self.text.expose()).map_err(|_| FieldError::NotUtf8)?;
            self.next.clear();
            step.apply(text, &mut self.next);
            std::mem::swap(&mut self.text, &mut self.next);
        }
        self.next.clear();
        str::from_utf8(self.text.expose()).map_err(|_| FieldError::NotUtf8)?;
        Ok(self.text.expose())
    }

    /// Erases the value.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::fields::Normalise;

    fn apply(steps: &[Normalise], value: &str) -> String {
        let mut normaliser = Normaliser::new(steps);
        String::from_utf8(normaliser.apply(value.as_bytes()).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn each_step_does_what_it_says() {
        use Normalise::{CollapseSpaces, Digits, Lowercase, Trim};
        for (steps, value, expected) in [
            (&[][..], " A  b ", " A  b "),
            (&[Trim], "\u{3000}\t A  b \n", "A  b"),
            (&[Lowercase], "ÀB İ Σς", "àb i\u{307} σς"),
            (&[Digits], "+49 (0)30-1٢2", "4903012"),
            (&[CollapseSpaces], "\t a \u{2003} b\n\nc", " a b c"),
            (&[CollapseSpaces, Trim, Lowercase], "  A \t B  ", "a b"),
            (&[Digits], "none", ""),
        ] {
            assert_eq!(apply(steps, value), expected, "{steps:?} of {value:?}");
        }
    }

    #[test]
    fn a_value_is_not_mixed_with_the_one_before() {
        let mut normaliser = Normaliser::new(&[Normalise::Trim, Normalise::Lowercase]);
        assert_eq!(normaliser.apply(b"A longer value ").unwrap(), b"a longer value");
        assert_eq!(normaliser.apply(b" B").unwrap(), b"b");
        assert_eq!(normaliser.apply(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_not_utf8_is_refused_with_and_without_steps() {
        for steps in [&[][..], &[Normalise::Trim]] {
            assert_eq!(Normaliser::new(steps).apply(b"\xff"), Err(FieldError::NotUtf8));
        }
    }
}
