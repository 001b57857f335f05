//! What each kind of key accepts, and how it says no.

use std::net::{Ipv6Addr, SocketAddr};

use super::guard::is_path;
use super::keys::{DATABASE_OF_URL, Fallback, Key, MAX_LIMIT, MEASURED, NEVER};
use super::node::{Node, Origin, Raw};
use super::problems::{Fault, closest};
use super::secret::Reference;
use super::store;
use super::time::parse_utc;
use super::value::{Found, Item, Threshold, Value};

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// An integer in `min..=max`.
    Integer {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A number in `min..=1`.
    Share {
        /// Smallest value.
        min: f64,
    },
    /// An IP address with a port.
    Address,
    /// One of a few words.
    Word {
        /// The words of this version.
        allowed: &'static [&'static str],
        /// Words that only a later version knows.
        later: &'static [&'static str],
    },
    /// Lower-case letters, digits, `_` and `-`.
    Name,
    /// Any text that is not empty.
    Text,
    /// An http or https URL without credentials, query or fragment.
    Url,
    /// `env:NAME` or `file:PATH`.
    Secret,
    /// A table of header names to text or secrets.
    Headers,
    /// A list of `provider/model` that is not empty.
    Chain,
    /// An integer of at least 1, or `unlimited`.
    Limit,
    /// A list of host names, which may be empty.
    Names,
    /// A time in UTC, to the second.
    Time,
    /// The address of a store, or a secret that holds one.
    Store,
    /// The number of a database, or the one of the address.
    Database,
    /// The name of a policy, or the file that it is in.
    Policy,
    /// A list of paths, which may be empty.
    Files,
    /// The number that a score must reach, the one that was measured, or none.
    Threshold,
    /// `builtin`, `none`, or a folder.
    Model,
    /// As a model, or the same one as elsewhere.
    Candidate,
}

/// The word for a budget without an end.
pub(super) const UNLIMITED: &str = "unlimited";

/// What the guard may ask beside its rules.
pub(super) const MODELS: &[&str] = &["builtin", "none"];
/// The words for a model that is rolled out.
pub(super) const CANDIDATES: &[&str] = &["same", "builtin", "none"];

impl Key {
    /// Checks `node`; a fault says what would be right.
    pub(super) fn check(&self, node: &Node) -> Result<Value, Fault> {
        self.kind
            .check(&node.raw)
            .map_err(|fault| self.with_way_out(fault))
    }

    /// Reads text from an environment variable or a flag.
    pub(super) fn check_text(&self, text: &str) -> Result<Value, Fault> {
        self.kind
            .check(&self.kind.raw(text))
            .map_err(|fault| self.with_way_out(fault))
    }

    /// The default, if there is one.
    pub(super) fn default_found(&self) -> Option<Found> {
        let Fallback::Value(text) = self.default else {
            return None;
        };
        let value = self
            .check_text(text)
            .expect("a test checks every default in the table");
        Some(Found {
            value,
            origin: Origin::Default,
        })
    }

    fn with_way_out(&self, fault: Fault) -> Fault {
        match (self.default, &fault.help) {
            (Fallback::Value(default), None) => {
                let expected = self.kind.described();
                fault.help(format!(
                    "give {expected}, or leave the key out for {default}"
                ))
            }
            _ => fault,
        }
    }
}

