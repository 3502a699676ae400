//! Channels: several connections of the application over one connection of the client, in the
//! protocol of websocket-multiplex.
//!
//! | client | server | meaning |
//! | --- | --- | --- |
//! | `sub,NAME` | | opens a channel; a second time, and a name nobody serves: ignored |
//! | `msg,NAME,TEXT` | `msg,NAME,TEXT` | a message; the text may hold commas |
//! | `uns,NAME` | `uns,NAME` | the channel is closed |
//!
//! The name is as `escape` of JavaScript leaves it.

use super::Msg;
use super::core::Core;
use super::cx::{Cx, Io};
use super::engine::{Engine, Link, Next, Opening, Rare};
use crate::Reject;
use crate::connection::{Cause, CloseReason, Connection, ConnectionId, Message};
use crate::reactor::IoLoop;
use crate::router::{Inner, Router};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;

/// Classes by the names of channels: what is mounted then speaks the protocol of websocket-multiplex, over
/// SockJS or a plain WebSocket. Each channel that a client opens is a connection of its own, with
/// rooms, timers and all; it ends with the connection below it at the latest.
///
/// A refusal in `on_open` is told as `uns`. A channel whose [`Io::ordered`] is held is closed by the
/// next message when `inbox_max` messages or `inbox_bytes_max` bytes wait.
///
/// ```
/// use dustdevil::{Connection, Multiplex, Router};
///
/// #[derive(Default)]
/// struct Ann;
/// impl Connection for Ann {
///     type State = ();
/// }
/// let router = Multiplex::new().channel("ann", &Router::<Ann>::new()).router();
/// ```
#[doc(alias = "MultiplexConnection")]
pub struct Multiplex<S: 'static> {
    channels: Vec<(String, Rc<Inner<S>>)>,
}

impl<S: 'static> Default for Multiplex<S> {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
        }
    }
}

impl<S: 'static> Multiplex<S> {
    /// No channels yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a channel. For one name the first counts.
    #[must_use]
    pub fn channel<C: Connection<State = S>>(mut self, name: &str, router: &Router<C>) -> Self {
        self.channels.push((name.to_owned(), router.inner()));
        self
    }

    /// What is mounted.
    pub fn router(self) -> Router<Multiplexed<S>> {
        let inside = self.channels.iter().map(|(_, inner)| Rc::clone(inner));
        let inside = inside.collect();
        let channels: Rc<[(String, Rc<Inner<S>>)]> = self.channels.into();
        Router::with(move |_| Multiplexed {
            channels: Rc::clone(&channels),
            open: HashMap::new(),
            of: PhantomData,
        })
        .keep_request()
        .around(inside)
    }
}

/// The connection below the channels; made by [`Multiplex::router`].
pub struct Multiplexed<S: 'static> {
    channels: Rc<[(String, Rc<Inner<S>>)]>,
    /// By their names as the client writes them: no more than there are channels.
    open: HashMap<Box<str>, ConnectionId>,
    of: PhantomData<fn() -> S>,
}

impl<S: 'static> Connection for Multiplexed<S> {
    type State = S;

    fn on_message(&mut self, cx: &mut Cx<'_, Self>, message: Message<'_>) {
        let mut parts = message.text().unwrap_or_default().splitn(3, ',');
        let (Some(kind), Some(name)) = (parts.next(), parts.next()) else {
            return;
        };
        let open = self.open.get(name).copied();
        let open = open.filter(|id| cx.is_there(*id));
        match (kind, open) {
            ("sub", None) => {
                let plain = unescape(name);
                // What has ended goes; under another spelling of its name it may be there.
                self.open.retain(|_, id| cx.is_there(*id));
                if self.open.keys().any(|other| unescape(other) == plain) {
                    return;
                }
                let found = self.channels.iter().find(|(name, _)| *name == plain);
                if let Some(id) = found.and_then(|(_, inner)| cx.open_channel(inner, name)) {
                    self.open.insert(name.into(), id);
                }
            }
            ("msg", Some(id)) => cx.channel_message(id, parts.next().unwrap_or_default()),
            ("uns", Some(id)) => {
                self.open.remove(name);
                cx.end_channel(
                    id,
                    CloseReason {
                        cause: Cause::Client,
                        code: 1000,
                        reason: String::new(),
                        clean: true,
                    },
                );
            }
            _ => {}
        }
    }

    fn on_close(&mut self, cx: &mut Cx<'_, Self>, why: CloseReason) {
        for (_, id) in self.open.drain() {
            cx.end_channel(id, why.clone());
        }
    }
}

