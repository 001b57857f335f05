//! The bound on an answer, which dialects and their servers say differently.

use ::http::Uri;

/// How a server in OpenAI's dialect wants the bound on output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaxTokensField {
    /// `max_completion_tokens`: the only one that OpenAI's newer models take.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`: the only one that many compatible servers know; they
    /// ignore the other without a word.
    MaxTokens,
}

impl MaxTokensField {
    /// What the server at `base_url` most likely wants: the newer one if it is
    /// OpenAI's or Azure's, and else the older one.
    pub fn of(base_url: &Uri) -> Self {
        let host = base_url.host().unwrap_or_default().to_ascii_lowercase();
        let is_openais = host == "api.openai.com"
            || host.ends_with(".api.openai.com")
            || host.ends_with(".openai.azure.com");
        if is_openais {
            Self::MaxCompletionTokens
        } else {
            Self::MaxTokens
        }
    }
}

/// How the bound on an answer is said to one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputBound {
    /// In tokens, for a dialect that wants a bound where the caller gave none.
    pub(crate) unless_given: u64,
    /// For servers in OpenAI's dialect.
    pub(crate) field: MaxTokensField,
}

impl Default for OutputBound {
    /// With 4096 tokens, which every model of Anthropic's can give.
    fn default() -> Self {
        Self {
            unless_given: 4_096,
            field: MaxTokensField::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MaxTokensField::{self, MaxCompletionTokens, MaxTokens};

    #[track_caller]
    fn check(base_url: &str, expected: MaxTokensField) {
        assert_eq!(MaxTokensField::of(&base_url.parse().unwrap()), expected);
    }

    #[test]
    fn openais_own_servers_get_the_newer_field_and_all_others_the_older() {
        check("https://api.openai.com/v1", MaxCompletionTokens);
        check("https://API.OpenAI.com:443/v1", MaxCompletionTokens);
        check("https://eu.api.openai.com/v1", MaxCompletionTokens);
        check(
            "https://tide.openai.azure.com/openai/v1",
            MaxCompletionTokens,
        );
        check("http://127.0.0.1:11434/v1", MaxTokens);
        check("https://api.groq.com/openai/v1", MaxTokens);
        check("https://api.openai.com.example/v1", MaxTokens);
        check("https://notapi.openai.com/v1", MaxTokens);
        check("https://openai.azure.com/v1", MaxTokens);
    }
}
