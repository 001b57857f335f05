//! When a schedule is due.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};

/// When a schedule is due.
#[derive(Debug, Clone)]
pub struct Ticks(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Cron(Box<Cron>),
    Every(u64),
}

/// Why these are no ticks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// The expression is none.
    #[error(
        "{expression:?} is no cron expression: {reason} (minute hour day month weekday, in UTC; a sixth field in front stands for seconds)"
    )]
    Cron {
        /// What was written.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is never due.
    #[error("{0:?} is never due")]
    Never(String),
    /// The interval is too short or too long.
    #[error("an interval of {0:?}: 1 s to 366 days")]
    Interval(Duration),
}

/// An interval is at least this long.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

impl Ticks {
    /// Ticks of a cron expression with five fields, or six where the first one
    /// stands for seconds; in UTC.
    ///
    /// # Errors
    /// [`BadSchedule`] when it is none, or is never due.
    pub fn cron(expression: &str) -> Result<Self, BadSchedule> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser
            .parse(expression)
            .map_err(|error| BadSchedule::Cron {
                expression: expression.to_owned(),
                reason: error.to_string(),
            })?;
        let ticks = Self(Kind::Cron(Box::new(cron)));
        match ticks.after(0) {
            Some(_) => Ok(ticks),
            None => Err(BadSchedule::Never(expression.to_owned())),
        }
    }

    /// A tick every so often, counted from 1970: nodes need not agree on a
    /// beginning.
    ///
    /// # Errors
    /// [`BadSchedule::Interval`] when it is shorter than a second, or longer
    /// than a year.
    pub fn every(interval: Duration) -> Result<Self, BadSchedule> {
        if !(SHORTEST..=LONGEST).contains(&interval) {
            return Err(BadSchedule::Interval(interval));
        }
        let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        Ok(Self(Kind::Every(ms)))
    }

    /// The first tick after a time, both in milliseconds since 1970.
    pub fn after(&self, ms: u64) -> Option<u64> {
        match &self.0 {
            Kind::Every(every) => (ms / every).checked_add(1)?.checked_mul(*every),
            Kind::Cron(cron) => {
                let after: DateTime<Utc> =
                    DateTime::from_timestamp_millis(i64::try_from(ms).ok()?)?;
                let next = cron.find_next_occurrence(&after, false).ok()?;
                u64::try_from(next.timestamp_millis()).ok()
            }
        }
    }

    /// Ticks after one time and up to another, the last ones where there are
    /// more than `most`.
    pub(super) fn between(&self, after: u64, until: u64, most: usize) -> Vec<u64> {
        let mut ticks = std::collections::VecDeque::new();
        let mut last = after;
        if let Kind::Every(every) = &self.0 {
            // Only the last ones are wanted.
            last = last.max(until.saturating_sub(every.saturating_mul(most as u64 + 1)));
        }
        while let Some(tick) = self.after(last).filter(|tick| *tick <= until) {
            ticks.push_back(tick);
            if ticks.len() > most {
                ticks.pop_front();
            }
            last = tick;
        }
        ticks.into()
    }
}

impl FromStr for Ticks {
    type Err = BadSchedule;

    fn from_str(expression: &str) -> Result<Self, BadSchedule> {
        Self::cron(expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 07:55:39.123 UTC, a Sunday.
    const NOW: u64 = 1_795_334_139_123;

    fn next(expression: &str) -> String {
        let tick = Ticks::cron(expression).unwrap().after(NOW).unwrap();
        let time: DateTime<Utc> =
            DateTime::from_timestamp_millis(i64::try_from(tick).unwrap()).unwrap();
        time.to_string()
    }

    #[test]
    fn a_cron_expression_says_when_it_is_due_next() {
        assert_eq!(next("* * * * *"), "2026-11-22 07:56:00 UTC");
        assert_eq!(next("* * * * * *"), "2026-11-22 07:55:40 UTC");
        assert_eq!(next("*/15 * * * *"), "2026-11-22 08:00:00 UTC");
        assert_eq!(next("30 3 * * MON"), "2026-11-23 03:30:00 UTC");
        assert_eq!(next("0 0 29 2 *"), "2028-02-29 00:00:00 UTC");
    }

    #[test]
    fn a_tick_is_after_and_not_at_the_time_that_is_asked_for() {
        let ticks = Ticks::cron("* * * * * *").unwrap();
        let tick = ticks.after(NOW).unwrap();
        assert_eq!(ticks.after(tick), Some(tick + 1_000));
        let ticks = Ticks::every(Duration::from_secs(300)).unwrap();
        assert_eq!(ticks.after(600_000), Some(900_000));
        assert_eq!(ticks.after(599_999), Some(600_000));
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        let reason = |text: &str| Ticks::cron(text).unwrap_err().to_string();
        assert!(reason("every day").contains("\"every day\" is no cron expression"));
        assert!(reason("61 * * * *").contains("is no cron expression"));
        assert!(reason("0 0 31 2 *").contains("never due"));
        assert!(Ticks::every(Duration::from_millis(999)).is_err());
        assert!(Ticks::every(Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn only_the_last_ticks_of_a_long_absence_are_counted() {
        let ticks = Ticks::every(Duration::from_secs(1)).unwrap();
        assert_eq!(
            ticks.between(0, NOW, 2),
            [1_795_334_138_000, 1_795_334_139_000]
        );
        assert_eq!(ticks.between(NOW - 1_000, NOW, 100), [1_795_334_139_000]);
        let ticks = Ticks::cron("0 * * * *").unwrap();
        assert_eq!(ticks.between(NOW - 4 * 3_600_000, NOW, 3).len(), 3);
    }
}
