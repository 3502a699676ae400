//! One connection's value without its type: how the engine holds and calls a [`Connection`].

use super::cx::{Cx, Io};
use super::engine::Shared;
use super::request::Request;
use crate::connection::{CloseReason, Connection, ConnectionId, Message, Reject};
use std::any::Any;

/// A [`Connection`] whose type only its router knows. `S` is the server's shared state.
pub(crate) trait Object<S: 'static>: Any {
    fn open(&mut self, at: At<'_, S>, req: &Request<'_>) -> Result<(), Reject>;
    fn message(&mut self, at: At<'_, S>, message: Message<'_>);
    fn pong(&mut self, at: At<'_, S>, data: &[u8]);
    fn writable(&mut self, at: At<'_, S>);
    fn closed(&mut self, at: At<'_, S>, why: CloseReason);
    fn as_any(&mut self) -> &mut dyn Any;
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
