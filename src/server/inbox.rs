//! Messages that wait while an `Ordered` of their connection is held. They count as input that is put off.

use super::engine::Engine;
use crate::config::Settings;
use crate::connection::{ConnectionId, Kind, Message};
use std::collections::VecDeque;

/// The messages of one connection, the oldest first.
#[derive(Default)]
pub(crate) struct Inbox {
    held: VecDeque<Held>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no more may wait. One message may go beyond the bytes.
    fn is_full(&self, settings: &Settings) -> bool {
        self.held.len() >= settings.inbox_max || self.bytes >= settings.inbox_bytes_max
    }
}

pub(crate) enum Held {
    Message {
        kind: Kind,
        json: bool,
        bytes: Box<[u8]>,
    },
    /// A packet of Socket.IO 0.7 to 0.9: a message or an event, with what it says about its answer.
    Packet(Box<str>),
}

impl Held {
    pub(crate) fn message(message: Message<'_>) -> Self {
        let Message { kind, bytes, json } = message;
        let bytes = bytes.into();
        Self::Message { kind, json, bytes }
    }

    fn len(&self) -> usize {
        match self {
            Self::Message { bytes, .. } => bytes.len(),
            Self::Packet(text) => text.len(),
        }
    }
}

impl<S: 'static> Engine<S> {
    /// A message has to wait.
    pub(super) fn keep_waiting(&mut self, id: ConnectionId, held: Held) {
        let Some(entry) = self.connections.get_mut(id.0) else {
            return;
        };
        let inbox = &mut entry.rare.get_or_insert_default().inbox;
        inbox.bytes += held.len();
        self.conns.held_input += held.len();
        inbox.held.push_back(held);
    }

    /// The message that waits for the longest time.
    pub(super) fn next_held(&mut self, id: ConnectionId) -> Option<Held> {
        let inbox = &mut self.connections.get_mut(id.0)?.rare.as_mut()?.inbox;
        let held = inbox.held.pop_front()?;
        inbox.bytes -= held.len();
        self.conns.held_input -= held.len();
        Some(held)
    }

    /// What waits is dropped.
    pub(super) fn empty_inbox(&mut self, id: ConnectionId) {
        let entry = self.connections.get_mut(id.0);
        if let Some(rare) = entry.and_then(|entry| entry.rare.as_mut()) {
            let dropped = std::mem::take(&mut rare.inbox);
            self.conns.held_input -= dropped.bytes;
        }
    }

    /// Whether no more messages may wait while it is held.
    pub(crate) fn is_inbox_full(&self, id: ConnectionId) -> bool {
        let entry = self.connections.get(id.0);
        let rare = entry.and_then(|entry| entry.rare.as_ref());
        rare.is_some_and(|rare| rare.inbox.is_full(&self.settings))
    }
}
