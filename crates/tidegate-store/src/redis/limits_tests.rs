//! The account's script next to the ledger in memory, at times of a test's own;
//! and what a node does without Redis.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::time::Instant;

use crate::ledger::{Caps, InUse, Ledger, guarded};
use crate::limits::{Dimension, Quota, Refused, Used};
use crate::servers::RedisServer;

const SCRIPT: &str = include_str!("limits.lua");
/// Where the script reads the time of a test.
const CLOCK: &str = "tidegate:limit:{test}:clock";
/// Two hundred and fifty-six grains of 100 us, and the guard.
const WINDOW: Duration = Duration::from_micros(2_560_000);
const LEASE_US: u64 = 2_000_000;

thread_local! {
    /// One for each test, gone when its thread ends.
    static SERVER: RedisServer = RedisServer::start();
}

/// One account at one server, whose time is moved by hand.
struct Bench {
    connection: redis::Connection,
    script: redis::Script,
    name: String,
    now: u64,
}

/// What the script answers, by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    verdict: i64,
    wait: u64,
    number: u64,
    requests: u64,
    tokens: u64,
    concurrent: i64,
    guard: u64,
    born: u64,
    cooling: u64,
}

/// How a question differs from the simplest one.
#[derive(Debug, Clone, Default)]
struct Question {
    notes: Vec<[String; 5]>,
    renewals: Vec<String>,
    known: u64,
    guard: u64,
}

impl Bench {
    fn start() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let client =
            redis::Client::open(SERVER.with(RedisServer::url)).expect("the address is one");
        let real = "call('TIME')";
        assert_eq!(SCRIPT.matches(real).count(), 1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let moved = format!("call('HMGET', '{CLOCK}', KEYS[1], '{CLOCK}')");
        let script = SCRIPT.replace(real, &moved).replace(
            "local now = time[1] * 1000000 + time[2]",
            "local now = tonumber(time[1])",
        );
        let mut bench = Self {
            connection: client.get_connection().expect("the server answers"),
            script: redis::Script::new(&script),
            name: format!("{{test}}{number}"),
            now: 1_700_000_000_000_000,
        };
        bench.pass(0);
        bench
    }

    fn keys(&self) -> [String; 2] {
        ["account", "leases"].map(|what| format!("tidegate:limit:{}:{what}", self.name))
    }

    fn pass(&mut self, micros: u64) {
        self.set_clock(self.now + micros);
    }

    fn set_clock(&mut self, now: u64) {
        self.now = now;
        let [account, _] = self.keys();
        let mut cmd = redis::cmd("HSET");
        let set: redis::RedisResult<()> = cmd
            .arg(CLOCK)
            .arg(account)
            .arg(now)
            .query(&mut self.connection);
        set.expect("the clock is set");
    }

    fn ask(&mut self, wanted: Option<(&Quota, u64, &str)>, question: &Question) -> Answer {
        let [account, leases] = self.keys();
        let length = micros(guarded(WINDOW));
        let limit = |limit: Option<u64>| limit.map_or("-1".to_owned(), |most| most.to_string());
        let mut script = self.script.prepare_invoke();
        script.key(account).key(leases);
        script
            .arg(u8::from(wanted.is_some()))
            .arg(length)
            .arg(length / 256);
        script.arg(question.known).arg(question.guard);
        script
            .arg(question.notes.len())
            .arg(question.renewals.len())
            .arg(LEASE_US);
        match wanted {
            Some((quota, tokens, _)) => script
                .arg(limit(quota.requests))
                .arg(limit(quota.tokens))
                .arg(limit(quota.concurrent))
                .arg(tokens),
            None => script.arg(0).arg(0).arg(0).arg(0),
        };
        for field in question.notes.iter().flatten().chain(&question.renewals) {
            script.arg(field);
        }
        if let Some((_, _, lease)) = wanted {
            script.arg(lease);
        }
        let said: Vec<i64> = script
            .invoke(&mut self.connection)
            .expect("the script runs");
        let amount = |at: usize| u64::try_from(said[at]).expect("no amount is negative");
        Answer {
            verdict: said[0],
            wait: amount(1),
            number: amount(2),
            requests: amount(3),
            tokens: amount(4),
            concurrent: said[5],
            guard: amount(6),
            born: amount(7),
            cooling: amount(8),
        }
    }

    fn reserve(&mut self, quota: &Quota, tokens: u64, lease: &str) -> Answer {
        self.ask(Some((quota, tokens, lease)), &Question::default())
    }

