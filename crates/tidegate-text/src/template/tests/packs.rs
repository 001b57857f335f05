use super::*;

#[track_caller]
fn refused(pack: &str, expected: &[&str]) {
    let error = loaded(pack).unwrap_err();
    let said: Vec<String> = error.each().iter().map(ToString::to_string).collect();
    assert_eq!(said, expected);
}

/// The pack with one place changed, or several alike.
fn changed(from: &str, to: &str) -> String {
    assert!(REPORT.contains(from), "{from}");
    REPORT.replace(from, to)
}

#[test]
fn what_is_no_toml_is_refused_with_line_and_column() {
    refused(
        &changed("required = true", "requird = true"),
        &[
            "pack own.toml, line 13, column 1: unknown field `requird`, expected one of `name`, \
           `type`, `description`, `required`, `default`, `trusted`, `values`, `min`, `max`, \
           `min_length`, `max_length`, `section`",
        ],
    );
}

#[test]
fn every_mistake_of_a_pack_is_told_at_once_with_its_line() {
    let pack = changed("{{ question }}", "{{ qestion }}").replace("max = 9", "max = 0");
    refused(
        &pack,
        &[
            "pack own.toml, line 17: parameter lines: the smallest is above the largest",
            "pack own.toml, line 7: instructions: names `lines`, which is no parameter and no \
             word of a template; there are question, notes, log, subject",
            "pack own.toml, line 67: message 2: names `qestion`, which is no parameter and no \
             word of a template; did you mean `question`?",
        ],
    );
}

#[test]
fn what_callers_write_stands_where_the_guard_looks() {
    let untrusted = "pack own.toml, line 55: message 1: names `question`, which callers write; it \
                     may stand in messages of the role user only, where the guard looks, unless \
                     the parameter says `trusted = true`";
    let pack = changed("{{ role }} ", "{{ role }} {{ question }} ");
    refused(&pack, &[untrusted]);
    let role = untrusted.replace("line 55: message 1", "line 6: role");
    refused(&changed("You write reports.", "{{ question }}"), &[&role]);
    let trusted = pack.replacen("required = true", "required = true\ntrusted = true", 1);
    let library = loaded(&trusted).unwrap();
    let asked = wish(json!({"question": "Why?", "subject": 1}));
    let rendered = library.render("report", &asked).unwrap();
    assert!(rendered.messages[0].text.contains("Why?"));
    let context = changed("{{ role }} ", "{{ context.log }} ");
    let error = loaded(&context).unwrap_err().to_string();
    assert!(
        error.contains("names `context.log`, which callers write"),
        "{error}"
    );
}

#[test]
fn context_is_not_shown_without_the_rule_that_it_is_data() {
    refused(
        &changed(" {{ data_rule }}", ""),
        &[
            "pack own.toml, line 55: messages: shows context to the model without telling it what \
           that is; write {{ data_rule }}",
        ],
    );
}

#[test]
fn names_are_unique_and_not_taken() {
    for (from, to, expected) in [
        (
            "name = \"notes\"\ntype",
            "name = \"role\"\ntype",
            "line 25: parameter role: the name is taken by what every template knows: role",
        ),
        (
            "name = \"log\"\ntype",
            "name = \"notes\"\ntype",
            "line 30: parameter notes: stands twice in this pack",
        ),
        (
            "name = \"report\"",
            "name = \"Re port\"",
            "line 3: name: the name must be 1 to 64 of a-z, 0-9, _ and -, and begin with a letter or a digit",
        ),
        (
            "version = \"1.2.0\"",
            "version = \"1 2\"",
            "line 4: version: the version must be 1 to 32 of letters, digits, `.`, `+` and `-`",
        ),
    ] {
        let error = loaded(&changed(from, to)).unwrap_err().to_string();
        assert!(
            error.contains(&format!("pack own.toml, {expected}")),
            "{error}"
        );
    }
}

