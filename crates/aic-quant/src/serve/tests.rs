//! The queue and the scheduler with a toy model: what they promise, whatever comes.
mod sharing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::queue::Queue;
use super::request::{Request, Speaker};
use super::scheduler::Scheduler;
use super::toy::{END, Log, Mishap, Toy};
use super::{ServeOptions, ServeStatistics};
use crate::{Error, Result};

/// How an answer ended.
#[derive(Debug)]
enum Ending {
    Finished,
    Failed(Error),
}

/// An answer as whoever asked sees it.
#[derive(Default)]
struct Heard {
    tokens: Mutex<Vec<u32>>,
    endings: Mutex<Vec<Ending>>,
    gone: AtomicBool,
    starts: Mutex<usize>,
    /// Index of the token whose choice panics.
    panics_at: Option<usize>,
    /// Index of the token whose choice fails.
    fails_at: Option<usize>,
}

/// Takes the likeliest token.
struct Greedy(Arc<Heard>);

impl Speaker for Greedy {
    fn started(&mut self, _: Instant) {
        *self.0.starts.lock().unwrap() += 1;
    }

    fn next(&mut self, logits: Vec<f32>, last: bool, _: Instant) -> Result<Option<u32>> {
        let at = self.0.tokens.lock().unwrap().len();
        assert_ne!(Some(at), self.0.panics_at);
        if Some(at) == self.0.fails_at {
            return Err(Error::Empty { what: "test" });
        }
        let token = logits.iter().position(|logit| *logit == 1.0).unwrap() as u32;
        if token != END {
            self.0.tokens.lock().unwrap().push(token);
        }
        if token == END || last {
            self.0.endings.lock().unwrap().push(Ending::Finished);
        }
        Ok((token != END).then_some(token))
    }

    fn wanted(&self) -> bool {
        !self.0.gone.load(Ordering::Relaxed)
    }

    fn fail(&mut self, error: Error) {
        self.0.endings.lock().unwrap().push(Ending::Failed(error));
    }
}

/// A request and what came of it.
struct Asked {
    prompt: Vec<u32>,
    max_tokens: usize,
    heard: Arc<Heard>,
}

impl Asked {
    fn tokens(&self) -> Vec<u32> {
        self.heard.tokens.lock().unwrap().clone()
    }

    fn cancel(&self) {
        self.heard.gone.store(true, Ordering::Relaxed);
    }

    fn has_ended(&self) -> bool {
        !self.heard.endings.lock().unwrap().is_empty()
    }

    fn error(&self) -> Option<String> {
        match &self.heard.endings.lock().unwrap()[..] {
            [Ending::Failed(error)] => Some(error.to_string()),
            _ => None,
        }
    }

    /// Checks that the answer is what the toy says alone, to its end.
    fn check_finished(&self, capacity: usize) {
        let endings = self.heard.endings.lock().unwrap();
        assert!(matches!(endings[..], [Ending::Finished]), "{endings:?}");
        let count = self.max_tokens.min(capacity - self.prompt.len());
        assert_eq!(self.tokens(), Toy::alone(&self.prompt, count), "prompt {:?}", self.prompt);
    }

    /// Checks that the answer is the beginning of what the toy says alone, and that nothing finished.
    fn check_broken_off(&self, endings: usize) {
        assert!(Toy::alone(&self.prompt, self.max_tokens).starts_with(&self.tokens()));
        assert_eq!(self.heard.endings.lock().unwrap().len(), endings);
    }
}

/// A toy that is served, and its clock.
struct Served {
    scheduler: Scheduler,
    queue: Queue,
    log: Arc<Mutex<Log>>,
    now: Instant,
    capacity: usize,
}

/// Page size, pages, whether they are shared.
#[derive(Clone, Copy, Debug)]
struct Layout(usize, usize, bool);

impl Served {
    fn new(layout: Layout, options: ServeOptions) -> Self {
        Self::with_context(usize::MAX, layout, options)
    }

