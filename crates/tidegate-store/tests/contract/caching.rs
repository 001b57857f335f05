//! What every cache promises.

use std::time::Duration;

use bytes::Bytes;
use tidegate_store::Cache;

use crate::home::{CACHE_BYTES, each_cache};

const TTL: Duration = Duration::from_secs(10);

async fn get(cache: &dyn Cache, key: &str) -> Option<String> {
    let value = cache.get(key).await?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

async fn put(cache: &dyn Cache, key: &str, value: &'static str, ttl: Duration) {
    cache
        .put(key, Bytes::from_static(value.as_bytes()), ttl)
        .await;
}

#[test]
fn a_value_is_there_until_its_time_is_over() {
    each_cache(async |home, cache| {
        put(&*cache, "k", "v", TTL).await;
        assert_eq!(get(&*cache, "k").await.as_deref(), Some("v"));
        home.pass(TTL - Duration::from_millis(1)).await;
        assert_eq!(get(&*cache, "k").await.as_deref(), Some("v"));
        home.pass(Duration::from_millis(1)).await;
        assert_eq!(get(&*cache, "k").await, None);
    });
}

#[test]
fn a_read_does_not_lengthen_the_time() {
    each_cache(async |home, cache| {
        put(&*cache, "k", "v", TTL).await;
        for _ in 0..9 {
            home.pass(TTL / 10).await;
            assert_eq!(get(&*cache, "k").await.as_deref(), Some("v"));
        }
        home.pass(TTL / 10).await;
        assert_eq!(get(&*cache, "k").await, None);
    });
}

#[test]
fn a_second_value_replaces_the_first_and_its_time() {
    each_cache(async |home, cache| {
        put(&*cache, "longer", "one", TTL).await;
        put(&*cache, "shorter", "one", TTL).await;
        home.pass(TTL / 2).await;
        put(&*cache, "longer", "two", TTL).await;
        put(&*cache, "shorter", "two", TTL / 10).await;
        assert_eq!(get(&*cache, "longer").await.as_deref(), Some("two"));
        assert_eq!(get(&*cache, "shorter").await.as_deref(), Some("two"));
        home.pass(TTL / 10).await;
        assert_eq!(get(&*cache, "shorter").await, None);
        home.pass(TTL / 2).await;
        assert_eq!(get(&*cache, "longer").await.as_deref(), Some("two"));
    });
}

#[test]
fn a_value_of_no_time_is_never_there() {
    each_cache(async |_, cache| {
        put(&*cache, "k", "v", Duration::ZERO).await;
        assert_eq!(get(&*cache, "k").await, None);
    });
}

#[test]
fn keys_are_compared_whole_and_values_come_back_byte_for_byte() {
    each_cache(async |_, cache| {
        let bytes = Bytes::from((0..=255).collect::<Vec<u8>>());
        cache.put("k", bytes.clone(), TTL).await;
        cache.put("", Bytes::new(), TTL).await;
        for other in ["K", "k ", "kk", "\u{212a}"] {
            assert_eq!(cache.get(other).await, None, "{other:?}");
        }
        assert_eq!(cache.get("k").await, Some(bytes));
        assert_eq!(cache.get("").await, Some(Bytes::new()));
    });
}

#[test]
fn look_ups_and_values_are_counted() {
    each_cache(async |home, cache| {
        put(&*cache, "k", "v", TTL).await;
        put(&*cache, "k", "w", TTL).await;
        for key in ["k", "k", "k", "other"] {
            cache.get(key).await;
        }
        home.pass(TTL).await;
        cache.get("k").await;
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.sets), (3, 2, 2));
    });
}

#[test]
fn the_bound_in_bytes_holds_and_most_of_it_is_used() {
    each_cache(async |_, cache| {
        let value = Bytes::from(vec![7; 1_000]);
        for n in 0..1_000 {
            cache.put(&format!("key {n}"), value.clone(), TTL).await;
        }
        let bytes = settled_bytes(&*cache).await;
        assert!(bytes <= CACHE_BYTES, "{bytes}");
        let mut found = 0;
        for n in 0..1_000 {
            found += u64::from(cache.get(&format!("key {n}")).await.is_some());
        }
        assert!((50..=100).contains(&found), "{found} values are there");
    });
}

#[test]
fn a_value_larger_than_the_whole_cache_does_not_stay() {
    each_cache(async |_, cache| {
        put(&*cache, "small", "v", TTL).await;
        let large = Bytes::from(vec![7; CACHE_BYTES as usize + 1]);
        cache.put("large", large, TTL).await;
        let bytes = settled_bytes(&*cache).await;
        assert!(bytes <= CACHE_BYTES, "{bytes}");
        assert_eq!(cache.get("large").await, None);
        assert_eq!(get(&*cache, "small").await.as_deref(), Some("v"));
    });
}

/// The bytes held, once a home that tidies up now and then has done so.
async fn settled_bytes(cache: &dyn Cache) -> u64 {
    for _ in 0..2_000 {
        cache.get("poke").await;
    }
    cache.stats().bytes
}
