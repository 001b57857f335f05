//! Random sequences in the home's own time, next to a plain list.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidegate_store::{Dimension, Limits, Quota, Refused, Reservation, Used};
use tokio::time::Instant;

use crate::home::{self, Home, KEY, OWNER};

const REQUESTS: u64 = 12;
const TOKENS: u64 = 100;
const CONCURRENT: u64 = 5;
/// The longest that a grant may count, in thousandths of the window: the guard
/// and the grain of the memory home.
const LONGEST: u32 = 1_015;

#[derive(Debug, Clone)]
enum Step {
    /// Thousandths of the window.
    Pass(u32),
    Reserve(u64),
    Settle(usize, Used),
    Drop(usize),
    /// Into the hold, for thousandths of the window.
    Hold(usize, u32),
    SettleHeld(usize, Used),
}

fn used() -> impl Strategy<Value = Used> {
    prop_oneof![
        4 => (0..=2 * TOKENS).prop_map(Used::Tokens),
        1 => Just(Used::Nothing),
        1 => Just(Used::Unknown),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![0..20_u32, 0..600_u32].prop_map(Step::Pass),
        6 => (0..=TOKENS + 5).prop_map(|tokens| Step::Reserve(tokens * tokens / TOKENS)),
        3 => (any::<usize>(), used()).prop_map(|(which, used)| Step::Settle(which, used)),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => (any::<usize>(), 0..800_u32).prop_map(|(which, lease)| Step::Hold(which, lease)),
        1 => (any::<usize>(), used())
            .prop_map(|(which, used)| Step::SettleHeld(which, used)),
    ];
    prop::collection::vec(step, 1..80)
}

/// One grant as the list has it.
#[derive(Debug)]
struct Grant {
    at: Instant,
    requests: u64,
    tokens: u64,
}

/// A home next to a plain list of everything that it granted.
struct Model<'a> {
    home: &'a Home<dyn Limits>,
    limits: std::sync::Arc<dyn Limits>,
    quota: Quota,
    grants: Vec<Grant>,
    /// With the place of their grant.
    open: Vec<(usize, Reservation)>,
    held: Vec<(usize, String, Instant)>,
    overshot: u64,
    estimates: Estimates,
}

/// How estimates compare with what is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Estimates {
    /// Too low, right or too high.
    Any,
    /// Never too low.
    High,
}

impl<'a> Model<'a> {
    fn new(home: &'a Home<dyn Limits>, estimates: Estimates) -> Self {
        Self {
            home,
            limits: (home.make)(),
            quota: Quota {
                requests: Some(REQUESTS),
                tokens: Some(TOKENS),
                concurrent: Some(CONCURRENT),
                window: home.window,
            },
            grants: Vec::new(),
            open: Vec::new(),
            held: Vec::new(),
            overshot: 0,
            estimates,
        }
    }

    fn share(&self, thousandths: u32) -> Duration {
        self.home.window * thousandths / 1_000
    }

    /// What the list holds in the window of `length` that ends now.
    fn listed(&self, length: Duration) -> (u64, u64) {
        let live = self
            .grants
            .iter()
            .filter(|grant| grant.at.elapsed() < length);
        live.fold((0, 0), |(requests, tokens), grant| {
            (requests + grant.requests, tokens + grant.tokens)
        })
    }

    fn leases(&mut self) -> u64 {
        self.held.retain(|(_, _, until)| *until > Instant::now());
        (self.open.len() + self.held.len()) as u64
    }

    /// What a call says that it used, given how good estimates are.
    fn said(&self, grant: usize, used: Used) -> Used {
        match used {
            Used::Tokens(used) if self.estimates == Estimates::High => {
                Used::Tokens(used.min(self.grants[grant].tokens))
            }
            other => other,
        }
    }

    fn correct(&mut self, grant: usize, used: Used) {
        let grant = &mut self.grants[grant];
        match used {
            Used::Unknown => {}
            Used::Nothing => (grant.requests, grant.tokens) = (0, 0),
            Used::Tokens(used) => {
                self.overshot += used.saturating_sub(grant.tokens);
                grant.tokens = used;
            }
        }
    }

