//! Hashing whole log files two at a time.
//!
//! In: the stored bytes of two log files, each one gzip member. Out: of each what [`LogHasher`](super::LogHasher) says
//! of it, at less cost: nearly half of what a log costs is SHA-256, and two in step take little longer than one.
//! Invariant: a file's result does not depend on the other. Failure: a [`FormatFault`] in the result. Bounded: two
//! decoders and their buffers, about 350 KiB.

#[cfg(target_arch = "x86_64")]
mod sha;
#[cfg(not(target_arch = "x86_64"))]
#[path = "sha_elsewhere.rs"]
mod sha;

use std::ops::Range;

use self::sha::{Block, INITIAL, Sha, State};
use super::gzip::Member;
use super::hash::Sha256;
use super::inflate::{Form, FormatFault, LogContent};

/// Hashes two log files in step. Used again and again, it allocates nothing.
pub struct PairHasher {
    sha: Sha,
    members: [Member; 2],
}

impl PairHasher {
    /// A hasher that refuses more than `cap` inflated bytes per file; `None` where the processor has no instructions
    /// for SHA-256.
    pub fn new(cap: u64) -> Option<Self> {
        Some(Self { sha: Sha::detect()?, members: [Member::new(cap), Member::new(cap)] })
    }

    /// Whether it hashes such a file: others are no gzip.
    pub fn takes(stored: &[u8]) -> bool {
        stored.starts_with(&[0x1f, 0x8b])
    }

    /// The contents of two stored log files that it takes.
    pub fn hash(&mut self, [one, two]: [&[u8]; 2]) -> [LogContent; 2] {
        let sha = self.sha;
        let [first, second] = &mut self.members;
        let (mut first, mut second) = (Lane::new(first, one), Lane::new(second, two));
        loop {
            first.prepare(sha);
            second.prepare(sha);
            match (first.over, second.over) {
                (false, false) => {
                    let blocks = first.blocks().len().min(second.blocks().len());
                    let (a, b) = (first.take(blocks), second.take(blocks));
                    sha.two([a.0, b.0], [a.1, b.1]);
                }
                (false, true) => first.take_all(sha),
                (true, false) => second.take_all(sha),
                (true, true) => return [first.finish(sha), second.finish(sha)],
            }
        }
    }
}

/// A log file on its way.
struct Lane<'a> {
    member: &'a mut Member,
    input: &'a [u8],
    /// Inflated bytes in the member's buffer that are not hashed.
    ready: Range<usize>,
    state: State,
    /// The beginning of a block whose rest is not inflated yet.
    rest: Block,
    rested: usize,
    inflated: u64,
    fault: Option<FormatFault>,
    over: bool,
}

impl<'a> Lane<'a> {
    fn new(member: &'a mut Member, input: &'a [u8]) -> Self {
        member.restart();
        Self {
            member,
            input,
            ready: 0..0,
            state: INITIAL,
            rest: [0; 64],
            rested: 0,
            inflated: 0,
            fault: None,
            over: false,
        }
    }

    /// Goes on until whole blocks are at hand and none is begun, or until it is over.
    fn prepare(&mut self, sha: Sha) {
        while !self.over && (self.rested > 0 || self.ready.len() < self.rest.len()) {
            if self.ready.is_empty() {
                self.inflate();
                continue;
            }
            let inflated = self.member.inflated().get(self.ready.clone()).unwrap_or_default();
            let room = self.rest.get_mut(self.rested..).unwrap_or_default();
            let length = room.len().min(inflated.len());
            for (to, from) in room.iter_mut().zip(inflated) {
                *to = *from;
            }
            self.ready.start += length;
            self.rested += length;
            if self.rested == self.rest.len() {
                sha.one(&mut self.state, &[self.rest]);
                self.rested = 0;
            }
        }
    }

    fn inflate(&mut self) {
        match self.member.next(&mut self.input) {
            Ok(0) => {
                self.over = true;
                if !self.member.has_ended() {
                    self.fault = Some(FormatFault::Truncated);
                } else if !self.input.is_empty() {
                    self.fault = Some(FormatFault::Trailing);
                }
            }
            Ok(wrote) => {
                self.ready = 0..wrote;
                self.inflated += wrote as u64;
            }
            Err(fault) => {
                self.over = true;
                self.fault = Some(fault);
            }
        }
    }

    /// The whole blocks at hand.
    fn blocks(&self) -> &[Block] {
        self.member.inflated().get(self.ready.clone()).unwrap_or_default().as_chunks().0
    }

