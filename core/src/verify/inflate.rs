//! Inflating digests and hashing log files, under a cap.
//!
//! In: stored bytes. Out: a digest's inflated bytes, up to [`MAX_DIGEST`]; of a log file, which is never held,
//! hash, size and form. Failure: a [`FormatFault`].

use super::gzip::Member;
use super::hash::{Sha256, Sha256Hasher};

/// The most inflated bytes of a digest file: some hundred thousand log entries, far beyond what an hour of
/// one account and region holds.
pub const MAX_DIGEST: u64 = 32 * 1024 * 1024;

/// What is wrong with the container of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FormatFault {
    /// It does not start with a gzip header.
    #[error("not gzip")]
    NotGzip,
    /// The compressed stream or its checksum is damaged.
    #[error("damaged gzip stream")]
    Corrupt,
    /// It ends before the compressed stream does.
    #[error("the gzip stream is cut off")]
    Truncated,
    /// Something follows the one member.
    #[error("bytes after the end of the gzip stream")]
    Trailing,
    /// It inflates to more than the cap.
    #[error("inflates to more than {0} bytes")]
    TooLarge(u64),
}

/// An inflated digest. `trailing` says that stored bytes follow the member: a fault for us, ignored by the
/// AWS CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InflatedDigest {
    /// The inflated bytes.
    pub bytes: Vec<u8>,
    /// Whether something follows the member.
    pub trailing: bool,
}

/// Inflates a stored digest, at most `cap` bytes.
pub fn inflate_digest(stored: &[u8], cap: u64) -> Result<InflatedDigest, FormatFault> {
    if !stored.starts_with(&[0x1f, 0x8b]) {
        return Err(FormatFault::NotGzip);
    }
    let mut member = Member::new(cap);
    let mut bytes = Vec::new();
    let unused = member.push(stored, &mut |piece| bytes.extend_from_slice(piece))?;
    if !member.has_ended() {
        return Err(FormatFault::Truncated);
    }
    Ok(InflatedDigest { bytes, trailing: unused > 0 })
}

/// How a log file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// As CloudTrail wrote it: one gzip member.
    Gzip,
    /// Already inflated, as some copying tools leave it. The content can still be proven.
    Plain,
}

/// What hashing a log file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogContent {
    /// The hash of the inflated bytes, up to where they could be read.
    pub sha256: Sha256,
    /// How many inflated bytes those are.
    pub inflated: u64,
    /// How they are stored.
    pub form: Form,
    /// What is wrong with the container, if anything.
    pub fault: Option<FormatFault>,
}

/// Hashes log files as they stream by, one after another. Memory is constant.
pub struct LogHasher {
    state: HashState,
    /// Made for the first compressed file, then used again.
    member: Option<Member>,
    sha256: Sha256Hasher,
    inflated: u64,
    cap: u64,
    fault: Option<FormatFault>,
}

#[derive(Clone, Copy)]
enum HashState {
    /// The first byte, when it came alone: two are needed to tell gzip from JSON.
    Start(Option<u8>),
    Gzip,
    Plain,
}

impl LogHasher {
    /// A hasher that refuses more than `cap` inflated bytes per file.
    pub fn new(cap: u64) -> Self {
        let (state, sha256) = (HashState::Start(None), Sha256Hasher::new());
        Self { state, member: None, sha256, inflated: 0, cap, fault: None }
    }

    /// Takes the next stored bytes. After a fault that ends the reading, further bytes are ignored.
    pub fn push(&mut self, piece: &[u8]) {
        let Some(&first) = piece.first() else { return };
        if let HashState::Start(held) = self.state {
            let (one, two) = match held {
                Some(held) => (held, Some(first)),
                None => (first, piece.get(1).copied()),
            };
            match (one, two) {
                (0x1f, None) => return self.state = HashState::Start(Some(one)),
                (0x1f, Some(0x8b)) => self.state = HashState::Gzip,
                _ => self.state = HashState::Plain,
            }
            if let Some(held) = held {
                self.feed(&[held]);
            }
        }
        self.feed(piece);
    }

    fn feed(&mut self, piece: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        let Self { state, member, sha256, inflated, cap, fault } = self;
        let mut hash = |bytes: &[u8]| {
            sha256.update(bytes);
            *inflated += bytes.len() as u64;
        };
        match state {
            HashState::Start(_) => {}
            HashState::Gzip => match member.get_or_insert_with(|| Member::new(*cap)).push(piece, &mut hash) {
                Ok(0) => {}
                Ok(_) => *fault = Some(FormatFault::Trailing),
                Err(error) => *fault = Some(error),
            },
            HashState::Plain => {
                hash(piece);
                if *inflated > *cap {
                    *fault = Some(FormatFault::TooLarge(*cap));
                }
            }
        }
    }

