use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gaps::Gaps;

/// Models it can keep count of.
pub(super) const MOST_MODELS: usize = 1024;

/// No decayed count can be above this.
const MOST_USES: f64 = 1e6;

/// What stays of the count of a transition with each later one from the same model.
const TRANSITION_DECAY: f64 = 0.97;

/// What stays of a use with each later switch: of the recent working set, and of what is used in the long run.
const USE_DECAYS: [f64; 2] = [0.85, 0.99];

/// What stays of an hour's uses a day later.
const DAY_DECAY: f64 = 0.8;

/// Weight of a wiser guess among the counts it backs up, in uses.
const PRIOR: f64 = 1.0;

/// What every expert gets of the weight, however wrong it was: the next phase may prove it right.
const SHARED: f64 = 0.02;

/// Weighs how likely each model is to be wanted soon.
///
/// Requests for the same model one after the other count as one: only a switch can cost a load. Two views are taken of what
/// comes within a number of switches, and their chances are multiplied and the root is taken: neither may be sure alone.
///
/// The first follows the switches, one after the other. Four experts each guess the next one: first-order transitions, what was used lately, what is used in the long run, and what is used at this hour of
/// the day. Their guesses are mixed by how well each has guessed so far: Bayes' rule with a share that is passed around
/// ("fixed share", [Herbster and Warmuth 1998](https://doi.org/10.1023/A:1007424614876)), so that a phase that suits
/// another expert is found within a few switches.
///
/// The second looks at each model alone: how many switches ago it was used, and how many have lain between its uses before.
/// A model whose working set has gone is given up when it has been away for longer than it used to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Predictor {
    models: Vec<Model>,
    /// The model of the last use, by its place in `models`.
    last: Option<usize>,
    /// How far each expert is trusted.
    trust: [f64; EXPERTS],
    /// Switches so far.
    switches: u64,
}

const EXPERTS: usize = 4;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Model {
    name: String,
    /// Decayed counts of the models used next, by place; shorter than `models` if later ones never were.
    next: Vec<f64>,
    /// Decayed counts of uses, for each of [`USE_DECAYS`].
    used: [f64; 2],
    hours: [Hour; 24],
    gaps: Gaps,
    /// The switch at which it was last used, counted from 1.
    at: u64,
}

/// Decayed counts of uses in one hour of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    uses: f64,
    day: u64,
}

impl Hour {
    fn at(self, day: u64) -> f64 {
        let days = day.saturating_sub(self.day).min(1000) as i32;
        self.uses * DAY_DECAY.powi(days)
    }
}

/// When a use is, as far as days repeat themselves.
#[derive(Clone, Copy)]
struct Moment {
    day: u64,
    hour: usize,
}

impl Moment {
    fn new(now: Duration) -> Self {
        let hours = now.as_secs() / 3600;
        Self { day: hours / 24, hour: (hours % 24) as usize }
    }
}

impl Predictor {
    /// Counts a use of `name`.
    pub(super) fn used(&mut self, name: &str, now: Duration) {
        let to = self.place(name);
        if self.last == Some(to) {
            return;
        }
        let moment = Moment::new(now);
        if let Some(from) = self.last {
            self.weigh(from, to, moment);
            let next = &mut self.models[from].next;
            next.resize(next.len().max(to + 1), 0.0);
            next.iter_mut().for_each(|count| *count *= TRANSITION_DECAY);
            next[to] += 1.0;
        }
        for model in &mut self.models {
            model.used.iter_mut().zip(USE_DECAYS).for_each(|(used, decay)| *used *= decay);
        }
        self.switches += 1;
        let switches = self.switches;
        let model = &mut self.models[to];
        if model.at > 0 {
            model.gaps.add(switches.saturating_sub(model.at));
        }
        model.at = switches;
        model.used.iter_mut().for_each(|used| *used += 1.0);
        let hour = &mut model.hours[moment.hour];
        *hour = Hour { uses: hour.at(moment.day) + 1.0, day: moment.day };
        self.last = Some(to);
    }

    /// The chance of each model to be the next one after the last, with its name; nothing before the first use.
    pub(super) fn next(&self, now: Duration) -> Vec<(&str, f64)> {
        let Some(last) = self.last else { return Vec::new() };
        let row = self.mixture(last, Moment::new(now));
        self.models.iter().map(|model| model.name.as_str()).zip(row).collect()
    }

