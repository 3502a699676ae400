//! Named events with arguments, as Socket.IO has them: the table of handlers, what arguments are made
//! of, and acknowledgements.

use crate::connection::{Connection, ConnectionId, Json};
use crate::proto::json;
use crate::server::cx::Cx;
use serde_core::Serialize;
use serde_core::de::value::SeqAccessDeserializer;
use serde_core::de::{DeserializeOwned, DeserializeSeed, SeqAccess};
use serde_json::Value;
use std::fmt;

/// A class's table of events: names, and the functions that handle them. Made once for each router,
/// from [`Connection::events`].
///
/// ```
/// use dustdevil::{Connection, Cx, Events};
///
/// #[derive(Default)]
/// struct Calculator;
///
/// impl Connection for Calculator {
///     type State = ();
///     fn events(on: &mut Events<Self>) {
///         on.on("add", Self::add);
///     }
/// }
///
/// impl Calculator {
///     /// What it returns is the acknowledgement, if the client wants one.
///     fn add(&mut self, _: &mut Cx<Self>, (a, b): (f64, f64)) -> f64 {
///         a + b
///     }
/// }
/// ```
pub struct Events<C: Connection> {
    /// In the order of their names: for the few that there are, searching is faster than hashing.
    handlers: Vec<(&'static str, Handler<C>)>,
}

type Handler<C> = Box<dyn Fn(&mut C, &mut Cx<'_, C>, &EventArgs<'_>) -> Result<Answer, WrongArgs>>;

impl<C: Connection> Events<C> {
    pub(crate) fn of_class() -> Self {
        let mut events = Self {
            handlers: Vec::new(),
        };
        C::events(&mut events);
        events
    }

    /// Names the function that handles an event. It takes the connection, a [`Cx`] and the arguments: a
    /// tuple of up to eight types that can be deserialized, [`Named`], a `Vec<Value>` of all, or `()`.
    /// More arguments than it takes are dropped; fewer, or others, close this connection
    /// ([`Cause::Error`](crate::Cause::Error)).
    ///
    /// What it returns is the acknowledgement, if the client wants one: nothing, a value, a tuple of
    /// several, or [`Pending`]. For one name the last function counts.
    #[doc(alias = "event")]
    pub fn on<A: FromArgs, R: IntoReply>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut C, &mut Cx<'_, C>, A) -> R + 'static,
    ) -> &mut Self {
        let handler: Handler<C> =
            Box::new(move |me, cx, args| Ok(f(me, cx, A::from_args(args)?).into_reply().0));
        match self.find(name) {
            Ok(at) => self.handlers[at].1 = handler,
            Err(at) => self.handlers.insert(at, (name, handler)),
        }
        self
    }

    /// Calls the handler of that name. `None`: there is none.
    pub(crate) fn call(
        &self,
        me: &mut C,
        cx: &mut Cx<'_, C>,
        name: &str,
        args: &EventArgs<'_>,
    ) -> Option<Result<Answer, WrongArgs>> {
        let (_, handler) = &self.handlers[self.find(name).ok()?];
        Some(handler(me, cx, args))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.handlers.binary_search_by_key(&name, |(name, _)| name)
    }
}

// ---- arguments that come ------------------------------------------------------------------------

/// The arguments of an event: JSON texts, one for each.
#[derive(Clone, Copy, Debug)]
pub struct EventArgs<'a> {
    array: &'a str,
}

impl<'a> EventArgs<'a> {
    /// `array` is a JSON array that was checked.
    pub(crate) fn new(array: &'a str) -> Self {
        Self { array }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The JSON text of each.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        json::elements(self.array)
    }

    /// The JSON text of one of them.
    pub fn raw(&self, at: usize) -> Option<&'a str> {
        self.iter().nth(at)
    }

    /// All of them: a JSON array.
    pub fn as_json(&self) -> &'a str {
        self.array
    }

    /// Reads one of them. Half a surrogate pair in a text becomes U+FFFD.
    ///
    /// # Errors
    ///
    /// [`WrongArgs`]: there is none at that place, or it is something else.
    pub fn get<T: DeserializeOwned>(&self, at: usize) -> Result<T, WrongArgs> {
        read(self.raw(at), at)
    }
}

