//! Which core a thread runs on.
#![expect(unsafe_code, reason = "a system call that std does not offer")]

use std::io;
use std::mem;

/// Pins the calling thread to the `nth` of the cores that it may use, counted around.
///
/// # Errors
/// When the kernel refuses.
pub fn pin(nth: usize) -> io::Result<()> {
    let bytes = mem::size_of::<libc::cpu_set_t>();
    // SAFETY: all zeroes is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a live set, as long as the length says; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, bytes, &raw mut allowed) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the index is below CPU_SETSIZE.
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &allowed) })
        .collect();
    let Some(&core) = cores.get(nth % cores.len().max(1)) else {
        return Ok(());
    };
    // SAFETY: all zeroes is the empty set, and `core` is below CPU_SETSIZE.
    let one = unsafe {
        let mut one: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut one);
        one
    };
    // SAFETY: as for sched_getaffinity; the kernel only reads it.
    if unsafe { libc::sched_setaffinity(0, bytes, &raw const one) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_pinned_thread_stays_where_it_is_put() {
        std::thread::spawn(|| {
            super::pin(0).expect("allowed");
            let parallelism = std::thread::available_parallelism().expect("known");
            assert_eq!(parallelism.get(), 1);
        })
        .join()
        .expect("pinned");
    }
}
