//! A haul from S3 to S3 under `limits.memory: 64MiB`: its peak memory, and its speed beside a plain GET of everything.
//!
//! In: the programs, the emulator of `make emulators`, a folder for some 150 MB. Out: on stdout, per tree, peak and
//! speed; an error when a peak is over the bound. Two trees: one object of 1 GiB raw, which is streamed in and out
//! in parts, and many small objects. Server and agent are processes of their own, so the peak (`VmHWM`) is the agent's
//! alone; the console is no sink here, so that nothing but S3 sets the pace. The plain GETs read the same objects from
//! the same server, eight at once, as a lane does.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use trailhaul_tests::emulator::{Emulator, Kind};

use crate::memory::{BESIDE, LIMIT, MIB, watch};
use crate::programs::{Programs, Tree, configure};

/// The trees, and what `simorg` is asked for.
const TREES: [(&str, &str); 2] = [
    ("one-object", "bulk --seed 1 one-object --raw-bytes 1073741824"),
    ("small-objects", "bulk --seed 2 small-objects --objects 3000"),
];
/// The same kinds, small.
const SMALL: [(&str, &str); 2] = [
    ("one-object", "bulk --seed 1 one-object --raw-bytes 20000000"),
    ("small-objects", "bulk --seed 2 small-objects --objects 100"),
];
/// The agent's account; it owns the archive.
const HOME: &str = "999988887777";
const ARCHIVE: &str = "bench-archive";
/// Plain GETs at the same time: as many as a lane has.
const AT_ONCE: usize = 8;

/// Makes the trees, serves them, hauls them, prints what it took.
pub(crate) fn run(programs: &Programs, folder: &Path, small: bool) -> anyhow::Result<()> {
    for (name, arguments) in if small { SMALL } else { TREES } {
        let tree = programs.tree(&folder.join(name), arguments)?;
        let Some(emulator) = Emulator::start(Kind::Ministack) else { return Ok(()) };
        haul(programs, &folder.join("run"), name, tree, emulator.address())?;
    }
    Ok(())
}

fn haul(
    programs: &Programs,
    folder: &Path,
    name: &str,
    tree: Tree,
    server: SocketAddr,
) -> anyhow::Result<()> {
    let objects = upload(&tree.folder.join("buckets"), server)?;
    let stored: u64 = objects.iter().map(|object| object.size).sum();
    let plain = plain_gets(&objects, server)?;
    let (about, root) = (tree.about.clone(), tree.folder.clone());
    let config = configure(folder, &[tree], "limits: {memory: 64MiB}\n")?;
    on_s3(&config, &root, server)?;
    let start = Instant::now();
    let mut child = programs
        .haul(&config)
        .envs([("AWS_ACCESS_KEY_ID", HOME), ("AWS_SECRET_ACCESS_KEY", "bench")])
        .envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdout(Stdio::null())
        .spawn()
        .context("run trailhaul")?;
    let peak = watch(&mut child)?;
    let status = child.wait()?;
    ensure!(status.success(), "trailhaul run --once over S3: {status}");
    let took = start.elapsed().as_secs_f64();
    let (count, mb) = (objects.len() as f64, stored as f64 / 1e6);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name:<14} {about}")?;
    writeln!(
        out,
        "  from S3 to S3  {took:.1} s, {:.0} objects/s, {:.1} MB/s stored; plain GETs {:.1} s, {:.0} objects/s, {:.1} MB/s; ratio {:.2}",
        count / took,
        mb / took,
        plain,
        count / plain,
        mb / plain,
        plain / took,
    )?;
    let bound = LIMIT + BESIDE;
    writeln!(
        out,
        "  peak RSS {:.1} MiB; the bound is {} MiB",
        peak.resident as f64 / MIB as f64,
        bound / MIB
    )?;
    ensure!(peak.resident > 0, "nothing was measured");
    if peak.resident > bound {
        bail!("over the bound");
    }
    Ok(())
}

/// Buckets in place of folders.
fn on_s3(config: &Path, tree: &Path, server: SocketAddr) -> anyhow::Result<()> {
    let text = fs::read_to_string(config)?;
    let home = config.parent().context("no folder")?.canonicalize()?;
    let text = text.replace(&format!("file://{}/buckets/", tree.display()), "s3://");
    let archive = format!("bucket: \"file://{}/archive\"", home.display());
    let text = text.replace(&archive, &format!("bucket: \"s3://{ARCHIVE}/trails\", owner: \"{HOME}\""));
    ensure!(!text.contains("file://"), "a folder is left in {text}");
    let aws = format!("aws: {{region: us-east-1, endpoint_url: \"http://{server}\", path_style: true}}\n");
    Ok(fs::write(config, format!("{text}{aws}"))?)
}

/// An object on the server.
struct Stored {
    bucket: String,
    key: String,
    size: u64,
}

/// Puts everything into buckets, and makes the archive's.
fn upload(buckets: &Path, server: SocketAddr) -> anyhow::Result<Vec<Stored>> {
    request(server, "PUT", &format!("/{ARCHIVE}"), None)?;
    let mut objects = Vec::new();
    for entry in fs::read_dir(buckets)? {
        let folder = entry?.path();
        let bucket = folder.file_name().context("no name")?.to_string_lossy().into_owned();
        request(server, "PUT", &format!("/{bucket}"), None)?;
        let mut files = Vec::new();
        collect(&folder, &mut files)?;
        for file in files {
            let key = file.strip_prefix(&folder)?.to_string_lossy().into_owned();
            request(server, "PUT", &format!("/{bucket}/{key}"), Some(&file))?;
            objects.push(Stored { bucket: bucket.clone(), key, size: fs::metadata(&file)?.len() });
        }
    }
    Ok(objects)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Seconds for reading everything and looking at nothing.
fn plain_gets(objects: &[Stored], server: SocketAddr) -> anyhow::Result<f64> {
    let start = Instant::now();
    let next = Mutex::new(objects.iter());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let object = next.lock().map_err(|_| anyhow::anyhow!("a reader panicked"))?.next();
                        let Some(Stored { bucket, key, size }) = object else { return Ok(()) };
                        let read = request(server, "GET", &format!("/{bucket}/{key}"), None)?;
                        ensure!(read == *size, "{read} bytes instead of {size}");
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
        }
        Ok(start.elapsed().as_secs_f64())
    })
}

/// One request on a connection of its own, the file as its body; the bytes of the answer's body, which are dropped.
fn request(server: SocketAddr, method: &str, path: &str, body: Option<&Path>) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let length = body.map_or(Ok(0), |file| fs::metadata(file).map(|about| about.len()))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-length: {length}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={HOME}/20261122/us-east-1/s3/aws4_request, \
         SignedHeaders=host, Signature=00\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if let Some(file) = body {
        std::io::copy(&mut fs::File::open(file)?, &mut stream)?;
    }
    let mut answer = BufReader::with_capacity(256 * 1024, stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200"), "{method} {path}: {line}");
    let mut length = None;
    loop {
        line.clear();
        answer.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) =
            line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case("content-length"))
        {
            length = Some(value.trim().parse::<u64>().with_context(|| format!("{name} of {path}"))?);
        }
    }
    let length = length.unwrap_or(u64::MAX);
    Ok(std::io::copy(&mut answer.take(length), &mut std::io::sink())?)
}
