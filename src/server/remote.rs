//! Handles that may leave the loop's thread: [`Remote`], and what is held until a decision.
//!
//! Everything goes through one bounded queue and one wake. What a session would hang without (the
//! end of an `Ordered`, a decision, an answer) is not counted against the bound.

use super::cx::{App, Cx};
use super::engine::Next;
use super::object::job;
use crate::connection::{Connection, ConnectionId, IntoMessage, Message, Reject};
use crate::reactor::LoopHandle;
use crate::router::RouterId;
use crate::server::Msg;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Something to run on the loop's thread.
pub(crate) type Job<S> = Box<dyn FnOnce(&mut App<'_, S>) + Send>;

/// The server, for other threads: post jobs, send, stop. Cheap to clone.
///
/// A job runs before the end of the turn in which it is found; the loop is woken for it.
/// Jobs of one thread run in the order in which it posted them; nothing is promised between threads.
pub struct Remote<S: 'static> {
    queue: Arc<Queue<S>>,
}

struct Queue<S: 'static> {
    jobs: Mutex<VecDeque<Job<S>>>,
    routers: Mutex<HashMap<RouterId, u32>>,
    max: usize,
    wake: LoopHandle<Msg>,
}

/// The queue of jobs is full: `remote_queue_max` wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteFull;

impl fmt::Display for RemoteFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the loop's queue of jobs is full")
    }
}

impl std::error::Error for RemoteFull {}

impl<S> Clone for Remote<S> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
        }
    }
}

impl<S: 'static> Remote<S> {
    pub(crate) fn new(wake: LoopHandle<Msg>, max: usize) -> Self {
        let (jobs, routers) = Default::default();
        Self {
            queue: Arc::new(Queue {
                jobs,
                routers,
                max,
                wake,
            }),
        }
    }

    /// Runs `f` on the loop's thread.
    ///
    /// # Errors
    ///
    /// [`RemoteFull`]: `remote_queue_max` jobs wait, and `f` is dropped.
    #[doc(alias = "add_callback")]
    #[doc(alias = "call_soon_threadsafe")]
    pub fn call(&self, f: impl FnOnce(&mut App<'_, S>) + Send + 'static) -> Result<(), RemoteFull> {
        self.push(Box::new(f), true)
    }

    /// Sends to one connection. A value is made into bytes here, on the calling thread. Whether it
    /// arrives is not told: the connection may be gone by then.
    ///
    /// # Errors
    ///
    /// [`RemoteFull`].
    pub fn send(&self, id: ConnectionId, message: impl IntoMessage) -> Result<(), RemoteFull> {
        let (kind, bytes, json) = own(&message);
        self.call(move |app| {
            app.to(id).send(Message {
                kind,
                bytes: &bytes,
                json,
            });
        })
    }

    /// Sends to the members of a room of a router ([`Router::id`](crate::Router::id)).
    ///
    /// # Errors
    ///
    /// [`RemoteFull`].
    #[doc(alias = "broadcast")]
    pub fn room(
        &self,
        router: RouterId,
        name: &str,
        message: impl IntoMessage,
    ) -> Result<(), RemoteFull> {
        let (kind, bytes, json) = own(&message);
        let name = name.to_owned();
        self.call(move |app| {
            let message = Message {
                kind,
                bytes: &bytes,
                json,
            };
            app.router(router).room(&name).send(message);
        })
    }

    /// Stops the loop after the present turn; connections stay as they are.
    pub fn stop(&self) {
        self.post(Box::new(|app| {
            app.shared().engine.borrow_mut().next.push_back(Next::Stop);
        }));
    }

    /// Shuts down in good order; see [`SocketServer::drain`](crate::SocketServer::drain).
    pub fn drain(&self, deadline: Duration) {
        self.post(Box::new(move |app| {
            app.shared()
                .engine
                .borrow_mut()
                .next
                .push_back(Next::Drain(deadline));
        }));
    }

    /// Posts what must not be lost, full or not.
    pub(crate) fn post(&self, job: Job<S>) {
        let _ = self.push(job, false);
    }

    fn push(&self, job: Job<S>, bounded: bool) -> Result<(), RemoteFull> {
        let mut jobs = lock(&self.queue.jobs);
        if bounded && jobs.len() >= self.queue.max {
            return Err(RemoteFull);
        }
        let first = jobs.is_empty();
        jobs.push_back(job);
        drop(jobs);
        if first {
            self.queue.wake.wake();
        }
        Ok(())
    }

    /// The jobs that wait now.
    pub(crate) fn take(&self) -> VecDeque<Job<S>> {
        std::mem::take(&mut *lock(&self.queue.jobs))
    }

    pub(crate) fn router_index(&self, id: RouterId) -> u32 {
        lock(&self.queue.routers)
            .get(&id)
            .copied()
            .unwrap_or(u32::MAX)
    }

    /// Numbers a router; mounted twice, it has one number. Answers whether it is new.
    pub(crate) fn add_router(&self, id: RouterId) -> bool {
        let mut routers = lock(&self.queue.routers);
        let next = routers.len() as u32;
        *routers.entry(id).or_insert(next) == next
    }
}

