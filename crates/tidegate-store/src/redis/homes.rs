//! Every home of a store in Redis.

use std::sync::Arc;

use super::{
    Link, LinkConfig, RedisCache, RedisLeases, RedisLimits, RedisQueue, RedisRecords, inspect,
};
use crate::cache::Cache;
use crate::config::{OnUnreachable, StoreConfig};
use crate::error::OpenError;
use crate::leases::Leases;
use crate::limits::Limits;
use crate::queue::Queue;
use crate::records::Records;
use crate::state::{Reach, Remark, StoreState, Weight};
use crate::store::LISTEN_WITHIN;
use crate::url::RedisUrl;

/// The homes, and the links that they use.
#[derive(Debug, Clone)]
pub(crate) struct RedisHomes {
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) limits: Arc<dyn Limits>,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) queue: Arc<dyn Queue>,
    /// One for each database: the first is that of the cache and the limits,
    /// the last that of the records and their leases.
    links: Vec<Link>,
    on_unreachable: OnUnreachable,
}

impl RedisHomes {
    pub(crate) async fn open(config: &StoreConfig, url: &RedisUrl) -> Result<Self, OpenError> {
        let first = config.cache_db.unwrap_or(url.db);
        let last = config.sessions_db.unwrap_or(url.db);
        let mut links = vec![link(config, url, first).await?];
        if last != first {
            links.push(link(config, url, last).await?);
        }
        let (shared, rows) = (links[0].clone(), links[links.len() - 1].clone());
        let loads = Arc::new(RedisLeases::new(shared.clone()));
        let (bytes, ahead) = (config.cache_bytes, config.refresh_ahead);
        let cache = RedisCache::new(shared.clone(), loads, bytes, ahead);
        if shared.is_live() {
            // Before it hears others, it keeps nothing.
            cache.listens(LISTEN_WITHIN).await;
        }
        Ok(Self {
            cache: Arc::new(cache),
            limits: Arc::new(RedisLimits::new(shared, config.on_unreachable)),
            records: Arc::new(RedisRecords::new(rows.clone())),
            leases: Arc::new(RedisLeases::new(rows.clone())),
            queue: Arc::new(RedisQueue::new(rows)),
            links,
            on_unreachable: config.on_unreachable,
        })
    }

    /// How the link of the limits is doing, or the other where only that one
    /// is away.
    pub(crate) fn state(&self) -> StoreState {
        let mut reaches = self.links.iter().map(Link::reach);
        let away = reaches.find(|reach| matches!(reach, Reach::Unreachable { .. }));
        StoreState {
            home: self.links[0].url().topology.as_str(),
            reach: away.unwrap_or(Reach::Live),
            nodes: self.links[0].nodes().count,
            on_unreachable: self.on_unreachable,
        }
    }

    pub(crate) async fn inspect(&self) -> Vec<Remark> {
        let databases: Vec<_> = self
            .links
            .iter()
            .map(|link| link.db().to_string())
            .collect();
        let mut all = vec![Remark {
            weight: Weight::Note,
            text: format!("database {}", databases.join(" and ")),
        }];
        all.extend(inspect(&self.links[0]).await);
        all
    }

    pub(crate) async fn close(&self) {
        for link in &self.links {
            link.close().await;
        }
    }
}

async fn link(config: &StoreConfig, url: &RedisUrl, db: u16) -> Result<Link, OpenError> {
    let link = Link::open(LinkConfig {
        url: url.clone(),
        db,
        timeout: config.timeout,
    });
    link.await
}
