//! JSON of peers, as text (RFC 8259): whether it is some, what its parts are, and strings.
//!
//! The scanner is our own. It reads in one pass that neither allocates nor recurses, and minds the
//! depth; and where `serde_json` refuses a lone surrogate, which is legal JSON for browsers, U+FFFD
//! comes out.
//!
//! Not here: values. What an application gets is made by `serde_json`, of the parts found here.

mod parts;
mod scan;
mod string;
mod words;

pub(super) use parts::behind_comma;
pub use parts::{Elements, Members, NotJson, elements, members};
pub use scan::{DEPTH_MAX, checked};
pub(super) use scan::{behind_blanks, plain_end, value_end, value_end_within};
pub(super) use string::{Escapes, LOOKS, Look, decode, plain_len, push_string_with};
pub use string::{push_script_string, push_string, string, without_lone_surrogates};
