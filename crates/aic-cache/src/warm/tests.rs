use std::{
    cell::{Cell, RefCell},
    future::pending,
};

use proptest::{collection::vec, prelude::*};
use tokio::time::{self, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn price(nano_usd: u64) -> Outcome {
    Outcome::Computed(Worth { tokens: Some(nano_usd / 10), nano_usd: Some(nano_usd) })
}

/// Runs `test` with a clock that stands still while anything can be done.
fn paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O can be built").block_on(test)
}

#[tokio::test(start_paused = true)]
async fn warming_without_limits_does_all_prompts_and_adds_them_up() {
    let warmed = Warming::new()
        .run(0..30_u64, |i| async move {
            match i % 3 {
                0 => Outcome::Known,
                1 => price(100),
                _ => Outcome::Failed("no route".into()),
            }
        })
        .await;

    let Progress { total, done, known, computed, failed, nano_usd, tokens, .. } = warmed.progress;
    assert_eq!((total, done, known, computed, failed), (Some(30), 30, 10, 10, 10));
    assert_eq!((nano_usd, tokens, warmed.end), (1_000, 100, End::Complete));
    assert_eq!(warmed.last_failure.as_deref(), Some("no route"));
}

#[tokio::test(start_paused = true)]
async fn no_prompts_at_all_are_done_at_once_whatever_the_limits() {
    let warmed = Warming::new().budget_nano_usd(0).run([(); 0], |()| async { price(1) }).await;

    assert_eq!((warmed.end, warmed.progress.elapsed), (End::Complete, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn stall_is_not_followed_by_a_burst() {
    let (start, begun) = (Instant::now(), RefCell::new(Vec::new()));

    Warming::new()
        .concurrency(1)
        .rate(10, SECOND)
        .run(0..5, |i| {
            begun.borrow_mut().push(start.elapsed().as_millis());
            async move {
                sleep(if i == 1 { 5 * SECOND } else { Duration::ZERO }).await;
                price(1)
            }
        })
        .await;

    assert_eq!(*begun.borrow(), [0, 100, 5_100, 5_200, 5_300]);
}

#[tokio::test(start_paused = true)]
async fn known_prompts_do_not_wait_for_each_other_and_the_end_is_not_waited_for() {
    let warmed = Warming::new()
        .rate(1, SECOND)
        .run(0..1_000, |i| async move { if i % 500 == 250 { price(1) } else { Outcome::Known } })
        .await;

    // Only after each of the two computed ones there was a pause.
    assert_eq!((warmed.progress.known, warmed.progress.elapsed), (998, 2 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_end_it_and_those_that_have_begun_are_completed() {
    let begun = Cell::new(0);
    let warmed = Warming::new()
        .concurrency(3)
        .failures_in_a_row(5)
        .run(0..100, |i| {
            begun.set(begun.get() + 1);
            async move {
                sleep(if i == 8 { 9 * SECOND } else { SECOND }).await;
                if i == 2 || i == 8 { price(7) } else { Outcome::Failed(format!("failure {i}").into()) }
            }
        })
        .await;

    // 0 and 1 fail, 2 does not; 3 to 7 fail while 8 is being worked on.
    assert_eq!((warmed.end, warmed.progress.failed, warmed.progress.computed), (End::Failures, 7, 2));
    assert_eq!((begun.get(), warmed.last_failure.as_deref()), (9, Some("failure 7")));
}

#[tokio::test(start_paused = true)]
async fn unknown_price_ends_a_warming_that_has_a_budget_and_no_other() {
    let free = || Warming::new().concurrency(1);
    let unpriced = |_| async { Outcome::Computed(Worth { tokens: Some(1), nano_usd: None }) };

    let money = free().budget_nano_usd(1_000).run(0..9, unpriced).await;
    let tokens = free().budget_tokens(1_000).run(0..9, unpriced).await;

    assert_eq!((money.end, money.progress.computed, money.progress.unpriced), (End::Unpriced, 1, 1));
    assert_eq!((tokens.end, tokens.progress.computed, tokens.progress.unpriced), (End::Complete, 9, 9));
}

#[tokio::test(start_paused = true)]
async fn limit_of_entries_counts_what_is_computed_and_is_never_passed() {
    let work = |i| async move { if i % 2 == 0 { Outcome::Known } else { price(1) } };

    let warmed = Warming::new().concurrency(8).limit_entries(5).run(0..100, work).await;
    let enough = Warming::new().limit_entries(5).run(0..10, work).await;

    assert_eq!((warmed.end, warmed.progress.computed), (End::Entries, 5));
    assert_eq!((enough.end, enough.progress.computed), (End::Complete, 5));
}

#[tokio::test(start_paused = true)]
async fn dropped_warming_drops_what_is_being_worked_on_and_keeps_what_is_done() {
    struct Guard<'a>(&'a Cell<u32>);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let (working, done) = (Cell::new(0), Cell::new(0));

    let warming = Warming::new().concurrency(2).run(0..10, |i| {
        working.set(working.get() + 1);
        let (guard, done) = (Guard(&working), &done);
        async move {
            let _guard = guard;
            if i >= 3 {
                pending::<()>().await;
            }
            done.set(done.get() + 1);
            price(1)
        }
    });

    assert!(time::timeout(SECOND, warming).await.is_err());
    assert_eq!((working.get(), done.get()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn progress_tells_the_time_left_as_soon_as_it_can() {
    let (mut seen, total) = (Vec::new(), 4);
    let work = |_| async {
        sleep(SECOND).await;
        price(1)
    };

    Warming::new().concurrency(1).on_progress(|progress| seen.push(progress.left)).run(0..total, work).await;
    assert_eq!(seen, [3, 2, 1, 0].map(|left| Some(left * SECOND)));

    let mut unknown = Vec::new();
    let odd = (0..total).filter(|i| i % 2 == 1);
    Warming::new().on_progress(|progress| unknown.push((progress.total, progress.left))).run(odd, work).await;
    assert_eq!(unknown, [(None, None); 2]);
}

#[tokio::test(start_paused = true)]
async fn report_is_one_line() {
    let warmed = Warming::new()
        .concurrency(1)
        .budget_nano_usd(20_000_000)
        .run(0..5_000, |i| async move {
            sleep(SECOND).await;
            if i == 1 { Outcome::Failed("too hot".into()) } else { price(6_000_000) }
        })
        .await;

    let expected = "4 of 5,000 in 4.00 s: 0 known, 3 computed, 1 failed; 1,800,000 tokens, $0.0180; \
        the budget is used up; the last failure: too hot";
    assert_eq!(warmed.to_string(), expected);
}

#[test]
fn warming_can_be_spawned() {
    fn sendable<T: Send>(_: &T) {}

    sendable(&Warming::new().run(0..9, |_| async { Outcome::Known }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rate_and_concurrency_hold_in_every_window(
        concurrency in 1..6_usize,
        per_second in 1..100_u32,
        work_ms in vec(0..500_u64, 1..60),
    ) {
        let (working, most, begun) = (Cell::new(0_usize), Cell::new(0), RefCell::new(Vec::new()));
        let start = Instant::now;
        paused(async {
            let start = start();
            let work = |ms| {
                let (working, most) = (&working, &most);
                begun.borrow_mut().push(start.elapsed());
                async move {
                    working.set(working.get() + 1);
                    most.set(most.get().max(working.get()));
                    sleep(Duration::from_millis(ms)).await;
                    working.set(working.get() - 1);
                    price(1)
                }
            };
            Warming::new().concurrency(concurrency).rate(per_second, SECOND).run(work_ms, work).await;
        });

        prop_assert!(most.get() <= concurrency);
        // Any two are so far apart that no window, however long, has more than its share and one.
        let apart = SECOND / per_second;
        prop_assert!(begun.borrow().windows(2).all(|two| two[1] - two[0] >= apart));
    }

    #[test]
    fn budget_is_passed_by_no_more_than_the_last_prompts_cost(
        concurrency in 1..6_usize,
        budget in 0..5_000_u64,
        prices in vec((0..1_000_u64, 0..50_u64), 0..60),
    ) {
        let dearest = prices.iter().map(|(price, _)| *price).max().unwrap_or(0);
        let count = prices.len() as u64;
        let work = |(cost, ms)| async move {
            sleep(Duration::from_millis(ms)).await;
            price(cost)
        };

        let run = Warming::new().concurrency(concurrency).budget_nano_usd(budget).run(prices, work);
        let Warmed { progress, end, .. } = paused(run);

        prop_assert!(progress.nano_usd <= budget + concurrency as u64 * dearest);
        match end {
            End::Complete => prop_assert_eq!(progress.done, count),
            // Another one of the mean price would have passed it.
            _ => prop_assert!(progress.computed == 0 || progress.nano_usd + progress.nano_usd.div_ceil(progress.computed) > budget),
        }
    }

    #[test]
    fn prompts_of_one_price_never_pass_the_budget_and_use_it_up(
        concurrency in 1..6_usize, cost in 1..1_000_u64, budget in 0..20_000_u64,
    ) {
        let work = |_| async move {
            sleep(SECOND).await;
            price(cost)
        };

        let warmed = paused(Warming::new().concurrency(concurrency).budget_nano_usd(budget).run(0.., work));

        // The first one had to be tried to learn the price.
        let least = u64::from(budget > 0);
        prop_assert_eq!(warmed.progress.computed, (budget / cost).max(least));
    }
}
