//! What is let go when all buffers together are nearly over their limit.

use super::Msg;
use super::core::Core;
use super::engine::{Entry, Life, Link};
use super::sessions::{SessionKey, Virtual};
use crate::conn::ConnKey;
use crate::connection::{Cause, ConnectionId, Reject};
use crate::reactor::IoLoop;

/// Who holds bytes that wait.
#[derive(Clone, Copy)]
enum Holder {
    Conn(ConnKey),
    Session(SessionKey),
    Inbox(ConnectionId),
}

impl<S: 'static> Core<S> {
    /// All buffers together are nearly over their limit: the largest holders are closed.
    pub(super) fn relieve(&mut self, io: &mut IoLoop<Msg>) {
        let max = self.settings.buffers_max_bytes;
        if self.engine().conns.buffered() < max / 100 * 95 {
            return;
        }
        let engine = self.engine();
        let conns = engine.conns.arena.iter();
        let conns = conns.map(|(key, conn)| (conn.buffered(), Holder::Conn(key)));
        let sessions = engine.sessions.arena.iter();
        let sessions = sessions.map(|(key, entry)| (entry.buffered(), Holder::Session(key)));
        let inboxes = engine.connections.iter();
        let inboxes =
            inboxes.map(|(key, entry)| (entry.inbox_bytes(), Holder::Inbox(ConnectionId(key))));
        let holders = conns.chain(sessions).chain(inboxes);
        let mut holders: Vec<(usize, Holder)> = holders.filter(|(bytes, _)| *bytes > 0).collect();
        holders.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, holder) in holders {
            if self.engine().conns.buffered() < max / 100 * 80 {
                break;
            }
            if self.still_holds(io, holder) * 2 > bytes {
                self.engine().conns.stats.memory_closes += 1;
                self.let_go(io, holder);
            }
        }
        self.follow_up(io);
    }

    /// What one of those holds now: it may be gone with another, and what was not tried yet may fit.
    fn still_holds(&mut self, io: &mut IoLoop<Msg>, holder: Holder) -> usize {
        let held = match holder {
            Holder::Conn(key) => {
                self.settle(io, key);
                self.conn(key).map(|conn| conn.buffered())
            }
            Holder::Session(key) => {
                let entry = self.engine().sessions.arena.get(key);
                entry.map(Virtual::buffered)
            }
            Holder::Inbox(id) => {
                let entry = self.engine().connections.get(id.0);
                entry.map(Entry::inbox_bytes)
            }
        };
        held.unwrap_or_default()
    }

    /// Closes it, with all that it holds. Only a channel has something below it that stays.
    fn let_go(&mut self, io: &mut IoLoop<Msg>, holder: Holder) {
        let id = match holder {
            Holder::Conn(key) => return self.lose(io, key, Cause::Overflow),
            Holder::Session(key) => return self.engine().relieve_session(key),
            Holder::Inbox(id) => id,
        };
        let entry = self.engine().connections.get(id.0);
        match entry.map(|entry| (entry.link, entry.life)) {
            None => {}
            Some((Link::WebSocket(key) | Link::SockJs(key), _)) => {
                self.lose(io, key, Cause::Overflow);
            }
            Some((Link::Session(key) | Link::SocketIo(key), _)) => {
                self.engine().relieve_session(key);
            }
            Some((Link::Channel(_), Life::Opening)) => {
                self.decided(io, id, Err(Reject::status(503)));
            }
            Some((Link::Channel(_), _)) => {
                let engine = self.engine();
                engine.close(id, Cause::Overflow, 1013, "out of memory");
            }
        }
    }
}
