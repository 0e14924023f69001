//! Stopping in three phases, with one tree of tokens.
//!
//! In: a signal, a failure, or the end of the work. Out: tokens that tasks watch. The phases: *stop* (take in
//! nothing new) → *drain* (finish and commit what holds a permit, at most for the grace) → *abort* (drop the
//! rest, which the sources deliver again). Invariants: phases only go forward; aborting implies stopping; the
//! first failure is kept and decides the exit code. Dropping work in the abort phase is always safe, because
//! nothing counts before its commit.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The handle that everybody shares; clones are the same.
#[derive(Debug, Clone)]
pub struct Shutdown {
    abort: CancellationToken,
    stop: CancellationToken,
    failure: Arc<Mutex<Option<Failure>>>,
    grace: Duration,
}

/// Why the process stops, when it is not for a signal or the end of the work.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The task that failed.
    pub task: String,
    /// Its error, with causes.
    pub error: Arc<anyhow::Error>,
}

impl Shutdown {
    /// A running process that drains for at most `grace`.
    pub fn new(grace: Duration) -> Self {
        let abort = CancellationToken::new();
        let stop = abort.child_token();
        Self { abort, stop, failure: Arc::default(), grace }
    }

    /// Cancelled when nothing new may be taken in.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Cancelled when everything must end at once.
    pub fn aborting(&self) -> &CancellationToken {
        &self.abort
    }

    /// How long draining may take.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Begins to stop; repeated calls change nothing.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends everything at once.
    pub fn abort(&self) {
        self.abort.cancel();
    }

    /// Begins to stop because of a failure; the first one is kept.
    pub fn fail(&self, task: &str, error: anyhow::Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| Failure { task: task.to_owned(), error: Arc::new(error) });
        drop(failure);
        self.stop();
    }

    /// The first failure, if there was one.
    pub fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets `work` end: waits for it while running, gives it the grace once stopping, then aborts. Whether
    /// it ended by itself; when not, it is dropped.
    pub async fn drain(&self, work: impl Future<Output = ()>) -> bool {
        let overdue = async {
            self.stop.cancelled().await;
            tokio::select! {
                () = self.abort.cancelled() => {}
                () = tokio::time::sleep(self.grace) => {
                    tracing::warn!(grace = ?self.grace, "work did not end within the grace; aborting");
                    self.abort();
                }
            }
        };
        tokio::select! {
            biased;
            () = work => true,
            () = overdue => false,
        }
    }
}

/// The signals that the process obeys, from the moment of [`Signals::install`].
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reloads: watch::Sender<u64>,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP; needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reloads: watch::Sender::new(0),
        })
    }

    /// The SIGHUPs from now on.
    pub fn reloads(&self) -> Reloads {
        Reloads(self.reloads.subscribe())
    }

    /// Obeys signals for ever: the first SIGTERM or SIGINT stops, the second aborts, SIGHUP is handed to
    /// [`Signals::reloads`]. To be run as a task.
    pub async fn obey(mut self, shutdown: Shutdown) {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: reloading the configuration");
                    self.reloads.send_modify(|count| *count = count.wrapping_add(1));
                    continue;
                }
            };
            if shutdown.stopping().is_cancelled() {
                tracing::warn!(signal = name, "second signal: ending at once");
                shutdown.abort();
            } else {
                tracing::info!(signal = name, grace = ?shutdown.grace(), "draining");
                shutdown.stop();
            }
        }
    }
}

/// Requests to reload. Those that come while one is being served count as one.
#[derive(Debug)]
pub struct Reloads(watch::Receiver<u64>);

impl Reloads {
    /// Waits for the next request; never returns once the signals are no longer obeyed. Cancel-safe.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Sent, getpid, kill_process};

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_within_the_grace_is_not_aborted() {
        let shutdown = Shutdown::new(Duration::from_secs(60));
        let work = async {
            shutdown.stopping().cancelled().await;
            tokio::time::sleep(Duration::from_secs(59)).await;
        };
        let (ended, ()) = tokio::join!(shutdown.drain(work), async { shutdown.stop() });
        assert!(ended && !shutdown.aborting().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn work_beyond_the_grace_is_dropped() {
        let shutdown = Shutdown::new(Duration::from_secs(60));
        shutdown.stop();
        let began = tokio::time::Instant::now();
        assert!(!shutdown.drain(std::future::pending()).await);
        assert!(shutdown.aborting().is_cancelled());
        assert_eq!(began.elapsed().as_secs(), 60);
    }

    #[tokio::test]
    async fn aborting_implies_stopping_and_the_first_failure_is_kept() {
        let shutdown = Shutdown::new(Duration::ZERO);
        let other = shutdown.clone();
        other.fail("first", anyhow::anyhow!("one"));
        other.fail("second", anyhow::anyhow!("two"));
        assert!(shutdown.stopping().is_cancelled() && !shutdown.aborting().is_cancelled());
        assert_eq!(shutdown.failure().unwrap().task, "first");
        let shutdown = Shutdown::new(Duration::ZERO);
        shutdown.abort();
        assert!(shutdown.stopping().is_cancelled());
    }

    #[tokio::test]
    async fn signals_reload_then_drain_then_abort() {
        let signals = Signals::install().unwrap();
        let mut reloads = signals.reloads();
        let shutdown = Shutdown::new(Duration::from_secs(60));
        let steps = async {
            kill_process(getpid(), Sent::HUP).unwrap();
            reloads.next().await;
            assert!(!shutdown.stopping().is_cancelled());
            kill_process(getpid(), Sent::TERM).unwrap();
            shutdown.stopping().cancelled().await;
            assert!(!shutdown.aborting().is_cancelled());
            kill_process(getpid(), Sent::INT).unwrap();
            shutdown.aborting().cancelled().await;
        };
        let all = tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! {
                () = signals.obey(shutdown.clone()) => {}
                () = steps => {}
            }
        });
        all.await.unwrap();
    }
}