    fn with_context(max_context: usize, layout: Layout, options: ServeOptions) -> Self {
        let (toy, log) = Toy::new(layout.0, layout.1, layout.2);
        let (scheduler, queue) = Scheduler::new(Box::new(toy), max_context, options).unwrap();
        Self { scheduler, queue, log, now: Instant::now(), capacity: max_context.min(layout.0 * layout.1) }
    }

    fn submit(&mut self, asked: &Asked, start_by: Option<Instant>) -> Result<()> {
        let speaker = Box::new(Greedy(asked.heard.clone()));
        let request = Request::new(asked.prompt.clone(), asked.max_tokens, self.now, start_by, speaker);
        self.now += Duration::from_nanos(1);
        self.queue.submit(request, self.now)
    }

    fn ask(&mut self, prompt: Vec<u32>, max_tokens: usize) -> Asked {
        let asked = Asked { prompt, max_tokens, heard: Arc::default() };
        self.submit(&asked, None).unwrap();
        asked
    }

    fn step(&mut self) {
        self.scheduler.admit(&mut self.queue, self.now);
        self.scheduler.check();
        self.scheduler.step(&|| self.now);
        self.scheduler.check();
    }

    /// Steps until nothing is left to do.
    fn finish(&mut self) {
        for _ in 0..100_000 {
            if self.scheduler.is_idle() && self.queue.is_empty() {
                return;
            }
            self.step();
        }
        panic!("requests are never answered: {:?}", self.statistics());
    }

    fn statistics(&self) -> ServeStatistics {
        let mut statistics = self.scheduler.statistics();
        self.queue.report(&mut statistics);
        statistics
    }
}

const OPTIONS: ServeOptions = ServeOptions { waiting: 1000, running: 8, step_tokens: 32 };

/// A prompt whose answer has at least `least` tokens; different for each `seed`.
fn talkative(length: usize, least: usize, seed: u32) -> Vec<u32> {
    let prompts =
        (0..).map(|salt: u32| (0..length as u32).map(|i| (i * 7 + seed * 31 + salt * 101) % 97).collect());
    prompts.into_iter().find(|prompt: &Vec<u32>| Toy::alone(prompt, least).len() == least).unwrap()
}

#[test]
fn requests_together_get_the_answers_they_get_alone() {
    let mut served = Served::new(Layout(4, 100, true), OPTIONS);
    let asked: Vec<Asked> = (0..20).map(|i| served.ask(vec![i, i + 1, 3], 12)).collect();

    served.finish();

    asked.iter().for_each(|asked| asked.check_finished(served.capacity));
    let statistics = served.statistics();
    assert_eq!((statistics.finished, statistics.running, statistics.pages_used), (20, 0, 0));
    assert!(statistics.steps < 20 * 12, "{statistics:?}");
}

#[test]
fn answers_are_cut_where_the_pages_or_the_request_end() {
    let mut served = Served::new(Layout(4, 5, true), OPTIONS);
    let long = served.ask(talkative(6, 30, 1), 1000);
    let short = served.ask(talkative(6, 30, 2), 3);

    served.finish();

    long.check_finished(20);
    assert_eq!((long.tokens().len(), short.tokens().len()), (14, 3));
}

#[test]
fn answers_are_cut_where_the_context_ends_though_there_are_pages() {
    let mut served = Served::with_context(10, Layout(4, 50, true), OPTIONS);
    let asked = served.ask(talkative(6, 30, 1), 1000);

    served.finish();

    asked.check_finished(10);
    assert_eq!(asked.tokens().len(), 4);
}

#[test]
fn prompt_that_fills_all_pages_is_answered_and_one_token_more_is_refused() {
    let mut served = Served::new(Layout(4, 5, true), OPTIONS);
    let asked = served.ask((0..19).collect(), 5);
    served.finish();
    asked.check_finished(20);

    let longer = Asked { prompt: (0..20).collect(), max_tokens: 5, heard: Arc::default() };
    let refused = served.submit(&longer, None);
    assert!(matches!(refused, Err(Error::PromptTooLong { tokens: 20, limit: 19 })));
    let empty = Asked { prompt: Vec::new(), max_tokens: 5, heard: Arc::default() };
    assert!(matches!(served.submit(&empty, None), Err(Error::Empty { .. })));
}

