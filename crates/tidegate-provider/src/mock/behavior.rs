//! What an upstream can do to a caller, named by words.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One way to treat a request. Its word is also a model name that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Behavior {
    /// `answer`: an ordinary answer.
    Answer,
    /// `throttle`, `throttle-N`: 429, with `Retry-After: N` seconds if there is an N.
    Throttle {
        /// How long the caller is asked to stay away.
        retry_after: Option<Duration>,
    },
    /// `overloaded`: 529.
    Overloaded,
    /// `unavailable`: 503.
    Unavailable,
    /// `status-NNN`: that status, 400 to 599, with an error object.
    Status(u16),
    /// `hang`: the request is taken and never answered.
    Hang,
    /// `reset`: the connection is reset before any answer.
    Reset,
    /// `reset-mid`: the connection is reset after half of the answer.
    ResetMid,
    /// `truncate`: half of the answer, then an orderly end that is too early.
    Truncate,
    /// `drip`: a byte now and then, and no event is ever finished.
    Drip,
    /// `garbage`: 200 with bytes that mean nothing.
    Garbage,
    /// `html`: 502 with a page for people.
    Html,
    /// `error-in-stream`: a stream that turns into an error before its first content.
    ErrorInStream,
    /// `error-after-content`: a stream that turns into an error after half of its events.
    ErrorAfterContent,
    /// `error-in-answer`: 200 with an error object.
    ErrorInAnswer,
    /// `huge-line`: a line of 1 GiB.
    HugeLine,
    /// `slow-N`: an ordinary answer after N milliseconds instead of the script's latency.
    Slow(Duration),
    /// `no-done`: a complete stream without the closing `[DONE]`, which only
    /// OpenAI's dialects have.
    NoDone,
    /// `empty`: 200 with an empty body.
    Empty,
}

/// A word that names no behavior.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no behavior is called {0:?}")]
pub struct UnknownBehavior(pub String);

/// Every behavior whose word needs no number.
const PLAIN: [Behavior; 17] = [
    Behavior::Answer,
    Behavior::Throttle { retry_after: None },
    Behavior::Overloaded,
    Behavior::Unavailable,
    Behavior::Hang,
    Behavior::Reset,
    Behavior::ResetMid,
    Behavior::Truncate,
    Behavior::Drip,
    Behavior::Garbage,
    Behavior::Html,
    Behavior::ErrorInStream,
    Behavior::ErrorAfterContent,
    Behavior::ErrorInAnswer,
    Behavior::HugeLine,
    Behavior::NoDone,
    Behavior::Empty,
];

impl Behavior {
    /// The behavior that `word` names, if it names one.
    pub fn named(word: &str) -> Option<Self> {
        let plain = PLAIN.into_iter().find(|behavior| behavior.stem() == word);
        plain.or_else(|| Self::numbered(word))
    }

    /// One example of each behavior.
    pub fn examples() -> impl Iterator<Item = Self> {
        let numbered = [
            Self::Throttle {
                retry_after: Some(Duration::from_secs(2)),
            },
            Self::Status(500),
            Self::Slow(Duration::from_millis(100)),
        ];
        PLAIN.into_iter().chain(numbered)
    }

    /// True when the caller does not get the answer that it asked for.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Answer | Self::Slow(_) | Self::NoDone)
    }

    fn numbered(word: &str) -> Option<Self> {
        let (stem, number) = word.rsplit_once('-')?;
        // A sign or a leading zero would make a second word for one behavior.
        let number: u64 = number
            .parse()
            .ok()
            .filter(|n: &u64| n.to_string() == number)?;
        match stem {
            "throttle" => Some(Self::Throttle {
                retry_after: Some(Duration::from_secs(number)),
            }),
            "slow" => Some(Self::Slow(Duration::from_millis(number))),
            "status" if (400..600).contains(&number) => {
                u16::try_from(number).ok().map(Self::Status)
            }
            _ => None,
        }
    }

    /// The word without its number.
    fn stem(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Throttle { .. } => "throttle",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Status(_) => "status",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::ResetMid => "reset-mid",
            Self::Truncate => "truncate",
            Self::Drip => "drip",
            Self::Garbage => "garbage",
            Self::Html => "html",
            Self::ErrorInStream => "error-in-stream",
            Self::ErrorAfterContent => "error-after-content",
            Self::ErrorInAnswer => "error-in-answer",
            Self::HugeLine => "huge-line",
            Self::Slow(_) => "slow",
            Self::NoDone => "no-done",
            Self::Empty => "empty",
        }
    }

    fn number(self) -> Option<u64> {
        match self {
            Self::Throttle { retry_after } => retry_after.map(|wait| wait.as_secs()),
            Self::Status(status) => Some(status.into()),
            Self::Slow(wait) => Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            Self::Answer | Self::Overloaded | Self::Unavailable | Self::Hang | Self::Reset => None,
            Self::ResetMid | Self::Truncate | Self::Drip | Self::Garbage | Self::Html => None,
            Self::ErrorInStream | Self::ErrorAfterContent | Self::ErrorInAnswer => None,
            Self::HugeLine | Self::NoDone | Self::Empty => None,
        }
    }
}

impl FromStr for Behavior {
    type Err = UnknownBehavior;

    fn from_str(word: &str) -> Result<Self, UnknownBehavior> {
        Self::named(word).ok_or_else(|| UnknownBehavior(word.to_owned()))
    }
}

impl fmt::Display for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stem())?;
        self.number()
            .map_or(Ok(()), |number| write!(f, "-{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_behavior_is_read_back_from_its_word() {
        for behavior in Behavior::examples() {
            assert_eq!(behavior.to_string().parse(), Ok(behavior));
        }
    }

    #[test]
    fn a_number_belongs_to_the_words_that_have_one() {
        assert_eq!("status-429".parse(), Ok(Behavior::Status(429)));
        assert_eq!("slow-0".parse(), Ok(Behavior::Slow(Duration::ZERO)));
        for word in [
            "status",
            "status-200",
            "status-600",
            "slow",
            "throttle-+2",
            "slow-01",
            "hang-3",
            "gpt-4",
        ] {
            assert_eq!(
                word.parse::<Behavior>(),
                Err(UnknownBehavior(word.to_owned()))
            );
        }
    }
}
