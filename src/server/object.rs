//! One connection's value without its type: how the engine holds and calls a [`Connection`].

use super::cx::{Cx, Io};
use super::engine::Shared;
use super::request::Request;
use crate::connection::{CloseReason, Connection, ConnectionId, Event, Message, Reject};
use crate::events::{Answer, Events, WrongArgs};
use std::any::Any;

/// A [`Connection`] whose type only its router knows. `S` is the server's shared state.
pub(crate) trait Object<S: 'static>: Any {
    fn open(&mut self, at: At<'_, S>, req: &Request<'_>) -> Result<(), Reject>;
    fn message(&mut self, at: At<'_, S>, message: Message<'_>);
    fn event(&mut self, at: At<'_, S>, events: &dyn Any, event: Event<'_>) -> Handled;
    fn pong(&mut self, at: At<'_, S>, data: &[u8]);
    fn writable(&mut self, at: At<'_, S>);
    fn closed(&mut self, at: At<'_, S>, why: CloseReason);
    fn as_any(&mut self) -> &mut dyn Any;
}

/// What became of an event.
pub(crate) enum Handled {
    /// Its handler ran.
    Answered(Answer),
    /// Nobody has named it; `on_event` ran.
    Unknown,
    Wrong(WrongArgs),
}

/// Where a callback runs: what it can reach, and as whom.
pub(crate) struct At<'a, S: 'static> {
    pub(crate) shared: &'a Shared<S>,
    pub(crate) state: &'a mut S,
    pub(crate) id: ConnectionId,
}

impl<'a, S: 'static> At<'a, S> {
    pub(crate) fn cx<C: Connection<State = S>>(self) -> Cx<'a, C> {
        Cx {
            state: self.state,
            io: Io::new(self.shared, self.id),
        }
    }
}

impl<C: Connection> Object<C::State> for C {
    fn open(&mut self, at: At<'_, C::State>, req: &Request<'_>) -> Result<(), Reject> {
        self.on_open(&mut at.cx(), req)
    }

    fn message(&mut self, at: At<'_, C::State>, message: Message<'_>) {
        self.on_message(&mut at.cx(), message);
    }

    fn event(&mut self, at: At<'_, C::State>, events: &dyn Any, event: Event<'_>) -> Handled {
        let cx = &mut at.cx();
        // The table is that of the router the object was made by, so the type is right.
        let events = events.downcast_ref::<Events<C>>();
        match events.and_then(|events| events.call(self, cx, event.name, event.args)) {
            Some(Ok(answer)) => return Handled::Answered(answer),
            Some(Err(wrong)) => return Handled::Wrong(wrong),
            None => {}
        }
        // An event of that name with one argument is what others call a message.
        if let ("message", 1) = (event.name, event.args.len()) {
            if let Ok(text) = event.args.get::<String>(0) {
                self.on_message(cx, Message::from(&*text));
                return Handled::Answered(Answer::Now(None));
            }
        }
        self.on_event(cx, event);
        Handled::Unknown
    }

    fn pong(&mut self, at: At<'_, C::State>, data: &[u8]) {
        self.on_pong(&mut at.cx(), data);
    }

    fn writable(&mut self, at: At<'_, C::State>) {
        self.on_writable(&mut at.cx());
    }

    fn closed(&mut self, at: At<'_, C::State>, why: CloseReason) {
        self.on_close(&mut at.cx(), why);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Something to run on one connection: a timer, the end of an `Ordered`.
pub(crate) type ConnectionJob<S> = Box<dyn FnOnce(&mut dyn Object<S>, At<'_, S>)>;

/// Makes a [`ConnectionJob`] from a closure that knows the type.
pub(crate) fn job<C: Connection>(
    f: impl FnOnce(&mut C, &mut Cx<'_, C>) + 'static,
) -> ConnectionJob<C::State> {
    Box::new(move |object, at| {
        // The id was handed out by the connection itself, so the type is right.
        if let Some(me) = object.as_any().downcast_mut::<C>() {
            f(me, &mut at.cx());
        }
    })
}
