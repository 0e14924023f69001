//! The AWS emulators, started and stopped by the tests that need them.
//!
//! In: which one. Out: its endpoint on a free port of 127.0.0.1. `make emulators` installs them. Where they are
//! absent a test is skipped with the reason printed, and fails under `CI=true`, so that no green run of CI has
//! left them out. On drop the process and its children are ended, by their process group.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// Which emulator. They fail in different places, so what speaks S3 is tested on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// moto 5.2.5: knows more services; believes every role and external id.
    Moto,
    /// ministack 1.5.33 without authorization.
    Ministack,
    /// ministack 1.5.33 with `AUTH=true`: trust policies, external ids and bucket policies count. A 12-digit
    /// access key id acts as the root of that account, and `test` may do everything.
    MinistackAuth,
}

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    address: SocketAddr,
    /// Its working directory and its log, gone with it.
    folder: TempDir,
}

/// The longest that an emulator may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

impl Emulator {
    /// Starts an emulator, or says on stderr why the test is skipped.
    ///
    /// # Panics
    /// Under `CI=true` when it is not installed; and when it is and does not start.
    #[expect(clippy::panic, reason = "a test that cannot run must fail")]
    #[expect(clippy::print_stderr, reason = "the reason of a skipped test")]
    pub fn start(kind: Kind) -> Option<Self> {
        let Some(program) = program(kind) else {
            let reason = format!("{kind:?} is not installed; run `make emulators`");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
            eprintln!("skipped: {reason}");
            return None;
        };
        // The port may be taken between the moment it was found free and the start.
        let mut last = None;
        for _ in 0..3 {
            match Self::launch(kind, &program) {
                Ok(emulator) => return Some(emulator),
                Err(error) => last = Some(error),
            }
        }
        panic!("{kind:?} does not start: {last:?}");
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn launch(kind: Kind, program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", folder.path()).env("TMPDIR", folder.path()).current_dir(folder.path());
        match kind {
            Kind::Moto => {
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
                // A bucket belongs to the account that made it.
                command.env("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "true");
            }
            Kind::Ministack | Kind::MinistackAuth => {
                command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
                command.env("SERVICES", "s3,sts,iam,kinesis").env("LOG_LEVEL", "WARNING");
                command.env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0");
                command.env("STATE_DIR", folder.path()).env("S3_DATA_DIR", folder.path());
                command.env("AUTH", if kind == Kind::MinistackAuth { "true" } else { "false" });
            }
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| program.display().to_string())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut emulator = Self { child, address, folder };
        emulator.wait()?;
        Ok(emulator)
    }

    fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                let mut log = String::new();
                File::open(self.folder.path().join("log"))?.take(2_000).read_to_string(&mut log).ok();
                bail!("it ended with {status}: {log}");
            }
            if answers(self.address) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("no answer within {START:?}")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.child.wait().ok();
    }
}

/// Whether something there speaks HTTP.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/")
    };
    ask().unwrap_or(false)
}

/// The installed program: below `TRAILHAUL_VENV`, or below `.venv` beside the workspace.
fn program(kind: Kind) -> Option<PathBuf> {
    let venv = std::env::var_os("TRAILHAUL_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv"), PathBuf::from);
    let name = if kind == Kind::Moto { "moto_server" } else { "ministack" };
    let program = venv.join("bin").join(name);
    program.is_file().then_some(program)
}
