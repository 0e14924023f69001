//! The CPU pool: a few plain threads on which the mill turns, away from the threads that wait for sockets.
//!
//! In: closures. Out: their values, to whoever waits. Invariants: at most `threads` closures run at once; at
//! most `queue` wait; they start in the order in which they came; a panic is the caller's error and costs no
//! thread. A closure whose caller has gone before its turn is not run. On stop, what has been taken on is
//! finished first.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// The closure panicked: a defect of the program; whatever it worked on is in doubt.
    #[error("work on the cpu pool panicked: {0}")]
    Panicked(String),
    /// The pool has stopped.
    #[error("the cpu pool has stopped")]
    Stopped,
}

type Job = Box<dyn FnOnce() + Send>;

/// A bounded pool of threads for work that takes longer than half a millisecond.
#[derive(Debug)]
pub struct CpuPool {
    /// `None` once stopped.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    count: usize,
}

impl CpuPool {
    /// Starts `threads` threads (at least one) and a queue of at most `queue` waiting closures (at least
    /// one). The queue needs to hide the time between two closures of one thread and no more: twice the
    /// threads is plenty, since what waits holds memory.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(threads: usize, queue: usize) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>(queue.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let count = threads.max(1);
        let started = (0..count).map(|number| {
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new().name(format!("mill-{number}")).spawn(move || work(&receiver))
        });
        let threads = started.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { queue: Mutex::new(Some(sender)), threads: Mutex::new(threads), count })
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.count
    }

    /// Runs a closure on the pool: waits for a place in the queue, for its turn and for its end. Dropping
    /// the future before its turn withdraws the closure; later, its value is thrown away.
    ///
    /// # Errors
    /// When the closure panics, or the pool has stopped.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CpuError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(move || {
            if !sender.is_closed() {
                let value = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(&*panic));
                // The caller may have gone meanwhile; then nobody wants the value.
                drop(sender.send(value));
            }
        });
        queue.ok_or(CpuError::Stopped)?.send(job).await.map_err(|_| CpuError::Stopped)?;
        receiver.await.map_err(|_| CpuError::Stopped)?.map_err(CpuError::Panicked)
    }

    /// Takes no more work, finishes what was taken on, and waits for the threads to end.
    pub async fn stop(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // Panics are caught inside; there is no other way for these threads to fail.
                drop(thread.join());
            }
        });
        drop(joined.await);
    }
}

/// One thread's life: take the next closure, run it, until the queue is closed and empty.
fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // The lock is held while waiting: the others wait for the lock instead, which comes to the same.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match job {
            Some(job) => job(),
            None => return,
        }
    }
}

/// The text of a panic, where it has one.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(no text)").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn values_come_back_and_panics_cost_no_thread() {
        let pool = CpuPool::new(1, 4).unwrap();
        assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
        let panicked = pool.run(|| panic!("on {}", "purpose")).await;
        assert_eq!(panicked, Err::<(), _>(CpuError::Panicked("on purpose".into())));
        assert_eq!(
            pool.run(|| std::thread::current().name().map(str::to_owned)).await,
            Ok(Some("mill-0".into()))
        );
        pool.stop().await;
        assert_eq!(pool.run(|| 1).await, Err(CpuError::Stopped));
        pool.stop().await;
    }

    #[tokio::test]
    async fn never_more_run_than_there_are_threads() {
        let pool = CpuPool::new(2, 100).unwrap();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runs = (0..50).map(|number| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            pool.run(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        let values = futures::future::join_all(runs).await;
        assert_eq!(values, (0..50).map(Ok).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn work_starts_in_the_order_in_which_it_came() {
        // A queue of one, so that most callers wait for a place.
        let pool = CpuPool::new(1, 1).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let runs = (0..50).map(|number| {
            let order = Arc::clone(&order);
            pool.run(move || order.lock().unwrap().push(number))
        });
        futures::future::join_all(runs).await;
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn withdrawn_work_is_not_run_and_taken_work_is_finished_on_stop() {
        let pool = CpuPool::new(1, 4).unwrap();
        let (release, gate) = std::sync::mpsc::sync_channel::<()>(1);
        let done = Arc::new(AtomicUsize::new(0));
        let count = |by: usize| {
            let done = Arc::clone(&done);
            move || done.fetch_add(by, Ordering::SeqCst)
        };
        let mut first = Box::pin(pool.run(move || gate.recv().unwrap()));
        assert!(futures::poll!(&mut first).is_pending());
        let mut withdrawn = Box::pin(pool.run(count(100)));
        assert!(futures::poll!(&mut withdrawn).is_pending());
        let mut kept = Box::pin(pool.run(count(1)));
        assert!(futures::poll!(&mut kept).is_pending());
        drop(withdrawn);
        release.send(()).unwrap();
        pool.stop().await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
        assert_eq!((first.await, kept.await), (Ok(()), Ok(0)));
    }
}
