use super::*;

#[track_caller]
fn refused(parameters: Value, message: &str) -> RenderError {
    let error = report().render("report", &wish(parameters)).unwrap_err();
    assert_eq!(error.to_string(), message);
    error
}

#[test]
fn every_wrong_parameter_is_named_with_what_it_must_be() {
    let error = refused(
        json!({"lines": 12, "notes": "none", "qestion": "Why?"}),
        "prompt report: parameter \"question\" is missing; it must be a string; \
         parameter \"lines\" must be a whole number from 1 to 9; \
         parameter \"notes\" must be a list, and is a string; \
         parameter \"subject\" is missing; it must be JSON other than null; \
         parameter \"qestion\" is not known to this prompt; did you mean \"question\"?",
    );
    assert_eq!(error.code(), "missing_parameter");
    assert_eq!(error.param().as_deref(), Some("parameters.question"));
}

#[test]
fn lengths_and_bounds_are_those_of_the_pack() {
    let with = |name: &str, value: Value| {
        let mut parameters = object(json!({"question": "Why?", "subject": 1}));
        parameters.insert(name.to_owned(), value);
        Value::Object(parameters)
    };
    let error = refused(
        with("question", "é".repeat(10_001).into()),
        "prompt report: parameter \"question\" has 10001 characters; 0 to 10000 are possible",
    );
    assert_eq!(error.code(), "invalid_parameter");
    let bounds = "prompt report: parameter \"lines\" must be a whole number from 1 to 9";
    for wrong in [json!(0), json!(10), json!(2.5), json!(1e300)] {
        refused(with("lines", wrong), bounds);
    }
    refused(
        with("lines", json!("3")),
        &format!("{bounds}, and is a string"),
    );
    for right in [json!(1), json!(9.0), json!(null)] {
        assert!(
            report()
                .render("report", &wish(with("lines", right)))
                .is_ok()
        );
    }
}

#[test]
fn a_value_is_never_part_of_an_error() {
    let secret = "hunter2-secret";
    let library = Library::default();
    for parameters in [
        json!({"question": [secret], "history": secret, "paragraphs": secret, "framework": secret}),
        json!({"question": "q", "framework": secret}),
    ] {
        let error = library.render("chat", &wish(parameters)).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn an_unknown_prompt_or_framework_comes_with_a_suggestion() {
    let library = Library::default();
    let error = library.render("analysys", &wish(json!({}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no prompt has the name \"analysys\"; did you mean \"analysis\"?"
    );
    assert_eq!(error.code(), "prompt_not_found");
    let error = library.render("42", &wish(json!({}))).unwrap_err();
    assert!(error.to_string().ends_with("; there are analysis, chat, follow-up-analysis, procedure, query-writing, section-identification, troubleshoot"));
    let asked = json!({"question": "q", "framework": "seller-investigations"});
    let error = library.render("chat", &wish(asked)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "prompt chat: parameter \"framework\" names no framework; did you mean \
         \"seller-investigation\"?"
    );
}

#[test]
fn all_parameters_together_have_a_bound() {
    let text = "x".repeat(1 << 20);
    let parameters = json!({"question": "q", "subject": [text, text, text, text, text]});
    let error = report().render("report", &wish(parameters)).unwrap_err();
    assert_eq!(error.code(), "limit_exceeded");
    assert!(
        error.to_string().ends_with("4194304 are possible"),
        "{error}"
    );
}
