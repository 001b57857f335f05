//! Prompts as data: templates in packs, frameworks that they judge by, and a
//! budget in tokens.
//!
//! A template comes from a pack, what callers give is data and never source.
//! The engine that fills templates has no loader, no host objects and an end:
//! of steps, of nesting, of output. The module knows no model, no conversation
//! and no clock.

mod budget;
mod builtin;
mod check;
mod context;
mod error;
mod fence;
mod folder;
mod form;
mod framework;
mod library;
mod lint;
mod load;
mod parameter;
mod piece;
mod prompt;
mod raw;
mod render;
mod sandbox;
#[cfg(test)]
mod schema;
mod trial;
mod variant;

pub use budget::Cut;
pub use context::{Block, Keep};
pub use error::{PromptPackError, PromptProblem, RenderError, WrongParameter};
pub use folder::{PromptFile, PromptFolders};
pub use form::Form;
pub use framework::{Checkpoint, Framework, Risk, SectionGuidance};
pub use library::{Library, PromptLayer, PromptSource};
pub use lint::PromptRemark;
pub use parameter::{Parameter, ParameterKind, ParameterProblem};
pub use prompt::{Prompt, PromptRole};
pub use render::{RenderWish, Rendered, RenderedMessage};
pub use trial::PromptTrial;
pub use variant::{BASE_VARIANT, Share, Variant};

#[cfg(test)]
mod tests;