#[test]
fn short_prompt_is_answered_while_a_long_one_is_read() {
    let options = ServeOptions { step_tokens: 16, ..OPTIONS };
    let mut served = Served::new(Layout(4, 1000, true), options);
    let long = served.ask(talkative(1000, 1, 1), 4);
    let short = served.ask(talkative(6, 4, 2), 4);

    (0..5).for_each(|_| served.step());

    assert!(short.has_ended());
    assert!(long.tokens().is_empty());
}

#[test]
fn every_answer_goes_on_by_a_token_at_each_step_while_prompts_are_read() {
    let mut served = Served::new(Layout(4, 1000, true), OPTIONS);
    let writing = served.ask(talkative(4, 20, 1), 20);
    served.step();
    let reading: Vec<Asked> = (0..4).map(|i| served.ask(talkative(300, 1, 2 + i), 1)).collect();

    for step in 2..=20 {
        served.step();
        assert_eq!(writing.tokens().len(), step);
    }

    assert!(reading.iter().any(|asked| !asked.has_ended()));
}

#[test]
fn no_step_runs_more_tokens_than_its_budget() {
    let options = ServeOptions { running: 5, step_tokens: 7, ..OPTIONS };
    let mut served = Served::new(Layout(4, 300, true), options);
    (0..12).for_each(|i| drop(served.ask(talkative(3 + 9 * i as usize, 1, i), 9)));

    served.finish();

    let log = served.log.lock().unwrap();
    let tokens = |step: &Vec<(u64, usize)>| step.iter().map(|(_, tokens)| tokens).sum::<usize>();
    assert!(log.steps.iter().all(|step| step.len() <= 5 && tokens(step) <= 7));
    assert!(log.steps.iter().any(|step| tokens(step) == 7));
}

#[test]
fn request_waits_until_there_is_a_page_more_than_it_needs_at_first() {
    let mut served = Served::new(Layout(4, 5, true), OPTIONS);
    let first = served.ask(talkative(8, 3, 1), 3);
    let second = served.ask(talkative(12, 8, 2), 8);

    served.step();
    assert_eq!((served.statistics().running, served.statistics().waiting), (1, 1));

    served.finish();
    [first, second].iter().for_each(|asked| asked.check_finished(served.capacity));
    assert_eq!(served.statistics().preemptions, 0);
}

#[test]
fn when_pages_run_out_the_youngest_is_put_off_and_nothing_of_its_answer_is_lost() {
    let mut served = Served::new(Layout(2, 12, true), OPTIONS);
    let asked: Vec<Asked> = (0..3).map(|i| served.ask(talkative(5, 12, i), 12)).collect();

    served.finish();

    asked.iter().for_each(|asked| asked.check_finished(served.capacity));
    assert!(served.statistics().preemptions > 0);
    let starts: Vec<usize> = asked.iter().map(|asked| *asked.heard.starts.lock().unwrap()).collect();
    assert_eq!(starts[0], 1, "the oldest is never put off");
    assert!(starts[2] > 1);
}

#[test]
fn preempted_request_goes_before_those_that_wait() {
    let options = ServeOptions { running: 2, ..OPTIONS };
    let mut served = Served::new(Layout(2, 12, true), options);
    let [_, second, third] = [0, 1, 2].map(|i| served.ask(talkative(5, 12, i), 12));

    while !second.has_ended() {
        assert!(third.tokens().is_empty() || second.tokens().len() > third.tokens().len());
        served.step();
    }
    assert!(*second.heard.starts.lock().unwrap() > 1);
}

#[test]
fn preempted_request_that_nobody_waits_for_is_not_run_again() {
    let mut served = Served::new(Layout(2, 12, true), OPTIONS);
    let asked: Vec<Asked> = (0..3).map(|i| served.ask(talkative(5, 12, i), 12)).collect();
    while served.statistics().preemptions == 0 {
        served.step();
    }
    let put_off = asked.last().unwrap();
    assert!(!put_off.has_ended());
    let starts = *put_off.heard.starts.lock().unwrap();

    put_off.cancel();
    served.step();

    assert_eq!(served.statistics().cancelled, 1);
    served.finish();
    assert_eq!(*put_off.heard.starts.lock().unwrap(), starts);
}

