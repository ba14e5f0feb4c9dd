//! A scanner of JSON text (RFC 8259): one look at each byte.
//!
//! Called by [`super::super::document`], which walks through a record with it.
//! It trusts nothing: what it has passed over is well-formed JSON in UTF-8.
//! It copies nothing and remembers no content; of nested values it holds a bit
//! each, and no stack. `None` means that the text is not JSON, or ends early:
//! then it is of no further use.

use std::ops::Range;

/// A place in a JSON text.
pub(in crate::shape) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether a line feed is no white space, but the end of the text.
    line: bool,
}

/// A string: where it stands with its quotes, and whether it has escapes.
pub(in crate::shape) struct Quoted {
    /// From its opening quote to behind its closing one.
    pub(in crate::shape) span: Range<usize>,
    /// Whether it has escapes.
    pub(in crate::shape) escaped: bool,
}

/// The objects and arrays that a place lies in, a bit each.
#[derive(Default)]
pub(in crate::shape) struct Nesting {
    depth: usize,
    /// The innermost of them, the last in the lowest bit: 1 is an object.
    near: u64,
    /// The others, 64 in each.
    far: Vec<u64>,
}

impl<'a> Scanner<'a> {
    /// At the start of `text`, in which a line feed is white space unless `line`.
    pub(in crate::shape) const fn new(text: &'a [u8], line: bool) -> Self {
        Self { text, at: 0, line }
    }

    /// Where it is.
    #[inline]
    pub(in crate::shape) const fn at(&self) -> usize {
        self.at
    }

