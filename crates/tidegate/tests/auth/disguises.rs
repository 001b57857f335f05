//! Ways to send a request that have led around a door somewhere before.

/// What is done to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disguise {
    /// Nothing.
    Plain,
    /// Another `Host`.
    Host(&'static str),
    /// One more header.
    Header(&'static str),
    /// The absolute form of the target, with this in front.
    Absolute(&'static str),
    /// Something behind the path.
    Behind(&'static str),
    /// Something in front of the path.
    Before(&'static str),
    /// The last slash of the path, written like this.
    LastSlash(&'static str),
    /// The whole path in capitals.
    Capitals,
    /// Another method.
    Method(&'static str),
    /// HTTP/1.0.
    Old,
}

use Disguise::{Absolute, Before, Behind, Capitals, Header, Host, LastSlash, Method, Old, Plain};

pub(crate) const DISGUISES: [Disguise; 36] = [
    Plain,
    Old,
    Host("localhost"),
    Host("127.0.0.1:1"),
    Host("evil.example"),
    Host("gate/health/live?"),
    Host("gate:80@health"),
    Header("x-forwarded-for: 127.0.0.1"),
    Header("x-forwarded-host: localhost"),
    Header("x-forwarded-prefix: /health/live"),
    Header("forwarded: for=127.0.0.1;host=localhost;proto=https"),
    Header("x-real-ip: 127.0.0.1"),
    Header("x-original-url: /health/live"),
    Header("x-rewrite-url: /health/live"),
    Header("x-http-method-override: GET"),
    Header("x-api-key: "),
    Header("cookie: role=admin; tenant=ops"),
    Header("x-tenant: ops"),
    Absolute("http://gate"),
    Absolute("http://localhost"),
    Absolute("https://evil.example:1"),
    Behind("/"),
    Behind("?/health/live"),
    Behind("?key=admin&access_token=x"),
    Behind(";x=/health/live"),
    Behind("%00"),
    Behind("/../../health/live"),
    Behind("/%2e%2e/%2e%2e/health/live"),
    Before("/"),
    Before("/."),
    Before("/health/live/.."),
    Before("/health/live/%2e%2e"),
    LastSlash("%2f"),
    Capitals,
    Method("HEAD"),
    Method("OPTIONS"),
];

impl Disguise {
    /// Whether its host is none: such a request is refused as malformed (400,
    /// RFC 9112 section 3.2) before anybody asks for a key.
    pub(crate) fn has_malformed_host(&self) -> bool {
        matches!(self, Host(name) if name.contains(['/', '?', '@']))
    }

    /// Whether an honest caller would still be served, if with `GET`.
    pub(crate) fn keeps_path(&self) -> bool {
        match self {
            // An empty key beside a good one is two keys.
            Header("x-api-key: ") | Method("OPTIONS") | Capitals | LastSlash(_) | Before(_) => {
                false
            }
            Host(_) => !self.has_malformed_host(),
            Plain | Old | Header(_) | Absolute(_) | Method(_) => true,
            Behind(more) => more.starts_with('?'),
        }
    }

    /// The request, disguised; a body goes with `POST` only.
    pub(crate) fn wear(&self, method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let (mut method, mut target, mut version) = (method.to_owned(), path.to_owned(), "1.1");
        let (mut host, mut headers) = ("gate", headers.to_owned());
        match self {
            Plain => {}
            Old => version = "1.0",
            Host(other) => host = other,
            Header(line) => headers.push_str(&format!("{line}\r\n")),
            Absolute(origin) => target = format!("{origin}{path}"),
            Behind(more) => target.push_str(more),
            Before(more) => target.insert_str(0, more),
            LastSlash(other) => {
                let at = target.rfind('/').unwrap();
                target.replace_range(at..=at, other);
                if !target.starts_with('/') {
                    target.insert(0, '/');
                }
            }
            Capitals => target = target.to_uppercase(),
            Method(other) => method = (*other).to_owned(),
        }
        let body = if method == "POST" { body } else { "" };
        let length = body.len();
        format!(
            "{method} {target} HTTP/{version}\r\nhost: {host}\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        )
        .into_bytes()
    }
}
