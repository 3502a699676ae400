//! The loop as other threads see it: a bounded box for messages, and a bell.
//!
//! However many messages are posted while the loop is busy, the bell rings once.
//!
//! Not here: answers. Put a channel's sender into the message.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Posts to an [`IoLoop`](super::IoLoop) from any thread.
///
/// It may outlive the loop: then what it posts is kept until the last handle is gone, and never read.
pub struct LoopHandle<M>(Arc<Posts<M>>);

/// The box is full; here is the message again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<M>(pub M);

impl<M> LoopHandle<M> {
    /// Queues a message for the next turn. It arrives as `Event::Callback`, after others posted
    /// before it.
    ///
    /// # Errors
    ///
    /// [`Full`] if as many messages wait as the loop allows (65,536, see
    /// [`IoLoop::set_posts_max`](super::IoLoop::set_posts_max)).
    #[doc(alias = "call_soon_threadsafe")]
    #[doc(alias = "add_callback_from_signal")]
    pub fn add_callback(&self, message: M) -> Result<(), Full<M>> {
        self.0.post(message)?;
        self.wake();
        Ok(())
    }

    /// Ends the loop's sleep: it makes a turn, for nothing if nothing is there.
    pub fn wake(&self) {
        // The bell stays rung until the loop has looked into the box, which it does after it has
        // noted that it heard: what was put in before a ring is never missed.
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            if let Err(error) = self.0.waker.wake() {
                self.0.rung.store(false, Ordering::Release);
                log::error!("the loop could not be woken: {error}");
            }
        }
    }

    /// Makes the loop return from `run`, or from the next `run` if it is in none.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.wake();
    }
}

impl<M> Clone for LoopHandle<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for LoopHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle").finish_non_exhaustive()
    }
}

impl<M> fmt::Display for Full<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many messages wait for the loop")
    }
}

impl<M: fmt::Debug> std::error::Error for Full<M> {}

/// The loop's end of its handles.
pub(super) struct Posts<M> {
    waiting: Mutex<Waiting<M>>,
    /// Set from the first ring until the loop hears it.
    rung: AtomicBool,
    stop: AtomicBool,
    waker: mio::Waker,
}

struct Waiting<M> {
    messages: VecDeque<M>,
    max: usize,
}

impl<M> Posts<M> {
    pub(super) fn new(waker: mio::Waker) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(Waiting {
                messages: VecDeque::new(),
                max: POSTS_MAX,
            }),
            rung: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            waker,
        })
    }

    pub(super) fn handle(self: &Arc<Self>) -> LoopHandle<M> {
        LoopHandle(self.clone())
    }

    pub(super) fn set_max(&self, max: usize) {
        self.lock().max = max;
    }

    /// Moves what was posted to the end of `to`. Answers whether the loop is to stop.
    pub(super) fn collect(&self, to: &mut VecDeque<M>) -> bool {
        // Looked at first without the write, which other threads would feel in each turn.
        if !self.rung.load(Ordering::Relaxed) || !self.rung.swap(false, Ordering::AcqRel) {
            return false;
        }
        // The stop first: what a thread posted before it stopped the loop is in the box by then.
        let stop = self.stop.swap(false, Ordering::AcqRel);
        to.append(&mut self.lock().messages);
        stop
    }

    fn post(&self, message: M) -> Result<(), Full<M>> {
        let mut waiting = self.lock();
        if waiting.messages.len() >= waiting.max {
            return Err(Full(message));
        }
        waiting.messages.push_back(message);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting<M>> {
        // Nobody's code runs under the lock; a poisoned one would be as good as ever.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages that may wait in the box, unless the loop is told otherwise.
const POSTS_MAX: usize = 65_536;
