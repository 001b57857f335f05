//! `[[keys]]`: its settings, and how its rows become typed keys.

use std::collections::BTreeMap;

use super::Sources;
use super::guard::Policies;
use super::keys::{Key, Kind, key, optional, required, word};
use super::models::LIMITS;
use super::problems::{Fault, Report};
use super::providers::unusable;
use super::rows::Row;
use super::secret::{Reference, Secret};
use super::typed::{ClientKey, Limits, Role};
use super::value::{Found, Value};

/// The settings of one `[[keys]]` table.
pub const CLIENT_KEYS: &[Key] = &[
    required(
        "keys.tenant",
        Kind::Name,
        "\"team-a\"",
        "Who has the key; answers, reservations and limits belong to a tenant.",
    ),
    required(
        "keys.key",
        Kind::Secret,
        "\"env:TEAM_A_KEY\"",
        "What clients present, as env:NAME or file:PATH; 16 to 512 characters.",
    ),
    key(
        "keys.role",
        word(Role::WORDS),
        "user",
        "What the key opens; admin also what concerns all tenants, such as /v1/stats and /metrics.",
    ),
    optional(
        "keys.expires_at",
        Kind::Time,
        "\"2027-01-31T00:00:00Z\"",
        "From then on the key opens nothing.",
    ),
    optional(
        "keys.policy",
        Kind::Policy,
        "\"strict\"",
        "What judges the texts of this key, by its name; a request may name a stricter one, an admin's any.",
    ),
    key(
        "keys.requests_per_minute",
        Kind::Limit,
        "unlimited",
        "For the tenant, on top of the limits of models; all its keys share one budget.",
    ),
    key(
        "keys.tokens_per_minute",
        Kind::Limit,
        "unlimited",
        "Likewise for input and output tokens.",
    ),
    key(
        "keys.max_concurrent",
        Kind::Limit,
        "unlimited",
        "Likewise for requests at the same time.",
    ),
];

/// Shorter secrets can be guessed.
const FEWEST_CHARACTERS: usize = 16;

/// Longer ones are refused unread when they are presented.
const MOST_CHARACTERS: usize = 512;

/// Builds all keys; those with a problem are left out and reported.
pub(super) fn build(
    rows: &[Row],
    policies: &Policies,
    sources: &Sources<'_>,
    report: &mut Report,
) -> Vec<ClientKey> {
    let budgets = Budgets::read(rows, report);
    let mut keys = Vec::new();
    let mut seen: Vec<(Secret, &Row)> = Vec::new();
    for row in rows {
        let Some(secret) = secret(row, sources, report) else {
            continue;
        };
        match seen.iter().find(|(known, _)| *known == secret) {
            Some((_, first)) => row.blame("key", twice(first), report),
            None => seen.push((secret.clone(), row)),
        }
        let policy = policies.of_key(row, report);
        keys.extend(client_key(row, secret, &budgets).map(|key| ClientKey { policy, ..key }));
    }
    keys
}

fn secret(row: &Row, sources: &Sources<'_>, report: &mut Report) -> Option<Secret> {
    let reference = Reference::parse(row.text("key")?)?;
    let checked = reference
        .resolve(sources)
        .map_err(|error| unusable(&error))
        .and_then(check_length);
    match checked {
        Ok(secret) => Some(secret),
        Err(fault) => {
            row.blame("key", fault, report);
            None
        }
    }
}

fn check_length(secret: Secret) -> Result<Secret, Fault> {
    let count = secret.expose().chars().count();
    let fault = if count < FEWEST_CHARACTERS {
        format!("the key has {count} characters; at least {FEWEST_CHARACTERS} are needed")
    } else if count > MOST_CHARACTERS {
        format!("the key has {count} characters; at most {MOST_CHARACTERS} are allowed")
    } else {
        return Ok(secret);
    };
    Err(Fault::new(fault).help("make one with: openssl rand -hex 32"))
}

fn twice(first: &Row) -> Fault {
    let (path, origin) = (first.path_of("key"), &first.origin);
    Fault::new(format!(
        "the same secret as {path}, in the table at {origin}"
    ))
    .help("a key has one tenant, one role and one expiry: give each row its own secret")
}

fn client_key(row: &Row, secret: Secret, budgets: &Budgets<'_>) -> Option<ClientKey> {
    let tenant = row.text("tenant")?;
    let Some(Value::Text(role)) = row.value("role") else {
        return None;
    };
    Some(ClientKey {
        tenant: tenant.to_owned(),
        key: secret,
        role: Role::from_word(&role)?,
        expires_at: match row.value("expires_at") {
            Some(Value::Time { at, .. }) => Some(at),
            _ => None,
        },
        limits: budgets.limits(tenant, row),
        policy: None,
    })
}

/// Limits by tenant and key, as written by the tenant's first row that has it.
struct Budgets<'a>(BTreeMap<(&'a str, &'static str), &'a Found>);

impl<'a> Budgets<'a> {
    /// All keys of a tenant share one budget, so two rows must not write
    /// different limits for the same tenant.
    fn read(rows: &'a [Row], report: &mut Report) -> Self {
        let mut budgets = Self(BTreeMap::new());
        for row in rows {
            for key in LIMITS {
                if let (Some(tenant), Some(found)) = (row.text("tenant"), row.written(key)) {
                    budgets.add(row, (tenant, key), found, report);
                }
            }
        }
        budgets
    }

    fn add(
        &mut self,
        row: &Row,
        (tenant, key): (&'a str, &'static str),
        found: &'a Found,
        report: &mut Report,
    ) {
        let first = *self.0.entry((tenant, key)).or_insert(found);
        if first.value == found.value {
            return;
        }
        let (given, known) = (found.value.shown(), first.value.shown());
        let fault = Fault::new(format!(
            "{given} for tenant \"{tenant}\" contradicts {known} at {}",
            first.origin
        ));
        let help = "all keys of a tenant share one budget: write the same limit, or write it once";
        row.blame(key, fault.help(help), report);
    }

    fn limits(&self, tenant: &str, row: &Row) -> Limits {
        let limit = |key: &'static str| {
            let shared = self.0.get(&(tenant, key)).map(|found| found.value.clone());
            match shared.or_else(|| row.value(key)) {
                Some(Value::Limit(limit)) => limit,
                _ => unreachable!("{key} is a limit and has a default"),
            }
        };
        let [requests, tokens, concurrent] = LIMITS;
        Limits {
            requests_per_minute: limit(requests),
            tokens_per_minute: limit(tokens),
            max_concurrent: limit(concurrent),
        }
    }
}
