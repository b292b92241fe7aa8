//! Who holds the registry does not wait for the store: a mechanism against the deadlock in which a task
//! that holds the one waits for the other, whose answer waits for the first.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::registry::Registry;

thread_local! {
    /// How many guards of the registry this thread holds.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// Panics in a debug build when this thread holds the registry.
pub(crate) fn assert_not_held() {
    debug_assert!(
        HELD.get() == 0,
        "the store is asked for while this thread holds the registry"
    );
}

/// One guard that this thread holds.
struct Held {
    /// It must end on the thread where it began.
    _here: PhantomData<*const ()>,
}

impl Held {
    fn new() -> Self {
        HELD.set(HELD.get() + 1);
        Self { _here: PhantomData }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// The registry, locked.
pub(crate) struct RegistryGuard<'a, T = Registry> {
    guard: MutexGuard<'a, T>,
    _held: Held,
}

impl<'a, T> RegistryGuard<'a, T> {
    pub(crate) fn lock(registry: &'a Mutex<T>) -> Self {
        Self {
            guard: registry.lock().unwrap_or_else(PoisonError::into_inner),
            _held: Held::new(),
        }
    }
}

impl<T> Deref for RegistryGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for RegistryGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_may_be_asked_for_once_the_registry_is_let_go() {
        let registry = Mutex::new(());
        let guard = RegistryGuard::lock(&registry);
        drop(guard);
        assert_not_held();
    }

    #[test]
    fn another_thread_may_hold_the_registry_meanwhile() {
        let registry = Mutex::new(());
        let _guard = RegistryGuard::lock(&registry);
        std::thread::scope(|scope| {
            let asked = scope.spawn(assert_not_held);
            assert!(asked.join().is_ok());
        });
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "while this thread holds the registry")]
    fn the_store_is_not_asked_for_while_the_registry_is_held() {
        let registry = Mutex::new(());
        let _guard = RegistryGuard::lock(&registry);
        assert_not_held();
    }
}