#[test]
fn full_queue_refuses_with_its_length_and_purges_the_stale_first() {
    let options = ServeOptions { waiting: 3, ..OPTIONS };
    let mut served = Served::new(Layout(4, 100, true), options);
    let ask = || Asked { prompt: vec![1, 2, 3], max_tokens: 3, heard: Arc::default() };
    let [waits, gone, late, more] = [ask(), ask(), ask(), ask()];
    served.submit(&waits, None).unwrap();
    served.submit(&gone, None).unwrap();
    served.submit(&late, Some(served.now + Duration::from_secs(5))).unwrap();

    let full = served.submit(&more, None).unwrap_err();
    assert!(matches!(full, Error::QueueFull { waiting: 3, limit: 3 }), "{full}");
    assert_eq!(
        full.to_string(),
        "the queue is full: 3 requests wait and 3 may; try again later, or raise `waiting`"
    );

    gone.cancel();
    served.submit(&more, None).unwrap();
    served.now += Duration::from_secs(6);
    let another = ask();
    served.submit(&another, None).unwrap();
    served.finish();

    [waits, more, another].iter().for_each(|asked| asked.check_finished(served.capacity));
    assert_eq!(
        late.error().unwrap(),
        "the request waited for 6.0 s and was not started in its time; try again when fewer wait"
    );
    let statistics = served.statistics();
    assert_eq!((statistics.refused, statistics.purged, statistics.finished), (1, 2, 3));
}

#[test]
fn request_whose_time_is_up_ends_while_others_are_answered() {
    let options = ServeOptions { running: 1, ..OPTIONS };
    let mut served = Served::new(Layout(4, 100, true), options);
    let first = served.ask(talkative(4, 9, 1), 9);
    let late = Asked { prompt: vec![1, 2], max_tokens: 5, heard: Arc::default() };
    served.submit(&late, Some(served.now + Duration::from_secs(1))).unwrap();
    served.step();
    assert!(!late.has_ended());

    served.now += Duration::from_secs(2);
    served.step();

    assert!(late.has_ended() && !first.has_ended());
    served.finish();
    assert_eq!(*late.heard.starts.lock().unwrap(), 0);
}

#[test]
fn request_that_started_in_time_goes_on_after_it() {
    let mut served = Served::new(Layout(4, 100, true), OPTIONS);
    let asked = Asked { prompt: talkative(4, 5, 1), max_tokens: 5, heard: Arc::default() };
    served.submit(&asked, Some(served.now + Duration::from_nanos(1))).unwrap();
    served.step();
    served.now += Duration::from_secs(1);

    served.finish();

    asked.check_finished(served.capacity);
}

#[test]
fn failed_step_ends_its_requests_with_the_cause_and_the_engine_goes_on() {
    for (mishap, cause) in [
        (Mishap::Error, "toy is empty"),
        (Mishap::Panic, "the model panicked; the panic's message was printed when it happened"),
        (Mishap::TooFewLogits, "computation failed while running the model"),
        (Mishap::PanicAndPanicAtEnd, "the model panicked; the panic's message was printed when it happened"),
    ] {
        let options = ServeOptions { running: 2, ..OPTIONS };
        let mut served = Served::new(Layout(4, 100, true), options);
        let [a, b, later] = [1, 2, 3].map(|i| served.ask(talkative(5, 6, i), 6));
        (0..3).for_each(|_| served.step());

        served.log.lock().unwrap().mishap = Some(mishap);
        served.finish();

        for failed in [a, b] {
            let endings = failed.heard.endings.lock().unwrap();
            let [Ending::Failed(error)] = &endings[..] else { panic!("{endings:?}") };
            assert_eq!(error.to_string(), "computation failed while answering requests together");
            assert_eq!(std::error::Error::source(error).unwrap().to_string(), cause);
            assert_eq!(failed.tokens().len(), 3);
        }
        later.check_finished(served.capacity);
        let statistics = served.statistics();
        assert_eq!((statistics.failed, statistics.finished, statistics.pages_used), (2, 1, 0));
    }
}

