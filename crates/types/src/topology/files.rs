//! Reads a topology from a folder.
//!
//! This is the one module of the crate that touches a file system; everything else works on text.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Fault, Source, Topology};

/// Why a folder holds no sound topology.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The files can be read, and this is wrong with them.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

/// Reads `topology.toml` and every `regions/*.toml` of the folder.
///
/// # Errors
/// When a file cannot be read, or the files do not make a sound topology.
pub fn load_dir(dir: &Path) -> Result<Topology, LoadError> {
    let mesh = read(&dir.join("topology.toml"))?;
    let regions_dir = dir.join("regions");
    let at = |error| LoadError::Read {
        path: regions_dir.clone(),
        error,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(&regions_dir).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.extension() == Some(OsStr::new("toml")) {
            paths.push(path);
        }
    }
    // The system lists a folder in any order; faults are in the same order every time.
    paths.sort();
    let mut regions = Vec::with_capacity(paths.len());
    for path in &paths {
        regions.push(read(path)?);
    }
    let sources: Vec<Source<'_>> = regions.iter().map(File::source).collect();
    Topology::parse(mesh.source(), &sources).map_err(LoadError::Faults)
}

struct File {
    name: String,
    text: String,
}

impl File {
    fn source(&self) -> Source<'_> {
        Source {
            name: &self.name,
            text: &self.text,
        }
    }
}

fn read(path: &Path) -> Result<File, LoadError> {
    let text = fs::read_to_string(path).map_err(|error| LoadError::Read {
        path: path.to_owned(),
        error,
    })?;
    let shown = path.strip_prefix(".").unwrap_or(path);
    Ok(File {
        name: shown.display().to_string(),
        text,
    })
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
