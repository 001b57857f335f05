//! The settings of the guard.

use std::io;

use tidegate_engine::{ClassifierTerms, Direction, OwnThresholds, SecondConfig, StageSource};

use super::*;

#[test]
fn the_classifier_is_that_of_this_build_or_none() {
    let classifier = |text: &str| World::file(text).config().guard.classifier;
    assert_eq!(classifier(""), Some(ClassifierTerms::builtin()));
    assert_eq!(classifier("[guard]\nmodel = \"none\"\n"), None);
    check(
        "[guard]\nmodel = \"builtim\"\n",
        "tidegate.toml:2:9: guard.model: expected builtin, none, or a folder such as ./model, found \"builtim\"\n  \
         help: did you mean `builtin`?",
    );
}

#[test]
fn a_model_of_ones_own_is_a_folder_beside_the_file_that_names_it() {
    let second = |world: World| {
        let guard = world.config().guard;
        assert_eq!(guard.classifier, None);
        guard.second.unwrap()
    };
    let folder = |second: &SecondConfig| match &second.stage {
        StageSource::Folder(folder) => folder.display().to_string(),
        StageSource::Loaded(_) => panic!("the configuration loads no model"),
    };
    let own = second(World::file("[guard]\nmodel = \"./mine\"\n"));
    let other = SecondConfig::new(StageSource::Folder("./mine".into()));
    assert_eq!((own.timeout, own.sample), (other.timeout, other.sample));
    assert_eq!(own.below_confidence, other.below_confidence);
    assert_eq!(own.from_score, other.from_score);
    assert_eq!(own.cancel_confidence, other.cancel_confidence);
    // Without a setting it may flag as it says itself, and blocks nothing.
    let flags = OwnThresholds {
        flag: None,
        block: Some(ClassifierTerms::NEVER),
    };
    assert_eq!(own.thresholds, [flags; 5]);
    let text = "[guard]\nmodel = \"./mine\"\nblock_threshold.prompt = \"model\"\n";
    let asked = second(World::file(text));
    assert_eq!(asked.thresholds[0], OwnThresholds::default());
    let load = |name: &str, text: &str| {
        let sources = Sources {
            file: Some((name.to_owned(), text.to_owned())),
            env: &|_| None,
            env_names: Vec::new(),
            flags: Vec::new(),
            read_file: &|_| Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        };
        folder(&load(&sources).unwrap().config.guard.second.unwrap())
    };
    let relative = "[guard]\nmodel = \"./mine\"\n";
    assert_eq!(
        load("/etc/tidegate/tidegate.toml", relative),
        "/etc/tidegate/./mine"
    );
    let absolute = "[guard]\nmodel = \"/models/mine\"\n";
    assert_eq!(
        load("/etc/tidegate/tidegate.toml", absolute),
        "/models/mine"
    );
    let flag = second(World::default().flag("guard.model", "models/mine"));
    assert_eq!(folder(&flag), "models/mine");
}

#[test]
fn thresholds_of_ones_own_model_are_compared_where_both_are_known() {
    let head = "[guard]\nmodel = \"./mine\"\n";
    check(
        &format!("{head}flag_threshold.prompt = 0.8\nblock_threshold.prompt = 0.7\n"),
        "tidegate.toml:4:26: guard.block_threshold.prompt: 0.700 is below the flag threshold of \
         0.800\n  help: raise it, or lower guard.flag_threshold.prompt",
    );
    for lines in [
        "flag_threshold.prompt = 0.8\n",
        "flag_threshold.prompt = 0.8\nblock_threshold.prompt = \"model\"\n",
        "block_threshold.prompt = 0.1\n",
    ] {
        World::file(&format!("{head}{lines}")).config();
    }
}

