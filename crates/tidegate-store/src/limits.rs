//! Limits on requests, tokens and concurrency: reserve, call, settle.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// What one key may use; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests in any window.
    pub requests: Option<u64>,
    /// Tokens in any window.
    pub tokens: Option<u64>,
    /// Reservations held at the same time.
    pub concurrent: Option<u64>,
    /// Length of the window.
    pub window: Duration,
}

impl Quota {
    /// No limit at all, over windows of 60 s.
    pub fn unlimited() -> Self {
        Self {
            requests: None,
            tokens: None,
            concurrent: None,
            window: Duration::from_secs(60),
        }
    }
}

/// One of the three things that are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Requests in a window.
    Requests,
    /// Tokens in a window.
    Tokens,
    /// Reservations at the same time.
    Concurrency,
}

impl Dimension {
    /// A stable word for messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Why nothing was reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Room will come: after `retry_after` where that is known, else when a
    /// reservation ends.
    #[error("the limit on {} is reached", dimension.as_str())]
    Throttled {
        /// Which limit.
        dimension: Dimension,
        /// Time until it fits if nobody else comes; `None` for concurrency.
        retry_after: Option<Duration>,
    },
    /// More tokens than the whole limit: waiting cannot help.
    #[error("{tokens} tokens exceed the limit of {limit}")]
    TooLarge {
        /// Tokens asked for.
        tokens: u64,
        /// The limit.
        limit: u64,
    },
    /// The key is left alone for a while: whoever saw it fail said so.
    #[error("left alone for {retry_after:?}")]
    Cooling {
        /// Until it may be tried again.
        retry_after: Duration,
        /// Why.
        cooling: Cooling,
    },
    /// The home cannot be reached, and nothing is granted without it.
    #[error("the limits cannot be reached")]
    Unreachable {
        /// When it is worth asking again.
        retry_after: Duration,
    },
}

/// Why a key is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cooling {
    /// It failed too often.
    Failures,
    /// It said that it was asked too often.
    Throttled,
}

/// How much a reserved call really used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// The call was never sent: everything is given back.
    Nothing,
    /// The call was sent and nobody reported: the reservation stands.
    Unknown,
    /// The real count, which may be above the reservation.
    Tokens(u64),
}

/// What a home does when a reservation ends. Called once, must not block.
pub trait Settle: Any + Send + Sync {
    /// Ends the reservation.
    fn settle(self: Box<Self>, used: Used);
}

/// Who has granted a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grantor {
    /// The home that all nodes share.
    Home,
    /// This node, from its share: the home could not be reached.
    ThisNode,
}

/// One request, its tokens and a concurrency lease.
///
/// Dropping it gives the lease back and lets the tokens stand: a call that
/// nobody accounted for is assumed to have used what it asked for.
#[must_use = "dropping a reservation ends it"]
pub struct Reservation {
    tokens: u64,
    granted_by: Grantor,
    settle: Option<Box<dyn Settle>>,
}

impl Reservation {
    /// Wraps what a home has reserved.
    pub fn new(tokens: u64, settle: Box<dyn Settle>) -> Self {
        Self {
            tokens,
            granted_by: Grantor::Home,
            settle: Some(settle),
        }
    }

    /// The same, granted by this node alone.
    pub fn granted_here(mut self) -> Self {
        self.granted_by = Grantor::ThisNode;
        self
    }

    /// Who granted it.
    pub fn granted_by(&self) -> Grantor {
        self.granted_by
    }

    /// Tokens that were reserved.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Ends the reservation with what was used.
    pub fn settle(mut self, used: Used) {
        self.end(used);
    }

    /// Both as one: they end together, with the same use.
    pub fn and(self, other: Self) -> Self {
        let tokens = self.tokens.max(other.tokens);
        let here = [self.granted_by, other.granted_by].contains(&Grantor::ThisNode);
        let both = Self::new(tokens, Box::new(Both(self, other)));
        if here { both.granted_here() } else { both }
    }

    /// What its homes do when it ends, one for each reservation that it is made
    /// of.
    pub(crate) fn into_parts(mut self) -> Vec<Box<dyn Settle>> {
        let Some(settle) = self.settle.take() else {
            return Vec::new();
        };
        let any: &dyn Any = &*settle;
        if !any.is::<Both>() {
            return vec![settle];
        }
        let any: Box<dyn Any> = settle;
        any.downcast::<Both>().map_or_else(
            |_| Vec::new(),
            |both| {
                let Both(first, second) = *both;
                let mut parts = first.into_parts();
                parts.extend(second.into_parts());
                parts
            },
        )
    }

    fn end(&mut self, used: Used) {
        if let Some(settle) = self.settle.take() {
            settle.settle(used);
        }
    }
}

struct Both(Reservation, Reservation);

impl Settle for Both {
    fn settle(self: Box<Self>, used: Used) {
        let Self(first, second) = *self;
        first.settle(used);
        second.settle(used);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.end(Used::Unknown);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// A held reservation that was settled already, has expired, or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such reservation: settled already, expired or never made")]
pub struct UnknownReservation;

/// An owner holds as many reservations as one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} reservations are held already, and no owner may hold more")]
pub struct TooManyHeld {
    /// Reservations that one owner may hold.
    pub limit: usize,
}

/// How much of a quota is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// Requests in the current window.
    pub requests: u64,
    /// Tokens in the current window.
    pub tokens: u64,
    /// Reservations held now.
    pub concurrent: u64,
    /// Tokens used beyond their reservations, since the start.
    pub overshot_tokens: u64,
    /// How much longer the key is left alone, and why.
    pub cooling: Option<(Duration, Cooling)>,
}

/// A home of limits.
///
/// Never grants more than a quota in any window of its length. Keys are opaque.
#[async_trait]
pub trait Limits: Send + Sync + fmt::Debug {
    /// Reserves one request, `tokens` and a lease, all or nothing.
    ///
    /// Dropping the future reserves nothing.
    async fn reserve(&self, key: &str, quota: &Quota, tokens: u64) -> Result<Reservation, Refused>;

    /// Keeps a reservation of `key` under an id, for a call that `owner` makes
    /// elsewhere. It ends by itself after `lease`. Where `owner` holds too many
    /// already, the reservation is given back as if it had never been made.
    async fn hold(
        &self,
        owner: &str,
        key: &str,
        reservation: Reservation,
        lease: Duration,
    ) -> Result<String, TooManyHeld>;

    /// Ends a reservation that `owner` holds, once, and says which key it was
    /// for. To anybody else it does not exist.
    async fn settle(&self, owner: &str, id: &str, used: Used)
    -> Result<String, UnknownReservation>;

    /// Leaves a key alone for `cooldown` from now, on every node; never shortens
    /// what was said before. Does not wait.
    fn cool(&self, key: &str, cooldown: Duration, cooling: Cooling);

    /// The key may be tried again, whatever was said before. Does not wait.
    fn warm(&self, key: &str);

    /// Whether other processes grant from the same quotas: what they give back
    /// is told to nobody here.
    fn is_shared(&self) -> bool {
        false
    }

    /// How much of a key's quota is in use.
    async fn level(&self, key: &str) -> Level;
}
