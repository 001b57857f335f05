use super::*;

const HERE: (&str, &str) = (ENDPOINT, "http://collector:4318");

fn given(variables: &[(&str, &str)]) -> (Option<Settings>, Vec<Warning>) {
    read(&|name| {
        let mut set = variables.iter();
        set.find(|(known, _)| *known == name)
            .map(|(_, text)| (*text).to_owned())
    })
}

#[track_caller]
fn on(variables: &[(&str, &str)]) -> Settings {
    let (settings, warnings) = given(&[&[HERE], variables].concat());
    assert_eq!(warnings, []);
    settings.expect("traces are on")
}

/// The settings, and the one variable that is warned of.
#[track_caller]
fn warned(variables: &[(&str, &str)]) -> (Option<Settings>, Warning) {
    let (settings, mut warnings) = given(&[&[HERE], variables].concat());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    (settings, warnings.remove(0))
}

#[test]
fn without_an_endpoint_there_are_no_traces_and_no_warnings() {
    let (settings, warnings) = given(&[("OTEL_SERVICE_NAME", "x"), (SAMPLER, "nonsense")]);
    assert!(settings.is_none());
    assert_eq!(warnings, []);
}

#[test]
fn the_endpoint_for_all_signals_gets_a_path_and_the_own_one_does_not() {
    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &str) {
        let settings = given(variables).0.expect("traces are on");
        assert_eq!(settings.endpoint.to_string(), expected);
    }
    check(&[HERE], "http://collector:4318/v1/traces");
    check(&[(ENDPOINT, "https://c/otlp/")], "https://c/otlp/v1/traces");
    check(&[HERE, (TRACES_ENDPOINT, "https://t/in")], "https://t/in");
}

#[test]
fn what_switches_traces_off_does_so_silently() {
    for (name, text) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_SDK_DISABLED", "TRUE"),
        (EXPORTER, "none"),
    ] {
        let (settings, warnings) = given(&[HERE, (name, text)]);
        assert!(settings.is_none(), "{name}={text}");
        assert_eq!(warnings, []);
    }
}

#[test]
fn what_cannot_be_sent_as_asked_is_not_sent_and_said() {
    for (name, text) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        (EXPORTER, "zipkin"),
        (TRACES_ENDPOINT, "collector:4318"),
        (TRACES_ENDPOINT, "ftp://collector"),
    ] {
        let (settings, warning) = warned(&[(name, text)]);
        assert!(settings.is_none(), "{name}={text}");
        assert_eq!(warning.variable, name);
        assert!(warning.message.ends_with("traces are off"), "{warning:?}");
    }
}

#[test]
fn a_wrong_value_is_named_and_replaced() {
    for (name, text) in [
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "70000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "soon"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai"),
        (SAMPLER, "jaeger_remote"),
        (PROPAGATORS, "tracecontext,b3"),
    ] {
        let (settings, warning) = warned(&[(name, text)]);
        assert!(settings.is_some(), "{name}={text}");
        assert_eq!(warning.variable, name);
    }
}

#[test]
fn a_header_that_is_malformed_is_named_by_its_place_alone() {
    let (_, warning) = warned(&[("OTEL_EXPORTER_OTLP_HEADERS", "a=1,sk-secret")]);
    assert_eq!(warning.message, "entry 2 is not name=value: it is left out");
    let (_, warning) = warned(&[(TRACES_ENDPOINT, "http://me:sk-secret@c/v1/traces")]);
    assert!(!warning.message.contains("secret"));
}

#[test]
fn samplers_are_those_of_the_standard() {
    #[track_caller]
    fn check(name: &str, argument: &str, expected: &str) {
        let settings = on(&[(SAMPLER, name), (SAMPLER_ARG, argument)]);
        assert_eq!(format!("{:?}", settings.sampler), expected);
    }
    check("always_on", "", "AlwaysOn");
    check("always_off", "", "AlwaysOff");
    check("traceidratio", "0.25", "TraceIdRatioBased(0.25)");
    check("parentbased_always_off", "", "ParentBased(AlwaysOff)");
    check("parentbased_always_on", "", "ParentBased(AlwaysOn)");
    check(
        "parentbased_traceidratio",
        "0.5",
        "ParentBased(TraceIdRatioBased(0.5))",
    );
    let (settings, warning) = warned(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, "2")]);
    assert_eq!(warning.variable, SAMPLER_ARG);
    let sampler = settings.expect("traces are on").sampler;
    assert_eq!(format!("{sampler:?}"), "TraceIdRatioBased(1.0)");
}

#[test]
fn batches_are_as_asked() {
    let batch = on(&[
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
        ("OTEL_BSP_SCHEDULE_DELAY", "250"),
    ]);
    let expected = Batch {
        most_waiting: 100,
        most_exported: 10,
        delay: Duration::from_millis(250),
    };
    assert_eq!(batch.batch, expected);
}

#[test]
fn the_shorter_of_two_timeouts_holds() {
    let both = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "900"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "700"),
    ];
    assert_eq!(on(&both).timeout, Duration::from_millis(700));
    assert_eq!(on(&both[..1]).timeout, Duration::from_millis(900));
    assert_eq!(on(&[]).timeout, Duration::from_secs(10));
}

#[test]
fn the_service_is_called_tidegate_unless_it_is_given_a_name() {
    assert_eq!(on(&[]).service_name, Some("tidegate"));
    assert_eq!(on(&[("OTEL_SERVICE_NAME", "x")]).service_name, None);
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "a=1, service.name=x");
    assert_eq!(on(&[attributes]).service_name, None);
}

#[test]
fn current_conventions_are_for_those_who_ask() {
    assert_eq!(on(&[]).profile, Profile::V1_36);
    let words = "http,gen_ai_latest_experimental";
    let settings = on(&[("OTEL_SEMCONV_STABILITY_OPT_IN", words)]);
    assert_eq!(settings.profile, Profile::Latest);
}

#[test]
fn the_callers_trace_is_continued_unless_that_is_switched_off() {
    assert_eq!(on(&[]).parents, Parents::Continued);
    let both = on(&[(PROPAGATORS, "tracecontext,baggage")]);
    assert_eq!(both.parents, Parents::Continued);
    assert_eq!(on(&[(PROPAGATORS, "none")]).parents, Parents::Ignored);
}