impl Kind {
    /// What the kind accepts, as the end of the sentence "expected …".
    pub(super) fn described(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Share { min } => format!("a number from {min} to 1"),
            Self::Address => "an address such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
            Self::Word { allowed, .. } => format!("one of {}", allowed.join(", ")),
            Self::Name => "a name of a-z, 0-9, _ and -".to_owned(),
            Self::Text => "text on one line, not empty".to_owned(),
            Self::Url => "an http or https URL".to_owned(),
            Self::Secret => "env:NAME or file:PATH".to_owned(),
            Self::Headers => "a table of header names to text".to_owned(),
            Self::Chain => "a list of \"provider/model\"".to_owned(),
            Self::Limit => "an integer of at least 1, or \"unlimited\"".to_owned(),
            Self::Names => "a list of host names".to_owned(),
            Self::Store => "the address of a store, env:NAME or file:PATH".to_owned(),
            Self::Database => format!(
                "an integer from 0 to {}, or \"{DATABASE_OF_URL}\"",
                u16::MAX
            ),
            Self::Policy => "monitor, default, strict, the id of a policy, or a file".to_owned(),
            Self::Files => "a list of files".to_owned(),
            Self::Threshold => format!("a number from 0 to 1, \"{MEASURED}\" or \"{NEVER}\""),
            Self::Model => format!("{}, or a folder such as ./model", MODELS.join(", ")),
            Self::Candidate => {
                format!("{}, or a folder such as ./model", CANDIDATES.join(", "))
            }
            Self::Time => "a time in UTC such as \"2027-01-31T00:00:00Z\"".to_owned(),
        }
    }

    /// Text as this kind would write it in TOML.
    fn raw(&self, text: &str) -> Raw {
        let typed = match self {
            Self::Flag => text.parse().ok().map(Raw::Flag),
            Self::Integer { .. } | Self::Limit | Self::Database => {
                text.replace('_', "").parse().ok().map(Raw::Integer)
            }
            Self::Share { .. } | Self::Threshold => text.parse().ok().map(Raw::Float),
            Self::Names | Self::Files => Some(listed(text)),
            Self::Address | Self::Word { .. } | Self::Name | Self::Text | Self::Store => None,
            Self::Policy | Self::Model | Self::Candidate => None,
            Self::Url | Self::Secret | Self::Headers | Self::Chain | Self::Time => None,
        };
        typed.unwrap_or_else(|| Raw::Text(text.to_owned()))
    }

    fn check(&self, raw: &Raw) -> Result<Value, Fault> {
        match self {
            Self::Flag => match raw {
                Raw::Flag(flag) => Ok(Value::Flag(*flag)),
                other => Err(self.mistyped(other)),
            },
            Self::Integer { min, max } => match raw {
                Raw::Integer(given) => in_range(*given, *min, *max).map(Value::Integer),
                other => Err(self.mistyped(other)),
            },
            Self::Share { min } => self.share(raw, *min),
            Self::Threshold => self.threshold(raw),
            Self::Model => self.model(raw, MODELS),
            Self::Candidate => self.model(raw, CANDIDATES),
            Self::Limit => self.limit(raw),
            Self::Time => self.time(raw),
            Self::Secret => reference(raw),
            Self::Store => store::check(raw),
            Self::Database => self.database(raw),
            Self::Headers => headers(raw),
            Self::Chain => self.chain(raw),
            Self::Names => self.names(raw),
            Self::Files => self.files(raw),
            Self::Policy => match raw {
                Raw::Text(text) if is_plain(text) => Ok(Value::Policy(text.clone())),
                other => Err(self.mistyped(other)),
            },
            Self::Address => self.address(raw),
            Self::Word { allowed, later } => self.word(raw, allowed, later),
            Self::Name => self.text(raw, is_name),
            Self::Text => self.text(raw, is_plain),
            Self::Url => match raw {
                Raw::Text(text) => check_url(text).map(|()| Value::Text(text.clone())),
                other => Err(self.mistyped(other)),
            },
        }
    }

    fn mistyped(&self, raw: &Raw) -> Fault {
        Fault::new(format!(
            "expected {}, found {}",
            self.described(),
            raw.described()
        ))
    }

    fn share(&self, raw: &Raw, min: f64) -> Result<Value, Fault> {
        let given = match raw {
            Raw::Float(given) => *given,
            Raw::Integer(given) => *given as f64,
            other => return Err(self.mistyped(other)),
        };
        if (min..=1.0).contains(&given) {
            // Adding zero turns -0.0 into 0.0, so that it reads as "off".
            return Ok(Value::Share(given + 0.0));
        }
        Err(Fault::new(format!("{given} is outside {min} to 1")))
    }

    fn threshold(&self, raw: &Raw) -> Result<Value, Fault> {
        match raw {
            Raw::Text(text) if text == MEASURED => Ok(Value::Threshold(Threshold::Measured)),
            Raw::Text(text) if text == NEVER => Ok(Value::Threshold(Threshold::Never)),
            other => match self.share(other, 0.0)? {
                Value::Share(share) => Ok(Value::Threshold(Threshold::At(share))),
                _ => Err(self.mistyped(raw)),
            },
        }
    }

    /// What is a path is a folder; it is read later.
    fn model(&self, raw: &Raw, words: &'static [&'static str]) -> Result<Value, Fault> {
        match raw {
            Raw::Text(text) if is_path(text) => Ok(Value::Text(text.clone())),
            other => self.word(other, words, &[]),
        }
    }

    fn limit(&self, raw: &Raw) -> Result<Value, Fault> {
        match raw {
            Raw::Integer(given) => in_range(*given, 1, MAX_LIMIT).map(Some).map(Value::Limit),
            Raw::Text(text) if text == UNLIMITED => Ok(Value::Limit(None)),
            other => Err(self.mistyped(other)),
        }
    }

    fn database(&self, raw: &Raw) -> Result<Value, Fault> {
        match raw {
            Raw::Integer(given) => match u16::try_from(*given) {
                Ok(number) => Ok(Value::Database(Some(number))),
                Err(_) => Err(Fault::new(format!("{given} is outside 0 to {}", u16::MAX))),
            },
            Raw::Text(text) if text == DATABASE_OF_URL => Ok(Value::Database(None)),
            other => Err(self.mistyped(other)),
        }
    }

    fn time(&self, raw: &Raw) -> Result<Value, Fault> {
        match raw {
            Raw::Text(text) | Raw::Date(text) => match parse_utc(text) {
                Some(at) => Ok(Value::Time {
                    text: text.clone(),
                    at,
                }),
                None => Err(self.mistyped(raw)),
            },
            other => Err(self.mistyped(other)),
        }
    }

    fn chain(&self, raw: &Raw) -> Result<Value, Fault> {
        let Raw::List(entries) = raw else {
            return Err(self.mistyped(raw));
        };
        if entries.is_empty() {
            return Err(Fault::new("the list is empty").help("add at least one \"provider/model\""));
        }
        let item = |node: &Node| match &node.raw {
            Raw::Text(text) => Ok(Item {
                text: text.clone(),
                origin: node.origin.clone(),
            }),
            other => Err(self.mistyped(other)),
        };
        entries
            .iter()
            .map(item)
            .collect::<Result<_, _>>()
            .map(Value::Chain)
    }

    fn files(&self, raw: &Raw) -> Result<Value, Fault> {
        let Raw::List(items) = raw else {
            return Err(self.mistyped(raw));
        };
        let file = |node: &Node| match &node.raw {
            Raw::Text(text) if is_plain(text) => Ok(Item {
                text: text.clone(),
                origin: node.origin.clone(),
            }),
            other => Err(self.mistyped(other)),
        };
        let files = items.iter().map(file);
        files.collect::<Result<_, _>>().map(Value::Files)
    }

    fn names(&self, raw: &Raw) -> Result<Value, Fault> {
        let Raw::List(items) = raw else {
            return Err(self.mistyped(raw));
        };
        let name = |node: &Node| match &node.raw {
            Raw::Text(text) if is_host(text) => Ok(text.to_ascii_lowercase()),
            other => Err(Fault::new(format!(
                "expected a host name or address without a port, found {}",
                other.described()
            ))),
        };
        let names = items.iter().map(name).collect::<Result<_, _>>()?;
        Ok(Value::Names(names))
    }

    fn address(&self, raw: &Raw) -> Result<Value, Fault> {
        let Raw::Text(text) = raw else {
            return Err(self.mistyped(raw));
        };
        text.parse::<SocketAddr>()
            .map(Value::Address)
            .map_err(|_| self.mistyped(raw))
    }

    fn word(&self, raw: &Raw, allowed: &[&'static str], later: &[&str]) -> Result<Value, Fault> {
        let Raw::Text(text) = raw else {
            return Err(self.mistyped(raw));
        };
        if allowed.contains(&text.as_str()) {
            return Ok(Value::Text(text.clone()));
        }
        if later.contains(&text.as_str()) {
            let help = format!("use {}", self.described());
            return Err(later_version(&format!("\"{text}\"")).help(help));
        }
        Err(self
            .mistyped(raw)
            .did_you_mean(closest(text, allowed.iter().copied())))
    }

    fn text(&self, raw: &Raw, fits: fn(&str) -> bool) -> Result<Value, Fault> {
        match raw {
            Raw::Text(text) if fits(text) => Ok(Value::Text(text.clone())),
            other => Err(self.mistyped(other)),
        }
    }
}

