//! What every cache promises.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tidegate_store::{
    Cache, Freshness, Keep, MOST_NAME_BYTES, MOST_TAGS, Name, Selector, StoreError, Turn,
};

use crate::cache_home::{CACHE_BYTES, CacheHome, each_cache};

pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) fn name(owner: &str, namespace: &'static str, key: &str) -> Name {
    Name {
        owner: owner.to_owned(),
        namespace,
        key: key.to_owned(),
    }
}

fn of(key: &str) -> Name {
    name("tenant", "answer", key)
}

pub(crate) fn keep(ttl: Duration, tags: &[&str], domain: Option<&str>) -> Keep {
    Keep {
        ttl,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        domain: domain.map(ToOwned::to_owned),
    }
}

pub(crate) async fn get(cache: &dyn Cache, name: &Name) -> Option<String> {
    let hit = cache.get(name).await?;
    Some(String::from_utf8_lossy(&hit.value).into_owned())
}

pub(crate) async fn put(cache: &dyn Cache, name: &Name, value: &str, keep: &Keep) {
    let load = cache.begin(name).await;
    let value = Bytes::copy_from_slice(value.as_bytes());
    cache.put(load, value, keep).await;
}

async fn put_for(cache: &dyn Cache, key: &str, value: &str, ttl: Duration) {
    put(cache, &of(key), value, &keep(ttl, &[], None)).await;
}

async fn forget(cache: &dyn Cache, what: Selector) -> Result<u64, StoreError> {
    cache.invalidate(Some("tenant"), &what).await
}

#[test]
fn a_value_is_there_until_its_time_is_over() {
    each_cache(async |home, cache| {
        put_for(&*cache, "k", "v", home.short()).await;
        put_for(&*cache, "long", "v", LONG).await;
        assert_eq!(get(&*cache, &of("k")).await.as_deref(), Some("v"));
        if home.is_exact() {
            let moment = Duration::from_millis(1);
            home.pass(home.short() - moment).await;
            assert_eq!(get(&*cache, &of("k")).await.as_deref(), Some("v"));
            home.pass(moment).await;
        } else {
            home.outlive_short().await;
        }
        assert_eq!(get(&*cache, &of("k")).await, None);
        assert_eq!(get(&*cache, &of("long")).await.as_deref(), Some("v"));
    });
}

#[test]
fn a_read_does_not_lengthen_the_time() {
    each_cache(async |home, cache| {
        put_for(&*cache, "k", "v", home.short()).await;
        for _ in 0..9 {
            home.pass(home.short() / 10).await;
            get(&*cache, &of("k")).await;
        }
        home.pass(home.short() / 10 * 3).await;
        assert_eq!(get(&*cache, &of("k")).await, None);
    });
}

#[test]
fn a_second_value_replaces_the_first_and_its_time() {
    each_cache(async |home, cache| {
        put_for(&*cache, "longer", "one", home.short()).await;
        put_for(&*cache, "shorter", "one", LONG).await;
        put_for(&*cache, "longer", "two", LONG).await;
        put_for(&*cache, "shorter", "two", home.short()).await;
        assert_eq!(get(&*cache, &of("longer")).await.as_deref(), Some("two"));
        assert_eq!(get(&*cache, &of("shorter")).await.as_deref(), Some("two"));
        home.outlive_short().await;
        assert_eq!(get(&*cache, &of("shorter")).await, None);
        assert_eq!(get(&*cache, &of("longer")).await.as_deref(), Some("two"));
    });
}

#[test]
fn a_value_of_no_time_is_never_there_and_one_for_ever_is() {
    each_cache(async |_, cache| {
        put_for(&*cache, "k", "v", Duration::ZERO).await;
        assert_eq!(get(&*cache, &of("k")).await, None);
        put_for(&*cache, "ever", "v", Duration::from_secs(u64::MAX / 2_000)).await;
        assert_eq!(get(&*cache, &of("ever")).await.as_deref(), Some("v"));
    });
}

