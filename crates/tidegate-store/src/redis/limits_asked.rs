//! A question of a caller who may leave before it is answered.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::Link;
use crate::limits::{Refused, Reservation, Used};

/// A question whose caller may leave: what it was granted is given back then.
pub(super) struct Asked {
    pub(super) link: Link,
    pub(super) answer: Option<BoxFuture<'static, Result<Reservation, Refused>>>,
}

impl Future for Asked {
    type Output = Result<Reservation, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else {
            return Poll::Pending;
        };
        let answer = std::task::ready!(answer.poll_unpin(context));
        self.answer = None;
        Poll::Ready(answer)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        // Without a runtime nobody will hear the answer: the lease runs out.
        if Handle::try_current().is_ok() {
            self.link.spawn(async move {
                if let Ok(reservation) = answer.await {
                    reservation.settle(Used::Nothing);
                }
            });
        }
    }
}
