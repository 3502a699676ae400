//! Events that go out, and acknowledgements both ways.

use super::cx::{App, AppIo, Cx, Io};
use super::engine::{Dead, Engine, Life, Next};
use super::object::{At, Object};
use super::remote::Remote;
use super::socketio::Generation;
use super::target::Target;
use super::timers::{TimerId, TimerRun};
use crate::connection::{Connection, ConnectionId, Dialect, IntoMessage, Message, Sent};
use crate::events::{self, Ack, AckError, Acked, IntoArgs};
use crate::proto::sio06;
use crate::proto::sio09::packet::{self, AckId};
use std::cell::RefCell;
use std::rc::Rc;

/// What runs when an acknowledgement has come, or will not come.
pub(crate) type AckJob<S> = Box<dyn FnOnce(&mut dyn Object<S>, At<'_, S>, Acked)>;

/// Acknowledgements that a connection waits for.
pub(crate) struct Acks<S: 'static> {
    last: u32,
    open: Vec<OpenAck<S>>,
}

impl<S: 'static> Default for Acks<S> {
    fn default() -> Self {
        Self {
            last: 0,
            open: Vec::new(),
        }
    }
}

impl<S: 'static> Acks<S> {
    pub(crate) fn is_unused(&self) -> bool {
        self.last == 0
    }
}

pub(crate) struct OpenAck<S: 'static> {
    id: u32,
    timer: Option<TimerId>,
    then: AckJob<S>,
}

/// The packet that is being handled: what its acknowledgement is called.
pub(crate) struct Acking {
    pub(crate) connection: ConnectionId,
    pub(crate) id: Option<u32>,
    /// The application will answer itself.
    pub(crate) taken: bool,
}

