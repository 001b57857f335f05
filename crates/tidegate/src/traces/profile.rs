//! Which version of the GenAI conventions is spoken.

/// The version of the conventions for calls to models. Those for HTTP are
/// stable, so there is one of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Profile {
    /// 1.36.0, which nobody has to ask for.
    #[default]
    V1_36,
    /// The current ones, still in development.
    Latest,
}

/// The word in `OTEL_SEMCONV_STABILITY_OPT_IN` that asks for the current ones.
pub(super) const LATEST: &str = "gen_ai_latest_experimental";

impl Profile {
    /// For people.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V1_36 => "1.36.0",
            Self::Latest => LATEST,
        }
    }
}
