//! What other nodes say, and when something of it may have been missed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::RedisResult;
use redis::aio::PubSub;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use super::line::CONNECT_TIME;
use super::link::Link;

/// Something about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TopicEvent {
    /// Somebody, maybe this node, has said this.
    Message(Bytes),
    /// Nothing is heard from now on.
    Lost,
    /// From now on everything is heard; what was said before may be missing.
    Resumed,
}

/// What is heard of a topic.
pub(crate) type Subscription = mpsc::Receiver<TopicEvent>;

/// Messages that wait for whoever listens; beyond that the connection waits.
const QUEUE: usize = 1_024;
/// How often a quiet connection is asked whether it still stands.
const PING: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Link {
    /// Listens to a topic until the link is closed or the receiver dropped.
    pub(crate) fn subscribe(&self, topic: &'static str) -> Subscription {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let link = self.clone();
        self.spawn(async move {
            tokio::select! {
                () = link.closing() => {}
                () = listen(&link, topic, &sender) => {}
            }
        });
        receiver
    }
}

async fn listen(link: &Link, topic: &str, events: &mpsc::Sender<TopicEvent>) {
    while !events.is_closed() {
        let connected = timeout(CONNECT_TIME * 2, begin(link, topic)).await;
        if let Ok(Ok(heard)) = connected {
            if events.send(TopicEvent::Resumed).await.is_err() {
                return;
            }
            pass_on(heard, events).await;
            if events.send(TopicEvent::Lost).await.is_err() {
                return;
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn begin(link: &Link, topic: &str) -> RedisResult<PubSub> {
    let mut heard = link.shared().address.listen().await?;
    heard.subscribe(topic).await?;
    Ok(heard)
}

/// Until the connection breaks, or does not answer.
async fn pass_on(heard: PubSub, events: &mpsc::Sender<TopicEvent>) {
    let (mut asking, mut messages) = heard.split();
    let mut ping = interval(PING);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return };
                let message = Bytes::copy_from_slice(message.get_payload_bytes());
                if events.send(TopicEvent::Message(message)).await.is_err() {
                    return;
                }
            }
            _ = ping.tick() => {
                let answer = timeout(CONNECT_TIME, asking.ping::<redis::Value>()).await;
                if !matches!(answer, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}