    async fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass(thousandths) => self.home.pass(self.share(thousandths)).await,
            Step::Reserve(tokens) => self.reserve(tokens).await?,
            Step::Settle(which, used) => {
                if let Some((grant, reservation)) = take(&mut self.open, which) {
                    let used = self.said(grant, used);
                    reservation.settle(used);
                    self.correct(grant, used);
                }
            }
            Step::Drop(which) => drop(take(&mut self.open, which)),
            Step::Hold(which, lease) => {
                let lease = self.share(lease);
                if let Some((grant, reservation)) = take(&mut self.open, which) {
                    let until = Instant::now() + lease;
                    let id = self
                        .limits
                        .hold(OWNER, KEY, reservation, lease)
                        .await
                        .expect("few are held");
                    self.held.push((grant, id, until));
                }
            }
            Step::SettleHeld(which, used) => {
                if let Some((grant, id, until)) = take(&mut self.held, which) {
                    let used = self.said(grant, used);
                    let in_time = until > Instant::now();
                    prop_assert_eq!(self.limits.settle(OWNER, &id, used).await.is_ok(), in_time);
                    if in_time {
                        self.correct(grant, used);
                    }
                }
            }
        }
        self.compare().await
    }

    async fn reserve(&mut self, tokens: u64) -> Result<(), TestCaseError> {
        let leases = self.leases();
        let (requests_held, tokens_held) = self.listed(self.share(LONGEST));
        match self.limits.reserve(KEY, &self.quota, tokens).await {
            Ok(reservation) => {
                self.open.push((self.grants.len(), reservation));
                self.grants.push(Grant {
                    at: Instant::now(),
                    requests: 1,
                    tokens,
                });
                let (requests, tokens) = self.listed(self.home.window);
                prop_assert!(requests <= REQUESTS && tokens <= TOKENS && leases < CONCURRENT);
            }
            Err(Refused::TooLarge { .. }) => prop_assert!(tokens > TOKENS),
            Err(Refused::Throttled { dimension, .. }) => {
                let earned = match dimension {
                    Dimension::Requests => requests_held >= REQUESTS,
                    Dimension::Tokens => tokens_held + tokens > TOKENS,
                    Dimension::Concurrency => leases >= CONCURRENT,
                };
                prop_assert!(earned, "refused for {} for no reason", dimension.as_str());
            }
            Err(other @ (Refused::Cooling { .. } | Refused::Unreachable { .. })) => {
                prop_assert!(false, "{other:?}");
            }
        }
        Ok(())
    }

    /// The home counts what the list counts, for at least the window and not
    /// much longer.
    async fn compare(&mut self) -> Result<(), TestCaseError> {
        let level = self.limits.level(KEY).await;
        let (least, most) = (
            self.listed(self.home.window),
            self.listed(self.share(LONGEST)),
        );
        prop_assert!(least.0 <= level.requests && level.requests <= most.0);
        prop_assert!(least.1 <= level.tokens && level.tokens <= most.1);
        prop_assert_eq!(level.concurrent, self.leases());
        prop_assert_eq!(level.overshot_tokens, self.overshot);
        Ok(())
    }

    /// No window of the whole run holds more than the quota.
    fn check_all_windows(&self) -> Result<(), TestCaseError> {
        for last in &self.grants {
            let inside = self.grants.iter().filter(|grant| {
                let age = last.at.checked_duration_since(grant.at);
                age.is_some_and(|age| age < self.home.window)
            });
            let (requests, tokens) = inside.fold((0, 0), |(requests, tokens), grant| {
                (requests + grant.requests, tokens + grant.tokens)
            });
            prop_assert!(requests <= REQUESTS && tokens <= TOKENS);
        }
        Ok(())
    }
}

fn take<T>(list: &mut Vec<T>, which: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(which % list.len()))
}

/// Plays sequences of steps against every home.
fn play(estimates: Estimates) {
    for home in home::limits_in_virtual_time() {
        let mut runner = TestRunner::new(Config {
            cases: home.cases,
            failure_persistence: None,
            ..Config::default()
        });
        let outcome = runner.run(&steps(), |steps| {
            home.run(async {
                let mut model = Model::new(&home, estimates);
                for step in steps {
                    model.apply(step).await?;
                }
                match estimates {
                    Estimates::Any => Ok(()),
                    Estimates::High => model.check_all_windows(),
                }
            })
        });
        if let Err(error) = outcome {
            panic!("home {}: {error}", home.name);
        }
    }
}

/// Settlements far above the estimates included: they may lift a window above
/// the limit, a grant never does.
#[test]
fn a_grant_never_lifts_a_window_above_the_quota_and_a_refusal_is_earned() {
    play(Estimates::Any);
}

#[test]
fn no_window_at_all_exceeds_the_quota_when_nothing_is_under_estimated() {
    play(Estimates::High);
}