fn read<T: DeserializeOwned>(text: Option<&str>, at: usize) -> Result<T, WrongArgs> {
    let text = text.ok_or_else(|| WrongArgs {
        why: format!("argument {} is missing", at + 1),
    })?;
    serde_json::from_str(&json::without_lone_surrogates(text)).map_err(|error| WrongArgs {
        why: format!("argument {}: {error}", at + 1),
    })
}

/// Arguments that are too few, or of other types than the handler takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongArgs {
    why: String,
}

impl fmt::Display for WrongArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for WrongArgs {}

/// What the arguments of an event can be read as: `()`, a tuple of up to eight, [`Named`], or all as
/// they are in a `Vec<Value>`.
#[diagnostic::on_unimplemented(
    message = "arguments of an event cannot be read as `{Self}`",
    note = "take a tuple, even for one argument: `(text,): (String,)`; or `Named<T>`, `Vec<Value>`, `()`"
)]
pub trait FromArgs: Sized {
    /// Reads the arguments; more than are wanted are no error.
    ///
    /// # Errors
    ///
    /// [`WrongArgs`].
    fn from_args(args: &EventArgs<'_>) -> Result<Self, WrongArgs>;
}

impl FromArgs for () {
    fn from_args(_: &EventArgs<'_>) -> Result<Self, WrongArgs> {
        Ok(())
    }
}

impl FromArgs for Vec<Value> {
    fn from_args(args: &EventArgs<'_>) -> Result<Self, WrongArgs> {
        let texts = args.iter().enumerate();
        texts.map(|(at, text)| read(Some(text), at)).collect()
    }
}

/// Arguments by name: one object, whose fields are those of `T`; the keyword arguments of TornadIO2. If the
/// first argument is no object, all of them are the fields of `T`, in their order: a struct takes both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<T>(pub T);

impl<T: DeserializeOwned> FromArgs for Named<T> {
    fn from_args(args: &EventArgs<'_>) -> Result<Self, WrongArgs> {
        match args.raw(0) {
            Some(first) if !first.trim_start().starts_with('{') => {
                // It is not said that all must be taken: surplus arguments are dropped.
                let fields = SeqAccessDeserializer::new(Positions(args.iter()));
                let read = T::deserialize(fields).map(Self);
                read.map_err(|error| WrongArgs {
                    why: format!("arguments by position: {error}"),
                })
            }
            first => read(first, 0).map(Self),
        }
    }
}

/// The texts of arguments, as a sequence of values.
struct Positions<I>(I);

impl<'a, 'de, I: Iterator<Item = &'a str>> SeqAccess<'de> for Positions<I> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let read = |text| {
            let text = json::without_lone_surrogates(text);
            let mut reader = serde_json::Deserializer::from_reader(text.as_bytes());
            seed.deserialize(&mut reader)
        };
        self.0.next().map(read).transpose()
    }
}

