//! Rendered files and those on the disk.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{FOLDER, Files};

/// Why rendered files could not be written or compared.
#[derive(Debug, Error)]
#[error("cannot {what} {}: {error}", path.display())]
pub(crate) struct RenderError {
    /// What was tried, as a verb.
    what: &'static str,
    /// The file or folder.
    path: PathBuf,
    /// What the system said.
    error: io::Error,
}

/// How a file on the disk differs from what would be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// It is not there.
    Missing,
    /// It says something else.
    Differs,
    /// Nothing renders it any more.
    Leftover,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Leftover => "left over",
        })
    }
}

/// Every file under `out` that is not as it would be rendered, in the order of paths.
///
/// # Errors
/// When a file or folder that is there cannot be read.
pub(crate) fn check(files: &Files, out: &Path) -> Result<Vec<(PathBuf, Stale)>, RenderError> {
    let mut stale = Vec::new();
    for (path, text) in files {
        let at = out.join(path);
        match fs::read(&at) {
            Ok(found) if found == text.as_bytes() => {}
            Ok(_) => stale.push((path.clone(), Stale::Differs)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                stale.push((path.clone(), Stale::Missing));
            }
            Err(error) => return Err(failed("read", at)(error)),
        }
    }
    for path in leftovers(files, out)? {
        stale.push((path, Stale::Leftover));
    }
    stale.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(stale)
}

/// Makes `out` as [`check`] wants it, and says what had to change. Of files that are there, only
/// those in `terraform/rendered` that nothing renders any more are removed.
///
/// # Errors
/// When a file or folder cannot be read or written.
pub(crate) fn write(files: &Files, out: &Path) -> Result<Vec<(PathBuf, Stale)>, RenderError> {
    let stale = check(files, out)?;
    for (path, how) in &stale {
        let at = out.join(path);
        if *how == Stale::Leftover {
            fs::remove_file(&at).map_err(failed("remove", at))?;
            continue;
        }
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder).map_err(failed("make", folder.to_owned()))?;
        }
        let text = files.get(path).map_or("", String::as_str);
        fs::write(&at, text).map_err(failed("write", at))?;
    }
    Ok(stale)
}

/// Files in the renderer's own folder that it does not render.
fn leftovers(files: &Files, out: &Path) -> Result<BTreeSet<PathBuf>, RenderError> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from(FOLDER)];
    while let Some(folder) = folders.pop() {
        let at = out.join(&folder);
        let entries = match fs::read_dir(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed("read", at.clone()))?,
        };
        for entry in entries {
            let entry = entry.map_err(failed("read", at.clone()))?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(failed("read", at.clone()))?;
            if kind.is_dir() {
                folders.push(path);
            } else if !files.contains_key(&path) {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

fn failed(what: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> RenderError {
    move |error| RenderError { what, path, error }
}