    fn look(&mut self) -> Answer {
        self.ask(None, &Question::default())
    }

    fn redis<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut cmd = redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(*word);
        }
        cmd.query(&mut self.connection).expect("the server obeys")
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a short time")
}

fn settled(lease: &str, number: u64, cost: u64, used: i64) -> [String; 5] {
    [
        "s",
        lease,
        &number.to_string(),
        &cost.to_string(),
        &used.to_string(),
    ]
    .map(str::to_owned)
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Reserve(u64),
    Settle(usize, i64),
    /// At the next reservation, and together with it.
    SettleAnd(usize, i64, u64),
}

const QUOTA: Quota = Quota {
    requests: Some(12),
    tokens: Some(100),
    concurrent: Some(6),
    window: WINDOW,
};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let used = || prop_oneof![(0..150_i64), Just(-1), Just(-2)];
    let tokens = || (0..=100_u64).prop_map(|tokens| tokens * tokens / 100);
    let step = prop_oneof![
        3 => prop_oneof![0..300_u64, 0..30_000_u64, 0..1_500_000_u64].prop_map(Step::Pass),
        6 => tokens().prop_map(Step::Reserve),
        2 => (any::<usize>(), used()).prop_map(|(which, used)| Step::Settle(which, used)),
        2 => (any::<usize>(), used(), tokens())
            .prop_map(|(which, used, tokens)| Step::SettleAnd(which, used, tokens)),
    ];
    prop::collection::vec(step, 1..120)
}

/// The script and the ledger side by side.
struct Pair {
    bench: Bench,
    ledger: Ledger,
    start: Instant,
    began: u64,
    next: u64,
    open: Vec<(String, u64, u64, crate::ledger::Stamps)>,
}

impl Pair {
    fn new() -> Self {
        let bench = Bench::start();
        Self {
            began: bench.now,
            bench,
            ledger: Ledger::new(QUOTA),
            start: Instant::now(),
            next: 0,
            open: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.bench.now - self.began)
    }

    fn end(&mut self, which: usize, used: i64) -> Option<[String; 5]> {
        if self.open.is_empty() {
            return None;
        }
        let (lease, number, cost, stamps) = self.open.swap_remove(which % self.open.len());
        let told = match used {
            -1 => Used::Unknown,
            -2 => Used::Nothing,
            used => Used::Tokens(used.unsigned_abs()),
        };
        let now = self.now();
        self.ledger.settle_at(stamps, cost, told, now);
        Some(settled(&lease, number, cost, used))
    }

    fn reserve(&mut self, tokens: u64, question: &Question) -> Result<(), TestCaseError> {
        let lease = self.next.to_string();
        self.next += 1;
        // Leases are renewed in time, so that both count the same ones.
        let mut question = question.clone();
        question.renewals = self.open.iter().map(|(lease, ..)| lease.clone()).collect();
        let now = self.now();
        let said = self.bench.ask(Some((&QUOTA, tokens, &lease)), &question);
        let expected = self.ledger.reserve(&Caps::from(&QUOTA), tokens, now);
        let wait = Duration::from_micros(said.wait);
        match expected {
            Ok(stamps) => {
                prop_assert_eq!(said.verdict, 1, "{:?}", said);
                self.open.push((lease, said.number, tokens, stamps));
            }
            Err(Refused::Throttled {
                dimension: Dimension::Concurrency,
                ..
            }) => {
                prop_assert_eq!(said.verdict, 4, "{:?}", said);
            }
            Err(Refused::Throttled {
                dimension,
                retry_after,
            }) => {
                let verdict = if dimension == Dimension::Requests {
                    2
                } else {
                    3
                };
                prop_assert_eq!((said.verdict, Some(wait)), (verdict, retry_after));
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
        let InUse {
            requests, tokens, ..
        } = self.ledger.in_use(now);
        prop_assert_eq!((said.requests, said.tokens), (requests, tokens));
        Ok(())
    }

    fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass(micros) => self.bench.pass(micros),
            Step::Reserve(tokens) => self.reserve(tokens, &Question::default())?,
            Step::Settle(which, used) => {
                if let Some(note) = self.end(which, used) {
                    let notes = vec![note];
                    let question = Question {
                        notes,
                        ..Question::default()
                    };
                    self.bench.ask(None, &question);
                }
            }
            Step::SettleAnd(which, used, tokens) => {
                let notes = self.end(which, used).into_iter().collect();
                let question = Question {
                    notes,
                    ..Question::default()
                };
                self.reserve(tokens, &question)?;
            }
        }
        Ok(())
    }
}

