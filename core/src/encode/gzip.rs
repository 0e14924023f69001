//! One gzip member per call, with a reused deflate state.
//!
//! In: bytes. Out: header, deflate data, CRC-32 and size (RFC 1952); no name and no time, so that equal bytes
//! give equal members.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// A reusable encoder of gzip members.
pub(super) struct GzipMember {
    deflate: Compress,
}

/// Magic, deflate, no flags, no time, no hints, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

impl GzipMember {
    pub(super) fn new(level: u32) -> Self {
        Self { deflate: Compress::new(Compression::new(level), false) }
    }

    /// Puts the member of `content` into `out`, whose former content goes. `None` when the library fails.
    pub(super) fn compress(&mut self, content: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.clear();
        out.extend_from_slice(&HEADER);
        self.deflate.reset();
        loop {
            // zlib's own bound for the worst case; the loop would take a second turn if it did not hold.
            out.reserve(content.len() + content.len() / 1000 + 64);
            let taken = usize::try_from(self.deflate.total_in()).ok()?;
            let before = out.len();
            let status = self.deflate.compress_vec(content.get(taken..)?, out, FlushCompress::Finish).ok()?;
            match status {
                Status::StreamEnd => break,
                _ if out.len() == before => return None,
                _ => {}
            }
        }
        let mut crc = Crc::new();
        crc.update(content);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Some(())
    }
}
