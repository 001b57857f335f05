//! The caller's trace, in the W3C's `traceparent` and `tracestate`.

use std::str::FromStr;

use axum::http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// What every tracer has to carry, and no more than that is carried here.
const MOST_STATE_BYTES: usize = 512;

/// The span that a request continues. A header that is not as the standard
/// wants it is as good as none.
pub(super) fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut given = headers.get_all("traceparent").iter();
    let (Some(parent), None) = (given.next(), given.next()) else {
        return None;
    };
    let (trace, span, flags) = fields(parent.to_str().ok()?)?;
    let context = SpanContext::new(trace, span, flags, true, state(headers));
    context.is_valid().then_some(context)
}

fn fields(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let mut fields = text.trim().split('-');
    let version = hex(fields.next()?, 2)?;
    let trace = TraceId::from_hex(hex(fields.next()?, 32)?).ok()?;
    let span = SpanId::from_hex(hex(fields.next()?, 16)?).ok()?;
    let flags = u8::from_str_radix(hex(fields.next()?, 2)?, 16).ok()?;
    // A later version may have more to say; this one must not.
    let is_known = version == "00" && fields.next().is_none();
    let is_later = version != "00" && version != "ff";
    (is_known || is_later).then_some((trace, span, TraceFlags::new(flags) & TraceFlags::SAMPLED))
}

fn hex(field: &str, digits: usize) -> Option<&str> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (field.len() == digits && field.bytes().all(is_hex)).then_some(field)
}

fn state(headers: &HeaderMap) -> TraceState {
    let given = headers.get_all("tracestate").iter();
    let lists: Option<Vec<_>> = given.map(|list| list.to_str().ok()).collect();
    let state = lists.map(|lists| lists.join(",")).unwrap_or_default();
    if state.is_empty() || state.len() > MOST_STATE_BYTES {
        return TraceState::default();
    }
    TraceState::from_str(&state).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(pairs: &[(&'static str, &str)]) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        parent(&headers)
    }

    #[test]
    fn a_good_header_is_continued() {
        for (version, rest, sampled) in [
            ("00", "01", true),
            ("00", "00", false),
            ("00", "fe", false),
            ("42", "01-and-more", true),
        ] {
            let header = format!("{version}-{TRACE}-00f067aa0ba902b7-{rest}");
            let parent = of(&[("traceparent", &header), ("tracestate", "a=1")]).expect("a parent");
            assert_eq!(parent.trace_id().to_string(), TRACE);
            assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
            assert_eq!(parent.is_sampled(), sampled, "{header}");
            assert_eq!(parent.trace_state().header(), "a=1");
            assert!(parent.is_remote());
        }
    }

    #[test]
    fn a_malformed_header_is_as_good_as_none() {
        for header in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        ] {
            assert_eq!(of(&[("traceparent", header)]), None, "{header}");
        }
    }

    #[test]
    fn two_parents_are_none() {
        let header = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let twice = [("traceparent", &*header), ("traceparent", &*header)];
        assert_eq!(of(&twice), None);
    }

    #[test]
    fn a_state_that_is_too_long_or_malformed_is_left_behind() {
        let header = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for state in [&*format!("a={}", "x".repeat(600)), "no list at all"] {
            let parent = of(&[("traceparent", &header), ("tracestate", state)]).expect("a parent");
            assert_eq!(parent.trace_state().header(), "");
        }
    }
}
