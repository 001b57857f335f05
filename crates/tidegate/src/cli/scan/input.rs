//! What is to be scanned: files, folders, standard input, a text.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest text, as for the endpoint.
const MOST_BYTES: usize = 10 << 20;

/// Where binary data shows: in text nothing is 0, and who writes numbers does
/// not get far without one.
const LOOKED_AT_BYTES: usize = 8 << 10;

/// Folders of version control: their files are copies, and packed.
const LEFT_OUT: [&str; 3] = [".git", ".hg", ".svn"];

/// One thing to scan.
#[derive(Debug)]
pub(super) enum Input {
    /// Given on the command line.
    Text(String),
    /// Standard input.
    Stdin,
    /// A file that was named.
    Named(PathBuf),
    /// A file that was found in a folder.
    Found(PathBuf),
    /// What cannot be scanned, with the reason.
    Unread(PathBuf, Unread),
}

/// Why something was not scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is no text, and nobody asked for this very file.
    Skipped(String),
    /// It should have been scanned.
    Failed(String),
}

impl Unread {
    fn failed(error: &io::Error) -> Self {
        Self::Failed(format!("cannot be read: {error}"))
    }
}

/// Everything behind the arguments, folders in the order of their names.
pub(super) fn gather(paths: &[PathBuf]) -> Vec<Input> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input::Stdin);
        } else if path.is_dir() {
            walk(path, &mut inputs);
        } else {
            inputs.push(Input::Named(path.clone()));
        }
    }
    inputs
}

/// Adds the files of a folder and of those in it. Links are not followed: they
/// may lead out of the folder, or around in it.
fn walk(folder: &Path, inputs: &mut Vec<Input>) {
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        match kind(&path, folder) {
            Ok(Kind::File) => inputs.push(Input::Found(path)),
            Ok(Kind::Folder) => match entries(&path) {
                Ok(entries) => open.extend(entries.into_iter().rev()),
                Err(error) => inputs.push(Input::Unread(path, Unread::failed(&error))),
            },
            Ok(Kind::Other(what)) => {
                inputs.push(Input::Unread(path, Unread::Skipped(what.to_owned())));
            }
            Err(error) => inputs.push(Input::Unread(path, Unread::failed(&error))),
        }
    }
}

enum Kind {
    File,
    Folder,
    Other(&'static str),
}

fn kind(path: &Path, root: &Path) -> io::Result<Kind> {
    if path == root {
        return Ok(Kind::Folder);
    }
    let kind = fs::symlink_metadata(path)?.file_type();
    Ok(if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Folder
    } else if kind.is_symlink() {
        Kind::Other("is a symbolic link")
    } else {
        Kind::Other("is no ordinary file")
    })
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.collect();
    let paths = entries?.into_iter().map(|entry| entry.path());
    let left_out = |name: Option<&OsStr>| LEFT_OUT.iter().any(|out| name == Some(OsStr::new(out)));
    let mut paths: Vec<_> = paths.filter(|path| !left_out(path.file_name())).collect();
    paths.sort();
    Ok(paths)
}

impl Input {
    /// Its name, where it has one.
    pub(super) fn name(&self) -> Option<PathBuf> {
        match self {
            Self::Text(_) => None,
            Self::Stdin => Some(PathBuf::from("-")),
            Self::Named(path) | Self::Found(path) | Self::Unread(path, _) => {
                Some(path.strip_prefix(".").unwrap_or(path).to_owned())
            }
        }
    }

    /// Its text. Bytes that are no UTF-8 are replaced, so that one of them does
    /// not hide a file.
    pub(super) fn read(self) -> Result<String, Unread> {
        let bytes = match &self {
            Self::Text(text) => return Ok(text.clone()),
            Self::Stdin => bounded(io::stdin().lock()),
            Self::Named(path) | Self::Found(path) => open(path).and_then(bounded),
            Self::Unread(_, unread) => return Err(unread.clone()),
        };
        let bytes = bytes.map_err(|error| Unread::failed(&error))?;
        if bytes.len() > MOST_BYTES {
            let reason = format!("is larger than {MOST_BYTES} bytes; scan it in parts");
            return Err(Unread::Failed(reason));
        }
        if is_binary(&bytes) {
            let reason = "holds binary data".to_owned();
            return Err(match self {
                Self::Found(_) => Unread::Skipped(reason),
                Self::Text(_) | Self::Stdin | Self::Named(_) | Self::Unread(..) => {
                    Unread::Failed(reason)
                }
            });
        }
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// All of it, or one byte more than is allowed.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(LOOKED_AT_BYTES).any(|byte| *byte == 0)
}
