//! Findings that are known: read from a file, compared, written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::marks::DIGEST_LETTERS;
use super::text::shown;

/// The first line of every file.
const HEAD: &str = r#"{"tidegate_baseline":1}"#;

/// Of several hundred thousand findings.
const MOST_BYTES: u64 = 64 << 20;

/// Findings by what they are known by.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Findings(BTreeMap<Key, u64>);

/// Where a rule matched. Never the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) path: String,
    pub(super) rule: String,
    pub(super) digest: String,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    rule: String,
    digest: String,
    times: NonZeroU64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    tidegate_baseline: u64,
}

impl Findings {
    /// Reads a file that [`Self::write`] wrote. An error is a whole sentence.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let name = shown(path.to_string_lossy());
        let cannot = |error: io::Error| {
            format!(
                "--baseline {name} cannot be read: {error}; --write-baseline {name} writes what \
                 is found to a new one"
            )
        };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(cannot)?;
        let read = file.take(MOST_BYTES + 1).read_to_string(&mut text);
        if read.map_err(cannot)? as u64 > MOST_BYTES {
            return Err(format!(
                "--baseline {name} is larger than {MOST_BYTES} bytes; \
                 scan fewer files with one baseline"
            ));
        }
        Self::parse(&text).map_err(|(line, what)| {
            format!(
                "{name}:{line}: {what}; correct the line, or write the file again with \
                 --write-baseline {name}"
            )
        })
    }

    /// An error has the number of its line. What the line says is not repeated:
    /// the wrong file may have been named.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lines = text.lines().zip(1..);
        let head = lines.next().map_or("", |(line, _)| line);
        match serde_json::from_str::<Head>(head) {
            Ok(head) if head.tidegate_baseline == 1 => {}
            Ok(head) => {
                let version = head.tidegate_baseline;
                let what = format!("the file has version {version}, and this program reads 1");
                return Err((1, what));
            }
            Err(_) => return Err((1, format!("the first line of a baseline is {HEAD}"))),
        }
        let mut findings = BTreeMap::new();
        let mut places = BTreeMap::new();
        for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
            let (key, times) = entry(line).map_err(|what| (number, what))?;
            if let Some(first) = places.insert(key.clone(), number) {
                return Err((number, format!("the same finding as in line {first}")));
            }
            findings.insert(key, times);
        }
        Ok(Self(findings))
    }

    /// Writes all of it, or leaves what was there.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut unfinished = path.to_owned().into_os_string();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let written = fs::File::create(&unfinished)
            .and_then(|mut file| file.write_all(self.to_text().as_bytes()))
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (key, times) in &self.0 {
            let entry = serde_json::to_string(&Entry {
                path: key.path.clone(),
                rule: key.rule.clone(),
                digest: key.digest.clone(),
                times: NonZeroU64::new(*times).unwrap_or(NonZeroU64::MIN),
            });
            text.push_str(&entry.expect("strings and a number can be written"));
            text.push('\n');
        }
        text
    }

    pub(super) fn add(&mut self, key: Key, times: u64) {
        let known = self.0.entry(key).or_default();
        *known = known.saturating_add(times);
    }

    /// Uses up what is known of a finding, and says how often it is not.
    pub(super) fn take(&mut self, key: &Key, times: u64) -> u64 {
        let Some(left) = self.0.get_mut(key) else {
            return times;
        };
        let taken = times.min(*left);
        *left -= taken;
        times - taken
    }

    pub(super) fn count(&self) -> u64 {
        self.0
            .values()
            .fold(0, |sum, times| sum.saturating_add(*times))
    }

    /// Adds what another run found in files that this one did not look at.
    pub(super) fn keep(&mut self, others: &Self, reach: &Reach) {
        for (key, times) in others.0.iter().filter(|(key, _)| !reach.covers(&key.path)) {
            self.add(key.clone(), *times);
        }
    }

    /// What is left of findings in files that this run looked at or for.
    pub(super) fn left(&self, reach: &Reach) -> Vec<&Key> {
        let left = self.0.iter().filter(|(_, left)| **left > 0);
        let left = left.filter(|(key, _)| reach.covers(&key.path));
        left.map(|(key, _)| key).collect()
    }
}

