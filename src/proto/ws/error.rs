//! Why a WebSocket connection failed, and the close code the peer is told.
//!
//! Each value is one rule the peer broke; the letters in the comments are the numbers of the rules:
//! F frames, M messages, C close payloads, T text.

use std::fmt;

/// A rule of the protocol, or a limit of ours, that the peer did not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// F1: a reserved bit is set, and no extension was agreed on.
    ReservedBit,
    /// F2: an opcode that has no meaning: 3 to 7, 11 to 15.
    Opcode,
    /// F3: a frame of a client must be masked.
    Unmasked,
    /// F4: a control frame must not be fragmented.
    ControlFragmented,
    /// F4: a control frame holds at most 125 bytes.
    ControlLength,
    /// F5: a continuation outside a message.
    LoneContinuation,
    /// F5: a new message inside an unfinished one.
    Interrupted,
    /// F6: the top bit of a length of eight bytes is set.
    LengthTopBit,
    /// F7: a length not in its shortest form, where we are strict.
    LengthForm,
    /// F8: a frame or a message over the limit.
    TooBig,
    /// M4: a message in too many fragments.
    Fragments,
    /// M4: a message with too many empty fragments.
    EmptyFragments,
    /// C1: a close payload of one byte.
    CloseLength,
    /// C2: a close code that may not be sent.
    CloseCode,
    /// C3: a close reason that is not UTF-8.
    CloseReason,
    /// T2: a byte of a text message that continues no valid UTF-8 sequence.
    Text,
    /// T3: a text message that ends inside a UTF-8 sequence.
    TextUnfinished,
    /// A frame of the old drafts that is neither a message nor the closing one.
    FrameType,
    /// The endpoint takes only text and got binary, or the other way round. Never found by the
    /// machine: for its caller, which knows the endpoint.
    WrongKind,
}

impl Error {
    /// The close code for the peer (RFC 6455, 7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::WrongKind => 1003,
            Self::CloseReason | Self::Text | Self::TextUnfinished => 1007,
            Self::Fragments | Self::EmptyFragments => 1008,
            Self::TooBig => 1009,
            Self::ReservedBit
            | Self::Opcode
            | Self::Unmasked
            | Self::ControlFragmented
            | Self::ControlLength
            | Self::LoneContinuation
            | Self::Interrupted
            | Self::LengthTopBit
            | Self::LengthForm
            | Self::CloseLength
            | Self::CloseCode
            | Self::FrameType => 1002,
        }
    }

    /// The rule in words: the reason in the close frame, and the line in the log.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::ReservedBit => "F1: reserved bit set",
            Self::Opcode => "F2: unknown opcode",
            Self::Unmasked => "F3: frame not masked",
            Self::ControlFragmented => "F4: control frame fragmented",
            Self::ControlLength => "F4: control frame over 125 bytes",
            Self::LoneContinuation => "F5: continuation outside a message",
            Self::Interrupted => "F5: message inside a message",
            Self::LengthTopBit => "F6: top bit of the length set",
            Self::LengthForm => "F7: length not in its shortest form",
            Self::TooBig => "F8: frame or message too big",
            Self::Fragments => "M4: too many fragments",
            Self::EmptyFragments => "M4: too many empty fragments",
            Self::CloseLength => "C1: close payload of one byte",
            Self::CloseCode => "C2: close code not allowed",
            Self::CloseReason => "C3: close reason not utf-8",
            Self::Text => "T2: text not utf-8",
            Self::TextUnfinished => "T3: text ends inside a character",
            Self::FrameType => "type of frame not taken",
            Self::WrongKind => "kind of message not taken here",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())
    }
}

impl std::error::Error for Error {}
