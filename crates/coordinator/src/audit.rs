//! What those with power over the mesh did: who, what, from where, and what came of it. One line of
//! JSON each, appended to a file and never changed; full files are kept under other names, so many.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use sluice_types::ids::ApiKeyId;
use thiserror::Error;

/// Lines that wait for the disk. When it is so far behind, further ones are not in the file; the
/// log has them, and they are counted.
const WAITING: usize = 4_096;

/// Entries that can be asked for; files have the others.
const RECENT: usize = 1_000;

/// The longest path that is written down, in characters.
const PATH_CHARS_MAX: usize = 200;

/// Why nothing can be written down.
#[derive(Debug, Error)]
#[error("{path}: {source}", path = path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

/// One deed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Counts on over restarts: what is missing shows.
    pub(crate) seq: u64,
    /// When, RFC 3339.
    pub(crate) at: String,
    /// The API key; none when nobody proved to be anybody.
    pub(crate) key: Option<ApiKeyId>,
    /// Its tenant.
    pub(crate) tenant: Option<String>,
    pub(crate) from: IpAddr,
    pub(crate) method: String,
    pub(crate) path: String,
    /// The HTTP status: what came of it.
    pub(crate) status: u16,
}

/// What is told of a deed.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) key: Option<ApiKeyId>,
    pub(crate) tenant: Option<String>,
    pub(crate) from: IpAddr,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
}

/// Where lines go, and how much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFiles {
    /// The file that is written.
    pub path: PathBuf,
    /// Its bytes, from which on a new one is begun.
    pub bytes: u64,
    /// Full files that are kept, as `path.1`, the latest, and so on.
    pub kept: u32,
}

enum Job {
    Write(String),
    /// Answers when everything before is on the disk.
    Sync(Sender<()>),
}

struct State {
    next: u64,
    recent: VecDeque<Arc<Entry>>,
}

