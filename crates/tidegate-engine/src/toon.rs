//! Values in fewer tokens, and back: the text room's work, on the CPU pool.

use serde_json::Value;
use tidegate_text::tokens::Encoding;
use tidegate_text::toon::compact::{self, Abbreviations};
use tidegate_text::toon::{
    self, DecodeError, DecodeOptions, Dialect as Form, EncodeError, Savings, Style,
};

use crate::assemble::Engine;
use crate::error::EngineError;
use crate::guard::{MOST_INLINE_BYTES, on_pool};

/// Why a value was not written, or a text not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToonError {
    /// The value is too deep.
    #[error(transparent)]
    Value(#[from] EncodeError),
    /// The text breaks a rule.
    #[error("{0} ({code})", code = .0.rule.code())]
    Text(#[from] DecodeError),
    /// The text is no JSON.
    #[error("line {line}, column {column}: this is no JSON")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The work was not done.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How a value is to be written.
#[derive(Debug, Clone, Default)]
pub struct ToonWish {
    /// In which dialect; in none: in the one that takes the fewest tokens.
    pub form: Option<Form>,
    /// How the dialects are written.
    pub style: Style,
    /// How tokens are counted.
    pub encoding: Encoding,
}

/// A value, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToonText {
    /// The text.
    pub text: String,
    /// What it is written in.
    pub form: Form,
    /// What it costs beside JSON.
    pub savings: Savings,
}

impl ToonWish {
    /// Writes a value on this thread.
    ///
    /// # Errors
    /// [`EncodeError`] for a value that is nested too deeply.
    pub fn encode(&self, value: &Value) -> Result<ToonText, EncodeError> {
        let (form, text) = match self.form {
            Some(form) => (form, toon::write(value, form, &self.style)?),
            None => toon::smallest(value, &self.style, self.encoding)?,
        };
        let savings = Savings::of(&text, value, self.encoding)?;
        Ok(ToonText {
            text,
            form,
            savings,
        })
    }
}

/// Reads a text on this thread.
///
/// # Errors
/// [`ToonError`] says where the text breaks which rule.
fn decode_here(
    text: &str,
    form: Form,
    options: &DecodeOptions,
    abbreviations: &Abbreviations,
) -> Result<Value, ToonError> {
    match form {
        Form::Toon => Ok(toon::decode(text, options)?),
        Form::Compact => Ok(compact::decode(text, abbreviations)?),
        Form::Json => serde_json::from_str(text).map_err(|error| ToonError::Json {
            line: error.line(),
            column: error.column(),
        }),
    }
}

impl Engine {
    /// Writes a value, and says what that saves.
    ///
    /// # Errors
    /// [`ToonError`] for a value that is nested too deeply, and when the CPU
    /// pool is full.
    pub async fn encode_toon(&self, value: Value, wish: ToonWish) -> Result<ToonText, ToonError> {
        // Counting tokens is never short: the first count unpacks a table.
        let encoded = on_pool(&self.rooms.pool, move || wish.encode(&value)).await?;
        Ok(encoded?)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`ToonError`] says where the text breaks which rule, and when the CPU
    /// pool is full.
    pub async fn decode_toon(
        &self,
        text: String,
        form: Form,
        options: DecodeOptions,
        abbreviations: Abbreviations,
    ) -> Result<Value, ToonError> {
        let inline = text.len() <= MOST_INLINE_BYTES;
        let decode = move || decode_here(&text, form, &options, &abbreviations);
        if inline {
            return decode();
        }
        on_pool(&self.rooms.pool, decode).await?
    }
}