    /// The chance of each of `names` to be wanted within the horizon: a number of switches that is `horizon` on average, and
    /// geometric, so that what comes sooner counts for more. A model never used has the chance of a stranger.
    pub(super) fn soon(&self, names: &[&str], horizon: f64, now: Duration) -> Vec<f64> {
        let stranger = 1.0 / (self.models.len() + 1) as f64;
        let Some(last) = self.last else { return vec![stranger; names.len()] };
        let moment = Moment::new(now);
        let rows: Vec<Vec<f64>> = (0..self.models.len()).map(|from| self.mixture(from, moment)).collect();
        let lasting = 1.0 - 1.0 / horizon.max(1.0);
        let chance = |name: &&str| match self.find(name) {
            Some(place) if place == last => 1.0,
            Some(place) => (reached(&rows, last, place, lasting) * self.renewed(place, lasting)).sqrt(),
            None => stranger,
        };
        names.iter().map(chance).collect()
    }

    /// Whether its numbers are such as counting gives; those of a file may be anything.
    pub(super) fn is_sound(&self) -> bool {
        let count = |count: f64| (0.0..=MOST_USES).contains(&count);
        let sound = |model: &Model| {
            let hours = model.hours.iter().all(|hour| count(hour.uses));
            let counts = model.next.iter().chain(&model.used).chain(model.gaps.counts());
            hours && model.next.len() <= self.models.len() && counts.copied().all(count)
        };
        self.models.len() <= MOST_MODELS
            && self.last.is_none_or(|last| last < self.models.len())
            && self.trust.iter().copied().all(count)
            && self.models.iter().all(sound)
    }

    /// The chance of a use while each switch is followed by another with probability `lasting`, by how long ago the last one was
    /// and how long that has taken before; where a model has few uses, by how long it takes any.
    fn renewed(&self, place: usize, lasting: f64) -> f64 {
        let age = self.switches.saturating_sub(self.models[place].at);
        let any = self.models.iter().fold(Gaps::default(), |any, model| any.and(&model.gaps));
        let fading = lasting.powi(age.min(1000) as i32);
        self.models[place].gaps.ending(age, lasting, any.ending(age, lasting, fading))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|model| model.name == name)
    }

    fn place(&mut self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|| {
            self.models.push(Model { name: name.to_owned(), ..Model::default() });
            self.models.len() - 1
        })
    }

    /// Trusts each expert as far as its guess of this switch deserves.
    fn weigh(&mut self, from: usize, to: usize, moment: Moment) {
        let guesses = self.guesses(from, moment).map(|guess| guess[to]);
        let trust = self.trust();
        let sum: f64 = guesses.iter().zip(trust).map(|(guess, trust)| guess * trust).sum();
        if sum > 0.0 {
            let shared = SHARED / EXPERTS as f64;
            self.trust = std::array::from_fn(|i| (1.0 - SHARED) * trust[i] * guesses[i] / sum + shared);
        }
    }

    fn trust(&self) -> [f64; EXPERTS] {
        let sum: f64 = self.trust.iter().sum();
        if sum > 0.0 { self.trust.map(|trust| trust / sum) } else { [1.0 / EXPERTS as f64; EXPERTS] }
    }

    /// The chances of each model to come after `from`, by all experts together. They sum to 1 unless there is one model only.
    fn mixture(&self, from: usize, moment: Moment) -> Vec<f64> {
        let guesses = self.guesses(from, moment);
        let trust = self.trust();
        let mixed = |to: usize| guesses.iter().zip(trust).map(|(guess, trust)| guess[to] * trust).sum();
        (0..self.models.len()).map(mixed).collect()
    }

    /// The chances of each model to come after `from`, by each expert. Where one has seen little, the next wiser one fills in.
    fn guesses(&self, from: usize, moment: Moment) -> [Vec<f64>; EXPERTS] {
        let even = vec![1.0; self.models.len()];
        let lasting = shares(from, |to| self.models[to].used[1], &even);
        let recent = shares(from, |to| self.models[to].used[0], &lasting);
        let hourly = shares(from, |to| self.models[to].hours[moment.hour].at(moment.day), &lasting);
        let next = &self.models[from].next;
        let chained = shares(from, |to| next.get(to).copied().unwrap_or(0.0), &recent);
        [chained, recent, lasting, hourly]
    }
}

/// Counts as shares of their sum, with [`PRIOR`] uses spread as `prior` says; nothing for `from`.
fn shares(from: usize, count: impl Fn(usize) -> f64, prior: &[f64]) -> Vec<f64> {
    let others = |to: usize, value: f64| if to == from { 0.0 } else { value };
    let known: f64 = (0..prior.len()).map(|to| others(to, prior[to])).sum();
    let scale = PRIOR / known.max(f64::MIN_POSITIVE);
    let counts: Vec<f64> = (0..prior.len()).map(|to| others(to, count(to) + prior[to] * scale)).collect();
    let sum: f64 = counts.iter().sum();
    counts.iter().map(|count| count / sum.max(f64::MIN_POSITIVE)).collect()
}

