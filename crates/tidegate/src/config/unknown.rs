//! Keys that are not in the table: what may have been meant, and what belongs
//! to a later version.

use super::keys::Key;
use super::kinds::later_version;
use super::problems::{Fault, closest};
use super::sections::{ARRAY_TABLES, KEYS, LATER_KEYS, LATER_SECTIONS, SECTIONS};

/// The fault of a key `name` in `section` of the file; `keys` are those of the
/// table that `section` belongs to.
pub(super) fn in_file(section: &str, name: &str, keys: &[Key]) -> Fault {
    if section.is_empty() && LATER_SECTIONS.contains(&name) {
        return later_version(&format!("section [{name}]"));
    }
    let path = join(section, name);
    if LATER_KEYS.contains(&path.as_str()) {
        return later_version("this key");
    }
    let siblings = siblings(section, keys);
    let is_section = section.is_empty() && elsewhere(name).is_none();
    let fault = Fault::new(if is_section {
        "unknown section"
    } else {
        "unknown key"
    });
    if let Some(guess) = closest(name, siblings.iter().copied()).or_else(|| elsewhere(name)) {
        return fault.did_you_mean(Some(guess));
    }
    let place = if section.is_empty() {
        "the file".to_owned()
    } else {
        format!("[{section}]")
    };
    fault.help(format!("{place} takes {}", siblings.join(", ")))
}

/// The fault of `path` in an environment variable or flag; `spell` turns a path
/// of the table into what the user would have to write.
pub(super) fn outside_file(path: &str, spell: fn(&str) -> String) -> Fault {
    let (top, _) = path.split_once('.').unwrap_or((path, ""));
    if LATER_SECTIONS.contains(&top) {
        return later_version(&format!("section [{top}]"));
    }
    if LATER_KEYS.contains(&path) {
        return later_version("this key");
    }
    if ARRAY_TABLES.iter().any(|(section, _)| *section == top) {
        return Fault::new(format!("[[{top}]] can only be set in the file"));
    }
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let sibling = closest(name, siblings(section, KEYS)).map(|name| join(section, name));
    let guess = sibling
        .filter(|path| KEYS.iter().any(|key| key.path == path.as_str()))
        .or_else(|| elsewhere(name).map(str::to_owned))
        .or_else(|| closest(path, KEYS.iter().map(|key| key.path)).map(str::to_owned));
    Fault::new("unknown key").did_you_mean(guess.map(|path| spell(&path)).as_deref())
}

/// `name` inside `section`, where the top of the file is the empty section.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

/// What may stand in `section`: keys, and tables directly inside it.
fn siblings(section: &str, keys: &[Key]) -> Vec<&'static str> {
    let keys = keys
        .iter()
        .filter(|key| key.section() == section)
        .map(Key::name);
    let tables = SECTIONS
        .iter()
        .filter_map(|(path, _)| match path.rsplit_once('.') {
            Some((parent, name)) => (parent == section).then_some(name),
            None => section.is_empty().then_some(*path),
        });
    keys.chain(tables).collect()
}

/// A key of exactly this name in some other section.
fn elsewhere(name: &str) -> Option<&'static str> {
    KEYS.iter()
        .find(|key| key.name() == name)
        .map(|key| key.path)
}