#[test]
fn keys_are_compared_whole_and_values_come_back_byte_for_byte() {
    each_cache(async |_, cache| {
        let long: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        for bytes in [Vec::new(), (0..=255).collect(), long] {
            let load = cache.begin(&of("k")).await;
            let bytes = Bytes::from(bytes);
            cache.put(load, bytes.clone(), &keep(LONG, &[], None)).await;
            let hit = cache.get(&of("k")).await.expect("it is there");
            assert_eq!(hit.value, bytes);
            assert_eq!(hit.freshness, Freshness::Fresh);
        }
        for other in ["K", "k ", "kk", "\u{212a}", "*", "?"] {
            assert_eq!(cache.get(&of(other)).await, None, "{other:?}");
        }
    });
}

#[test]
fn what_one_owner_keeps_no_other_finds_or_removes() {
    each_cache(async |_, cache| {
        let names = [
            name("ab", "answer", "k"),
            name("a", "answer", "k"),
            name("a", "scan", "k"),
            name("a", "answer", "bk"),
            name("", "answer", "k"),
        ];
        for (number, name) in names.iter().enumerate() {
            let keep = keep(LONG, &["t"], Some("d"));
            put(&*cache, name, &number.to_string(), &keep).await;
        }
        for selector in [
            Selector::Key("k".into()),
            Selector::Tag("t".into()),
            Selector::Domain("d".into()),
            Selector::Namespace("answer".into()),
            Selector::Prefix("k".into()),
        ] {
            for stranger in ["b", "A", "abk", "*"] {
                let removed = cache.invalidate(Some(stranger), &selector).await;
                assert_eq!(removed, Ok(0), "{stranger} {selector:?}");
            }
        }
        for (number, name) in names.iter().enumerate() {
            assert_eq!(get(&*cache, name).await, Some(number.to_string()));
        }
    });
}

const ALL: [&str; 5] = ["one", "two", "twofold", "three", "t*"];

/// Keeps five values, forgets some, and says which.
async fn gone(cache: &dyn Cache, owner: Option<&str>, what: Selector) -> Vec<&'static str> {
    let named = ALL.map(|key| match key {
        "three" => name("tenant", "scan", key),
        key => of(key),
    });
    let keeps = [
        keep(LONG, &["red", "blue"], Some("sea")),
        keep(LONG, &["red"], None),
        keep(LONG, &["blue"], Some("land")),
        keep(LONG, &["blue"], Some("sea")),
        keep(LONG, &[], None),
    ];
    for (name, keep) in named.iter().zip(&keeps) {
        put(cache, name, "v", keep).await;
    }
    let removed = cache.invalidate(owner, &what).await;
    let mut gone = Vec::new();
    for (key, name) in ALL.into_iter().zip(&named) {
        if get(cache, name).await.is_none() {
            gone.push(key);
        }
    }
    assert_eq!(removed, Ok(gone.len() as u64), "{what:?}");
    gone
}

#[test]
fn a_selector_takes_what_it_names_and_counts_it() {
    each_cache(async |_, cache| {
        let cases: [(Selector, &[&str]); 12] = [
            (Selector::Key("two".into()), &["two"]),
            (Selector::Key("three".into()), &["three"]),
            (Selector::Key("no".into()), &[]),
            (Selector::Tag("red".into()), &["one", "two"]),
            (Selector::Tag("blue".into()), &["one", "twofold", "three"]),
            (Selector::Tag("sea".into()), &[]),
            (Selector::Domain("sea".into()), &["one", "three"]),
            (Selector::Domain("red".into()), &[]),
            (Selector::Namespace("scan".into()), &["three"]),
            (Selector::Prefix("two".into()), &["two", "twofold"]),
            (Selector::Prefix("t*".into()), &["t*"]),
            (
                Selector::Prefix("t".into()),
                &["two", "twofold", "three", "t*"],
            ),
        ];
        let mut all = 0;
        for (what, expected) in cases {
            for owner in [Some("tenant"), None] {
                let found = gone(&*cache, owner, what.clone()).await;
                assert_eq!(found, expected, "{what:?} {owner:?}");
                all += expected.len() as u64;
            }
        }
        assert_eq!(cache.stats().invalidations, all);
    });
}