/// A panic while the lock was held has not left anything half done: each use is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own(message: &impl IntoMessage) -> (crate::connection::Kind, Box<[u8]>, bool) {
    let mut scratch = Vec::new();
    let Message { kind, bytes, json } = message.message(&mut scratch);
    (kind, bytes.into(), json)
}

/// Holds back a connection's messages. It may go to another thread; dropped, it releases.
#[must_use = "dropped at once, it holds nothing back"]
pub struct Ordered<C: Connection> {
    remote: Option<Remote<C::State>>,
    id: ConnectionId,
}

impl<C: Connection> Ordered<C> {
    pub(crate) fn new(remote: Remote<C::State>, id: ConnectionId) -> Self {
        Self {
            remote: Some(remote),
            id,
        }
    }

    /// Runs `f` on the connection, unless it is closed by then, and releases: the messages that waited
    /// follow. It is not refused when the queue of jobs is full.
    pub fn finish(mut self, f: impl FnOnce(&mut C, &mut Cx<'_, C>) + Send + 'static) {
        let id = self.id;
        if let Some(remote) = self.remote.take() {
            remote.post(Box::new(move |app| {
                let mut engine = app.shared().engine.borrow_mut();
                engine.next.push_back(Next::Run(id, job(f)));
                engine.release(id);
            }));
        }
    }
}

impl<C: Connection> Drop for Ordered<C> {
    fn drop(&mut self) {
        let id = self.id;
        if let Some(remote) = self.remote.take() {
            remote.post(Box::new(move |app| {
                app.shared().engine.borrow_mut().release(id)
            }));
        }
    }
}

/// A handshake that waits for a decision. It may go to another thread; dropped, it refuses (503).
#[must_use = "dropped, it refuses the client"]
pub struct Deciding<C: Connection> {
    remote: Option<Remote<C::State>>,
    id: ConnectionId,
}

impl<C: Connection> Deciding<C> {
    pub(crate) fn new(remote: Remote<C::State>, id: ConnectionId) -> Self {
        Self {
            remote: Some(remote),
            id,
        }
    }

    /// Accepts: the handshake is answered, then `f` runs on the connection, then the messages that
    /// waited come. Nothing of it happens if the client has gone.
    pub fn accept(mut self, f: impl FnOnce(&mut C, &mut Cx<'_, C>) + Send + 'static) {
        let id = self.id;
        if let Some(remote) = self.remote.take() {
            remote.post(Box::new(move |app| {
                let mut engine = app.shared().engine.borrow_mut();
                engine.next.push_back(Next::Decided(id, Ok(())));
                engine.next.push_back(Next::Run(id, job(f)));
                engine.next.push_back(Next::Resumed(id));
            }));
        }
    }

    /// Refuses. `on_close` does not run.
    pub fn refuse(mut self, reject: Reject) {
        self.decide(Err(reject));
    }

    fn decide(&mut self, decision: Result<(), Reject>) {
        let id = self.id;
        if let Some(remote) = self.remote.take() {
            remote.post(Box::new(move |app| {
                let mut engine = app.shared().engine.borrow_mut();
                engine.next.push_back(Next::Decided(id, decision));
            }));
        }
    }
}

impl<C: Connection> Drop for Deciding<C> {
    fn drop(&mut self) {
        self.decide(Err(Reject::status(503)));
    }
}