#[test]
fn the_account_counts_grants_and_refuses_exactly_as_the_ledger_does() {
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&steps(), |steps| {
        let mut pair = Pair::new();
        for step in steps {
            pair.apply(step)?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn requests(requests: u64) -> Quota {
    Quota {
        requests: Some(requests),
        window: WINDOW,
        ..Quota::unlimited()
    }
}

fn concurrent(concurrent: u64) -> Quota {
    Quota {
        concurrent: Some(concurrent),
        window: WINDOW,
        ..Quota::unlimited()
    }
}

#[test]
fn memory_stays_bounded_and_goes_when_it_cannot_matter_any_more() {
    let mut bench = Bench::start();
    let [account, leases] = bench.keys();
    let mut most = 0_u64;
    for step in 0..3_000 {
        assert_eq!(bench.reserve(&requests(100_000), 1, "one").verdict, 1);
        bench.pass(2_000);
        if step % 50 == 0 {
            most = most.max(bench.redis(&["HLEN", &account]));
        }
    }
    assert!((200..=260).contains(&most), "{most} fields");
    let length = i64::try_from(micros(guarded(WINDOW)) / 1_000).unwrap();
    for key in [&account, &leases] {
        let left: i64 = bench.redis(&["PTTL", key]);
        assert!((1..=2 * length + 2_000).contains(&left), "{key}: {left} ms");
    }
}

#[test]
fn a_set_of_leases_that_was_empty_goes_by_itself_as_well() {
    let mut bench = Bench::start();
    let [_, leases] = bench.keys();
    let number = bench.reserve(&concurrent(2), 1, "a").number;
    let question = Question {
        notes: vec![settled("a", number, 1, -1)],
        ..Question::default()
    };
    assert_eq!(bench.ask(None, &question).concurrent, 0);
    bench.reserve(&concurrent(2), 1, "b");
    let left: i64 = bench.redis(&["PTTL", &leases]);
    assert!((1..=10_000).contains(&left), "{left} ms");
}

#[test]
fn the_slots_of_a_node_that_says_nothing_are_free_after_two_seconds() {
    let mut bench = Bench::start();
    let quota = concurrent(2);
    assert_eq!(bench.reserve(&quota, 1, "dead.1").verdict, 1);
    assert_eq!(bench.reserve(&quota, 1, "alive.1").verdict, 1);
    let alive = Question {
        renewals: vec!["alive.1".to_owned()],
        ..Question::default()
    };
    for _ in 0..3 {
        bench.pass(500_000);
        assert_eq!(bench.ask(None, &alive).concurrent, 2);
    }
    assert_eq!(bench.reserve(&quota, 1, "next").verdict, 4);
    bench.pass(500_000);
    assert_eq!(bench.ask(None, &alive).concurrent, 1);
    assert_eq!(bench.reserve(&quota, 1, "next").verdict, 1);
}

#[test]
fn a_renewal_that_finds_its_lease_gone_puts_it_back_and_it_counts() {
    let mut bench = Bench::start();
    let quota = concurrent(1);
    assert_eq!(bench.reserve(&quota, 1, "stalled").verdict, 1);
    bench.pass(LEASE_US);
    assert_eq!(bench.look().concurrent, 0);
    let back = Question {
        renewals: vec!["stalled".to_owned()],
        ..Question::default()
    };
    assert_eq!(bench.ask(None, &back).concurrent, 1);
    assert_eq!(bench.reserve(&quota, 1, "next").verdict, 4);
}

#[test]
fn a_lease_that_was_lent_for_longer_is_not_shortened_by_a_late_renewal() {
    let mut bench = Bench::start();
    assert_eq!(bench.reserve(&concurrent(1), 1, "held").verdict, 1);
    let lend = Question {
        notes: vec![["l", "held", "60000000", "0", "0"].map(str::to_owned)],
        ..Question::default()
    };
    bench.ask(None, &lend);
    let late = Question {
        renewals: vec!["held".to_owned()],
        ..Question::default()
    };
    bench.ask(None, &late);
    bench.pass(59_000_000);
    assert_eq!(bench.look().concurrent, 1);
    bench.pass(1_000_000);
    assert_eq!(bench.look().concurrent, 0);
}

#[test]
fn a_settlement_of_an_account_that_was_lost_corrects_nothing_of_the_new_one() {
    let mut bench = Bench::start();
    let [account, _] = bench.keys();
    let number = bench.reserve(&requests(5), 40, "a").number;
    let _: u64 = bench.redis(&["DEL", &account]);
    bench.pass(1_000);
    bench.reserve(&requests(5), 40, "b");
    let question = Question {
        notes: vec![settled("a", number, 40, -2)],
        ..Question::default()
    };
    let said = bench.ask(None, &question);
    assert_eq!((said.requests, said.tokens), (1, 40));
}

#[test]
fn a_clock_that_goes_back_lets_nothing_leave_early_and_stops_nothing() {
    let mut bench = Bench::start();
    let length = micros(guarded(WINDOW));
    assert_eq!(bench.reserve(&requests(1), 1, "a").verdict, 1);
    bench.pass(length / 2);
    bench.look();
    bench.set_clock(bench.now - 300_000_000);
    let said = bench.reserve(&requests(1), 1, "b");
    assert_eq!((said.verdict, said.wait), (2, length - length / 2));
    bench.pass(said.wait - 1);
    assert_eq!(bench.reserve(&requests(1), 1, "b").verdict, 2);
    bench.pass(1);
    assert_eq!(bench.reserve(&requests(1), 1, "b").verdict, 1);
}

#[test]
fn an_account_that_forgot_what_a_node_was_granted_says_that_shares_count() {
    let mut bench = Bench::start();
    let [account, _] = bench.keys();
    let length = micros(guarded(WINDOW));
    // Whether this server is young is not asked here: it stands in the account.
    let born = bench.reserve(&requests(5), 1, "a").born;
    bench.pass(3 * length);
    let known = Question {
        known: born,
        ..Question::default()
    };
    assert_eq!(bench.ask(None, &known).guard, 0, "it is the same account");
    let _: u64 = bench.redis(&["DEL", &account]);
    bench.pass(1);
    assert_eq!(bench.ask(None, &known).guard, length);
    // Others are told too, whoever they are, until a window is over.
    bench.pass(length / 2);
    assert_eq!(bench.look().guard, length - length / 2);
    // The one who was granted something says so again and it begins anew.
    assert_eq!(bench.ask(None, &known).guard, length);
    bench.pass(length);
    assert_eq!(bench.look().guard, 0);
}

#[test]
fn an_account_that_cannot_be_read_is_made_anew_and_says_that_shares_count() {
    let mut random = Xorshift(77);
    for _ in 0..300 {
        let mut bench = Bench::start();
        let [account, _] = bench.keys();
        let length = micros(guarded(WINDOW));
        for number in 0..6 {
            bench.reserve(&requests(100), 7, &number.to_string());
            bench.pass(length / 10);
        }
        let mut fields: HashMap<String, Vec<u8>> = bench.redis(&["HGETALL", &account]);
        let names: Vec<_> = fields.keys().cloned().collect();
        let name = &names[random.below(names.len())];
        let bytes = fields.get_mut(name).unwrap();
        match random.below(3) {
            0 => bytes.truncate(random.below(bytes.len())),
            1 => bytes.push(0),
            _ => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        let mut put = redis::cmd("HSET");
        put.arg(&account).arg(name).arg(&*bytes);
        let _: u64 = put.query(&mut bench.connection).unwrap();
        // Everything is read while it leaves.
        let mut said = bench.look();
        for _ in 0..12 {
            bench.pass(length / 10);
            let next = bench.look();
            said.guard = said.guard.max(next.guard);
            said.requests = next.requests;
        }
        let fresh = said.guard > 0;
        assert!(
            fresh || said.requests == 0,
            "{said:?} after {name} was changed"
        );
    }
}

/// Numbers that look random and are the same in every run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

#[test]
fn a_key_that_cools_is_refused_until_then_and_a_shorter_word_changes_nothing() {
    let mut bench = Bench::start();
    let note = |words: [&str; 5]| Question {
        notes: vec![words.map(str::to_owned)],
        ..Question::default()
    };
    bench.ask(None, &note(["c", "9000000", "2", "0", "0"]));
    bench.ask(None, &note(["c", "1000000", "1", "0", "0"]));
    bench.pass(2_000_000);
    let said = bench.reserve(&requests(5), 1, "a");
    assert_eq!((said.verdict, said.wait, said.requests), (5, 7_000_000, 0));
    bench.ask(None, &note(["w", "0", "0", "0", "0"]));
    assert_eq!(bench.look().cooling, 0);
    assert_eq!(bench.reserve(&requests(5), 1, "a").verdict, 1);
}