#[test]
fn error_or_panic_in_the_choice_of_a_token_ends_only_that_request() {
    let mut served = Served::new(Layout(4, 100, true), OPTIONS);
    let prompt = talkative(5, 8, 1);
    let heard = [
        Heard { fails_at: Some(2), ..Heard::default() },
        Heard { panics_at: Some(3), ..Heard::default() },
        Heard::default(),
    ];
    let asked = heard.map(|heard| Asked { prompt: prompt.clone(), max_tokens: 8, heard: Arc::new(heard) });
    asked.iter().for_each(|asked| served.submit(asked, None).unwrap());

    served.finish();

    let [failed, panicked, fine] = asked;
    assert_eq!(failed.error().unwrap(), "test is empty");
    assert!(panicked.error().unwrap().starts_with("the choice of a token panicked"));
    assert_eq!((failed.tokens().len(), panicked.tokens().len()), (2, 3));
    fine.check_finished(served.capacity);
}

#[test]
fn abandoned_queue_ends_what_waits_and_takes_nothing_in() {
    let mut served = Served::new(Layout(2, 8, true), OPTIONS);
    let asked = [1, 2].map(|token| served.ask(vec![token], 10));

    served.queue.abandon();

    for asked in &asked {
        assert_eq!(asked.error().unwrap(), "the engine was stopped");
    }
    let late = served.submit(&asked[0], None);
    assert!(matches!(late, Err(Error::Stopped { .. })));
}

#[test]
fn prompt_is_read_within_its_share_of_steps_whatever_else_comes() {
    let options = ServeOptions { running: 4, step_tokens: 16, ..OPTIONS };
    let mut served = Served::new(Layout(4, 2000, true), options);
    let long = served.ask(talkative(400, 2, 0), 2);
    // Of 16 tokens at most three go to the last tokens of others, and the rest is shared by at most four.
    let bound = 400_usize.div_ceil((16 - 3) / 4);

    let mut steps = 0;
    while long.tokens().is_empty() {
        let seed = steps as u32 + 1;
        drop(served.ask(talkative(1 + steps % 40, 1, seed), 8));
        served.step();
        steps += 1;
    }

    assert!(steps <= bound, "{steps} steps");
    assert!(served.statistics().finished > 5, "{:?}", served.statistics());
}

#[test]
fn two_hundred_requests_with_cancels_among_them_hold_no_page_in_the_end() {
    let options = ServeOptions { running: 16, step_tokens: 48, ..OPTIONS };
    let mut served = Served::new(Layout(4, 60, true), options);
    let prompt = |i: u32| (0..5 + i % 40).map(|j| if j < 12 { i % 3 + j } else { i * j % 97 }).collect();
    let asked: Vec<Asked> = (0..200).map(|i| served.ask(prompt(i), 10 + i as usize % 20)).collect();

    let mut cancelled = Vec::new();
    for step in 0.. {
        if served.scheduler.is_idle() && served.queue.is_empty() {
            break;
        }
        served.step();
        let begun = |asked: &Asked| *asked.heard.starts.lock().unwrap() > 0;
        let open = |index: &usize| !asked[*index].has_ended() && (step % 4 == 0 || begun(&asked[*index]));
        let victims: Vec<usize> = (0..200).filter(open).filter(|index| !cancelled.contains(index)).collect();
        if let Some(victim) = victims.get(step * 37 % victims.len().max(1)).filter(|_| step % 2 == 0) {
            asked[*victim].cancel();
            cancelled.push(*victim);
        }
    }

    let statistics = served.statistics();
    assert_eq!((statistics.pages_used, statistics.running, statistics.waiting), (0, 0, 0));
    assert_eq!(statistics.finished + statistics.cancelled + statistics.purged, 200);
    assert!(statistics.cancelled > 10 && statistics.preemptions > 0, "{statistics:?}");
    for (index, asked) in asked.iter().enumerate() {
        if !cancelled.contains(&index) {
            asked.check_finished(served.capacity);
        }
    }
}

