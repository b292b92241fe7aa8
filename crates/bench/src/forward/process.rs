//! What another process uses: processor time by thread, and memory.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Another process of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    /// The `sluice edge` below `ancestor`.
    pub(crate) fn edge_below(ancestor: u32) -> Option<Self> {
        let children = fs::read_dir("/proc").ok()?.filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let parent = status
                .lines()
                .find_map(|line| line.strip_prefix("PPid:"))?
                .trim();
            (parent == ancestor.to_string()).then_some(pid)
        });
        children
            .filter(|pid| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                command.split(|&byte| byte == 0).nth(1) == Some(b"edge")
            })
            .map(Self)
            .next()
    }

    pub(crate) const fn id(self) -> u32 {
        self.0
    }

    fn path(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.0))
    }

    /// Nanoseconds that threads whose name begins with `prefix` ran so far.
    pub(crate) fn cpu_nanos(self, prefix: &str) -> io::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(self.path("task"))? {
            let task = task?.path();
            // A thread may end meanwhile.
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            if name.starts_with(prefix) {
                let stat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
                sum += stat
                    .split(' ')
                    .next()
                    .and_then(|nanos| nanos.parse::<u64>().ok())
                    .unwrap_or_default();
            }
        }
        Ok(sum)
    }

    /// Bytes of memory that it has for itself.
    pub(crate) fn memory_bytes(self) -> io::Result<u64> {
        let status = fs::read_to_string(self.path("status"))?;
        let kilobytes = |key: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok())
                .unwrap_or_default()
        };
        Ok(kilobytes("RssAnon:") * 1_024)
    }
}

/// Nanoseconds that the calling thread ran so far.
pub(crate) fn own_cpu_nanos() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .unwrap_or_default())
}
