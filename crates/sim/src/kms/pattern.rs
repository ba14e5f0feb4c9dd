//! The wildcards of policies: `*` any run of characters, `?` any one.

/// Whether `text` matches `pattern`.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // reachable[i]: the pattern so far can end before text[i].
    let mut reachable = vec![false; text.len() + 1];
    if let Some(start) = reachable.first_mut() {
        *start = true;
    }
    for wanted in pattern {
        let mut next = vec![false; reachable.len()];
        let mut seen = false;
        for (index, slot) in next.iter_mut().enumerate() {
            seen |= reachable.get(index) == Some(&true);
            let before = index.checked_sub(1);
            let previous = before.and_then(|at| reachable.get(at)) == Some(&true);
            *slot = match wanted {
                '*' => seen,
                '?' => previous,
                literal => previous && before.and_then(|at| text.get(at)) == Some(&literal),
            };
        }
        reachable = next;
    }
    reachable.last() == Some(&true)
}

/// As [`glob`], each of an ARN's six parts on its own, so that a wildcard does
/// not reach over a colon of the first five.
pub(crate) fn arn_matches(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (pattern, arn): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern.len() == 6
        && arn.len() == 6
        && pattern.iter().zip(arn).all(|(pattern, part)| glob(pattern, part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, letter by letter.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                (0..=text.len()).any(|skipped| by_definition(rest, &text[skipped..]))
            }
            (['?', pattern @ ..], [_, text @ ..]) => by_definition(pattern, text),
            ([wanted, pattern @ ..], [found, text @ ..]) => {
                wanted == found && by_definition(pattern, text)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn glob_follows_its_definition(pattern in "[ab*?]{0,7}", text in "[ab]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob(&pattern, &text), by_definition(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn wildcards_match_as_iam_says() {
        for (pattern, text, expected) in [
            ("kms:*", "kms:Decrypt", true),
            ("kms:Generate*", "kms:GenerateDataKey", true),
            ("kms:Generate*", "kms:Decrypt", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "a-x-b-y-c", true),
            ("a*b*c", "a-x-b-y", false),
            ("a?c", "abc", true),
            ("a?c", "abbc", false),
            ("", "", true),
            ("", "a", false),
            ("**a", "aaa", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_wildcard_in_an_arn_stays_in_its_part() {
        let key = "arn:aws:kms:eu-west-1:111122223333:key/1";
        assert!(arn_matches("arn:aws:kms:*:111122223333:key/*", key));
        assert!(!arn_matches("arn:aws:*:key/1", key));
        assert!(!arn_matches("arn:aws:kms:*:444455556666:key/*", key));
    }
}
