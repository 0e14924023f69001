//! A continuous run over a cloud, watched from the outside.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cloud::Cloud;
use crate::tree::{Ran, signal, wait};

/// The longest that anything is waited for. Slow machines get a second minute; what is asserted is that it comes.
const LIMIT: Duration = Duration::from_secs(120);
/// The same for what an audit comes to: it looks at times of its own.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(cloud: &Cloud, config: &str) -> Self {
        let log = cloud.tree.path("log");
        let mut command = cloud.command(config, &["--output", "json", "run"]);
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { child, log }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the archive has everything but what only these buckets hold; how long that took.
    pub(crate) async fn until_whole(&self, cloud: &Cloud, prefix: &str, without: &[&str]) -> Duration {
        let began = Instant::now();
        loop {
            cloud.fetch_what_is_there(prefix).await;
            let Some(differences) = cloud.tree.differs_without(without) else { return began.elapsed() };
            assert!(began.elapsed() < LIMIT, "{differences}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits until it holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: the agent has ended: {ended:?}\n{}", self.log());
            assert!(began.elapsed() < PATIENCE, "{what}: does not come to hold\n{}", self.log());
            std::thread::sleep(Duration::from_millis(300));
        }
        println!("{what}: after {:.1?}", began.elapsed());
    }

    pub(crate) fn stop(mut self) -> Ran {
        signal(&self.child, Signal::TERM);
        let code = wait(&mut self.child, LIMIT).expect("the agent stops").code();
        Ran { code, stdout: String::new(), stderr: self.log() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failed assertion; otherwise it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