/// What to say to something that only later versions know.
pub(super) fn later_version(thing: &str) -> Fault {
    Fault::new(format!(
        "{thing} is not supported by this version of tidegate"
    ))
}

fn in_range(given: i128, min: u64, max: u64) -> Result<u64, Fault> {
    match u64::try_from(given) {
        Ok(given) if (min..=max).contains(&given) => Ok(given),
        _ => Err(Fault::new(format!("{given} is outside {min} to {max}"))),
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    !text.is_empty() && text.chars().all(allowed)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// A list outside of TOML: items between commas; `[]` holds none.
fn listed(text: &str) -> Raw {
    let items = text.split(',').map(str::trim);
    let node = |item: &str| Node {
        raw: Raw::Text(item.to_owned()),
        origin: Origin::Default,
    };
    let items = items.filter(|item| !matches!(*item, "" | "[]"));
    Raw::List(items.map(node).collect())
}

pub(super) fn is_host(text: &str) -> bool {
    let bracketed = text.starts_with('[') && text.ends_with(']');
    (bracketed || !text.contains(':')) && is_authority(text)
}

/// The text is never repeated: it may be the secret itself.
fn reference(raw: &Raw) -> Result<Value, Fault> {
    match raw {
        Raw::Text(text) if Reference::parse(text).is_some() => Ok(Value::Secret(text.clone())),
        _ => Err(secret_elsewhere()),
    }
}

/// What to say to a secret written into the file.
pub(super) fn secret_elsewhere() -> Fault {
    Fault::new("secrets are env:NAME or file:PATH")
        .help("put the secret into an environment variable or a file and name that here")
}

fn headers(raw: &Raw) -> Result<Value, Fault> {
    let expected = |raw: &Raw| {
        Fault::new(format!(
            "expected a table of header names to text, found {}",
            raw.type_name()
        ))
        .help("write headers = { x-team = \"search\", x-token = \"env:TOKEN\" }")
    };
    let Raw::Table(entries) = raw else {
        return Err(expected(raw));
    };
    let mut headers = Vec::new();
    for entry in entries {
        let Raw::Text(text) = &entry.value.raw else {
            return Err(expected(&entry.value.raw));
        };
        let item = Item {
            text: text.clone(),
            origin: entry.value.origin.clone(),
        };
        headers.push((entry.name.clone(), item));
    }
    Ok(Value::Headers(headers))
}

/// Checks a base URL without repeating it: it may carry credentials.
fn check_url(text: &str) -> Result<(), Fault> {
    let example = "write it like https://api.example.com/v1";
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(Fault::new("expected an http or https URL").help(example));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(Fault::new("a URL must not carry credentials")
            .help("use api_key = \"env:NAME\" or headers instead"));
    }
    if path.contains(['?', '#']) || authority.contains(['?', '#']) {
        return Err(Fault::new("a base URL has no query and no fragment").help(example));
    }
    let path_char = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(c);
    if !path.chars().all(path_char) || !is_authority(authority) {
        return Err(Fault::new("the URL has no valid host, port or path").help(example));
    }
    Ok(())
}

fn is_authority(authority: &str) -> bool {
    let bracketed = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    let (host_is_fine, port) = match bracketed {
        Some((host, port)) => (host.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            (!host.is_empty() && host.chars().all(allowed), port)
        }
    };
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|number| number > 0)
        }
        None => port.is_empty(),
    };
    host_is_fine && port_is_fine
}