#[test]
fn shares_are_percentages_and_leave_the_base_what_is_left() {
    let with = |share: &str| {
        let variant = |name: &str| {
            format!("[[variants]]\nname = \"{name}\"\nshare = \"{share}\"\ndescription = \"d\"\n")
        };
        format!("{REPORT}{}{}", variant("a"), variant("b"))
    };
    let library = loaded(&with("10 %")).unwrap();
    let shares: Vec<String> = library
        .prompt("report")
        .unwrap()
        .variants
        .iter()
        .map(|variant| variant.share.to_string())
        .collect();
    assert_eq!(shares, ["80 %", "10 %", "10 %"]);
    assert!(loaded(&with("50 %")).is_ok());
    refused(
        &with("50.01 %"),
        &["pack own.toml, line 3: variants: the shares add up to more than 100 %"],
    );
    let error = loaded(&with("ten")).unwrap_err().to_string();
    assert!(
        error.contains("line 76: variant a: the share must be above 0 %"),
        "{error}"
    );
}

#[test]
fn a_test_that_does_not_hold_refuses_the_pack() {
    refused(
        &changed("contains = [\"Why?\"]", "contains = [\"Why?\", \"How?\"]"),
        &["pack own.toml, line 71: test \"it asks\": contains[1] is in no message"],
    );
    let golden =
        "messages = [{ role = \"system\", text = \"x\" }, { role = \"user\", text = \"y\" }]";
    refused(
        &changed("contains = [\"Why?\"]", golden),
        &["pack own.toml, line 71: test \"it asks\": messages[0] differs from line 1 on"],
    );
    refused(
        &changed("contains = [\"Why?\"]", "lacks = [\"Why?\"]\ncut = []"),
        &["pack own.toml, line 71: test \"it asks\": lacks[0] is in a message"],
    );
    let none = REPORT.split("[[tests]]").next().unwrap();
    refused(
        none,
        &["pack own.toml, line 3: report: has 0 tests; 1 to 256 are possible"],
    );
}

#[test]
fn a_prompt_takes_the_place_of_one_of_this_build_where_it_says_so() {
    let chat = changed("name = \"report\"", "name = \"chat\"");
    refused(
        &chat,
        &[
            "pack own.toml, line 3: chat: the name is taken by packs/prompts/chat.toml; to take its \
           place, say `replaces = true`",
        ],
    );
    let replaces = chat.replace("version =", "replaces = true\nversion =");
    let library = loaded(&replaces).unwrap();
    let own = library.prompt("chat").unwrap();
    assert_eq!(
        (own.layer, own.description.as_str()),
        (PromptLayer::Custom, "Reports")
    );
    assert_ne!(library.version(), Library::default().version());
    let nothing = changed("version =", "replaces = true\nversion =");
    refused(
        &nothing,
        &[
            "pack own.toml, line 3: report: says `replaces = true`, and no pack of this build has the name",
        ],
    );
    let twice = [source("a.toml", REPORT), source("b.toml", REPORT)];
    let error = Library::layered(&twice, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "pack b.toml, line 3: report: the name is taken by a.toml, which is of the same folder"
    );
}

#[test]
fn what_differs_in_anything_has_another_digest() {
    let digest = |pack: &str| {
        loaded(pack)
            .unwrap()
            .prompt("report")
            .unwrap()
            .digest
            .clone()
    };
    assert_eq!(digest(REPORT), digest(REPORT));
    assert_ne!(
        digest(REPORT),
        digest(&changed("You write reports.", "You write reports!"))
    );
}

#[test]
fn a_pack_has_a_size() {
    let error = loaded(&format!("{REPORT}#{}", "x".repeat(256 * 1024))).unwrap_err();
    assert!(
        error.to_string().ends_with("bytes; 262144 are possible"),
        "{error}"
    );
}

#[test]
fn lint_tells_what_is_allowed_and_probably_not_meant() {
    let pack = changed("max_length = 10_000\n", "").replace("{{ context.subject }}", "");
    let library = loaded(&format!("{pack}{VARIANTS}")).unwrap();
    let remarks = library.lint(library.prompt("report").unwrap());
    let kinds: Vec<(&str, &str)> = remarks
        .iter()
        .map(|remark| (remark.kind, remark.text.as_str()))
        .collect();
    assert_eq!(
        kinds,
        [
            (
                "unbounded",
                "the parameter question has no max_length and is no context"
            ),
            ("unused", "no message shows the parameter subject"),
            ("unused", "no message shows the context subject"),
            ("untested", "no test renders the variant terse"),
            ("untested", "no test renders the variant odd"),
        ]
    );
}