    /// Whether the rest of the object need not be read: its outcome is certain.
    pub fn is_over(&self) -> bool {
        self.fault.is_some()
    }

    /// The result, when the whole object was pushed. What is pushed next is another object.
    pub fn finish(&mut self) -> LogContent {
        let whole = self.member.as_ref().is_some_and(Member::has_ended);
        let (form, end) = match self.state {
            HashState::Gzip if whole => (Form::Gzip, None),
            HashState::Gzip | HashState::Start(Some(_)) => (Form::Gzip, Some(FormatFault::Truncated)),
            HashState::Start(None) => (Form::Plain, Some(FormatFault::NotGzip)),
            HashState::Plain => (Form::Plain, None),
        };
        let sha256 = std::mem::take(&mut self.sha256).finish();
        let content = LogContent { sha256, inflated: self.inflated, form, fault: self.fault.or(end) };
        self.state = HashState::Start(None);
        (self.inflated, self.fault) = (0, None);
        if let Some(member) = &mut self.member {
            member.restart();
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::gzip;
    use super::*;

    fn hash(stored: &[u8], piece: usize) -> LogContent {
        let mut hasher = LogHasher::new(1 << 20);
        stored.chunks(piece).for_each(|chunk| hasher.push(chunk));
        hasher.finish()
    }

    #[test]
    fn a_log_hashes_the_same_in_any_pieces() {
        let text = br#"{"Records":[{"eventID":"1"}]}"#.repeat(9_000);
        let stored = gzip(&text);
        for piece in [1, 2, 7, 4096, stored.len()] {
            let content = hash(&stored, piece);
            assert_eq!((content.fault, content.form), (None, Form::Gzip));
            assert_eq!((content.sha256, content.inflated), (Sha256::of(&text), text.len() as u64));
            let plain = hash(&text, piece);
            assert_eq!((plain.sha256, plain.form, plain.fault), (Sha256::of(&text), Form::Plain, None));
        }
    }

    #[test]
    fn what_is_not_one_whole_member_says_so() {
        let stored = gzip(b"abc");
        let with = |tail: &[u8]| [stored.as_slice(), tail].concat();
        let cut = stored.len() - 1;
        let mut damaged = stored.clone();
        damaged[cut - 6] ^= 1;
        for piece in [1, 3, 4096] {
            assert_eq!(hash(&with(b"x"), piece).fault, Some(FormatFault::Trailing));
            assert_eq!(hash(&with(&stored), piece).fault, Some(FormatFault::Trailing));
            assert_eq!(hash(&stored[..cut], piece).fault, Some(FormatFault::Truncated));
            assert_eq!(hash(&stored[..1], piece).fault, Some(FormatFault::Truncated));
            assert_eq!(hash(&damaged, piece).fault, Some(FormatFault::Corrupt));
            assert_eq!(hash(b"", piece).fault, Some(FormatFault::NotGzip));
        }
        assert!(inflate_digest(&with(b"x"), 10).unwrap().trailing);
        assert_eq!(inflate_digest(&stored[..cut], 10), Err(FormatFault::Truncated));
        assert_eq!(inflate_digest(b"{}", 10), Err(FormatFault::NotGzip));
        assert_eq!(inflate_digest(&stored, 2), Err(FormatFault::TooLarge(2)));
    }

    #[test]
    fn one_hasher_hashes_many_files_each_by_itself() {
        let mut hasher = LogHasher::new(1 << 20);
        let (text, bomb) = (b"some text ".repeat(5_000), gzip(&vec![0; 4 << 20]));
        let stored = gzip(&text);
        let files: [&[u8]; 9] = [
            &stored,
            &stored[..9],
            &bomb,
            &text,
            &stored,
            b"",
            b"\x1f",
            &stored[..stored.len() - 1],
            &stored,
        ];
        for file in files.iter().chain(files.iter().rev()) {
            file.chunks(1_000).for_each(|piece| hasher.push(piece));
            let again = hasher.finish();
            assert_eq!(again, hash(file, 1_000));
        }
    }

    #[test]
    fn a_bomb_is_cut_short() {
        let stored = gzip(&vec![0; 4 << 20]);
        let content = hash(&stored, stored.len());
        assert_eq!(content.fault, Some(FormatFault::TooLarge(1 << 20)));
        assert!(content.inflated <= 1 << 20);
    }
}