#[test]
fn where_no_owner_is_named_everybody_forgets() {
    each_cache(async |_, cache| {
        let owners: Vec<_> = (0..40).map(|n| format!("owner {n}")).collect();
        for owner in &owners {
            let keep = keep(LONG, &["t"], None);
            put(&*cache, &name(owner, "answer", "k"), "v", &keep).await;
        }
        let removed = cache.invalidate(None, &Selector::Tag("t".into())).await;
        assert_eq!(removed, Ok(40));
        for owner in &owners {
            assert_eq!(get(&*cache, &name(owner, "answer", "k")).await, None);
        }
    });
}

#[test]
fn many_values_of_one_tag_are_all_forgotten() {
    each_cache(async |_, cache| {
        cache.resize(100 * CACHE_BYTES);
        // More than one step of any walk.
        let keys: Vec<_> = (0..3_000).map(|n| format!("key {n}")).collect();
        let keep = &keep(LONG, &["t"], None);
        for some in keys.chunks(100) {
            let puts = some
                .iter()
                .map(async |key| put(&*cache, &of(key), "v", keep).await);
            join_all(puts).await;
        }
        assert_eq!(cache.stats().sets, 3_000, "{:?}", cache.stats());
        assert_eq!(forget(&*cache, Selector::Tag("t".into())).await, Ok(3_000));
        for key in &keys {
            assert_eq!(get(&*cache, &of(key)).await, None, "{key}");
        }
        assert_eq!(forget(&*cache, Selector::Tag("t".into())).await, Ok(0));
    });
}

#[test]
fn hostile_names_are_not_kept_and_forget_nothing() {
    each_cache(async |_, cache| {
        let long = "x".repeat(MOST_NAME_BYTES + 1);
        let hostile = ["", long.as_str(), "a\nb", "a\0b", "\u{7f}", "\u{85}"];
        put(&*cache, &of("k"), "v", &keep(LONG, &["t"], None)).await;
        let mut errors = 0;
        for text in hostile {
            put_for(&*cache, text, "v", LONG).await;
            assert_eq!(cache.get(&of(text)).await, None, "{text:?}");
            for keep in [keep(LONG, &["t", text], None), keep(LONG, &[], Some(text))] {
                put(&*cache, &of("labeled"), "v", &keep).await;
                assert_eq!(cache.get(&of("labeled")).await, None, "{text:?}");
            }
            for what in [
                Selector::Key(text.into()),
                Selector::Tag(text.into()),
                Selector::Prefix(text.into()),
            ] {
                assert_eq!(forget(&*cache, what).await, Ok(0));
            }
            errors += 6;
        }
        put(&*cache, &name("a\nb", "answer", "k"), "v", &Keep::default()).await;
        let many: Vec<_> = (0..=MOST_TAGS).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        put(&*cache, &of("many"), "v", &keep(LONG, &many, None)).await;
        assert_eq!(cache.get(&of("many")).await, None);
        assert_eq!(cache.stats().errors, errors + 2);
        put(&*cache, &of("many"), "v", &keep(LONG, &many[1..], None)).await;
        assert_eq!(get(&*cache, &of("many")).await.as_deref(), Some("v"));
        assert_eq!(get(&*cache, &of("k")).await.as_deref(), Some("v"));
    });
}

#[test]
fn the_longest_names_are_kept_and_forgotten() {
    each_cache(async |_, cache| {
        let long = "ü".repeat(MOST_NAME_BYTES / 2);
        let (name, keep) = (of(&long), keep(LONG, &[&long], Some(&long)));
        for what in [
            Selector::Key(long.clone()),
            Selector::Tag(long.clone()),
            Selector::Domain(long.clone()),
            Selector::Prefix(long.clone()),
        ] {
            put(&*cache, &name, "v", &keep).await;
            assert_eq!(get(&*cache, &name).await.as_deref(), Some("v"));
            assert_eq!(forget(&*cache, what).await, Ok(1));
            assert_eq!(get(&*cache, &name).await, None);
        }
    });
}

