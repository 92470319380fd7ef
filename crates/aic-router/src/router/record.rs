//! What a router has learned of one model.

use std::time::{Duration, Instant};

use crate::evidence::{Evidence, Prior};
use crate::goal::seconds;
use crate::latency::{KEEP, Latency, Work};
use crate::prefix::{LEAST_TOKENS, Prefix, Seen};
use crate::{ExpectedLatency, ModelInfo, Price, ProviderKind, Quality, Task, Usage, quality};

/// What was seen counts half after so long, so that a model nobody chose for its past gets another chance.
const HALF_LIFE: Duration = Duration::from_secs(3600);
/// Fading waits until so much time has passed, so that planning seldom pays for it.
const FADE_STEP: Duration = Duration::from_secs(60);
/// What older feedback counts beside the newest: half with every 50 pieces. Time does not fade it.
const KEEP_FEEDBACK: f64 = 0.986_232_704_493_359_2;

/// One call in fifty fails, until calls were seen.
const FAILING: Prior = Prior { chance: 0.02, worth: 10.0 };
/// Half of what could be in a prompt cache is, until usage was seen.
const CACHED: Prior = Prior { chance: 0.5, worth: 2.0 };
/// Half of the long questions begin as one before them, until some were seen.
const REPEATED: Prior = Prior { chance: 0.5, worth: 2.0 };
/// What is charged for failures is charged as if one call in ten still succeeded.
const FAILING_MOST: f64 = 0.9;

/// What writing a prompt to the cache costs, in prices of reading it: Anthropic, for five minutes.
const WRITE: f64 = 1.25;
/// What reading it from there costs, where the model's price does not say.
const READ: f64 = 0.1;

#[derive(Debug, Default)]
pub(super) struct Record {
    latency: Latency,
    failures: Evidence,
    cached: Evidence,
    repeated: Evidence,
    feedback: Vec<(Task, Evidence)>,
    seen: Seen,
    faded: Option<Instant>,
}

/// What a model is asked, as far as its past has to say something about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) task: Task,
    pub(super) usage: Usage,
    pub(super) prefix: &'a Prefix,
}

/// What is expected of a model for a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    pub(super) quality: Quality,
    pub(super) latency: ExpectedLatency,
    /// The chance that a call fails.
    pub(super) failing: f64,
    /// The question as it would be used, with what is expected from the prompt cache.
    pub(super) usage: Usage,
    pub(super) work: Work,
    /// Whether it pays to have the question's beginning kept.
    pub(super) cache_pays: bool,
}

impl Record {
    pub(super) fn latency(&self) -> &Latency {
        &self.latency
    }

    pub(super) fn first_content(&mut self, after: Duration, work: Work) {
        self.latency.first_content(after, work);
    }

    pub(super) fn body(&mut self, took: Duration, usage: Usage) {
        self.latency.body(took, usage);
    }

    /// Takes in whether a call failed for a reason of the provider's.
    pub(super) fn ended(&mut self, failed: bool) {
        self.failures.observe(f64::from(u8::from(failed)), KEEP);
    }

    /// Takes in how much of what could have come from the prompt cache did.
    pub(super) fn cached(&mut self, usage: Usage, work: Work) {
        if let (Some(cached), 1..) = (usage.cached_input, work.known) {
            self.cached.observe(cached as f64 / work.known as f64, KEEP);
        }
    }

    /// Takes in that the model has read a question.
    pub(super) fn remember(&mut self, prefix: &Prefix, now: Instant) {
        if *prefix != Prefix::default() {
            let repeats = self.seen.tokens(prefix, now) >= LEAST_TOKENS;
            self.repeated.observe(f64::from(u8::from(repeats)), KEEP);
            self.seen.remember(prefix, now);
        }
    }

    pub(super) fn judged(&mut self, task: Task, good: f64) {
        let index = self.feedback.iter().position(|(of, _)| *of == task).unwrap_or_else(|| {
            self.feedback.push((task, Evidence::default()));
            self.feedback.len() - 1
        });
        self.feedback[index].1.observe(good, KEEP_FEEDBACK);
    }

    /// What to expect of a call now. `cold` says whether the model must be loaded first.
    pub(super) fn outlook(
        &mut self,
        model: &ModelInfo,
        kind: ProviderKind,
        question: Question<'_>,
        cold: bool,
        now: Instant,
    ) -> Outlook {
        self.fade(now);
        let known = self.seen.tokens(question.prefix, now).min(question.usage.input);
        let cached = (known as f64 * self.cached.mean(CACHED)) as u64;
        let work = Work { reads: question.usage.input - cached, known, cold };
        let failing = self.failures.mean(FAILING);
        Outlook {
            quality: self.quality(model, question.task),
            latency: self.expected(work, question.usage.output, kind, failing),
            failing,
            usage: Usage { cached_input: Some(cached), ..question.usage },
            work,
            cache_pays: kind == ProviderKind::Cloud && known >= LEAST_TOKENS && self.repeats_pay(model.price),
        }
    }

    fn quality(&self, model: &ModelInfo, task: Task) -> Quality {
        let seen = self.feedback.iter().find(|(of, _)| *of == task).map(|(_, seen)| *seen);
        Quality::new(quality::prior(model, task), seen.unwrap_or_default())
    }

