//! Writing the truth as it happens, and reading it back.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::{Content, Head, Line, Object, Sha, Tail, Truth};
use crate::org::Account;

/// Writes a truth file line by line.
#[derive(Debug)]
pub struct TruthWriter {
    out: BufWriter<File>,
    tail: Tail,
}

impl TruthWriter {
    /// Creates the file and writes its head.
    pub fn create(path: &Path, head: Head) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut writer = Self { out: BufWriter::with_capacity(1 << 18, file), tail: Tail::default() };
        writer.line(&Line::Head(Box::new(head)))?;
        Ok(writer)
    }

    /// Notes a record's bytes, and answers their number.
    pub fn content(&mut self, account: Account, id: Option<&str>, time: i64, bytes: &[u8]) -> Result<u64> {
        let number = self.tail.contents;
        self.tail.contents += 1;
        let id = id.map(str::to_owned);
        self.line(&Line::Content(Content { number, account, id, sha256: Sha::of(bytes), time }))?;
        Ok(number)
    }

    /// Notes an object, and answers its number; its own `number` is ignored.
    pub fn object(&mut self, object: Object) -> Result<u64> {
        let number = self.tail.objects;
        self.tail.objects += 1;
        self.tail.records += object.count();
        self.tail.raw_bytes += object.raw_size;
        self.tail.stored_bytes += object.size;
        self.line(&Line::Object(Object { number, ..object }))?;
        Ok(number)
    }

    /// The totals so far, for what only the caller knows.
    pub fn totals(&mut self) -> &mut Tail {
        &mut self.tail
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<Tail> {
        let tail = self.tail.clone();
        self.line(&Line::Tail(tail))?;
        self.out.flush()?;
        Ok(self.tail)
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }
}

/// Writes a whole truth anew, for instance after tampering.
pub fn write_all(path: &Path, truth: &Truth) -> Result<()> {
    let mut writer = TruthWriter::create(path, truth.head.clone())?;
    for content in &truth.contents {
        writer.line(&Line::Content(content.clone()))?;
    }
    for object in &truth.objects {
        writer.line(&Line::Object(object.clone()))?;
    }
    writer.tail = truth.tail.clone();
    writer.finish()?;
    Ok(())
}

/// Reads a truth file.
pub fn read(path: &Path) -> Result<Truth> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let (mut head, mut tail) = (None, None);
    let (mut contents, mut objects) = (Vec::new(), Vec::new());
    for (index, line) in BufReader::with_capacity(1 << 18, file).lines().enumerate() {
        let line =
            serde_json::from_str(&line?).with_context(|| format!("{} line {}", path.display(), index + 1))?;
        match line {
            Line::Head(found) => head = Some(*found),
            Line::Content(found) if found.number == contents.len() as u64 => contents.push(found),
            Line::Object(found) if found.number == objects.len() as u64 => objects.push(found),
            Line::Tail(found) => tail = Some(found),
            Line::Content(Content { number, .. }) | Line::Object(Object { number, .. }) => {
                bail!("{} line {}: number {number} is out of order", path.display(), index + 1)
            }
        }
    }
    let head = head.with_context(|| format!("{} has no head", path.display()))?;
    let tail = tail.with_context(|| format!("{} has no tail: it was not finished", path.display()))?;
    Ok(Truth { head, contents, objects, tail })
}
