//! PEM files (RFC 7468) as people have them: with text around, and other blocks.

use zeroize::Zeroizing;

/// What the first block with this label holds, if it is sound.
pub(crate) fn block(file: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(file).ok()?;
    decode(text.get(line(text, &format!("-----BEGIN {label}-----"))?..)?, label)
}

/// The same, where no block of another label may stand before it.
pub(crate) fn first_block(file: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(file).ok()?;
    let from = text.get(line(text, "-----BEGIN ")?..)?;
    from.starts_with(&format!("-----BEGIN {label}-----")).then(|| decode(from, label))?
}

/// Decodes the block at the beginning, whatever follows it.
fn decode(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let end = format!("-----END {label}-----");
    let block = text.get(..text.find(&end)?.checked_add(end.len())?)?;
    der::pem::decode_vec(block.as_bytes()).ok().map(|(_, der)| Zeroizing::new(der))
}

/// Where the first line is that begins so.
fn line(text: &str, beginning: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    text.match_indices(beginning)
        .map(|(at, _)| at)
        .find(|at| at.checked_sub(1).is_none_or(|before| bytes.get(before) == Some(&b'\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----";
    const OTHER: &str = "-----BEGIN EC PARAMETERS-----\nBAUG\n-----END EC PARAMETERS-----\n";

    fn found(block: Option<Zeroizing<Vec<u8>>>) -> Option<Vec<u8>> {
        block.map(|mut bytes| std::mem::take(&mut *bytes))
    }

    #[test]
    fn a_block_is_found_among_text_and_others() {
        for file in [
            KEY.to_owned(),
            format!("Bag Attributes\n{OTHER}{KEY}\n{OTHER}"),
            format!("{OTHER}{KEY}\nand text").replace('\n', "\r\n"),
        ] {
            assert_eq!(found(block(file.as_bytes(), "PRIVATE KEY")), Some(vec![1, 2, 3]), "{file}");
        }
    }

    #[test]
    fn where_the_first_counts_another_before_it_is_refused() {
        let file = format!("text\n{KEY}\n{OTHER}");
        assert_eq!(found(first_block(file.as_bytes(), "PRIVATE KEY")), Some(vec![1, 2, 3]));
        let file = format!("{OTHER}{KEY}\n");
        assert_eq!(found(first_block(file.as_bytes(), "PRIVATE KEY")), None);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let cut = &KEY[..KEY.len() - 1];
        let within_a_line = format!("x{KEY}");
        for file in ["", cut, &within_a_line, &KEY.replace("AQID", "A*ID"), &OTHER[..40]] {
            assert_eq!(found(block(file.as_bytes(), "PRIVATE KEY")), None, "{file}");
        }
    }
}
