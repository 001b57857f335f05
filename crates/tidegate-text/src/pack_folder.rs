//! Packs in folders: texts in TOML that an operator lays beside those of a build.

use std::fmt::Display;
use std::fs;
use std::path::Path;

/// A pack that was read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackText {
    /// The path of the file, as it was given.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// A folder or a file in it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Unreadable {
    /// Of the folder or the file.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Unreadable {
    fn new(path: &Path, reason: impl Display) -> Self {
        Self {
            path: path.display().to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Reads one file.
///
/// # Errors
/// The file cannot be read, is no UTF-8, or has more than `most_bytes`.
pub fn read_file(path: &Path, most_bytes: usize) -> Result<PackText, Unreadable> {
    let unreadable = |error| Unreadable::new(path, error);
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > most_bytes as u64 {
        let reason = format!("has {bytes} bytes; {most_bytes} are possible");
        return Err(Unreadable::new(path, reason));
    }
    Ok(PackText {
        name: path.display().to_string(),
        text: fs::read_to_string(path).map_err(unreadable)?,
    })
}

/// Reads every `*.toml` of a folder, in the order of their names; folders in it are
/// left out.
///
/// # Errors
/// The folder or one of its files cannot be read, or there is no pack in it: whoever
/// names a folder expects packs from it.
pub fn read_folder(folder: &Path, most_bytes: usize) -> Result<Vec<PackText>, Unreadable> {
    let unreadable = |error| Unreadable::new(folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "toml") && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let reason = "holds no pack; packs end in .toml";
        return Err(Unreadable::new(folder, reason));
    }
    paths.sort();
    paths
        .iter()
        .map(|path| read_file(path, most_bytes))
        .collect()
}

/// All `errors` of packs as one, unless there are none; `several` holds more than one.
///
/// # Errors
/// The one, or the several.
pub fn all<E>(mut errors: Vec<E>, several: impl FnOnce(Vec<E>) -> E) -> Result<(), E> {
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(several(errors)),
    }
}

/// Several errors, a line each.
pub fn lines(errors: &[impl Display]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A folder with these files, and one in it that is called like a pack.
    fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let name = format!("tidegate-pack-folder-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("below.toml")).unwrap();
        for (name, bytes) in files {
            fs::write(path.join(name), bytes).unwrap();
        }
        path
    }

    fn refusal(folder: &Path) -> String {
        let error = read_folder(folder, 8).unwrap_err().to_string();
        let own = folder.display().to_string();
        error.strip_prefix(&own).expect(&error).to_owned()
    }

    #[test]
    fn packs_are_read_in_the_order_of_their_names_and_nothing_else_is() {
        let files: &[(&str, &[u8])] = &[("b.toml", b"B"), ("a.toml", b"A"), ("c.txt", b"C")];
        let folder = folder("order", files);
        let packs = read_folder(&folder, 8).unwrap();
        let read: Vec<_> = packs
            .iter()
            .map(|pack| (&*pack.name, &*pack.text))
            .collect();
        let [first, second] = ["a.toml", "b.toml"].map(|name| folder.join(name));
        let [first, second] = [&first, &second].map(|path| path.display().to_string());
        assert_eq!(read, [(&*first, "A"), (&*second, "B")]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_path_and_the_limit() {
        let folder = folder("refused", &[]);
        assert_eq!(refusal(&folder), ": holds no pack; packs end in .toml");
        fs::write(folder.join("a.toml"), "123456789").unwrap();
        let too_large = "/a.toml: has 9 bytes; 8 are possible";
        assert_eq!(refusal(&folder), too_large);
        fs::write(folder.join("a.toml"), [0xff]).unwrap();
        let no_text = "/a.toml: stream did not contain valid UTF-8";
        assert_eq!(refusal(&folder), no_text);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(refusal(&folder), ": No such file or directory (os error 2)");
    }

    #[test]
    fn one_error_stays_itself_and_more_become_one() {
        let all = |errors: &[&str]| {
            let errors = errors.iter().map(ToString::to_string).collect();
            super::all(errors, |several| lines(&several))
        };
        assert_eq!(all(&[]), Ok(()));
        assert_eq!(all(&["a"]), Err("a".to_owned()));
        assert_eq!(all(&["a", "b"]), Err("a\nb".to_owned()));
    }
}
