//! Hears what other processes do to the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::redis::{Link, TopicEvent};

const TOPIC: &str = "tidegate:queue";

/// A bell that others ring, too, once somebody has listened to it.
#[derive(Debug)]
pub(super) struct Bell {
    bell: Arc<watch::Sender<u64>>,
    link: Link,
    is_heard: AtomicBool,
}

impl Bell {
    pub(super) fn new(link: &Link) -> Self {
        Self {
            bell: Arc::new(watch::Sender::new(0)),
            link: link.clone(),
            is_heard: AtomicBool::new(false),
        }
    }

    /// This process has done something.
    pub(super) fn ring(&self) {
        self.bell.send_modify(|rung| *rung += 1);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        if !self.is_heard.swap(true, Ordering::AcqRel) {
            let (bell, link) = (self.bell.clone(), self.link.clone());
            let mut topic = link.subscribe(TOPIC);
            self.link.spawn(async move {
                while let Some(event) = topic.recv().await {
                    match event {
                        // It was rung when it was done.
                        TopicEvent::Message(node) if node == link.node() => {}
                        TopicEvent::Message(_) | TopicEvent::Resumed => {
                            bell.send_modify(|rung| *rung += 1);
                        }
                        TopicEvent::Lost => {}
                    }
                }
            });
        }
        self.bell.subscribe()
    }
}