fn entry(line: &str) -> Result<(Key, u64), String> {
    if ["<<<<<<<", "=======", ">>>>>>>"]
        .iter()
        .any(|mark| line.starts_with(mark))
    {
        return Err("a conflict of a merge is left".to_owned());
    }
    let entry: Entry = serde_json::from_str(line).map_err(|error| {
        format!(
            "no finding (column {}): a line is {{\"path\": text, \"rule\": text, \
             \"digest\": {DIGEST_LETTERS} digits, \"times\": number from 1}}",
            error.column()
        )
    })?;
    let is_digit = |letter| matches!(letter, b'0'..=b'9' | b'a'..=b'f');
    if entry.digest.len() != DIGEST_LETTERS || !entry.digest.bytes().all(is_digit) {
        return Err(format!(
            "a digest has {DIGEST_LETTERS} hexadecimal digits in lower case"
        ));
    }
    let Entry {
        path,
        rule,
        digest,
        times,
    } = entry;
    Ok((Key { path, rule, digest }, times.get()))
}

/// What a run looked at.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Folders that were walked.
    folders: Vec<PathBuf>,
    scanned: BTreeSet<String>,
    unread: BTreeSet<String>,
}

impl Reach {
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        let folders = paths.iter().filter(|path| path.is_dir());
        Self {
            folders: folders.map(|path| plain(path)).collect(),
            ..Self::default()
        }
    }

    pub(super) fn scanned(&mut self, name: &str) {
        self.scanned.insert(name.to_owned());
    }

    pub(super) fn unread(&mut self, name: &str) {
        self.unread.insert(name.to_owned());
    }

    /// True for a file that was scanned, and for one that would have been if it
    /// were there.
    fn covers(&self, name: &str) -> bool {
        let path = Path::new(name);
        let within = |folder: &PathBuf| {
            if folder.as_os_str().is_empty() {
                path.is_relative() && !path.starts_with("..")
            } else {
                path.starts_with(folder)
            }
        };
        let is_unread = |path: &Path| self.unread.contains(&*path.to_string_lossy());
        let walked = || !path.ancestors().any(is_unread) && self.folders.iter().any(within);
        self.scanned.contains(name) || walked()
    }
}

/// A path without what makes no difference: `./` and repeated slashes.
pub(super) fn plain(path: &Path) -> PathBuf {
    let parts = path.components();
    parts
        .filter(|part| *part != std::path::Component::CurDir)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Key {
        Key {
            path: path.to_owned(),
            rule: "a.b".to_owned(),
            digest: "0".repeat(DIGEST_LETTERS),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut findings = Findings::default();
        findings.add(key("a \"b\"\n"), 1);
        findings.add(key("c"), 1);
        findings.add(key("c"), 2);
        let text = findings.to_text();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(Findings::parse(&text), Ok(findings));
    }

    #[test]
    fn a_finding_is_known_as_often_as_it_was_written() {
        let mut findings = Findings::default();
        findings.add(key("c"), 2);
        assert_eq!(findings.take(&key("c"), 1), 0);
        assert_eq!(findings.take(&key("c"), 3), 2);
        assert_eq!(findings.take(&key("d"), 1), 1);
        assert_eq!(findings.count(), 0);
    }

    #[test]
    fn a_broken_line_is_named_and_not_repeated() {
        let good = Findings(BTreeMap::from([(key("c"), 1)])).to_text();
        let line = good.lines().nth(1).unwrap();
        for (text, number, told) in [
            ("", 1, "the first line"),
            ("PASSWORD=hunter2\n", 1, "the first line"),
            ("{\"tidegate_baseline\":2}\n", 1, "version 2"),
            (&format!("{good}PASSWORD=hunter2"), 3, "no finding"),
            (&format!("{good}\n{line}\n"), 4, "as in line 2"),
            (&format!("{good}<<<<<<< hunter2"), 3, "a merge"),
            (&good.replace("\"times\":1", "\"times\":0"), 2, "from 1"),
            (&good.replace("times", "hunter2"), 2, "no finding"),
            (&good.replace("000\"", "00G\""), 2, "lower case"),
            (&good.replace("000\"", "\""), 2, "32 hexadecimal"),
        ] {
            let (line, what) = Findings::parse(text).unwrap_err();
            assert_eq!(line, number, "{text}: {what}");
            assert!(
                what.contains(told) && !what.contains("hunter2"),
                "{text}: {what}"
            );
        }
    }

    #[test]
    fn only_files_that_were_looked_for_can_be_missed() {
        let mut reach = Reach {
            folders: vec![PathBuf::from("d")],
            ..Reach::default()
        };
        reach.scanned("e/a");
        reach.unread("d/locked");
        for (name, covered) in [
            ("e/a", true),
            ("e/b", false),
            ("d/gone", true),
            ("d/locked", false),
            ("d/locked/in/it", false),
            ("dd/x", false),
        ] {
            assert_eq!(reach.covers(name), covered, "{name}");
        }
        reach.folders = vec![plain(Path::new("./"))];
        assert!(reach.covers("x/y") && !reach.covers("/x") && !reach.covers("../x"));
    }
}
