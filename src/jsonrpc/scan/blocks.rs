//! Steps over an array or an object, 64 bytes at a time.
//!
//! A block is converted to a few 64-bit sets, one bit per byte, the first byte in the lowest bit: quotes, bytes within
//! strings, brackets. Only brackets and escapes are handled one by one.

use wide::u8x64;

use super::{JsonSyntaxError, escape, plain_text};

/// Returns the end of the array or object at `from`.
///
/// Strings, escapes and brackets are checked in full. Elsewhere only the characters are checked: each must occur in
/// some number, literal or separator, which rejects `NaN`, `None`, `'a'` and control characters.
pub(super) fn container(bytes: &[u8], from: usize) -> Result<usize, JsonSyntaxError> {
    let mut open = BracketStack::default();
    let mut is_in_string = false;
    // True if the previous block was only text: more text is likely, and is searched faster without sets.
    let mut is_in_plain_text = false;
    // Number of bytes at the start of the block that belong to an escape of the previous block.
    let mut taken = 0;
    let mut base = from;
    loop {
        if is_in_plain_text {
            base = plain_text(bytes, base)?;
        }
        let rest = bytes.get(base..).unwrap_or_default();
        let mut last = [b' '; 64];
        let block = rest.first_chunk().unwrap_or_else(|| {
            last[..rest.len()].copy_from_slice(rest);
            &last
        });
        let all = u8x64::new(*block);
        let escapes = Escapes::in_block(all, taken, bytes, base)?;
        taken = escapes.beyond;
        let quotes = equal(all, b'"') & !escapes.inside;
        let strings = parity(quotes) ^ if is_in_string { u64::MAX } else { 0 };
        is_in_string = strings >> 63 == 1;
        is_in_plain_text = strings == u64::MAX && escapes.inside == 0;
        let outside = !strings;
        let mut wrong = escapes.inside & outside;
        let mut controls = control(all);
        while let Some(at) = first(controls) {
            let is_blank = matches!(block[at], b'\t' | b'\n' | b'\r');
            if !is_blank || strings >> at & 1 == 1 {
                wrong |= 1 << at;
            }
            controls &= controls - 1;
        }
        if outside != 0 {
            wrong |= foreign(all) & outside;
        }
        if let Some(at) = first(wrong) {
            return Err(JsonSyntaxError(base + at));
        }
        let mut brackets = brackets(all) & !strings;
        while let Some(at) = first(brackets) {
            let bracket = block[at];
            if matches!(bracket, b'{' | b'[') {
                open.push(bracket == b'{');
            } else if open.pop() != Some(bracket == b'}') {
                return Err(JsonSyntaxError(base + at));
            } else if open.is_empty() {
                return Ok(base + at + 1);
            }
            brackets &= brackets - 1;
        }
        if rest.len() < 64 {
            return Err(JsonSyntaxError(bytes.len()));
        }
        base += 64;
    }
}

/// Stack of the open brackets, one bit each: 1 for a brace. Up to 64 brackets need no allocation.
#[derive(Default)]
struct BracketStack {
    /// The innermost ones, the last in the lowest bit.
    inner: u64,
    /// Full sets of the outer ones.
    outer: Vec<u64>,
    count: usize,
}

impl BracketStack {
    fn push(&mut self, is_brace: bool) {
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(is_brace);
        self.count += 1;
    }

    fn pop(&mut self) -> Option<bool> {
        self.count = self.count.checked_sub(1)?;
        let is_brace = self.inner & 1 == 1;
        self.inner >>= 1;
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.inner = self.outer.pop()?;
        }
        Some(is_brace)
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Bytes that belong to escapes.
struct Escapes {
    /// Those in the block.
    inside: u64,
    /// Number of bytes of the next block that belong to the last escape.
    beyond: usize,
}

impl Escapes {
    /// Finds the escapes in the block `all` at `base` of `bytes`; its first `taken` bytes belong to an earlier escape.
    #[inline]
    fn in_block(
        all: u8x64,
        taken: usize,
        bytes: &[u8],
        base: usize,
    ) -> Result<Self, JsonSyntaxError> {
        let mut escapes = Self {
            inside: (1 << taken) - 1,
            beyond: 0,
        };
        let backslashes = equal(all, b'\\');
        while let Some(at) = first(backslashes & !escapes.inside) {
            let from = base + at;
            let end = at + escape(&bytes[from..]).ok_or(JsonSyntaxError(from))?;
            escapes.beyond = end.saturating_sub(64);
            escapes.inside |= (u64::MAX << at) & (u64::MAX >> (64 - end.min(64)));
        }
        Ok(escapes)
    }
}

fn first(set: u64) -> Option<usize> {
    (set != 0).then(|| set.trailing_zeros() as usize)
}

fn equal(all: u8x64, byte: u8) -> u64 {
    all.simd_eq(u8x64::splat(byte)).to_bitmask()
}

/// Returns the positions at or before which an odd number of bits of `set` is set.
fn parity(mut set: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        set ^= set << distance;
    }
    set
}

fn brackets(all: u8x64) -> u64 {
    // Only this bit differs between the two kinds of brackets.
    let alike = all | u8x64::splat(0x20);
    (alike.simd_eq(u8x64::splat(b'{')) | alike.simd_eq(u8x64::splat(b'}'))).to_bitmask()
}

/// Returns the control characters; JSON allows none in a string, and only white space elsewhere.
fn control(all: u8x64) -> u64 {
    all.min(u8x64::splat(0x1f)).simd_eq(all).to_bitmask()
}

/// Returns other characters that JSON allows only in strings.
fn foreign(all: u8x64) -> u64 {
    let capital = all
        .max(u8x64::splat(b'A'))
        .min(u8x64::splat(b'Z'))
        .simd_eq(all);
    let is = |byte| all.simd_eq(u8x64::splat(byte));
    let beyond = all.max(u8x64::splat(b'~')).simd_eq(all);
    ((capital & !is(b'E')) | is(b'\'') | beyond).to_bitmask()
}
