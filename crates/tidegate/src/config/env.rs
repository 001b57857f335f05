//! Settings from environment variables.

use super::Sources;
use super::layers::Scalars;
use super::node::Origin;
use super::problems::{Fault, Report};
use super::typed::UnusedVariable;
use super::unknown;

const PREFIX: &str = "TIDEGATE__";

/// Variables of the systems that tidegate unites which mean nothing to this
/// version. AWS variables are not among them: they are often set for others.
const UNSUPPORTED: &[&str] = &["PERPLEXITY_API_KEY"];

/// The environment variable for the key at `path`: `server.bind` is
/// `TIDEGATE__SERVER__BIND`.
pub fn env_name(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

/// Reads all variables with our prefix; an unknown one is a problem, because a
/// misspelled setting would otherwise be silently without effect.
pub(super) fn read(sources: &Sources<'_>, scalars: &mut Scalars, report: &mut Report) {
    let ours = sources
        .env_names
        .iter()
        .filter(|name| name.starts_with(PREFIX));
    for name in sorted(ours) {
        let path = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let origin = Origin::Env(name.clone());
        if let Err(fault) = read_one(&name, &path, sources, scalars) {
            report.add(&origin, path, fault);
        }
    }
}

fn read_one(
    name: &str,
    path: &str,
    sources: &Sources<'_>,
    scalars: &mut Scalars,
) -> Result<(), Fault> {
    // A name in the wrong case is another variable, even where its path is known.
    if env_name(path) != name {
        return Err(unknown::outside_file(path, env_name));
    }
    let text = (sources.env)(name).ok_or_else(|| Fault::new("the value is not UTF-8"))?;
    scalars.set_text(path, &text, &Origin::Env(name.to_owned()), env_name)
}

/// The variables that are set and mean nothing to this version, sorted.
pub(super) fn unsupported(names: &[String]) -> Vec<UnusedVariable> {
    let is_unsupported =
        |name: &&String| UNSUPPORTED.contains(&name.as_str()) || name.starts_with("NOVA_");
    let unused = |name| UnusedVariable {
        name,
        why: "this version makes no use of it",
    };
    let names = sorted(names.iter().filter(is_unsupported));
    names.into_iter().map(unused).collect()
}

fn sorted<'n>(names: impl Iterator<Item = &'n String>) -> Vec<String> {
    let mut names: Vec<_> = names.cloned().collect();
    names.sort();
    names.dedup();
    names
}