    /// A call that fails has to be made again, so its time is divided by the chance that it does not.
    fn expected(&self, work: Work, tokens: u64, kind: ProviderKind, failing: f64) -> ExpectedLatency {
        // The prior stands for ordinary luck, which the sketches have in them already.
        let again = 1.0 / (1.0 - (failing - FAILING.chance).clamp(0.0, FAILING_MOST));
        let span = self.latency.predict(work, tokens, kind).times(again);
        ExpectedLatency {
            p50: seconds(span.p50),
            p95: seconds(span.p95),
            measured: self.latency.is_measured(),
        }
    }

    /// Whether so many questions repeat a beginning that writing each to the cache costs less than it saves.
    ///
    /// A share `r` of reads among marked questions costs `(1 - r) * write + r * read` beside 1: it pays from
    /// `r = (write - 1) / (write - read)` on, 21.7 % at Anthropic's prices.
    fn repeats_pay(&self, price: Option<Price>) -> bool {
        let share = |price: Price| Some(price.cached_input?.dollars() / price.input.dollars());
        let read = price.and_then(share).filter(|read| *read < 1.0).unwrap_or(READ);
        self.repeated.mean(REPEATED) > (WRITE - 1.0) / (WRITE - read)
    }

    fn fade(&mut self, now: Instant) {
        let since = now.saturating_duration_since(*self.faded.get_or_insert(now));
        if since >= FADE_STEP {
            let keep = 0.5f64.powf(since.as_secs_f64() / HALF_LIFE.as_secs_f64());
            self.latency.fade(keep);
            for evidence in [&mut self.failures, &mut self.cached, &mut self.repeated] {
                evidence.fade(keep);
            }
            self.faded = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChatRequest;

    const USAGE: Usage =
        Usage { input: 2_000, cached_input: None, cache_write_input: None, output: 100, reasoning: None };

    fn long() -> Prefix {
        Prefix::of(&ChatRequest::user("word ".repeat(1_600)), 2_000)
    }

    fn outlook(record: &mut Record, prefix: &Prefix, now: Instant) -> Outlook {
        let question = Question { task: Task::General, usage: USAGE, prefix };
        record.outlook(&ModelInfo::chat("claude-opus-4"), ProviderKind::Cloud, question, false, now)
    }

    #[test]
    fn repeated_beginning_is_expected_from_the_cache_as_far_as_it_came_from_there() {
        let (mut record, prefix, now) = (Record::default(), long(), Instant::now());
        assert_eq!(outlook(&mut record, &prefix, now).usage.cached_input, Some(0));

        record.remember(&prefix, now);
        let believed = outlook(&mut record, &prefix, now);
        assert_eq!((believed.work.known, believed.usage.cached_input), (1_792, Some(896)));

        let none = Usage { cached_input: Some(0), ..USAGE };
        (0..100).for_each(|_| record.cached(none, believed.work));
        assert!(outlook(&mut record, &prefix, now).usage.cached_input < Some(50));

        let all = Usage { cached_input: Some(1_792), ..USAGE };
        (0..200).for_each(|_| record.cached(all, believed.work));
        assert!(outlook(&mut record, &prefix, now).usage.cached_input > Some(1_700));
    }

    #[test]
    fn marking_pays_for_beginnings_that_come_back() {
        let (mut record, prefix, now) = (Record::default(), long(), Instant::now());
        assert!(!outlook(&mut record, &prefix, now).cache_pays, "never seen before");
        record.remember(&prefix, now);
        assert!(outlook(&mut record, &prefix, now).cache_pays);
        assert!(!outlook(&mut record, &prefix, now + Duration::from_secs(301)).cache_pays, "out of date");

        for n in 0..50 {
            let once = ChatRequest::user(format!("{n} ").repeat(4_000));
            record.remember(&Prefix::of(&once, 4_000), now);
        }
        record.remember(&prefix, now);

        assert!(!outlook(&mut record, &prefix, now).cache_pays, "beginnings seldom come back");
    }

    #[test]
    fn failures_make_an_answer_take_longer_and_are_forgotten_by_the_hour() {
        let (mut record, prefix, now) = (Record::default(), Prefix::default(), Instant::now());
        let before = outlook(&mut record, &prefix, now);

        (0..20).for_each(|_| record.ended(true));
        let after = outlook(&mut record, &prefix, now);
        let later = outlook(&mut record, &prefix, now + 10 * HALF_LIFE);

        assert!(after.failing > 0.6 && after.latency.p95 > 2 * before.latency.p95);
        assert!(later.failing < 0.03, "{}", later.failing);
    }

    #[test]
    fn feedback_counts_for_its_task_only() {
        let (mut record, prefix, now) = (Record::default(), Prefix::default(), Instant::now());
        let before = outlook(&mut record, &prefix, now).quality;

        (0..10).for_each(|_| record.judged(Task::Code, 0.0));
        assert_eq!(outlook(&mut record, &prefix, now).quality, before);

        (0..10).for_each(|_| record.judged(Task::General, 0.0));
        let after = outlook(&mut record, &prefix, now).quality;
        assert!(after.mean < 0.55 && after.low < after.mean && after.mean < after.high, "{after:?}");
        assert!(after.feedback > 9.0 && before.feedback == 0.0);
    }
}