#[test]
fn a_value_whose_load_began_before_it_was_forgotten_is_not_kept() {
    each_cache(async |_, cache| {
        for what in [
            Selector::Key("k".into()),
            Selector::Tag("t".into()),
            Selector::Domain("d".into()),
            Selector::Namespace("answer".into()),
            Selector::Prefix("k".into()),
        ] {
            let keep = keep(LONG, &["t"], Some("d"));
            for owner in [Some("tenant"), None] {
                let load = cache.begin(&of("k")).await;
                cache.invalidate(owner, &what).await.expect("it is done");
                cache.put(load, "old".into(), &keep).await;
                assert_eq!(get(&*cache, &of("k")).await, None, "{what:?}");
                let load = cache.begin(&of("k")).await;
                cache.put(load, "new".into(), &keep).await;
                assert_eq!(get(&*cache, &of("k")).await.as_deref(), Some("new"));
            }
        }
    });
}

#[test]
fn what_is_forgotten_elsewhere_does_not_keep_a_load_from_being_kept() {
    each_cache(async |_, cache| {
        let load = cache.begin(&of("k")).await;
        for what in [
            Selector::Key("other".into()),
            Selector::Tag("other".into()),
            Selector::Domain("other".into()),
            Selector::Namespace("scan".into()),
            Selector::Prefix("kk".into()),
        ] {
            forget(&*cache, what).await.expect("it is done");
        }
        let all = Selector::Namespace("answer".into());
        let other = cache.invalidate(Some("other"), &all).await;
        assert_eq!(other, Ok(0));
        cache
            .put(load, "v".into(), &keep(LONG, &["t"], Some("d")))
            .await;
        assert_eq!(get(&*cache, &of("k")).await.as_deref(), Some("v"));
    });
}

#[test]
fn in_the_last_share_of_its_time_one_caller_makes_a_value_anew() {
    each_cache(async |home, cache| {
        // Four fifths of it, whatever the spread, are over after nine tenths.
        let ttl = match home {
            CacheHome::Memory => Duration::from_secs(100),
            CacheHome::Redis => Duration::from_secs(5),
        };
        put_for(&*cache, "k", "old", ttl).await;
        assert!(cache.turn_to_refresh(&of("k")).await.is_none());
        assert!(cache.turn_to_refresh(&of("absent")).await.is_none());
        let mut hit = cache.get(&of("k")).await.expect("it is there");
        let mut steps = 0;
        while hit.freshness == Freshness::Fresh {
            home.pass(ttl / 100).await;
            hit = cache.get(&of("k")).await.expect("it is not over yet");
            steps += 1;
        }
        if home.is_exact() {
            assert_eq!(steps, 80);
        }
        assert_eq!(hit.value, "old");
        let turns = join_all((0..20).map(async |_| cache.turn_to_refresh(&of("k")).await)).await;
        let mut turns: Vec<_> = turns.into_iter().flatten().collect();
        assert_eq!(turns.len(), 1);
        assert_eq!(get(&*cache, &of("k")).await.as_deref(), Some("old"));
        // Whoever gives up lets the next one try.
        drop(turns.pop());
        let load = loop {
            // A turn that is held in Redis is given back beside its holder.
            if let Some(load) = cache.turn_to_refresh(&of("k")).await {
                break load;
            }
            home.pass(ttl / 1_000).await;
        };
        cache.put(load, "new".into(), &keep(ttl, &[], None)).await;
        let hit = cache.get(&of("k")).await.expect("it is there");
        assert_eq!(
            (&*hit.value, hit.freshness),
            (&b"new"[..], Freshness::Fresh)
        );
        assert!(cache.turn_to_refresh(&of("k")).await.is_none());
    });
}

#[test]
fn a_turn_is_a_load_where_nobody_else_loads() {
    each_cache(async |_, cache| {
        for _ in 0..2 {
            let Turn::Load(load) = cache.turn(&of("k")).await else {
                panic!("nothing is there");
            };
            drop(load);
        }
        let Turn::Load(load) = cache.turn(&of("k")).await else {
            panic!("nothing is there");
        };
        cache.put(load, "v".into(), &keep(LONG, &[], None)).await;
        assert_eq!(get(&*cache, &of("k")).await.as_deref(), Some("v"));
    });
}