#[test]
fn thresholds_of_the_classifier_are_numbers_the_measured_ones_or_never_reached() {
    let limits = |text: &str, direction| {
        let classifier = World::file(text).config().guard.classifier;
        let limits = classifier.unwrap().limits(direction);
        (limits.flag, limits.block)
    };
    let measured = ClassifierTerms::measured();
    let (answer, prompt) = (Direction::Answer, Direction::Prompt);
    let own = measured.limits(answer);
    let text = "[guard.block_threshold]\nanswer = \"model\"\nprompt = 0.75\n";
    assert_eq!(limits(text, answer), (own.flag, own.block));
    assert_eq!(limits(text, prompt), (measured.limits(prompt).flag, 0.75));
    // Nobody is blocked by a threshold that nobody gave.
    let never = ClassifierTerms::NEVER;
    let text = "[guard.flag_threshold]\nanswer = 0.9\nprompt = 0.8\nretrieved = \"never\"\n";
    assert_eq!(limits(text, answer), (0.9, never));
    assert_eq!(limits(text, prompt), (0.8, never));
    assert_eq!(limits(text, Direction::Retrieved), (never, never));
    check(
        "[guard.flag_threshold]\nprompt = 0.8\n[guard.block_threshold]\nprompt = 0.7\n",
        "tidegate.toml:4:10: guard.block_threshold.prompt: 0.700 is below the flag threshold of \
         0.800\n  help: raise it, or lower guard.flag_threshold.prompt",
    );
    check(
        "[guard.flag_threshold]\nprompt = \"often\"\n",
        "tidegate.toml:2:10: guard.flag_threshold.prompt: expected a number from 0 to 1, \"model\" \
         or \"never\", found \"often\"\n  \
         help: give a number from 0 to 1, \"model\" or \"never\", or leave the key out for model",
    );
}

#[test]
fn a_policy_is_a_name_of_a_built_in_one_of_a_listed_one_or_a_file() {
    let policy = |text: &str| World::file(text).config().guard.policy;
    assert_eq!(policy("[guard]\npolicy = \"strict\"").id(), "strict");
    assert_eq!(policy("[guard]\npolicy = \"own.toml\"").id(), "own");
    let listed = "[guard]\npolicies = [\"own.toml\"]\npolicy = \"own\"";
    assert_eq!(policy(listed).id(), "own");
    check(
        "[guard]\npolicy = \"strickt\"\n",
        "tidegate.toml:2:10: guard.policy: no policy has the name \"strickt\"\n  \
         help: did you mean `strict`?",
    );
    check(
        "[guard]\npolicies = [\"own.toml\", \"own.toml\"]\n",
        "tidegate.toml:2:25: guard.policies: own.toml: another file has a policy \"own\" as well",
    );
}

#[test]
fn a_broken_policy_is_a_problem_with_its_own_file_line_and_column() {
    let broken = "[policy]\nid = \"x\"\nbase = \"lax\"\n";
    let world = World::file("[guard]\npolicy = \"x.toml\"\n").secret_file("x.toml", broken);
    let problems = world.problems();
    let expected =
        "tidegate.toml:2:10: guard.policy: policy x.toml, line 3, column 8: unknown variant";
    assert!(problems.starts_with(expected), "{problems}");
    let gone = World::file("[guard]\npolicies = [\"gone.toml\"]\n").problems();
    assert!(gone.contains("cannot read the policy gone.toml"), "{gone}");
}

#[test]
fn another_content_of_a_policy_is_another_setting() {
    let of = |path: &str, text: &str| {
        let world = World::file("[guard]\npolicies = [\"x.toml\"]\npolicy = \"x.toml\"\n");
        let loaded = world.secret_file("x.toml", text).loaded();
        let setting = loaded
            .origins
            .into_iter()
            .find(|setting| setting.path == path);
        setting.unwrap().fingerprint
    };
    let [one, other] =
        ["strict", "default"].map(|base| format!("[policy]\nid = \"x\"\nbase = \"{base}\"\n"));
    for path in ["guard.policy", "guard.policies"] {
        assert_eq!(of(path, &one), of(path, &one));
        assert_ne!(of(path, &one), of(path, &other));
    }
}

#[test]
fn a_key_names_a_policy_and_never_a_file() {
    let key = |policy: &str| {
        let text = format!(
            "[guard]\npolicies = [\"own.toml\"]\n[[keys]]\ntenant = \"a\"\nkey = \"env:K\"\npolicy = \"{policy}\"\n"
        );
        World::file(&text).env("K", "a-key-of-16-or-more")
    };
    let demanded = |policy| key(policy).config().keys[0].policy.clone().unwrap();
    assert_eq!(demanded("own").id(), "own");
    assert_eq!(demanded("strict").id(), "strict");
    let problems = key("own.toml").problems();
    assert!(
        problems.contains("keys[0].policy: no policy has the name"),
        "{problems}"
    );
}