macro_rules! tuples {
    ($($name:ident $at:tt),+) => {
        impl<$($name: DeserializeOwned),+> FromArgs for ($($name,)+) {
            fn from_args(args: &EventArgs<'_>) -> Result<Self, WrongArgs> {
                let mut texts = args.iter();
                Ok(($(read::<$name>(texts.next(), $at)?,)+))
            }
        }

        impl<$($name: Serialize),+> IntoArgs for ($($name,)+) {
            fn write(&self, out: &mut Vec<u8>) {
                $(write_arg(out, &self.$at);)+
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

// ---- arguments that go --------------------------------------------------------------------------

/// What the arguments of an event, or of an acknowledgement, can be made of: `()`, a tuple of up to
/// eight values, one plain value (text, a number, a `bool`, [`Value`], [`Json`]), [`Args`], or
/// the [`EventArgs`] of an event that came.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not clear as the arguments of an event",
    note = "a tuple says how many there are: `(list,)` is one argument, `Args(list)` are many; `Json(value)` is one"
)]
pub trait IntoArgs {
    /// Appends each argument as JSON, with commas between. A value that cannot be written is `null`
    /// and is logged.
    fn write(&self, out: &mut Vec<u8>);
}

fn write_arg(out: &mut Vec<u8>, value: &impl Serialize) {
    if out.last().is_some_and(|last| *last != b'[') {
        out.push(b',');
    }
    let before = out.len();
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        log::error!("an argument cannot be written as JSON: {error}");
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

impl IntoArgs for () {
    fn write(&self, _: &mut Vec<u8>) {}
}

/// The arguments of an event as they came, to be sent on.
impl IntoArgs for EventArgs<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let inner = self.array.strip_prefix('[').unwrap_or_default();
        let inner = inner.strip_suffix(']').unwrap_or_default().trim();
        if inner.is_empty() {
            return;
        }
        if out.last().is_some_and(|last| *last != b'[') {
            out.push(b',');
        }
        out.extend_from_slice(inner.as_bytes());
    }
}

/// As many arguments as there are elements; `(list,)` is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args<T>(pub Vec<T>);

impl<T: Serialize> IntoArgs for Args<T> {
    fn write(&self, out: &mut Vec<u8>) {
        for value in &self.0 {
            write_arg(out, value);
        }
    }
}

impl<T: Serialize> IntoArgs for Json<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_arg(out, &self.0);
    }
}

macro_rules! plain_args {
    ($($t:ty),*) => { $(impl IntoArgs for $t {
        fn write(&self, out: &mut Vec<u8>) {
            write_arg(out, self);
        }
    })* };
}
plain_args!(
    &str, String, &String, bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64,
    Value
);

/// The JSON array of some arguments.
pub(crate) fn array(args: &impl IntoArgs) -> Vec<u8> {
    let mut out = Vec::new();
    push_array(&mut out, args);
    out
}

/// Appends the JSON array of some arguments.
pub(crate) fn push_array(out: &mut Vec<u8>, args: &impl IntoArgs) {
    out.push(b'[');
    args.write(out);
    out.push(b']');
}

// ---- acknowledgements ---------------------------------------------------------------------------

/// What an event was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing, or these: a JSON array.
    Now(Option<Vec<u8>>),
    /// It comes later.
    Later,
}

/// What a handler can return: `()`, whatever [`IntoArgs`] takes, an `Option` of it, or [`Pending`].
pub trait IntoReply {
    #[doc(hidden)]
    fn into_reply(self) -> Reply;
}

/// An answer to an event, as [`IntoReply`] makes it.
#[doc(hidden)]
pub struct Reply(pub(crate) Answer);

impl<T: IntoArgs> IntoReply for T {
    fn into_reply(self) -> Reply {
        let text = array(&self);
        Reply(Answer::Now((text != b"[]").then_some(text)))
    }
}

impl<T: IntoArgs> IntoReply for Option<T> {
    fn into_reply(self) -> Reply {
        self.map_or(Reply(Answer::Now(None)), IntoReply::into_reply)
    }
}

/// Returned by a handler whose acknowledgement comes later, with [`Io::reply`](crate::AppIo::reply).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending;

impl IntoReply for Pending {
    fn into_reply(self) -> Reply {
        Reply(Answer::Later)
    }
}

/// The right to acknowledge an event, once; see [`Io::ack`](crate::Io::ack). It may go to another thread.
#[must_use = "the client waits for it"]
#[derive(Debug)]
pub struct Ack {
    pub(crate) connection: ConnectionId,
    /// The client's number for it; `None`: it does not want one.
    pub(crate) id: Option<u32>,
}

/// What a client has acknowledged with, or why it has not.
pub type Acked = Result<Vec<Value>, AckError>;