    /// The state, and so many of the blocks at hand, which it is to take in.
    fn take(&mut self, blocks: usize) -> (&mut State, &[Block]) {
        let at = self.ready.clone();
        self.ready.start += blocks * self.rest.len();
        let ready = self.member.inflated().get(at).unwrap_or_default().as_chunks().0;
        (&mut self.state, ready.get(..blocks).unwrap_or_default())
    }

    fn take_all(&mut self, sha: Sha) {
        let (state, blocks) = self.take(self.blocks().len());
        sha.one(state, blocks);
    }

    fn finish(mut self, sha: Sha) -> LogContent {
        let bits = self.inflated.wrapping_mul(8).to_be_bytes();
        // A one, zeros, and the length at the end of a block (FIPS 180-4, 5.1.1).
        let mut last = [[0; 64]; 2];
        let begun = self.rest.get(..self.rested).unwrap_or_default();
        let message = begun.iter().copied().chain([0x80]);
        last.as_flattened_mut().iter_mut().zip(message).for_each(|(to, from)| *to = from);
        let used = if self.rested + 1 + bits.len() > self.rest.len() { 2 } else { 1 };
        let last = last.get_mut(..used).unwrap_or_default();
        last.as_flattened_mut().iter_mut().rev().zip(bits.iter().rev()).for_each(|(to, from)| *to = *from);
        sha.one(&mut self.state, last);
        let mut sha256 = [0; 32];
        let words = sha256.as_chunks_mut::<4>().0.iter_mut();
        words.zip(self.state).for_each(|(to, word)| *to = word.to_be_bytes());
        LogContent { sha256: Sha256(sha256), inflated: self.inflated, form: Form::Gzip, fault: self.fault }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::inflate::LogHasher;
    use super::super::testing::gzip;
    use super::*;

    const CAP: u64 = 1 << 20;

    fn alone(stored: &[u8]) -> LogContent {
        let mut hasher = LogHasher::new(CAP);
        hasher.push(stored);
        hasher.finish()
    }

    fn text(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|n| ((n * n + seed * 31) % 251) as u8).collect()
    }

    #[test]
    fn the_instructions_say_what_the_library_says_at_every_length() {
        let Some(mut pair) = PairHasher::new(CAP) else {
            return println!("skipped: this processor has no instructions for SHA-256");
        };
        for length in (0..200).chain([8_191, 131_071, 131_072, 131_073, 400_000]) {
            let (one, two) = (text(length, 1), text(400_000 - length, 2));
            let contents = pair.hash([&gzip(&one), &gzip(&two)]);
            assert_eq!(
                contents.map(|content| content.sha256),
                [Sha256::of(&one), Sha256::of(&two)],
                "{length}"
            );
            assert_eq!(contents.map(|content| content.fault), [None; 2]);
        }
    }

    proptest! {
        /// Whatever two files are, of any length, cut, changed, or with something behind them: each is judged as if it
        /// were alone.
        #[test]
        fn two_are_judged_as_each_alone(
            files in prop::array::uniform2((0..300_000_usize, any::<u8>(), any::<prop::sample::Index>(), 0..4_u8)),
        ) {
            let Some(mut pair) = PairHasher::new(CAP / 8) else { return Ok(()) };
            let stored = files.map(|(length, flip, at, deed)| {
                let mut stored = gzip(&text(length, usize::from(flip)));
                let at = at.index(stored.len());
                match deed {
                    0 => stored[at] ^= flip,
                    1 => stored.truncate(at),
                    2 => stored.push(flip),
                    _ => {}
                }
                stored
            });
            prop_assume!(stored.iter().all(|stored| PairHasher::takes(stored)));
            let alone = |stored: &[u8]| {
                let mut hasher = LogHasher::new(CAP / 8);
                hasher.push(stored);
                hasher.finish()
            };
            let [one, two] = &stored;
            for _ in 0..2 {
                prop_assert_eq!(pair.hash([one, two]), [alone(one), alone(two)]);
            }
        }
    }

    #[test]
    fn one_that_is_over_does_not_keep_the_other() {
        let Some(mut pair) = PairHasher::new(CAP) else { return };
        let (bomb, long) = (gzip(&vec![0; 4 << 20]), gzip(&text(900_000, 3)));
        for files in [[&bomb, &long], [&long, &bomb], [&bomb, &bomb], [&long, &long]] {
            let files = files.map(Vec::as_slice);
            assert_eq!(pair.hash(files), files.map(alone));
        }
    }
}
