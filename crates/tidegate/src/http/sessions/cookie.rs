//! The cookie that names a session. Scripts cannot read it, and other sites
//! cannot have it sent with what they post.

use std::time::Duration;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};

pub(super) const NAME: &str = "tidegate_session";

/// What the request's cookie says, if it has one.
pub(super) fn of(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    let found = pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then(|| value.trim_matches('"').to_owned())
    });
    found.filter(|id| !id.is_empty())
}

/// Has the client name this session for as long as it is kept.
pub(super) fn set(headers: &mut HeaderMap, id: &str, ttl: Duration) {
    let seconds = ttl.as_secs();
    put(
        headers,
        &format!("{NAME}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"),
    );
}

/// Has the client name none.
pub(super) fn forget(headers: &mut HeaderMap) {
    put(
        headers,
        &format!("{NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),
    );
}

fn put(headers: &mut HeaderMap, cookie: &str) {
    // What the engine has not taken for an id never comes here.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        headers.append(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&'static str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        assert_eq!(of(&headers).as_deref(), expected, "{lines:?}");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        check(&[], None);
        check(&["a=b"], None);
        check(&["a=b; tidegate_session=x; c=d"], Some("x"));
        check(&["a=b", "tidegate_session=\"x\""], Some("x"));
        check(&["xtidegate_session=y; tidegate_session=z"], Some("z"));
        check(&["tidegate_session="], None);
    }
}