/// Why no acknowledgement came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// It took longer than `ack_timeout`.
    Timeout,
    /// The connection was closed.
    Closed,
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no acknowledgement came in time",
            Self::Closed => "the connection was closed before the acknowledgement came",
        })
    }
}

impl std::error::Error for AckError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn args(array: &str) -> EventArgs<'_> {
        EventArgs::new(array)
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Fields {
        a: u8,
        b: String,
    }

    #[test]
    fn arguments_by_position_and_by_name() {
        let two = args(r#"[1, "b", null]"#);
        assert_eq!(FromArgs::from_args(&two), Ok((1_u8, "b".to_owned())));
        assert_eq!(<()>::from_args(&two), Ok(()));
        let all = vec![Value::from(1), Value::from("b"), Value::Null];
        assert_eq!(Vec::from_args(&two), Ok(all));
        let object = args(r#"[{"a":1,"b":2}]"#);
        let named: Named<HashMap<String, u8>> = FromArgs::from_args(&object).unwrap();
        assert_eq!(named.0["b"], 2);
        let both = [r#"[{"b":"x","a":1}]"#, r#"[1,"x"]"#, r#"[ 1, "x", 3]"#];
        for text in both {
            let named: Named<Fields> = FromArgs::from_args(&args(text)).unwrap();
            let want = Fields {
                a: 1,
                b: "x".to_owned(),
            };
            assert_eq!(named, Named(want), "{text}");
        }
    }

    #[test]
    fn arguments_that_do_not_fit() {
        let few = <(u8, u8)>::from_args(&args("[1]")).unwrap_err();
        assert_eq!(few.to_string(), "argument 2 is missing");
        let other = <(u8,)>::from_args(&args("[300]")).unwrap_err();
        assert!(other.to_string().starts_with("argument 1: "), "{other}");
        for (text, why) in [
            ("[]", "argument 1 is missing"),
            (r#"[{"a":1}]"#, "argument 1: missing field `b`"),
            ("[1]", "arguments by position: invalid length 1"),
            (r#"["x",1]"#, "arguments by position: invalid type: string"),
        ] {
            let wrong = Named::<Fields>::from_args(&args(text)).unwrap_err();
            assert!(wrong.to_string().starts_with(why), "{wrong}");
        }
        let map = Named::<HashMap<String, u8>>::from_args(&args("[1]"));
        assert!(map.is_err());
    }

    #[test]
    fn arguments_written() {
        for (text, want) in [
            (array(&()), "[]"),
            (array(&"a\"b"), r#"["a\"b"]"#),
            (array(&7), "[7]"),
            (array(&(1, "x", vec![2, 3])), r#"[1,"x",[2,3]]"#),
            (array(&Json([1, 2])), "[[1,2]]"),
            (array(&(f64::NAN, 1)), "[null,1]"),
            (array(&Args(vec![1, 2])), "[1,2]"),
            (array(&Args::<u8>(Vec::new())), "[]"),
            (array(&args(r#"[ 1, [2],"x" ]"#)), r#"[1, [2],"x"]"#),
            (array(&args("[ ]")), "[]"),
        ] {
            assert_eq!(String::from_utf8(text).unwrap(), want);
        }
    }

    #[test]
    fn what_handlers_return() {
        let now = |text: &str| Answer::Now(Some(text.into()));
        assert_eq!(().into_reply().0, Answer::Now(None));
        assert_eq!((1, 2).into_reply().0, now("[1,2]"));
        assert_eq!(vec_of_two().into_reply().0, now("[[1,2]]"));
        assert_eq!(None::<u8>.into_reply().0, Answer::Now(None));
        assert_eq!(Some("a").into_reply().0, now(r#"["a"]"#));
        assert_eq!(Pending.into_reply().0, Answer::Later);
    }

    fn vec_of_two() -> (Vec<u8>,) {
        (vec![1, 2],)
    }
}
