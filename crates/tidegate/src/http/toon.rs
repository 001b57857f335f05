//! `POST /v1/toon/encode` and `POST /v1/toon/decode`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::{
    Abbreviations, Deadline, DecodeOptions, Delimiter, EncodeOptions, Encoding, IndentSize,
    Strictness, Style, ToonError, ToonForm, ToonWish,
};

use super::body::read_object;
use super::error::ApiError;
use super::scan::in_time;
use super::visit::Visit;
use crate::toon_report::savings_json;

const ENCODE_SHAPE: &str = "{value: any JSON}, with dialect?: toon | compact | json | auto, \
abbreviate?: boolean or {key: short key}, options?: {delimiter?, indent_size?, strict?}, \
encoding?: o200k_base | cl100k_base | estimate";

const DECODE_SHAPE: &str = "{text: string}, with dialect?: toon | compact | json, \
abbreviate?: boolean or {key: short key}, options?: {delimiter?, indent_size?, strict?}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodeRequest {
    value: Value,
    #[serde(default)]
    dialect: Option<String>,
    #[serde(default)]
    abbreviate: Abbreviate,
    #[serde(default)]
    options: Options,
    #[serde(default)]
    encoding: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecodeRequest {
    text: String,
    #[serde(default)]
    dialect: Option<String>,
    #[serde(default)]
    abbreviate: Abbreviate,
    #[serde(default)]
    options: Options,
}

/// Which keys of the compact dialect are shortened.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Abbreviate {
    #[default]
    Standard,
    Whether(bool),
    Own(BTreeMap<String, String>),
}

/// Options of both directions: one object serves a pair of calls.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Options {
    delimiter: Option<String>,
    indent_size: Option<usize>,
    strict: Option<bool>,
}

/// Writes a value in fewer tokens.
pub(super) async fn encode(visit: Visit, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let wish: EncodeRequest = read_object(&visit.live, request, deadline, ENCODE_SHAPE).await?;
    let terms = ToonWish {
        form: match wish.dialect.as_deref() {
            None => Some(ToonForm::Toon),
            Some("auto") => None,
            Some(name) => Some(form(name, "toon, compact, json or auto")?),
        },
        style: Style {
            options: EncodeOptions {
                delimiter: wish.options.delimiter()?,
                indent_size: wish.options.indent_size()?,
            },
            abbreviations: wish.abbreviate.table()?,
        },
        encoding: match wish.encoding.as_deref() {
            None => Encoding::default(),
            Some(name) => encoding(name)?,
        },
    };
    let work = visit.live.engine.encode_toon(wish.value, terms);
    let work = async { work.await.map_err(ApiError::from) };
    let done = in_time(&visit, deadline, work).await?;
    Ok(Json(json!({
        "text": done.text,
        "dialect": done.form.name(),
        "savings": savings_json(&done.savings),
    })))
}

/// Reads a value back.
pub(super) async fn decode(visit: Visit, request: Request<Body>) -> Result<Json<Value>, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let wish: DecodeRequest = read_object(&visit.live, request, deadline, DECODE_SHAPE).await?;
    let form = match wish.dialect.as_deref() {
        None => ToonForm::Toon,
        Some(name) => form(name, "toon, compact or json")?,
    };
    // A header names its own delimiter; one that nobody knows is still a mistake.
    wish.options.delimiter()?;
    let options = DecodeOptions {
        strictness: match wish.options.strict {
            Some(false) => Strictness::Lenient,
            Some(true) | None => Strictness::Strict,
        },
        indent_size: wish.options.indent_size()?,
    };
    let table = wish.abbreviate.table()?;
    let work = visit
        .live
        .engine
        .decode_toon(wish.text, form, options, table);
    let work = async { work.await.map_err(ApiError::from) };
    let value = in_time(&visit, deadline, work).await?;
    Ok(Json(json!({ "value": value })))
}

fn form(name: &str, expected: &str) -> Result<ToonForm, ApiError> {
    ToonForm::named(name).ok_or_else(|| one_of("dialect", expected))
}

fn encoding(name: &str) -> Result<Encoding, ApiError> {
    let expected = "o200k_base, cl100k_base or estimate";
    Encoding::named(name).ok_or_else(|| one_of("encoding", expected))
}

fn one_of(param: &str, expected: &str) -> ApiError {
    ApiError::invalid("invalid_parameter", format!("{param} must be {expected}")).about(param)
}

impl Abbreviate {
    fn table(self) -> Result<Abbreviations, ApiError> {
        match self {
            Self::Standard | Self::Whether(true) => Ok(Abbreviations::standard()),
            Self::Whether(false) => Ok(Abbreviations::none()),
            Self::Own(pairs) => Abbreviations::own(pairs).map_err(|error| {
                ApiError::invalid("invalid_parameter", error.to_string()).about("abbreviate")
            }),
        }
    }
}

impl Options {
    fn delimiter(&self) -> Result<Delimiter, ApiError> {
        let Some(given) = &self.delimiter else {
            return Ok(Delimiter::default());
        };
        Delimiter::named(given).ok_or_else(|| {
            let expected = "a comma, a tab or a pipe, as itself or by its name";
            one_of("options.delimiter", expected)
        })
    }

    fn indent_size(&self) -> Result<IndentSize, ApiError> {
        let Some(spaces) = self.indent_size else {
            return Ok(IndentSize::default());
        };
        IndentSize::new(spaces).ok_or_else(|| {
            let expected = format!("a number of spaces from 1 to {}", IndentSize::MOST);
            one_of("options.indent_size", &expected)
        })
    }
}

impl From<ToonError> for ApiError {
    fn from(error: ToonError) -> Self {
        let message = error.to_string();
        match error {
            ToonError::Value(_) => Self::invalid("limit_exceeded", message).about("value"),
            ToonError::Text(_) | ToonError::Json { .. } => {
                Self::invalid("invalid_toon", message).about("text")
            }
            ToonError::Engine(error) => error.into(),
        }
    }
}
