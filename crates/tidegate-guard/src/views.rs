//! Views: a text as it is, as it is meant, and as what it encodes.
//!
//! A text is read in layers. The first is the text; each one after it is the one
//! before with what it encodes written out. Every layer is searched as it is, and
//! once more with its disguises undone. All of it works on a text that grows: what
//! a view says never depends on how the text was cut.

mod apart;
mod blob;
mod decode;
mod escape;
mod fold;
mod layer;
mod lookalike;
mod numbers;
mod page;
mod spell;
mod tape;
mod vocabulary;
mod window;
mod words;

pub(crate) use layer::Layer;
pub(crate) use tape::Tape;
pub(crate) use vocabulary::Vocabulary;

/// Encodings within encodings are undone this many times.
pub(crate) const MAX_LAYERS: usize = 3;

/// Less than this is no message.
const MIN_TEXT_BYTES: usize = 12;
