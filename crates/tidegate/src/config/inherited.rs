//! Settings from the variables of the systems that tidegate unites. They are
//! the weakest of all: they hold where nothing of our own says otherwise.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use super::Sources;
use super::env::env_name;
use super::kinds::is_host;
use super::layers::Scalars;
use super::node::Origin;
use super::problems::{Fault, Report};
use super::typed::UnusedVariable;

const URL: &str = "REDIS_URL";
const HOST: &str = "REDIS_HOST";
const PORT: &str = "REDIS_PORT";
const PASSWORD: &str = "REDIS_PASSWORD";

/// Variables with the settings that they stand for.
const SETTINGS: [(&str, &str, Unit); 7] = [
    (URL, "store.url", Unit::Same),
    ("REDIS_CACHE_DB", "store.cache_db", Unit::Same),
    ("REDIS_SESSION_DB", "store.sessions_db", Unit::Same),
    ("REDIS_CACHE_TTL_SECONDS", "cache.ttl_s", Unit::Same),
    (
        "REDIS_CACHE_MAX_SIZE_MB",
        "cache.max_bytes",
        Unit::Mebibytes,
    ),
    ("SESSION_TTL_SECONDS", "sessions.ttl_s", Unit::Same),
    ("USE_CELERY", "tasks.inline", Unit::Opposite),
];

/// What a variable counts in, seen from its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Same,
    Mebibytes,
    /// What it switches on is off there.
    Opposite,
}

impl Unit {
    fn converted(self, text: &str) -> Result<String, Fault> {
        match self {
            Self::Same => Ok(text.to_owned()),
            Self::Opposite => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok("false".to_owned()),
                "false" | "0" | "no" | "off" => Ok("true".to_owned()),
                _ => Err(Fault::new("expected true or false")),
            },
            Self::Mebibytes => {
                let number = text.parse::<u64>().ok();
                let bytes = number.and_then(|number| number.checked_mul(1 << 20));
                let fault = || Fault::new("expected a whole number of MiB");
                bytes.map(|bytes| bytes.to_string()).ok_or_else(fault)
            }
        }
    }
}

/// Sets what only these variables say.
pub(super) fn read(sources: &Sources<'_>, scalars: &mut Scalars, report: &mut Report) {
    for (name, path, unit) in SETTINGS {
        let Some(text) = set(sources, name) else {
            continue;
        };
        let text = unit.converted(&text);
        set_weakly(path, text, name, scalars, report);
    }
    if set(sources, URL).is_none()
        && let Some(host) = set(sources, HOST)
    {
        match port(sources) {
            Ok(port) => {
                let url = address(&host, port, set(sources, PASSWORD));
                set_weakly("store.url", url, HOST, scalars, report);
            }
            Err(fault) => set_weakly("store.url", Err(fault), PORT, scalars, report),
        }
    }
}

/// The variables that are set while others count.
pub(super) fn unused(sources: &Sources<'_>) -> Vec<UnusedVariable> {
    let (unused, why) = match (set(sources, URL), set(sources, HOST)) {
        (Some(_), _) => (&[HOST, PORT, PASSWORD][..], "REDIS_URL counts instead"),
        (None, Some(_)) => return Vec::new(),
        (None, None) => (&[PORT, PASSWORD][..], "says nothing without REDIS_HOST"),
    };
    let unused = unused.iter().filter(|name| set(sources, name).is_some());
    let unused = unused.map(|name| UnusedVariable {
        name: (*name).to_owned(),
        why,
    });
    unused.collect()
}

fn set(sources: &Sources<'_>, name: &str) -> Option<String> {
    let text = (sources.env)(name)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Sets `path` unless somebody else did, or tried to.
fn set_weakly(
    path: &str,
    text: Result<String, Fault>,
    name: &str,
    scalars: &mut Scalars,
    report: &mut Report,
) {
    if scalars.found(path).origin != Origin::Default || report.concerns(path) {
        return;
    }
    let origin = Origin::Env(name.to_owned());
    let done = text.and_then(|text| scalars.set_text(path, &text, &origin, env_name));
    if let Err(fault) = done {
        report.add(&origin, path, fault);
    }
}

const REDIS_PORT: u16 = 6_379;

fn port(sources: &Sources<'_>) -> Result<u16, Fault> {
    let Some(text) = set(sources, PORT) else {
        return Ok(REDIS_PORT);
    };
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => {
            let fault = Fault::new("expected a port from 1 to 65535");
            Err(if text.contains("://") {
                fault.help(
                    "Kubernetes sets this variable for a service of the name redis: \
                     set enableServiceLinks to false, or use REDIS_URL",
                )
            } else {
                fault
            })
        }
    }
}

/// The address that a host, a port and a password make together.
fn address(host: &str, port: u16, password: Option<String>) -> Result<String, Fault> {
    let host = if host.parse::<Ipv6Addr>().is_ok() {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    if !is_host(&host) {
        return Err(Fault::new("expected a host name or address without a port")
            .help("put a whole address into REDIS_URL"));
    }
    let access = password.map_or_else(String::new, |text| format!(":{}@", encoded(&text)));
    Ok(format!("redis://{access}{host}:{port}"))
}

/// Every byte that could mean something in an address is percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
