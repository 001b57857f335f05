//! The page at `/`: what there is, made from the table of routes.

use std::fmt::Write as _;

use axum::response::Html;

use super::routes::routes;

/// A page that lists the endpoints.
pub(super) async fn page() -> ([(&'static str, &'static str); 1], Html<String>) {
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ([("content-security-policy", policy)], Html(render()))
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>tidegate</title>\
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;\
margin:2rem auto;padding:0 1rem}code{font:14px ui-monospace,monospace}td{padding:.2rem .8rem .2rem 0;\
vertical-align:top}</style><h1>tidegate</h1>\
<p>Point an OpenAI client at <code>/v1</code> of this address.</p><table>";

fn render() -> String {
    let mut page = HEAD.to_owned();
    for route in routes() {
        // Writing to a string cannot fail; the table holds no markup.
        let _ = write!(
            page,
            "<tr><td><code>{}</code><td><code>{}</code><td>{}",
            route.method.to_uppercase(),
            route.path,
            route.summary
        );
    }
    page.push_str("</table>");
    page
}
