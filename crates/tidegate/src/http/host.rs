//! Which names a request may call the gate by.
//!
//! A web page can point a name of its own at this machine and then ask the gate
//! as if it were the page's own site. The name still stands in the request, so a
//! gate without keys answers only to names that cannot be bent that way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::Request;
use axum::http::Version;
use axum::http::header::HOST;

use super::error::ApiError;

/// Which names the gate answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPolicy {
    /// Every one.
    Any,
    /// Those of the loopback interface, and these, whatever the port.
    LoopbackOr(Vec<String>),
}

impl Default for HostPolicy {
    fn default() -> Self {
        Self::LoopbackOr(Vec::new())
    }
}

impl HostPolicy {
    /// The policy of a gate without keys that listens on `bind`.
    ///
    /// Elsewhere than on the loopback interface nobody knows the names by which
    /// the gate is reached, unless `names` says so.
    pub fn for_bind(bind: SocketAddr, names: &[String]) -> Self {
        if names.is_empty() && !bind.ip().to_canonical().is_loopback() {
            return Self::Any;
        }
        Self::LoopbackOr(names.to_vec())
    }

    fn admits(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::LoopbackOr(names) => {
                is_loopback(host) || names.iter().any(|name| name.eq_ignore_ascii_case(host))
            }
        }
    }
}

/// Checks by which name a request calls the gate.
///
/// A target in absolute form names the host itself, and then the header does
/// not count, as RFC 9112 has it. HTTP/1.0 knows requests without any name;
/// no browser sends them.
pub(super) fn check_host(head: &Request, policy: &HostPolicy) -> Result<(), ApiError> {
    let mut given = head.headers().get_all(HOST).iter();
    let header = given.next();
    if given.next().is_some() {
        return Err(ApiError::bad_host("there is more than one host header"));
    }
    if header.is_none() && head.version() == Version::HTTP_11 {
        return Err(ApiError::bad_host("HTTP/1.1 needs a host header"));
    }
    let header = header.map(|header| header.to_str().unwrap_or_default());
    let target = head.uri().authority().map(|authority| authority.as_str());
    let Some(named) = target.or(header) else {
        return Ok(());
    };
    let host = host_of(named).ok_or_else(|| ApiError::bad_host("the host is not a valid one"))?;
    if policy.admits(host) {
        Ok(())
    } else {
        Err(ApiError::foreign_host())
    }
}

/// The name or address in `host` or `host:port`.
fn host_of(named: &str) -> Option<&str> {
    let end = match named.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => named.find(':').unwrap_or(named.len()),
    };
    let (host, port) = named.split_at(end);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=[:]".contains(&byte);
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    (!host.is_empty() && host.bytes().all(allowed) && port_fits).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.trim_end_matches(']').parse::<Ipv6Addr>();
        return address.is_ok_and(|address| IpAddr::V6(address).to_canonical().is_loopback());
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    // A dot at the end only says that the name is complete.
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    /// Refused means `foreign_host`, wrong means any other refusal.
    #[track_caller]
    fn check(policy: &HostPolicy, named: &str, expected: &str) {
        let request = Request::builder()
            .header(HOST, named)
            .body(Body::empty())
            .expect("a valid request");
        assert_eq!(seen(&request, policy), expected, "{named}");
    }

    fn seen(request: &Request, policy: &HostPolicy) -> &'static str {
        match check_host(request, policy) {
            Ok(()) => "answered",
            Err(error) if error.to_string() == ApiError::foreign_host().to_string() => "refused",
            Err(_) => "wrong",
        }
    }

    #[test]
    fn the_gate_answers_to_every_name_of_the_loopback_interface() {
        let policy = HostPolicy::default();
        for named in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
        ] {
            check(&policy, named, "answered");
        }
    }

    #[test]
    fn it_does_not_answer_to_names_that_others_can_bend() {
        let policy = HostPolicy::default();
        for named in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "xlocalhost",
            "127.0.0.1.evil.example",
            "127.1",
            "0.0.0.0",
            "10.0.0.1",
            "[::]",
            "[fe80::1]",
        ] {
            check(&policy, named, "refused");
        }
    }

    #[test]
    fn what_is_no_host_is_wrong_under_every_policy() {
        for policy in [HostPolicy::Any, HostPolicy::default()] {
            for named in [
                "",
                ":80",
                "a b",
                "user@localhost",
                "localhost:x",
                "[::1",
                "[::1]x",
                "a/b",
            ] {
                check(&policy, named, "wrong");
            }
        }
    }

    #[test]
    fn configured_names_are_answered_to_in_any_case_and_on_any_port() {
        let policy = HostPolicy::LoopbackOr(vec!["gate.example".to_owned()]);
        check(&policy, "Gate.Example:443", "answered");
        check(&policy, "sub.gate.example", "refused");
        check(&policy, "localhost", "answered");
    }

    #[test]
    fn the_target_counts_where_it_names_a_host() {
        let policy = HostPolicy::default();
        for (target, header, expected) in [
            ("http://evil.example/", "localhost", "refused"),
            ("http://localhost/", "evil.example", "answered"),
            ("http://evil.example@localhost/", "localhost", "wrong"),
        ] {
            let request = Request::builder()
                .uri(target)
                .header(HOST, header)
                .body(Body::empty())
                .expect("a valid request");
            assert_eq!(seen(&request, &policy), expected, "{target}");
        }
    }

    #[test]
    fn only_the_older_protocol_goes_without_a_name() {
        for (version, expected) in [(Version::HTTP_10, "answered"), (Version::HTTP_11, "wrong")] {
            let request = Request::builder()
                .version(version)
                .body(Body::empty())
                .expect("a valid request");
            assert_eq!(seen(&request, &HostPolicy::default()), expected);
        }
    }

    #[test]
    fn where_nobody_knows_the_names_every_one_will_do() {
        let (loopback, open) = (([127, 0, 0, 1], 1).into(), ([0, 0, 0, 0], 1).into());
        let names = ["gate.example".to_owned()];
        let named = HostPolicy::LoopbackOr(names.to_vec());
        assert_eq!(HostPolicy::for_bind(loopback, &[]), HostPolicy::default());
        assert_eq!(HostPolicy::for_bind(open, &[]), HostPolicy::Any);
        assert_eq!(HostPolicy::for_bind(loopback, &names), named);
        assert_eq!(HostPolicy::for_bind(open, &names), named);
    }
}