/// What may happen to a server.
#[derive(Clone, Debug)]
enum Event {
    /// A prompt of a common beginning of this many tokens and some of its own, an answer of this many.
    Ask {
        common: usize,
        own: Vec<u32>,
        max_tokens: usize,
        patience_secs: Option<u64>,
    },
    Step(usize),
    Cancel(usize),
    Wait(u64),
    Mishap(Mishap),
}

fn event() -> impl Strategy<Value = Event> {
    let own = prop::collection::vec(0_u32..3, 0..6);
    let patience = prop::option::weighted(0.3, 0_u64..4);
    let ask =
        (0_usize..16, own, 1_usize..14, patience).prop_map(|(common, own, max_tokens, patience_secs)| {
            Event::Ask { common, own, max_tokens, patience_secs }
        });
    let mishap = prop::sample::select(vec![
        Mishap::Error,
        Mishap::Panic,
        Mishap::TooFewLogits,
        Mishap::PanicAndPanicAtEnd,
    ]);
    prop_oneof![
        8 => ask,
        8 => (1_usize..6).prop_map(Event::Step),
        2 => (0_usize..40).prop_map(Event::Cancel),
        1 => (1_u64..3).prop_map(Event::Wait),
        1 => mishap.prop_map(Event::Mishap),
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    (1_usize..5, 4_usize..14, prop::bool::weighted(0.8))
        .prop_map(|(size, pages, sharing)| Layout(size, pages, sharing))
}

fn options() -> impl Strategy<Value = ServeOptions> {
    (1_usize..12, 1_usize..6, 0_usize..12).prop_map(|(waiting, running, more)| ServeOptions {
        waiting,
        running,
        step_tokens: running + more,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_request_ends_once_with_the_answer_it_gets_alone(
        layout in layout(),
        options in options(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut served = Served::new(layout, options);
        let (mut asked, mut mishaps) = (Vec::<Asked>::new(), 0);
        for event in events {
            match event {
                Event::Ask { common, own, max_tokens, patience_secs } => {
                    let prompt = (0..common as u32).chain(own).collect();
                    let request = Asked { prompt, max_tokens, heard: Arc::default() };
                    let start_by = patience_secs.map(|seconds| served.now + Duration::from_secs(seconds));
                    if served.submit(&request, start_by).is_ok() {
                        asked.push(request);
                    }
                }
                Event::Step(count) => (0..count).for_each(|_| served.step()),
                Event::Cancel(index) if !asked.is_empty() => asked[index % asked.len()].cancel(),
                Event::Cancel(_) => {}
                Event::Wait(seconds) => served.now += Duration::from_secs(seconds),
                Event::Mishap(mishap) => {
                    served.log.lock().unwrap().mishap = Some(mishap);
                    mishaps += 1;
                }
            }
        }
        served.finish();

        let (mut finished, mut expired, mut failed) = (0, 0, 0);
        for asked in &asked {
            let gone = asked.heard.gone.load(Ordering::Relaxed);
            match (asked.error(), gone) {
                (None, true) if !asked.has_ended() => asked.check_broken_off(0),
                (None, _) => {
                    finished += 1;
                    asked.check_finished(served.capacity);
                }
                (Some(error), _) => {
                    asked.check_broken_off(1);
                    if error.starts_with("the request waited") { expired += 1 } else { failed += 1 }
                }
            }
        }
        let statistics = served.statistics();
        prop_assert_eq!((statistics.pages_used, statistics.running, statistics.waiting), (0, 0, 0));
        prop_assert_eq!((statistics.finished, statistics.failed, statistics.purged), (finished, failed, expired));
        prop_assert!(failed == 0 || mishaps > 0);
        let total = statistics.pages_free + statistics.pages_cached;
        prop_assert_eq!(total, layout.1);
        prop_assert_eq!(statistics.finished + statistics.failed + statistics.purged + statistics.cancelled, asked.len() as u64);
    }
}