    /// Goes back to where it was.
    pub(in crate::shape) const fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// What stands in a stretch of the text.
    #[inline]
    pub(in crate::shape) fn slice(&self, span: Range<usize>) -> &'a [u8] {
        self.text.get(span).unwrap_or_default()
    }

    /// What stands in the text from `at` on.
    #[inline]
    pub(in crate::shape) fn from(&self, at: usize) -> &'a [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// The next byte; 0, which stands nowhere in JSON, at the end.
    #[inline]
    pub(in crate::shape) fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Passes over one byte that was looked at.
    #[inline]
    pub(in crate::shape) const fn bump(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// Whether the text has ended: with its last byte, or before a line feed
    /// where that is the end.
    pub(in crate::shape) fn ended(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Passes over white space (RFC 8259 §2), and gives what comes then.
    #[inline]
    pub(in crate::shape) fn space(&mut self) -> u8 {
        let byte = self.peek();
        if byte > b' ' { byte } else { self.more_space() }
    }

    #[inline(never)]
    fn more_space(&mut self) -> u8 {
        loop {
            match self.peek() {
                b' ' | b'\t' | b'\r' => self.bump(),
                b'\n' if !self.line => self.bump(),
                byte => return byte,
            }
        }
    }

    /// Passes over a value, which begins here.
    #[inline]
    pub(in crate::shape) fn value(&mut self, nesting: &mut Nesting) -> Option<()> {
        match self.peek() {
            b'{' | b'[' => self.nested(nesting),
            _ => self.scalar(),
        }
    }

    /// Passes over a value that is no object or array.
    #[inline]
    pub(in crate::shape) fn scalar(&mut self) -> Option<()> {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    /// Passes over a member's name and the colon behind it.
    #[inline(always)]
    pub(in crate::shape) fn name(&mut self) -> Option<Quoted> {
        let name = self.string()?;
        if self.space() != b':' {
            return None;
        }
        self.bump();
        self.space();
        Some(name)
    }

    /// Passes over an object or array.
    fn nested(&mut self, nesting: &mut Nesting) -> Option<()> {
        nesting.clear();
        loop {
            match self.peek() {
                open @ (b'{' | b'[') => {
                    let object = open == b'{';
                    self.bump();
                    nesting.enter(object);
                    if self.space() != closing(object) {
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // Behind a value, or before a bracket that closes an empty one.
            loop {
                let Some(object) = nesting.innermost() else { return Some(()) };
                let byte = self.space();
                if byte == b',' {
                    self.bump();
                    self.space();
                    if object {
                        self.name()?;
                    }
                    break;
                }
                if byte != closing(object) {
                    return None;
                }
                self.bump();
                nesting.leave();
            }
        }
    }

    /// Passes over a string (RFC 8259 §7): no control characters, escapes that
    /// there are, UTF-8. Half a surrogate pair is let pass.
    #[inline(always)]
    pub(in crate::shape) fn string(&mut self) -> Option<Quoted> {
        let start = self.at;
        if self.peek() != b'"' {
            return None;
        }
        let (mut escaped, mut ascii) = (false, true);
        self.at = self.mark(start.wrapping_add(1));
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0x80.. => {
                    ascii = false;
                    self.beyond_ascii();
                }
                // A control character, or the end.
                _ => return None,
            }
            self.at = self.mark(self.at);
        }
        self.bump();
        let span = start..self.at;
        if !ascii {
            str::from_utf8(self.slice(span.clone())).ok()?;
        }
        Some(Quoted { span, escaped })
    }

    /// Where the next byte is that [`is_mark`], from `at` on; or the end.
    #[inline(always)]
    fn mark(&self, at: usize) -> usize {
        let mut at = at;
        let mut rest = self.from(at);
        while let Some((eight, behind)) = rest.split_first_chunk() {
            let marks = marks(*eight);
            if marks != 0 {
                return at.wrapping_add(first_byte(marks));
            }
            at = at.wrapping_add(eight.len());
            rest = behind;
        }
        mark_in_tail(at, rest)
    }

    /// Passes over bytes beyond ASCII.
    #[inline(never)]
    fn beyond_ascii(&mut self) {
        while self.peek() >= 0x80 {
            self.bump();
        }
    }

    /// Passes over an escape.
    #[inline(never)]
    fn escape(&mut self) -> Option<()> {
        self.bump();
        let escape = self.peek();
        self.bump();
        match escape {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..)?.first_chunk::<4>()?;
                self.at = self.at.wrapping_add(digits.len());
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Passes over a number (RFC 8259 §6), however large.
    #[inline]
    fn number(&mut self) -> Option<()> {
        if self.peek() == b'-' {
            self.bump();
        }
        if self.peek() == b'0' {
            self.bump();
            if self.peek().is_ascii_digit() {
                return None;
            }
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.bump();
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.bump();
            if matches!(self.peek(), b'+' | b'-') {
                self.bump();
            }
            self.digits()?;
        }
        Some(())
    }

    /// Passes over one digit or more.
    #[inline]
    fn digits(&mut self) -> Option<()> {
        let rest = self.from(self.at);
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at = self.at.wrapping_add(count);
        (count > 0).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        if !self.text.get(self.at..)?.starts_with(word) {
            return None;
        }
        self.at = self.at.wrapping_add(word.len());
        Some(())
    }
}

impl Nesting {
    fn clear(&mut self) {
        self.depth = 0;
        self.far.clear();
    }

    #[inline]
    fn enter(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(IN_A_WORD) {
            self.far.push(self.near);
        }
        self.near = self.near << 1 | u64::from(object);
        self.depth = self.depth.wrapping_add(1);
    }

    #[inline]
    fn leave(&mut self) {
        self.near >>= 1;
        self.depth = self.depth.wrapping_sub(1);
        if self.depth > 0 && self.depth.is_multiple_of(IN_A_WORD) {
            self.near = self.far.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost is an object; `None` outside of all.
    #[inline]
    const fn innermost(&self) -> Option<bool> {
        if self.depth == 0 { None } else { Some(self.near & 1 == 1) }
    }
}

/// The bracket that closes an object or array.
const fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// Whether a byte of a string is more than an ASCII character that stands for
/// itself.
#[inline]
const fn is_mark(byte: u8) -> bool {
    // No short cut on the way: that would be a branch for each byte.
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte >= 0x80)
}

/// Whether there is a byte that [`is_mark`].
#[inline]
pub(super) fn is_marked(text: &[u8]) -> bool {
    let (eights, _) = text.as_chunks();
    match text.last_chunk() {
        // The last eight overlap those before.
        Some(last) => eights.iter().any(|eight| marks(*eight) != 0) || marks(*last) != 0,
        None => text.iter().any(|byte| is_mark(*byte)),
    }
}

/// The highest bits of those bytes that [`is_mark`]. The lowest that is set is
/// right; above it, others may be set.
#[inline]
const fn marks(eight: [u8; 8]) -> u64 {
    let bytes = u64::from_le_bytes(eight);
    let (quote, backslash) = (bytes ^ QUOTES, bytes ^ BACKSLASHES);
    // Below zero, or beyond ASCII before.
    (bytes.wrapping_sub(SPACES) | quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES) | bytes)
        & HIGH
}

/// The number of the lowest byte in which a bit is set.
#[inline]
fn first_byte(bits: u64) -> usize {
    usize::try_from(bits.trailing_zeros() / 8).unwrap_or(8)
}

#[cold]
fn mark_in_tail(at: usize, tail: &[u8]) -> usize {
    let marked = tail.iter().position(|byte| is_mark(*byte)).unwrap_or(tail.len());
    at.wrapping_add(marked)
}

/// A byte, eight times.
const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
const SPACES: u64 = u64::from_le_bytes([b' '; 8]);
const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);

/// Objects and arrays that a word has bits for.
const IN_A_WORD: usize = 64;

#[cfg(test)]
mod tests;
