//! Accepting: how many in a turn, how many at all, and what those over the limit are told.

use super::Msg;
use super::core::Core;
use crate::conn::http1::Http1;
use crate::conn::{Asking, Conn, ConnKey, Protocol, address};
use crate::net::{Accept, Listener};
use crate::net::{Peer, Stream};
use crate::reactor::{Handler, IoLoop, Readiness};
use crate::storage::write_queue::WriteQueue;
use mio::Interest;
use std::time::Duration;

/// A listener and what it serves.
pub(crate) struct Listening {
    pub(crate) listener: Listener,
    pub(crate) handler: Option<Handler>,
    /// Which routes.
    pub(crate) site: usize,
    /// Whether it is there for policies of Flash alone.
    pub(crate) for_policies: bool,
}

impl<S: 'static> Core<S> {
    /// Accepts who waits, within the budget of a turn.
    pub(crate) fn accept(&mut self, io: &mut IoLoop<Msg>, index: u32) {
        for _ in 0..self.settings.accepts_per_turn {
            let Some(listening) = self.listeners.get_mut(index as usize) else {
                return;
            };
            let Some(handler) = listening.handler else {
                return;
            };
            match listening.listener.accept() {
                Ok(Accept::Conn(stream, peer)) => self.welcome(io, index, stream, peer),
                Ok(Accept::Drained) => return,
                Ok(Accept::Refused) => self.engine().conns.stats.refused += 1,
                Ok(Accept::Exhausted) => {
                    self.engine().conns.stats.accept_pauses += 1;
                    io.call_later(ACCEPT_PAUSE, Msg::Listener(index));
                    return;
                }
                Err(error) => {
                    log::error!("accepting failed, it is tried again in {ACCEPT_PAUSE:?}: {error}");
                    self.engine().conns.stats.accept_pauses += 1;
                    io.call_later(ACCEPT_PAUSE, Msg::Listener(index));
                    return;
                }
            }
            let _ = handler;
        }
        if let Some(handler) = self.listeners[index as usize].handler {
            io.again(handler, Readiness::READABLE);
        }
    }

    fn welcome(&mut self, io: &mut IoLoop<Msg>, index: u32, mut stream: Stream, peer: Peer) {
        let now = io.now();
        let peer = address(&peer);
        let listening = &self.listeners[index as usize];
        let site = listening.site as u32;
        let protocol = match listening.for_policies {
            true => Protocol::Policy(Asking::new(now, true)),
            false => Protocol::Http(Http1::new(now)),
        };
        let full = self.is_full(peer.map(|peer| peer.ip().to_canonical()));
        let conns = &mut self.engine().conns;
        conns.stats.accepted += 1;
        let handler = {
            let key = conns.arena.vacant_key();
            match io.add_handler(&mut stream, Interest::READABLE, Msg::Conn(key)) {
                Ok(handler) => handler,
                Err(error) => {
                    log::error!("a conn could not be registered: {error}");
                    conns.stats.refused += 1;
                    return;
                }
            }
        };
        let key = conns.arena.insert(Conn {
            stream,
            handler,
            out: WriteQueue::new(),
            protocol,
            peer,
            site,
            timer: None,
            progress: now,
            pending: None,
            held_input: 0,
            blocked: false,
            full: false,
            dirty: false,
            // Often the first request has come with the connection.
            readable: true,
            read_closed: false,
            eof: false,
            held: false,
            was_websocket: false,
        });
        let open = conns.arena.len() as u64;
        conns.stats.conns_peak = conns.stats.conns_peak.max(open);
        if let Some(peer) = peer {
            if self.settings.connections_per_ip_max > 0 {
                *self.per_ip.entry(peer.ip().to_canonical()).or_default() += 1;
            }
        }
        match full {
            true => self.turn_away(io, key),
            false => self.read(io, key),
        }
        self.settle(io, key);
    }

    fn is_full(&mut self, ip: Option<std::net::IpAddr>) -> bool {
        let per_ip = self.settings.connections_per_ip_max;
        let from_there = ip.and_then(|ip| self.per_ip.get(&ip).copied()).unwrap_or(0);
        let max = self.settings.buffers_max_bytes;
        self.engine().conns.arena.len() >= self.conns_max
            || (per_ip > 0 && from_there >= per_ip)
            || self.engine().conns.buffered() >= max / 100 * 80
    }

    /// Tells a conn over a limit so. It counts until its answer is out; when there are too many of
    /// those too, it is closed without a word.
    fn turn_away(&mut self, io: &mut IoLoop<Msg>, key: ConnKey) {
        let max = self.conns_max + TURNED_AWAY_MAX;
        let conns = &mut self.engine().conns;
        conns.stats.refused += 1;
        let is_http = conns.arena.get(key).is_some_and(Conn::is_http);
        if conns.arena.len() > max || !is_http {
            self.remove(io, key);
            return;
        }
        self.refuse_with(key, 503, "", b"Retry-After: 1\r\n");
    }
}

/// How long accepting rests when there is not even a descriptor to refuse with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many over the limit are told so at a time. They have descriptors: fewer than the default
/// limit leaves free.
const TURNED_AWAY_MAX: usize = 32;
