//! How the upstream treats requests that name no behavior themselves.

use std::time::Duration;

use super::behavior::{Behavior, UnknownBehavior};
use super::limit::Limit;

/// The part that an upstream plays.
///
/// A model name that is a behavior's word comes first, then an outage, then
/// the limit, then the faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Time before the upstream says anything, refusals included.
    pub latency: Duration,
    /// Time between two events of a stream.
    pub event_gap: Duration,
    /// Content events per stream, and completion tokens per answer.
    pub events: usize,
    /// What every answer says; `None` is `events` times `"token "`.
    pub answer: Option<String>,
    /// Behaviors and the share of requests that they get.
    pub faults: Vec<(Behavior, f64)>,
    /// Which requests the faults hit; the same seed hits the same ones.
    pub seed: u64,
    /// The upstream's own rate limit.
    pub limit: Option<Limit>,
    /// When the upstream as a whole misbehaves.
    pub outages: Vec<Outage>,
}

/// A span of time, counted from the start of the mock, with a behavior of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When it begins.
    pub from: Duration,
    /// When it is over.
    pub until: Duration,
    /// What every request gets meanwhile.
    pub behavior: Behavior,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            event_gap: Duration::ZERO,
            events: 20,
            answer: None,
            faults: Vec::new(),
            seed: 0,
            limit: None,
            outages: Vec::new(),
        }
    }
}

impl Script {
    /// What the outage of this moment asks for.
    pub(crate) fn outage(&self, elapsed: Duration) -> Option<Behavior> {
        let now = self
            .outages
            .iter()
            .find(|outage| (outage.from..outage.until).contains(&elapsed));
        now.map(|outage| outage.behavior)
    }

    /// Draws what the next request gets.
    pub(crate) fn draw(&self, draws: &mut fastrand::Rng) -> Behavior {
        if self.faults.is_empty() {
            return Behavior::Answer;
        }
        let mut point = draws.f64();
        for (behavior, share) in &self.faults {
            if point < *share {
                return *behavior;
            }
            point -= share;
        }
        Behavior::Answer
    }
}

/// Why a list of faults cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// A word that names no behavior.
    #[error(transparent)]
    Behavior(#[from] UnknownBehavior),
    /// A share is missing or not between 0 and 1.
    #[error("{word} needs a share between 0 and 1, as in {word}:0.1")]
    Share {
        /// The behavior's word.
        word: String,
    },
    /// More than every request would be hit.
    #[error("the shares of all faults exceed 1")]
    Sum,
}

/// Reads faults and their shares, as in `throttle:0.1,status-500:0.05`.
///
/// # Errors
/// [`FaultsError`] names the entry that is wrong.
pub fn parse_faults(text: &str) -> Result<Vec<(Behavior, f64)>, FaultsError> {
    let entries = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    let faults = entries.map(fault).collect::<Result<Vec<_>, _>>()?;
    let sum: f64 = faults.iter().map(|(_, share)| share).sum();
    // Shares such as ten times 0.1 may exceed 1 by a rounding error.
    if sum > 1.0 + 1e-9 {
        Err(FaultsError::Sum)
    } else {
        Ok(faults)
    }
}

fn fault(entry: &str) -> Result<(Behavior, f64), FaultsError> {
    let (word, share) = entry.split_once(':').unwrap_or((entry, ""));
    let behavior = word.trim().parse()?;
    match share.trim().parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok((behavior, share)),
        _ => Err(FaultsError::Share {
            word: word.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_words_with_shares() {
        let faults = parse_faults("throttle:0.1, status-500:0.05,").unwrap();
        let throttle = Behavior::Throttle { retry_after: None };
        assert_eq!(faults, [(throttle, 0.1), (Behavior::Status(500), 0.05)]);
        assert_eq!(parse_faults(""), Ok(vec![]));
    }

    #[test]
    fn wrong_faults_are_named() {
        let message = |text| parse_faults(text).unwrap_err().to_string();
        assert_eq!(message("explode:0.1"), "no behavior is called \"explode\"");
        for text in ["hang", "hang:2", "hang:-0.1", "hang:NaN"] {
            assert_eq!(
                message(text),
                "hang needs a share between 0 and 1, as in hang:0.1"
            );
        }
        assert_eq!(
            message("hang:0.6,reset:0.6"),
            "the shares of all faults exceed 1"
        );
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_in_the_asked_shares() {
        let faults = parse_faults("reset:0.2,hang:0.1").unwrap();
        let script = Script {
            faults,
            ..Script::default()
        };
        let draw = |seed| {
            let mut draws = fastrand::Rng::with_seed(seed);
            (0..10_000)
                .map(|_| script.draw(&mut draws))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let share = |wanted| draw(7).iter().filter(|drawn| **drawn == wanted).count();
        assert!(
            (1_850..2_150).contains(&share(Behavior::Reset)),
            "{}",
            share(Behavior::Reset)
        );
        assert!(
            (900..1_100).contains(&share(Behavior::Hang)),
            "{}",
            share(Behavior::Hang)
        );
    }

    #[test]
    fn an_outage_holds_from_its_start_until_its_end() {
        let seconds = Duration::from_secs;
        let outage = Outage {
            from: seconds(5),
            until: seconds(8),
            behavior: Behavior::Reset,
        };
        let script = Script {
            outages: vec![outage],
            ..Script::default()
        };
        let at = |time| script.outage(seconds(time));
        assert_eq!([at(4), at(8)], [None, None]);
        assert_eq!([at(5), at(7)], [Some(Behavior::Reset); 2]);
    }
}