impl<C: Connection> Io<'_, C> {
    fn is_there(&self, id: ConnectionId) -> bool {
        self.shared().engine.borrow().is_there(id)
    }

    /// Makes a channel over this connection; its `on_open` follows.
    fn open_channel(&self, inner: &Inner<C::State>, name: &str) -> Option<ConnectionId> {
        // `make` is user code and runs while nothing is borrowed.
        let object = self.request(|req| (inner.make)(req))?;
        let shared = self.shared();
        let router = shared.remote.router_index(inner.id);
        let mut engine = shared.engine.borrow_mut();
        let below = engine.connections.get(self.id().0)?;
        let kept = below.rare.as_ref().and_then(|rare| rare.kept.clone());
        let mut rare = Rare::opening(Opening::new(None), kept);
        rare.channel = Some(name.into());
        let by = (Link::Channel(self.id()), below.transport);
        let id = engine.begin(router, by, object, rare);
        engine.next.push_back(Next::ChannelOpened(id));
        Some(id)
    }

    fn channel_message(&self, id: ConnectionId, text: &str) {
        let mut engine = self.shared().engine.borrow_mut();
        engine.next.push_back(Next::ChannelMessage(id, text.into()));
    }

    fn end_channel(&self, id: ConnectionId, why: CloseReason) {
        self.shared().engine.borrow_mut().end(id, why);
    }
}

impl<S: 'static> Engine<S> {
    /// A frame about a channel.
    pub(super) fn channel_frame(
        &self,
        kind: &str,
        id: ConnectionId,
        text: Option<&str>,
    ) -> Option<String> {
        let entry = self.connections.get(id.0)?;
        let name = entry.rare.as_ref()?.channel.as_deref()?;
        Some(match text {
            Some(text) => format!("{kind},{name},{text}"),
            None => format!("{kind},{name}"),
        })
    }

    /// Tells the client that a channel is closed, or refused.
    pub(super) fn tell_closed(&mut self, id: ConnectionId, below: ConnectionId) {
        if let Some(frame) = self.channel_frame("uns", id, None) {
            self.send(below, frame.as_str().into());
        }
    }
}

impl<S: 'static> Core<S> {
    /// `on_open` of a channel, with the request of the connection below it.
    pub(super) fn channel_opened(&mut self, io: &mut IoLoop<Msg>, id: ConnectionId) {
        let trusted = Rc::clone(&self.trusted);
        let peer = self.engine().peer_of(id);
        let entry = self.engine().connections.get(id.0);
        let kept = entry.and_then(|entry| entry.rare.as_ref()?.kept.clone());
        let Some(kept) = kept else { return };
        let opened = self.call(io, id, "on_open", |object, at| {
            kept.lend(peer, |ip| trusted.contains(ip), |req| object.open(at, req))
        });
        match opened.flatten() {
            None => self.decided(io, id, Err(Reject::status(500))),
            Some(Err(reject)) => self.decided(io, id, Err(reject)),
            Some(Ok(())) if self.opening(id).is_some_and(|opening| opening.later) => {
                self.decide_in_time(id);
            }
            Some(Ok(())) => self.decided(io, id, Ok(())),
        }
    }

    pub(super) fn channel_message(&mut self, id: ConnectionId, text: &str) {
        let mut out = None;
        self.message(id, Message::from(text), &mut out);
        self.put_back(&mut out);
    }
}

/// What `escape` of JavaScript has written: `%XX` and `%uXXXX` are code units of UTF-16.
fn unescape(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let escape = rest.strip_prefix('%').and_then(|tail| {
            let (digits, len) = match tail.strip_prefix('u') {
                Some(tail) => (tail.get(..4)?, 6),
                None => (tail.get(..2)?, 3),
            };
            let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let unit = u16::from_str_radix(digits, 16).ok().filter(|_| plain)?;
            Some((unit, len))
        });
        match escape {
            Some((unit, len)) => {
                units.push(unit);
                rest = &rest[len..];
            }
            None => {
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_javascript_escapes_them() {
        for (text, want) in [
            ("ann", "ann"),
            ("a%20b%2C", "a b,"),
            ("%E9%u20AC", "é€"),
            ("%uD83D%uDE00", "😀"),
            ("%", "%"),
            ("%u12", "%u12"),
            ("%+1", "%+1"),
            ("%é", "%é"),
        ] {
            assert_eq!(unescape(text), want, "{text}");
        }
    }
}