/// The chance to come from `from` to `to` while each switch is followed by another with probability `lasting`.
///
/// The least solution of `f(j) = lasting · (P(j, to) + Σ P(j, i) f(i))` over all other `i`, by iteration: after
/// `n` rounds what is missing is below `lasting`ⁿ.
fn reached(rows: &[Vec<f64>], from: usize, to: usize, lasting: f64) -> f64 {
    let rounds = (0.01_f64.ln() / lasting.max(0.01).ln()).ceil() as usize;
    let mut chances = vec![0.0; rows.len()];
    for _ in 0..rounds.clamp(1, 64) {
        let later = |row: &Vec<f64>| {
            let ways = row.iter().zip(&chances).enumerate();
            let sum: f64 = ways.map(|(i, (step, chance))| if i == to { *step } else { step * chance }).sum();
            lasting * sum
        };
        chances = rows.iter().map(later).collect();
    }
    chances[from]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    fn after(sequence: &str, now: Duration) -> Predictor {
        let mut predictor = Predictor::default();
        for name in sequence.chars() {
            predictor.used(&name.to_string(), now);
        }
        predictor
    }

    fn likeliest(predictor: &Predictor, now: Duration) -> String {
        let next = predictor.next(now);
        next.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0.to_owned()
    }

    #[test]
    fn loop_is_foreseen_where_what_was_used_lately_is_what_comes_last() {
        let predictor = after(&"abcd".repeat(20), hours(0));
        assert_eq!(likeliest(&predictor, hours(0)), "a");
        let soon = predictor.soon(&["a", "b", "c"], 4.0, hours(0));
        assert!(soon[0] > soon[1] && soon[1] > soon[2], "{soon:?}");
    }

    #[test]
    fn change_of_phase_is_followed_within_a_few_switches() {
        let sequence = "abcabc".repeat(20) + &"xyzxyz".repeat(3);
        let soon = after(&sequence, hours(0)).soon(&["x", "a"], 4.0, hours(0));
        assert!(soon[0] > 3.0 * soon[1], "{soon:?}");
    }

    #[test]
    fn model_of_the_morning_is_expected_in_the_morning() {
        let mut predictor = Predictor::default();
        for day in 0..10_u64 {
            for (hour, pair) in [(9, ["m", "o"]), (21, ["e", "n"])] {
                // Every day in another order, so that only the hour tells.
                for i in 0..6 {
                    predictor.used(pair[(i + day as usize) % 2], hours(day * 24 + hour));
                }
            }
        }
        let at = |hour: u64| predictor.soon(&["m", "e"], 3.0, hours(10 * 24 + hour));
        assert!(at(9)[0] > at(21)[0], "{:?} {:?}", at(9), at(21));
    }

    #[test]
    fn repeated_requests_are_one_use() {
        assert_eq!(after("abbbbbab", hours(0)), after("abab", hours(0)));
    }

    #[test]
    fn chances_are_shares_of_one_and_the_current_model_is_certain() {
        let predictor = after("abcacbaabbccdda", hours(3));
        let sum: f64 = predictor.next(hours(3)).iter().map(|(_, chance)| chance).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        for chance in predictor.soon(&["a", "b", "c", "d", "never"], 8.0, hours(3)) {
            assert!((0.0..=1.0).contains(&chance));
        }
        assert_eq!(predictor.soon(&["a"], 8.0, hours(3)), [1.0]);
    }

    #[test]
    fn nothing_seen_and_one_model_seen_are_no_special_trouble() {
        let predictor = Predictor::default();
        assert_eq!(predictor.soon(&["a"], 8.0, hours(0)), [1.0]);
        assert!(predictor.next(hours(0)).is_empty());
        let predictor = after("a", hours(0));
        assert_eq!(predictor.next(hours(0)), [("a", 0.0)]);
        assert!(predictor.is_sound());
    }

    #[test]
    fn trust_that_counting_cannot_give_is_noticed() {
        let sound = after("abcab", hours(0));
        assert!(sound.is_sound());
        for unsound in [
            Predictor { last: Some(3), ..sound.clone() },
            Predictor { trust: [f64::NAN; EXPERTS], ..sound.clone() },
            Predictor { trust: [-1.0; EXPERTS], ..sound.clone() },
        ] {
            assert!(!unsound.is_sound());
        }
        let mut wide = sound;
        wide.models[0].next = vec![1.0; 4];
        assert!(!wide.is_sound());
    }
}
