//! Tasks with names and policies: the only place that spawns.
//!
//! In: futures, each with a name and what to do when it fails and when the process stops. Out: their ends, in
//! the log or as the process's failure. Invariants: no task outlives its [`Tasks`]; a panic is handled like
//! an error and never lost; tasks are joined as they finish, so that a long-lived process does not collect
//! them. On failure: [`OnError`].

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::cpu::message;
use super::shutdown::Shutdown;

/// What an error or a panic of a task means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It is logged; the others go on.
    Log,
    /// The process cannot go on without it: everything stops, and this is the reason.
    StopProcess,
}

/// What a stopping process means for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// It sees the token itself, finishes what it has begun and ends; it is dropped in the abort phase.
    Wait,
    /// It has nothing to finish and is dropped at once.
    Abort,
}

/// A set of running tasks.
#[derive(Debug)]
pub struct Tasks {
    set: Mutex<JoinSet<()>>,
    shutdown: Shutdown,
}

impl Tasks {
    /// No tasks yet; they will obey this shutdown.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { set: Mutex::default(), shutdown }
    }

    /// The shutdown that the tasks obey.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task on the current runtime. Names are for people and log filters: a few words of the kind
    /// `lane 3`, not object keys.
    pub fn spawn(
        &self,
        name: impl Into<String>,
        on_error: OnError,
        on_stop: OnStop,
        future: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let (name, shutdown) = (name.into(), self.shutdown.clone());
        let span = tracing::info_span!("task", name = name.as_str());
        let task = async move {
            let dropped = match on_stop {
                OnStop::Wait => shutdown.aborting(),
                OnStop::Abort => shutdown.stopping(),
            };
            let ended = tokio::select! {
                biased;
                ended = AssertUnwindSafe(future).catch_unwind() => ended,
                () = dropped.cancelled() => return tracing::debug!("dropped by the stop"),
            };
            let error = match ended {
                Ok(Ok(())) => return tracing::debug!("ended"),
                Ok(Err(error)) => error,
                Err(panic) => anyhow::anyhow!("panicked: {}", message(&*panic)),
            };
            tracing::error!(error = format!("{error:#}"), "task failed");
            if on_error == OnError::StopProcess {
                shutdown.fail(&name, error);
            }
        };
        let mut set = self.set();
        while set.try_join_next().is_some() {}
        set.spawn(task.instrument(span));
    }

    /// The tasks that have not been joined yet.
    pub fn len(&self) -> usize {
        self.set().len()
    }

    /// Whether no task is left.
    pub fn is_empty(&self) -> bool {
        self.set().is_empty()
    }

    /// Waits until no task is left, those included that are started meanwhile. Cancel-safe.
    pub async fn join(&self) {
        while poll_fn(|context| self.set().poll_join_next(context)).await.is_some() {}
    }

    /// Runs until all tasks have ended: by themselves, within the grace of a stop, or aborted after it.
    /// Whether none had to be aborted.
    pub async fn drain(&self) -> bool {
        let ended = self.shutdown.drain(self.join()).await;
        if !ended {
            // The tokens drop them; a task that blocks its thread is left to the end of the runtime.
            self.set().abort_all();
            self.join().await;
        }
        ended
    }

    fn set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    fn tasks() -> Tasks {
        Tasks::new(Shutdown::new(Duration::from_secs(60)))
    }

    #[tokio::test]
    async fn an_error_that_is_only_logged_stops_nothing() {
        let tasks = tasks();
        tasks.spawn("logged", OnError::Log, OnStop::Wait, async { anyhow::bail!("trouble") });
        tasks.spawn("panics", OnError::Log, OnStop::Wait, async { panic!("trouble") });
        assert!(tasks.drain().await);
        assert!(!tasks.shutdown().stopping().is_cancelled() && tasks.is_empty());
    }

    #[tokio::test]
    async fn errors_and_panics_stop_the_process_where_told() {
        for panics in [false, true] {
            let tasks = tasks();
            let stopping = tasks.shutdown().stopping().clone();
            tasks.spawn("other", OnError::Log, OnStop::Wait, async move {
                stopping.cancelled().await;
                Ok(())
            });
            tasks.spawn("vital", OnError::StopProcess, OnStop::Wait, async move {
                assert!(!panics, "trouble");
                anyhow::bail!("trouble")
            });
            assert!(tasks.drain().await, "the other one ends by itself");
            let failure = tasks.shutdown().failure().unwrap();
            assert_eq!(failure.task, "vital");
            assert!(failure.error.to_string().contains("trouble"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn on_stop_some_are_dropped_and_some_may_finish() {
        let tasks = tasks();
        let finished = Arc::new(AtomicU32::new(0));
        for (on_stop, weight) in [(OnStop::Wait, 1), (OnStop::Abort, 10)] {
            let finished = Arc::clone(&finished);
            tasks.spawn("sleeps", OnError::Log, on_stop, async move {
                tokio::time::sleep(Duration::from_secs(30)).await;
                finished.fetch_add(weight, Ordering::SeqCst);
                Ok(())
            });
        }
        tasks.spawn("never ends", OnError::Log, OnStop::Wait, std::future::pending());
        tasks.shutdown().stop();
        assert!(!tasks.drain().await);
        assert_eq!(finished.load(Ordering::SeqCst), 1);
        assert!(tasks.is_empty());
    }

    #[tokio::test]
    async fn finished_tasks_are_not_collected() {
        let tasks = tasks();
        for _ in 0..100 {
            tasks.spawn("short", OnError::Log, OnStop::Wait, async { Ok(()) });
            tokio::task::yield_now().await;
        }
        assert!(tasks.len() < 10, "{}", tasks.len());
        tasks.join().await;
    }
}
