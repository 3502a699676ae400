//! Sets of connections to send to, close, or put into rooms: [`Target`].
//!
//! A target is a name for a set until one of its last methods is called; then the set is looked up,
//! and the message is encoded once for all.

use super::cx::AppIo;
use crate::connection::{Cause, ConnectionId, IntoMessage};

/// Some connections. Nothing happens before one of the methods at the end is called.
#[must_use = "nothing is sent before `send`, `close`, …"]
pub struct Target<'a, S: 'static> {
    io: AppIo<'a, S>,
    to: To<'a>,
    except: Except<'a>,
    volatile: bool,
}

pub(super) enum To<'a> {
    One(ConnectionId),
    Each(Vec<ConnectionId>),
    Room(u32, &'a str),
    All(u32),
}

/// Who is left out. One is usual: it needs no list.
#[derive(Default)]
struct Except<'a> {
    one: Option<ConnectionId>,
    more: Vec<ConnectionId>,
    rooms: Vec<&'a str>,
}

impl<'a, S: 'static> Target<'a, S> {
    pub(super) fn new(io: AppIo<'a, S>, to: To<'a>) -> Self {
        Self {
            io,
            to,
            except: Except::default(),
            volatile: false,
        }
    }

    /// Leaves one out.
    pub fn except(mut self, id: ConnectionId) -> Self {
        if let Some(before) = self.except.one.replace(id) {
            self.except.more.push(before);
        }
        self
    }

    /// Leaves the members of a room out. It is a room of the same router.
    pub fn except_room(mut self, room: &'a str) -> Self {
        self.except.rooms.push(room);
        self
    }

    /// A message that may be lost: it is not sent to who has not taken the earlier ones yet.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sends to each; the message is encoded once, and each is written to once in this turn. Answers
    /// for how many it was queued. Who is over `write_max_bytes` is closed (1013) and not counted.
    #[doc(alias = "broadcast")]
    #[doc(alias = "write_message")]
    pub fn send(self, message: impl IntoMessage) -> usize {
        let io = self.io;
        let volatile = self.volatile;
        let ids = self.ids();
        io.with_message(&message, |shared, message| {
            let mut engine = shared.engine.borrow_mut();
            let count = engine.broadcast(&ids, message, volatile);
            engine.give_ids(ids);
            count
        })
    }

    /// Closes each: 1000.
    pub fn close(self) {
        self.close_with(1000, "");
    }

    /// Closes each with a code and a reason, as [`Io::close_with`](crate::Io::close_with) does.
    pub fn close_with(self, code: u16, reason: &str) {
        self.each(|engine, id| engine.close(id, Cause::Server, code, reason));
    }

    /// Puts each into a room of its router.
    pub fn join(self, room: &str) {
        self.each(|engine, id| {
            engine.join(id, room);
        });
    }

    /// Takes each out of a room of its router.
    pub fn leave(self, room: &str) {
        self.each(|engine, id| {
            engine.leave(id, room);
        });
    }

    /// Who they are.
    pub fn fetch(self) -> Vec<ConnectionId> {
        let shared = self.io.shared();
        let mut ids = self.ids();
        let engine = shared.engine.borrow();
        ids.retain(|id| engine.is_open(*id));
        ids
    }

    fn each(self, f: impl Fn(&mut super::engine::Engine<S>, ConnectionId)) {
        let shared = self.io.shared();
        let ids = self.ids();
        let mut engine = shared.engine.borrow_mut();
        for &id in &ids {
            f(&mut engine, id);
        }
        engine.give_ids(ids);
    }

    pub(super) fn io(&self) -> AppIo<'a, S> {
        self.io
    }

    pub(super) fn is_volatile(&self) -> bool {
        self.volatile
    }

    pub(super) fn ids(self) -> Vec<ConnectionId> {
        let mut engine = self.io.shared().engine.borrow_mut();
        let mut ids = match self.to {
            To::Each(ids) => ids,
            To::One(id) => {
                let mut ids = engine.take_ids();
                ids.push(id);
                ids
            }
            To::Room(router, name) => {
                let mut ids = engine.take_ids();
                ids.extend_from_slice(engine.hub.members(router, name));
                ids
            }
            To::All(router) => {
                let mut ids = engine.take_ids();
                ids.extend_from_slice(engine.roster(router));
                ids
            }
        };
        let Except { one, more, rooms } = self.except;
        if one.is_some() || !rooms.is_empty() {
            ids.retain(|id| {
                one != Some(*id)
                    && !more.contains(id)
                    && !rooms.iter().any(|room| {
                        let router = engine.router_of(*id);
                        router.is_some_and(|router| engine.hub.is_member(router, room, *id))
                    })
            });
        }
        ids
    }
}