/// See the module.
pub(crate) struct Audit {
    state: Mutex<State>,
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Audit {
    /// Goes on after the last line of the file.
    pub(crate) fn open(files: AuditFiles) -> Result<Self, AuditError> {
        let fault = |source| AuditError {
            path: files.path.clone(),
            source,
        };
        let recent = recent(&files.path).map_err(fault)?;
        let before = match recent.back() {
            Some(last) => last.seq,
            // A new file was begun and nothing was written to it.
            None => last_of(&nth(&files.path, 1)).map_err(fault)?,
        };
        let file = append(&files.path).map_err(fault)?;
        let (jobs, queue) = sync_channel(WAITING);
        let writer = Writer { files, file };
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&queue));
        let state = State {
            next: before + 1,
            recent,
        };
        Ok(Self {
            state: Mutex::new(state),
            jobs: Some(jobs),
            writer: Some(writer.map_err(|source| AuditError {
                path: PathBuf::new(),
                source,
            })?),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down a deed.
    pub(crate) fn note(&self, deed: Deed) {
        let mut state = self.state();
        let entry = Entry {
            seq: state.next,
            at: jiff::Timestamp::now().to_string(),
            key: deed.key,
            tenant: deed.tenant,
            from: deed.from,
            method: deed.method,
            path: deed.path.chars().take(PATH_CHARS_MAX).collect(),
            status: deed.status,
        };
        state.next += 1;
        tracing::info!(
            target: "audit",
            seq = entry.seq,
            key = entry.key.as_ref().map(ApiKeyId::as_str),
            method = entry.method,
            path = entry.path,
            status = entry.status,
            "done"
        );
        // Plain data, which always is JSON.
        let mut line = serde_json::to_string(&entry).unwrap_or_default();
        line.push('\n');
        if state.recent.len() >= RECENT {
            state.recent.pop_front();
        }
        state.recent.push_back(Arc::new(entry));
        // Under the lock, so that lines are in their order.
        let queued = self
            .jobs
            .as_ref()
            .map(|jobs| jobs.try_send(Job::Write(line)));
        if !matches!(queued, Some(Ok(()))) {
            metrics::counter!("sluice_coordinator_audit_lost_total").increment(1);
            tracing::error!("the audit log does not keep up; its file lacks what stands above");
        }
    }

    /// The latest first, those before `before`, at most `limit` of those that are remembered.
    pub(crate) fn recent(&self, before: u64, limit: usize) -> Vec<Arc<Entry>> {
        let state = self.state();
        let entries = state.recent.iter().rev();
        let entries = entries.filter(|entry| entry.seq < before).take(limit);
        entries.cloned().collect()
    }

    /// Blocks until everything that was noted is on the disk.
    pub(crate) fn sync(&self) {
        let (done, wait) = channel();
        if let Some(jobs) = &self.jobs
            && jobs.send(Job::Sync(done)).is_ok()
        {
            // The writer is gone when it fails, and has said why.
            let _ = wait.recv();
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // It panicked if this fails, and has said so.
            let _ = writer.join();
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

fn nth(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// The last entries of a file. A line that was cut off by a crash is passed over.
fn recent(path: &Path) -> io::Result<VecDeque<Arc<Entry>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(VecDeque::new()),
        Err(error) => return Err(error),
    };
    let mut recent = VecDeque::new();
    for line in BufReader::new(file).split(b'\n') {
        let Ok(entry) = serde_json::from_slice::<Entry>(&line?) else {
            continue;
        };
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(Arc::new(entry));
    }
    Ok(recent)
}

fn last_of(path: &Path) -> io::Result<u64> {
    Ok(recent(path)?.back().map_or(0, |last| last.seq))
}

struct Writer {
    files: AuditFiles,
    file: File,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            match job {
                Job::Write(line) => {
                    if let Err(error) = self.write(&line) {
                        metrics::counter!("sluice_coordinator_audit_lost_total").increment(1);
                        tracing::error!(%error, path = %self.files.path.display(), "the audit log is not written");
                    }
                }
                Job::Sync(done) => {
                    if let Err(error) = self.file.sync_data() {
                        tracing::error!(%error, "the audit log may not be on the disk");
                    }
                    // Nobody waits any more when it fails.
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.file.metadata()?.len() >= self.files.bytes {
            self.rotate()?;
        }
        self.file.write_all(line.as_bytes())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let path = &self.files.path;
        for n in (1..self.files.kept).rev() {
            match std::fs::rename(nth(path, n), nth(path, n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(path, nth(path, 1))?;
        self.file = append(path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path, bytes: u64) -> AuditFiles {
        AuditFiles {
            path: dir.join("audit.jsonl"),
            bytes,
            kept: 2,
        }
    }

    fn deed(path: &str) -> Deed {
        Deed {
            key: Some("watch".parse().expect("a key")),
            tenant: Some("acme".to_owned()),
            from: [192, 0, 2, 1].into(),
            method: "DELETE".to_owned(),
            path: path.to_owned(),
            status: 204,
        }
    }

    fn lines(path: &Path) -> Vec<Entry> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("an entry"))
            .collect()
    }

    #[test]
    fn numbers_go_on_over_restarts_and_after_a_line_that_was_cut_off() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = files(dir.path(), 1 << 20);
        let audit = Audit::open(files.clone()).expect("opened");
        audit.note(deed("/one"));
        audit.note(deed("/two"));
        drop(audit);
        let mut file = append(&files.path).expect("opened");
        file.write_all(b"{\"seq\":3,\"at\":\n").expect("written");
        let audit = Audit::open(files.clone()).expect("opened");
        audit.note(deed("/three"));
        audit.sync();
        let seqs: Vec<_> = audit.recent(u64::MAX, 2).iter().map(|e| e.seq).collect();
        assert_eq!(seqs, [3, 2], "the latest first");
        assert_eq!(audit.recent(3, 10).len(), 2);
        let text = std::fs::read_to_string(&files.path).expect("read");
        assert_eq!(text.lines().count(), 4, "nothing is taken away");
        assert!(text.lines().last().expect("one").contains("/three"));
    }

    #[test]
    fn full_files_are_kept_so_many_and_no_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = files(dir.path(), 400);
        let audit = Audit::open(files.clone()).expect("opened");
        for _ in 0..40 {
            audit.note(deed("/v1/meetings/mtg_0"));
        }
        drop(audit);
        let mut kept = Vec::new();
        for path in [nth(&files.path, 2), nth(&files.path, 1), files.path.clone()] {
            let length = std::fs::metadata(&path).expect("there").len();
            assert!(length < 800, "{length} bytes");
            kept.extend(lines(&path).iter().map(|entry| entry.seq));
        }
        assert!(!nth(&files.path, 3).exists());
        assert_eq!(*kept.last().expect("some"), 40);
        assert!(
            kept.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{kept:?}"
        );
    }
}
