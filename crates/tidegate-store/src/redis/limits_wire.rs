//! How the account of a limit is asked, and what it answers.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, ScriptInvocation};

use crate::error::StoreError;
use crate::limits::{Cooling, Dimension, Quota, Used};

use super::limits_account::LEASE;

static ACCOUNT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limits.lua")));

/// A window has at most about this many segments; units come free up to one
/// part in it late under dense traffic, never early.
const SEGMENTS: u32 = 256;

/// The keys of one limit, on one node of a cluster whatever it is called.
#[derive(Debug)]
pub(super) struct AccountKeys {
    account: String,
    leases: String,
}

impl AccountKeys {
    pub(super) fn of(key: &str) -> Self {
        let tag = tag(key);
        Self {
            account: format!("tidegate:limit:{{{tag}}}:account"),
            leases: format!("tidegate:limit:{{{tag}}}:leases"),
        }
    }
}

/// What stands between the braces of a key. A brace would end it early, and
/// nothing at all would not be one.
pub(super) fn tag(name: &str) -> String {
    let name = name.replace('%', "%25").replace('}', "%7D");
    if name.is_empty() {
        "%".to_owned()
    } else {
        name
    }
}

/// Something that happened, for the account to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// A reservation has ended.
    Settled {
        lease: String,
        number: u64,
        cost: u64,
        used: Used,
    },
    /// A lease lasts this long from now on without being renewed.
    Lent { lease: String, duration: Duration },
    /// The key is left alone for so long.
    Cooled { left: Duration, cooling: Cooling },
    /// The key may be tried again.
    Warmed,
}

/// What is asked.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) reserve: Option<Reserve>,
    /// Length of the windows with their guard; zero where nobody here knows it.
    pub(super) length: Duration,
    /// The birth of the account that has what this node was granted; zero where
    /// it was granted nothing.
    pub(super) known: u64,
    /// How much longer shares are to be kept to as well.
    pub(super) guard: Duration,
    pub(super) notes: Vec<Note>,
    /// Leases that go on.
    pub(super) renewals: Vec<String>,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    pub(super) quota: Quota,
    pub(super) tokens: u64,
    pub(super) lease: String,
}

/// What the account says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) verdict: Verdict,
    pub(super) requests: u64,
    pub(super) tokens: u64,
    /// Where it was looked at.
    pub(super) concurrent: Option<u64>,
    /// How much longer shares count as well.
    pub(super) guard: Duration,
    pub(super) born: u64,
    pub(super) cooling: Option<(Duration, Cooling)>,
}

/// What became of what was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    NothingWanted,
    /// Its segment has this number.
    Granted(u64),
    Refused(Dimension, Option<Duration>),
    Cooling(Duration, Cooling),
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Ask {
    /// The question as it is sent.
    pub(super) fn invocation(&self, keys: &AccountKeys) -> ScriptInvocation<'static> {
        let mut script = ACCOUNT.prepare_invoke();
        script.key(&*keys.account).key(&*keys.leases);
        script
            .arg(u8::from(self.reserve.is_some()))
            .arg(micros(self.length))
            .arg(micros(self.length) / u64::from(SEGMENTS))
            .arg(self.known)
            .arg(micros(self.guard))
            .arg(self.notes.len())
            .arg(self.renewals.len())
            .arg(micros(LEASE));
        let limit = |limit: Option<u64>| limit.map_or("-1".to_owned(), |most| most.to_string());
        if let Some(Reserve { quota, tokens, .. }) = &self.reserve {
            script
                .arg(limit(quota.requests))
                .arg(limit(quota.tokens))
                .arg(limit(quota.concurrent))
                .arg(*tokens);
        } else {
            script.arg(0).arg(0).arg(0).arg(0);
        }
        for note in &self.notes {
            note.tell(&mut script);
        }
        for lease in &self.renewals {
            script.arg(&**lease);
        }
        if let Some(Reserve { lease, .. }) = &self.reserve {
            script.arg(&**lease);
        }
        script
    }
}

impl Note {
    fn tell(&self, script: &mut ScriptInvocation<'_>) {
        match self {
            Self::Settled {
                lease,
                number,
                cost,
                used,
            } => {
                script.arg("s").arg(&**lease).arg(*number).arg(*cost);
                match used {
                    Used::Unknown => script.arg(-1),
                    Used::Nothing => script.arg(-2),
                    Used::Tokens(used) => script.arg(*used),
                }
            }
            Self::Lent { lease, duration } => script
                .arg("l")
                .arg(&**lease)
                .arg(micros(*duration))
                .arg(0)
                .arg(0),
            Self::Cooled { left, cooling } => {
                let cause = match cooling {
                    Cooling::Failures => 1,
                    Cooling::Throttled => 2,
                };
                let left = micros(*left);
                script.arg("c").arg(left).arg(cause).arg(0).arg(0)
            }
            Self::Warmed => script.arg("w").arg(0).arg(0).arg(0).arg(0),
        };
    }
}

/// The script says this of everything that is larger.
const MOST: u64 = 1 << 62;

impl Said {
    pub(super) fn read(answer: &[i64]) -> Result<Self, StoreError> {
        let corrupt = StoreError::Corrupt {
            what: "the answer of a limit's account",
        };
        let &[
            verdict,
            wait,
            number,
            requests,
            tokens,
            count,
            guard,
            born,
            left,
            cause,
        ] = answer
        else {
            return Err(corrupt);
        };
        let amount = |number: i64| match u64::try_from(number).unwrap_or(0) {
            MOST.. => u64::MAX,
            amount => amount,
        };
        let duration = |micros: i64| Duration::from_micros(amount(micros));
        let cooling = match cause {
            1 => Cooling::Failures,
            _ => Cooling::Throttled,
        };
        let verdict = match verdict {
            0 => Verdict::NothingWanted,
            1 => Verdict::Granted(amount(number)),
            2 => Verdict::Refused(Dimension::Requests, Some(duration(wait))),
            3 => Verdict::Refused(Dimension::Tokens, Some(duration(wait))),
            4 => Verdict::Refused(Dimension::Concurrency, None),
            5 => Verdict::Cooling(duration(wait), cooling),
            _ => return Err(corrupt),
        };
        Ok(Self {
            verdict,
            requests: amount(requests),
            tokens: amount(tokens),
            concurrent: u64::try_from(count).ok(),
            guard: duration(guard),
            born: amount(born),
            cooling: (left > 0).then(|| (duration(left), cooling)),
        })
    }
}
