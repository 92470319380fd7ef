use std::sync::{Condvar, Mutex, PoisonError};

/// A few of the same thing, each used by one at a time.
#[derive(Debug)]
pub(super) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    returned: Condvar,
}

/// One of a pool's things; it goes back when dropped, also by a panic.
struct Lent<'a, T> {
    pool: &'a Pool<T>,
    thing: Option<T>,
}

impl<T> Pool<T> {
    /// A pool of `things`, of which there must be one.
    pub(super) fn new(things: Vec<T>) -> Self {
        Self { idle: Mutex::new(things), returned: Condvar::new() }
    }

    /// Does `work` with one of the things, once one is free.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut lent = self.take();
        work(lent.thing.as_mut().expect("it is there until it is dropped"))
    }

    fn take(&self) -> Lent<'_, T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle =
            self.returned.wait_while(idle, |idle| idle.is_empty()).unwrap_or_else(PoisonError::into_inner);
        Lent { pool: self, thing: idle.pop() }
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.thing.take());
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn each_is_used_by_one_at_a_time_and_comes_back_from_a_panic() {
        let pool = Pool::new(vec![0_u32, 0]);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for index in 0..8 {
                let (pool, inside, most) = (&pool, &inside, &most);
                scope.spawn(move || {
                    let work = |uses: &mut u32| {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        *uses += 1;
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        assert!(index != 3, "this one fails");
                    };
                    catch_unwind(AssertUnwindSafe(|| pool.with(work))).ok();
                });
            }
        });

        let uses = pool.idle.lock().unwrap();
        assert_eq!((uses.len(), uses.iter().sum::<u32>()), (2, 8));
        assert!(most.load(Ordering::SeqCst) <= 2);
    }
}
