//! `[tasks]`, `[[task_kinds]]`, `[[schedules]]` and `[[webhooks]]`.

use tidegate_engine::{Missed, Priority};

use super::*;

const SECRET: &str = "canary-0123456789";

/// A schedule with these lines beside its name and kind.
fn schedule(more: &str) -> String {
    format!("[[schedules]]\nname = \"nightly\"\nkind = \"scan_batch\"\n{more}")
}

#[track_caller]
fn check_schedule(more: &str, expected: &str) {
    check(&schedule(more), expected);
}

#[test]
fn every_key_of_a_schedule_reaches_the_typed_one() {
    let text = schedule(
        "cron = \"30 3 * * *\"\ninput = '{\"texts\":[]}'\npriority = \"low\"\n\
         missed = \"all\"\ntenant = \"team-a\"\n",
    );
    let expected = ScheduleRow {
        name: "nightly".to_owned(),
        kind: "scan_batch".to_owned(),
        when: When::Cron("30 3 * * *".to_owned()),
        input: "{\"texts\":[]}".to_owned(),
        priority: Priority::Low,
        missed: Missed::All,
        tenant: "team-a".to_owned(),
    };
    assert_eq!(World::file(&text).config().tasks.schedules, [expected]);
}

#[test]
fn an_interval_is_a_number_with_a_unit() {
    for (text, seconds) in [("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400)] {
        let row = World::file(&schedule(&format!("every = \"{text}\"\n")));
        let row = row.config().tasks.schedules.remove(0);
        assert_eq!(row.when, When::Every(Duration::from_secs(seconds)));
        assert_eq!((row.priority, row.missed), (Priority::Normal, Missed::Once));
        assert_eq!((&*row.input, &*row.tenant), ("{}", "@local"));
    }
    for text in ["5", "m", "5 m", "-5m", "5w", "5ä"] {
        check_schedule(
            &format!("every = \"{text}\"\n"),
            "tidegate.toml:4:9: schedules[0].every: expected a number with s, m, h or d, such as 90s or 5m",
        );
    }
    check_schedule(
        "every = \"367d\"\n",
        "tidegate.toml:4:9: schedules[0].every: an interval of 31708800s: 1 s to 366 days",
    );
}

#[test]
fn a_schedule_says_once_when_it_is_due() {
    check_schedule(
        "",
        "tidegate.toml:1:1: schedules[0].cron: cron or every must say when",
    );
    check_schedule(
        "cron = \"* * * * *\"\nevery = \"5m\"\n",
        "tidegate.toml:5:9: schedules[0].every: cron or every says when, not both",
    );
    check_schedule(
        "cron = \"0 0 31 2 *\"\n",
        "tidegate.toml:4:8: schedules[0].cron: \"0 0 31 2 *\" is never due",
    );
    let problem = World::file(&schedule("cron = \"daily\"\n")).problems();
    let expected = "tidegate.toml:4:8: schedules[0].cron: \"daily\" is no cron expression: ";
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn what_a_schedule_submits_is_json() {
    let problem = World::file(&schedule("every = \"5m\"\ninput = \"{texts}\"\n")).problems();
    let expected = "tidegate.toml:5:9: schedules[0].input: it is no JSON: key must be a string";
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn kinds_and_schedules_are_named_once() {
    check(
        &format!("{0}{0}", schedule("every = \"5m\"\n")),
        "tidegate.toml:6:8: schedules[1].name: \"nightly\" is already defined at \
         tidegate.toml:2\n  help: give each its own name",
    );
    check(
        "[[task_kinds]]\nname = \"chat\"\n[[task_kinds]]\nname = \"chat\"\n",
        "tidegate.toml:4:8: task_kinds[1].name: \"chat\" is already defined at \
         tidegate.toml:2\n  help: give each its own name",
    );
}

#[test]
fn a_kind_may_be_bounded_in_two_ways() {
    let text = "[[task_kinds]]\nname = \"chat\"\nconcurrency = 2\nper_minute = 30\n\
                [[task_kinds]]\nname = \"scan_batch\"\n";
    let kinds = World::file(text).config().tasks.kinds;
    let row = |concurrency, per_minute| KindRow {
        concurrency,
        per_minute,
    };
    assert_eq!(kinds["chat"], row(Some(2), Some(30)));
    assert_eq!(kinds["scan_batch"], row(None, None));
}

#[test]
fn a_webhook_is_a_host_and_a_secret_that_is_not_short() {
    let row = |host: &str, secret: &str| {
        let text = format!("[[webhooks]]\nhost = \"{host}\"\nsecret = \"{secret}\"\n");
        World::file(&text).env("GOOD", SECRET).env("SHORT", "short")
    };
    let hooks = row("hooks.example:8443", "env:GOOD")
        .config()
        .tasks
        .webhooks;
    let secret = Secret::new(SECRET);
    assert_eq!(hooks, [("hooks.example:8443".to_owned(), secret)]);
    assert_eq!(
        row("https://hooks.example", "env:GOOD").problems(),
        "tidegate.toml:2:8: webhooks[0].host: a host such as hooks.example.com or \
         hooks.example.com:8443, and nothing else"
    );
    assert_eq!(
        row("hooks.example", "env:SHORT").problems(),
        "tidegate.toml:3:10: webhooks[0].secret: the secret has fewer than 16 characters"
    );
    let unset = row("hooks.example", "env:NONE").problems();
    assert!(
        unset.contains("environment variable NONE is not set"),
        "{unset}"
    );
}

#[test]
fn celery_left_out_runs_tasks_inline() {
    let inline = |value: &str| {
        World::default()
            .env("USE_CELERY", value)
            .config()
            .tasks
            .inline
    };
    assert!(inline("false") && inline("FALSE") && inline("0") && inline("no"));
    assert!(!inline("true") && !inline("1"));
    let problem = World::default().env("USE_CELERY", "maybe").problems();
    assert!(
        problem.contains("USE_CELERY") && problem.contains("true or false"),
        "{problem}"
    );
    let stronger = World::file("[tasks]\ninline = false\n").env("USE_CELERY", "false");
    assert!(!stronger.config().tasks.inline);
}