impl<C: Connection> Io<'_, C> {
    /// Queues an event for the client, with its arguments: a tuple, one plain value, `()` or
    /// [`Json`](crate::Json). [`Sent::Unsupported`]: the client speaks a family that has no events.
    pub fn emit(&self, name: &str, args: impl IntoArgs) -> Sent {
        self.app().with_args(&args, |app, args| {
            let mut engine = app.shared().engine.borrow_mut();
            engine.emit(self.id(), name, args, AckId::None)
        })
    }

    /// The same, and `then` runs when the client has acknowledged it: with what it answered, or with the
    /// reason why no answer will come. It runs once, before [`on_close`](Connection::on_close) at the
    /// latest, unless the answer is anything but `Queued` and `Full`: then it never runs.
    pub fn emit_ack(
        &self,
        name: &str,
        args: impl IntoArgs,
        then: impl FnOnce(&mut C, &mut Cx<'_, C>, Acked) + 'static,
    ) -> Sent {
        let then = ack_job(then);
        self.app().with_args(&args, |app, args| {
            let mut engine = app.shared().engine.borrow_mut();
            engine.with_ack(self.id(), then, |engine, id| {
                engine.emit(self.id(), name, args, AckId::Data(id))
            })
        })
    }

    /// Queues a message, and `then` runs when the client has acknowledged it, as with
    /// [`emit_ack`](Self::emit_ack). Clients of 0.7 to 0.9 acknowledge messages by themselves, and
    /// without data.
    pub fn send_ack(
        &self,
        message: impl IntoMessage,
        then: impl FnOnce(&mut C, &mut Cx<'_, C>, Acked) + 'static,
    ) -> Sent {
        let then = ack_job(then);
        self.app().with_message(&message, |shared, message| {
            let mut engine = shared.engine.borrow_mut();
            engine.with_ack(self.id(), then, |engine, id| {
                engine.send_socketio(self.id(), message, AckId::Auto(id))
            })
        })
    }

    /// The right to acknowledge the event or message that is being handled, now or later, with
    /// [`reply`](AppIo::reply). Once it is taken, what the handler returns is no answer.
    pub fn ack(&self) -> Ack {
        let mut engine = self.shared().engine.borrow_mut();
        let id = match &mut engine.acking {
            Some(acking) if acking.connection == self.id() && !acking.taken => {
                acking.taken = true;
                acking.id
            }
            _ => None,
        };
        let connection = self.id();
        Ack { connection, id }
    }

    /// The name of the endpoint of Socket.IO that this connection is for; `None` at the root, and in all
    /// other families.
    pub fn endpoint(&self) -> Option<String> {
        self.shared().engine.borrow().endpoint_of(self.id())
    }

    /// What the client calls its session, of which there is one for all endpoints. `None` where there are no
    /// sessions: on plain WebSockets, and those of SockJS. In `on_close` it is known still.
    #[doc(alias = "session")]
    pub fn session_id(&self) -> Option<String> {
        self.shared().engine.borrow().session_id(self.id())
    }
}

fn ack_job<C: Connection>(
    then: impl FnOnce(&mut C, &mut Cx<'_, C>, Acked) + 'static,
) -> AckJob<C::State> {
    Box::new(move |object, at, result| {
        // The id was handed out by the connection itself, so the type is right.
        if let Some(me) = object.as_any().downcast_mut::<C>() {
            then(me, &mut at.cx(), result);
        }
    })
}

impl<S: 'static> AppIo<'_, S> {
    /// Acknowledges an event. `Gone`: its connection is closed, or the client did not ask.
    pub fn reply(&self, ack: Ack, args: impl IntoArgs) -> Sent {
        let Some(id) = ack.id else { return Sent::Gone };
        self.with_args(&args, |app, args| {
            let mut engine = app.shared().engine.borrow_mut();
            engine.send_packet(ack.connection, |out, endpoint| {
                packet::push_ack(out, endpoint, id, Some(args));
            })
        })
    }

    /// Makes arguments into JSON and hands them to `f`, while nothing is borrowed.
    fn with_args<R>(&self, args: &impl IntoArgs, f: impl FnOnce(&Self, &[u8]) -> R) -> R {
        let mut scratch = std::mem::take(&mut self.shared().engine.borrow_mut().args);
        scratch.clear();
        // Serializing is user code.
        events::push_array(&mut scratch, args);
        let answer = f(self, &scratch);
        if scratch.capacity() <= ARGS_BYTES_KEPT {
            self.shared().engine.borrow_mut().args = scratch;
        }
        answer
    }
}

impl<S: 'static> Target<'_, S> {
    /// Sends an event to each; the arguments are made into JSON once. Answers for how many it was queued: not
    /// for those that speak a family without events.
    pub fn emit(self, name: &str, args: impl IntoArgs) -> usize {
        let io = self.io();
        let volatile = self.is_volatile();
        let ids = self.ids();
        io.with_args(&args, |app, args| {
            let mut engine = app.shared().engine.borrow_mut();
            let count = engine.broadcast_event(&ids, name, args, volatile);
            engine.give_ids(ids);
            count
        })
    }

    /// Sends an event to each, and `then` runs when every one of them has acknowledged it or will not: it is
    /// closed, or its `ack_timeout` is over. `then` gets the answers in the order in which they came. Answers
    /// for how many it was queued; the others are not among them: those that are not open yet, speak a family
    /// without events, or wait for `acks_max` acknowledgements already. With nobody to ask the list is empty.
    pub fn emit_ack(
        self,
        name: &str,
        args: impl IntoArgs,
        then: impl FnOnce(&mut App<'_, S>, Vec<(ConnectionId, Acked)>) + 'static,
    ) -> usize {
        let io = self.io();
        let volatile = self.is_volatile();
        let ids = self.ids();
        let gathering = Rc::new(RefCell::new(Gathering {
            asked: 0,
            answers: Vec::new(),
            then: Some(Box::new(then)),
        }));
        io.with_args(&args, |app, args| {
            let mut engine = app.shared().engine.borrow_mut();
            for &id in &ids {
                if !engine.is_open(id) || (volatile && engine.is_behind(id)) {
                    continue;
                }
                let all = Rc::clone(&gathering);
                let one: AckJob<S> = Box::new(move |_, at, answer| {
                    let mut all = all.borrow_mut();
                    all.answers.push((id, answer));
                    all.end(&mut at.shared.engine.borrow_mut());
                });
                let sent = engine.with_ack(id, one, |engine, n| {
                    engine.emit(id, name, args, AckId::Data(n))
                });
                let asked = matches!(sent, Sent::Queued | Sent::Full);
                gathering.borrow_mut().asked += usize::from(asked);
            }
            engine.give_ids(ids);
            let mut all = gathering.borrow_mut();
            all.end(&mut engine);
            all.asked
        })
    }
}

/// What several are to acknowledge.
struct Gathering<S: 'static> {
    asked: usize,
    answers: Vec<(ConnectionId, Acked)>,
    then: Option<Gathered<S>>,
}

type Gathered<S> = Box<dyn FnOnce(&mut App<'_, S>, Vec<(ConnectionId, Acked)>)>;

impl<S: 'static> Gathering<S> {
    /// Hands the answers over if they are all there.
    fn end(&mut self, engine: &mut Engine<S>) {
        if self.answers.len() < self.asked {
            return;
        }
        if let Some(then) = self.then.take() {
            let answers = std::mem::take(&mut self.answers);
            let job = Next::Gathered(Box::new(move |app| then(app, answers)));
            engine.next.push_back(job);
        }
    }
}

impl<S: 'static> Remote<S> {
    /// Acknowledges an event. Never refused when the queue of jobs is full: the client waits for it.
    pub fn reply(&self, ack: Ack, args: impl IntoArgs) {
        let args = events::array(&args);
        self.post(Box::new(move |app| {
            let Some(id) = ack.id else { return };
            let mut engine = app.shared().engine.borrow_mut();
            engine.send_packet(ack.connection, |out, endpoint| {
                packet::push_ack(out, endpoint, id, Some(&args));
            });
        }));
    }
}

impl<S: 'static> Engine<S> {
    /// Sends an event; `args` is a JSON array.
    pub(crate) fn emit(&mut self, id: ConnectionId, name: &str, args: &[u8], ack: AckId) -> Sent {
        if self.dialect(id) == Dialect::SocketIo06 {
            return self.count_unsupported(Sent::Unsupported);
        }
        let sent = self.send_packet(id, |out, endpoint| {
            packet::push_event(out, ack, endpoint, name, args);
        });
        self.count_unsupported(sent)
    }

    /// Sends a message where it is a packet.
    pub(crate) fn send_socketio(
        &mut self,
        id: ConnectionId,
        message: Message<'_>,
        ack: AckId,
    ) -> Sent {
        let Some(text) = message.text() else {
            return self.count_unsupported(Sent::Unsupported);
        };
        if self.dialect(id) == Dialect::SocketIo06 {
            return self.send_packet(id, |out, _| push_frame(out, message.json, text));
        }
        let sent = self.send_packet(id, |out, endpoint| match message.json {
            true => packet::push_json(out, ack, endpoint, text),
            false => packet::push_message(out, ack, endpoint, text),
        });
        self.count_unsupported(sent)
    }

    fn count_unsupported(&mut self, sent: Sent) -> Sent {
        self.conns.stats.unsupported += u64::from(sent == Sent::Unsupported);
        sent
    }

    /// Opens an acknowledgement, and sends with its id. What was not sent is not waited for.
    fn with_ack(
        &mut self,
        id: ConnectionId,
        then: AckJob<S>,
        send: impl FnOnce(&mut Self, u32) -> Sent,
    ) -> Sent {
        let Some((max, timeout)) = self.ack_limits(id) else {
            let gone = self
                .connections
                .get(id.0)
                .is_none_or(|entry| entry.life == Life::Closing);
            self.dead.push(Dead::Ack { _then: then });
            return match gone {
                true => Sent::Gone,
                false => self.count_unsupported(Sent::Unsupported),
            };
        };
        let entry = self.connections.get_mut(id.0);
        let Some(entry) = entry.filter(|entry| entry.life != Life::Closing) else {
            self.dead.push(Dead::Ack { _then: then });
            return Sent::Gone;
        };
        let acks = &mut entry.rare.get_or_insert_default().acks;
        if acks.open.len() >= max {
            self.dead.push(Dead::Ack { _then: then });
            return Sent::Refused;
        }
        let n = acks.last.wrapping_add(1).max(1);
        acks.last = n;
        let late = TimerRun::Once(Box::new(move |object, at: At<'_, S>| {
            let then = at.shared.engine.borrow_mut().take_ack(id, n);
            if let Some(then) = then {
                then(object, at, Err(AckError::Timeout));
            }
        }));
        let Some(timer) = self.start_timer(Some(id), timeout, late) else {
            self.dead.push(Dead::Ack { _then: then });
            return Sent::Refused;
        };
        if let Some(entry) = self.connections.get_mut(id.0) {
            let acks = &mut entry.rare.get_or_insert_default().acks;
            let timer = Some(timer);
            acks.open.push(OpenAck { id: n, timer, then });
        }
        let sent = send(self, n);
        if !matches!(sent, Sent::Queued | Sent::Full) {
            if let Some(_then) = self.take_ack(id, n) {
                self.dead.push(Dead::Ack { _then });
            }
        }
        sent
    }

    /// How many acknowledgements a connection may wait for, and how long. `None`: its family has none.
    fn ack_limits(&mut self, id: ConnectionId) -> Option<(usize, std::time::Duration)> {
        match self.connections.get(id.0)?.link {
            super::engine::Link::SocketIo(key) => {
                let rules = &self.sessions.socketio(key)?.rules;
                let settings = &rules.settings;
                (rules.generation == Generation::V09)
                    .then_some((settings.acks_max, settings.ack_timeout))
            }
            _ => None,
        }
    }

    /// Whether somebody waits for an acknowledgement.
    pub(crate) fn awaits_ack(&self, id: ConnectionId, n: u32) -> bool {
        let entry = self.connections.get(id.0);
        let rare = entry.and_then(|entry| entry.rare.as_ref());
        rare.is_some_and(|rare| rare.acks.open.iter().any(|ack| ack.id == n))
    }

    /// Takes what waits for an acknowledgement.
    pub(crate) fn take_ack(&mut self, id: ConnectionId, n: u32) -> Option<AckJob<S>> {
        let rare = self.connections.get_mut(id.0)?.rare.as_mut()?;
        let open = &mut rare.acks.open;
        let at = open.iter().position(|ack| ack.id == n)?;
        let ack = open.remove(at);
        if let Some(timer) = ack.timer {
            self.cancel_timer(timer);
        }
        Some(ack.then)
    }

    /// Takes all of them: the connection is closed.
    pub(crate) fn take_acks(&mut self, id: ConnectionId) -> Vec<AckJob<S>> {
        let entry = self.connections.get_mut(id.0);
        let Some(rare) = entry.and_then(|entry| entry.rare.as_mut()) else {
            return Vec::new();
        };
        let open = std::mem::take(&mut rare.acks.open);
        open.into_iter().map(|ack| ack.then).collect()
    }
}

/// Appends a message of 0.6.
pub(super) fn push_frame(out: &mut Vec<u8>, json: bool, text: &str) {
    match json {
        true => sio06::frame::push_json(out, text),
        false => sio06::frame::push_text(out, text),
    }
}

/// A scratch buffer that large arguments have grown beyond this is given back.
const ARGS_BYTES_KEPT: usize = 64 << 10;
