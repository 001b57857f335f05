//! `tidegate toon encode | decode | stats`: JSON in fewer tokens, and back.

mod convert;
mod input;
mod stats;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use tidegate_text::tokens::Encoding;
use tidegate_text::toon::{Delimiter, EncodeOptions, IndentSize, Style};

use super::Exit;

/// Arguments of `toon`.
#[derive(Debug, Args)]
pub(super) struct ToonArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write JSON as TOON, in the compact dialect, or in whichever is the smallest
    #[command(after_help = convert::ENCODE_EXAMPLES)]
    Encode(convert::EncodeArgs),
    /// Read TOON or the compact dialect and print JSON
    #[command(after_help = convert::DECODE_EXAMPLES)]
    Decode(convert::DecodeArgs),
    /// Say what JSON files cost in each dialect, in tokens and characters
    #[command(after_help = stats::EXAMPLES)]
    Stats(stats::StatsArgs),
}

pub(super) fn run(args: &ToonArgs) -> Exit {
    let exit = match &args.verb {
        Verb::Encode(args) => convert::encode(args),
        Verb::Decode(args) => convert::decode(args),
        Verb::Stats(args) => stats::run(args),
    };
    exit.unwrap_or_else(|exit| exit)
}

/// How the dialects are written.
#[derive(Debug, Args)]
struct StyleArgs {
    /// What stands between the cells of TOON's rows
    #[arg(long, default_value = "comma", value_parser = delimiters())]
    delimiter: Delimiter,
    /// Spaces of one level of TOON, 1 to 16
    #[arg(long, value_name = "SPACES", default_value = "2", value_parser = indent_size)]
    indent: IndentSize,
    /// Which keys of the compact dialect are shortened: standard (its 22), none,
    /// or a JSON file with one object {key: short key}
    #[arg(long, value_name = "standard|none|FILE", default_value = "standard")]
    abbreviate: String,
}

impl StyleArgs {
    fn style(&self) -> Result<Style, Exit> {
        Ok(Style {
            options: EncodeOptions {
                delimiter: self.delimiter,
                indent_size: self.indent,
            },
            abbreviations: input::abbreviations(&self.abbreviate)?,
        })
    }
}

fn delimiters() -> impl TypedValueParser<Value = Delimiter> {
    let words = PossibleValuesParser::new(Delimiter::ALL.map(Delimiter::word));
    words.map(|word| match Delimiter::named(&word) {
        Some(delimiter) => delimiter,
        None => unreachable!("the parser lets only words of the set through"),
    })
}

fn encodings() -> impl TypedValueParser<Value = Encoding> {
    let names = PossibleValuesParser::new(Encoding::ALL.map(Encoding::name));
    names.map(|name| match Encoding::named(&name) {
        Some(encoding) => encoding,
        None => unreachable!("the parser lets only names of the set through"),
    })
}

fn indent_size(text: &str) -> Result<IndentSize, String> {
    let spaces = text.parse().ok().and_then(IndentSize::new);
    spaces.ok_or_else(|| format!("expected a number of spaces from 1 to {}", IndentSize::MOST))
}