#[test]
fn look_ups_and_values_are_counted() {
    each_cache(async |home, cache| {
        put_for(&*cache, "k", "v", home.short()).await;
        put_for(&*cache, "k", "w", home.short()).await;
        home.outlive_short().await;
        put_for(&*cache, "l", "w", LONG).await;
        for key in ["l", "l", "l", "k", "other"] {
            cache.get(&of(key)).await;
        }
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.sets), (3, 2, 3));
        assert_eq!((stats.shared_hits, stats.errors), (0, 0));
        assert!((stats.hit_rate() - 0.6).abs() < 1e-9);
    });
}

#[test]
fn the_bound_in_bytes_holds_and_most_of_it_is_used() {
    each_cache(async |_, cache| {
        let value = "7".repeat(9_000);
        for n in 0..300 {
            put_for(&*cache, &format!("key {n}"), &value, LONG).await;
        }
        for _ in 0..2_000 {
            cache.stats();
            cache.get(&of("key 1")).await;
        }
        let stats = cache.stats();
        assert!(stats.bytes <= CACHE_BYTES, "{}", stats.bytes);
        assert!(stats.bytes >= CACHE_BYTES / 2, "{}", stats.bytes);
        assert!((50..=110).contains(&stats.entries), "{}", stats.entries);
        assert!(stats.evictions >= 190, "{}", stats.evictions);
    });
}

#[test]
fn what_is_read_often_stays_where_there_is_no_room_for_all() {
    each_cache(async |home, cache| {
        let value = "7".repeat(9_000);
        put_for(&*cache, "often", &value, LONG).await;
        for n in 0..1_000 {
            for _ in 0..4 {
                cache.get(&of("often")).await;
            }
            put_for(&*cache, &format!("key {n}"), &value, LONG).await;
        }
        let before = cache.stats();
        assert!(cache.get(&of("often")).await.is_some(), "{home:?}");
        // From memory, though most others are not there.
        assert_eq!(cache.stats().shared_hits, before.shared_hits);
    });
}

#[test]
fn a_value_larger_than_any_may_be_is_not_kept() {
    each_cache(async |home, cache| {
        put_for(&*cache, "small", "v", LONG).await;
        let load = cache.begin(&of("huge")).await;
        let huge = Bytes::from(vec![7; (16 << 20) + 1]);
        cache.put(load, huge, &keep(LONG, &[], None)).await;
        assert_eq!(cache.get(&of("huge")).await, None);
        assert_eq!(cache.stats().errors, 1);
        let load = cache.begin(&of("large")).await;
        let large = Bytes::from(vec![7; CACHE_BYTES as usize + 1]);
        cache.put(load, large.clone(), &keep(LONG, &[], None)).await;
        let hit = cache.get(&of("large")).await;
        match home {
            CacheHome::Memory => assert_eq!(hit, None),
            // There is room for it elsewhere.
            CacheHome::Redis => assert_eq!(hit.expect("it is there").value, large),
        }
        assert!(cache.stats().bytes <= CACHE_BYTES);
        assert_eq!(get(&*cache, &of("small")).await.as_deref(), Some("v"));
    });
}

#[test]
fn with_another_bound_the_memory_starts_empty_and_loads_go_on() {
    each_cache(async |home, cache| {
        put_for(&*cache, "k", "v", LONG).await;
        let load = cache.begin(&of("l")).await;
        cache.resize(2 * CACHE_BYTES);
        assert_eq!(cache.stats().entries, 0);
        assert_eq!(get(&*cache, &of("k")).await.is_some(), !home.is_exact());
        cache.put(load, "v".into(), &keep(LONG, &["t"], None)).await;
        assert_eq!(get(&*cache, &of("l")).await.as_deref(), Some("v"));
        assert_eq!(forget(&*cache, Selector::Tag("t".into())).await, Ok(1));
        assert_eq!(get(&*cache, &of("l")).await, None);
    });
}

#[test]
fn its_health_is_told_and_leaves_nothing_behind() {
    each_cache(async |_, cache| {
        let health = cache.check().await;
        assert!(health.latency.is_ok(), "{health:?}");
        assert_eq!(
            cache.invalidate(None, &Selector::Prefix("p".into())).await,
            Ok(0)
        );
        assert_eq!(cache.stats().sets, 0);
    });
}
