//! Types mixed by measuring: the least damage in the bytes of a budget.
mod budget;
#[cfg(feature = "engine")]
mod damage;
mod front;
mod group;
mod knapsack;
mod measurements;
mod sample;
mod sensitivity;
#[cfg(test)]
#[cfg(feature = "engine")]
mod tests;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;

pub use budget::Budget;
#[cfg(feature = "engine")]
pub use damage::mean_kl;
pub use front::{Front, FrontPoint};
use group::Group;
use knapsack::{Item, Picks};
use measurements::Measurements;

use crate::codec::check_encodable;
use crate::recipe::{Plan, Planned, Rules, alignment, favoured, padded};
use crate::{DType, Error, Importance, Overlay, Progress, Result, TensorInfo, TensorSource};

/// The types tried by default, those that can be encoded.
const CANDIDATES: [DType; 10] = [
    DType::F16,
    DType::Q8_0,
    DType::Q6_K,
    DType::Q5_K,
    DType::Q5_0,
    DType::Q4_K,
    DType::IQ4_NL,
    DType::Q4_0,
    DType::Q3_K,
    DType::Q2_K,
];

/// Most points of a front.
const POINTS: usize = 64;

/// How much a changed model suffers; larger is worse.
type Damage<'a> = dyn FnMut(&dyn TensorSource) -> Result<f64> + 'a;

/// Chooses a type for every weight of a model so that the damage is least and the bytes keep to a budget.
///
/// First every weight is tried in every type, on a sample of its rows, weighed by importance if there is any. How much the
/// model suffers from each weight's error is then a guess, made of what llama.cpp's `Q4_K_M` favours;
/// [`measure`](Self::measure) runs the model to learn it, and is what makes a mix better than a fixed mixture. Then the best mix is computed, in real bytes: with what rows do not allow, and with padding.
///
/// ```no_run
/// # #[cfg(feature = "engine")]
/// # fn main() -> aic_quant::Result<()> {
/// use aic_quant::{Mix, Model, gguf, mean_kl};
///
/// let source = gguf::File::open("model-f16.gguf")?;
/// let model = Model::options().load(&source)?;
/// let tokens = model.tokenize("Some hundred words of ordinary text …")?;
/// let mixed = Mix::new(&source, "4.5bpw".parse()?)
///     .measure(32, mean_kl(&model, &tokens)?)
///     .front("model.front.json")
///     .run()?;
/// println!("{} bytes, expected damage {}", mixed.plan.bytes(), mixed.damage);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "engine"))]
/// # fn main() {}
/// ```
#[must_use]
pub struct Mix<'a> {
    source: &'a dyn TensorSource,
    budget: Budget,
    importance: Option<&'a Importance>,
    candidates: Option<Vec<DType>>,
    tie: bool,
    rules: Rules,
    damage: Option<(usize, Box<Damage<'a>>)>,
    front: Option<PathBuf>,
    on_progress: Box<dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a>,
}

/// What [`Mix::run`] found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mixed {
    /// The type each tensor gets.
    pub plan: Plan,
    /// The damage expected of the plan; see [`FrontPoint::damage`].
    pub damage: f64,
    /// What other budgets would give.
    pub front: Front,
}

impl<'a> Mix<'a> {
    /// A mix of types for `source` within `budget`.
    pub fn new(source: &'a dyn TensorSource, budget: Budget) -> Self {
        Self {
            source,
            budget,
            importance: None,
            candidates: None,
            tie: false,
            rules: Rules::default(),
            damage: None,
            front: None,
            on_progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }

    /// What the model will be quantized with. Defaults to nothing: all inputs matter alike.
    pub fn importance(mut self, importance: &'a Importance) -> Self {
        self.importance = Some(importance);
        self
    }

    /// The types to choose from. Defaults to F16, Q8_0, Q6_K, Q5_K, Q5_0, Q4_K, IQ4_NL, Q4_0, Q3_K and Q2_K. A weight whose
    /// rows do not divide into blocks of a type is offered [what would take its place](crate::Recipe::plan).
    pub fn candidates(mut self, types: impl IntoIterator<Item = DType>) -> Self {
        self.candidates = Some(types.into_iter().collect());
        self
    }

    /// Whether queries, keys and values of a layer get one type, and the two inputs of its feed-forward part another: kernels
    /// that fuse them need that. Defaults to `false`.
    pub fn tie(mut self, tie: bool) -> Self {
        self.tie = tie;
        self
    }

    /// Gives `dtype` to the weights whose names match, as [`Recipe::rule`](crate::Recipe::rule) does, instead of measuring
    /// them. Defaults to no rules.
    ///
    /// # Errors
    /// As [`Recipe::rule`](crate::Recipe::rule).
    pub fn rule(mut self, pattern: &str, dtype: DType) -> Result<Self> {
        self.rules.add(pattern, dtype)?;
        Ok(self)
    }

    /// Runs the model to learn how much it suffers from the errors of `count` weights (or tied groups), spread over roles and
    /// layers; the others are judged by them. Defaults to none. Measuring all is best; less than one of each role tells little.
    ///
    /// `damage` is given the model with one of them changed and says how much worse it is: a finite number, 0 for no
    /// difference, that grows with the square of small errors, such as a Kullback–Leibler divergence ([`mean_kl`]).
    #[cfg_attr(not(feature = "engine"), doc = "\n[`mean_kl`]: crate")]
    pub fn measure(
        mut self,
        count: usize,
        damage: impl FnMut(&dyn TensorSource) -> Result<f64> + 'a,
    ) -> Self {
        self.damage = Some((count, Box::new(damage)));
        self
    }

    /// Keeps measurements and the front in a JSON file at `path`. Defaults to nowhere.
    ///
    /// A later run of the same model and importance, with whatever budget and candidates, measures only what is missing, so
    /// that it also goes on after an interruption. Use another file for another `damage`: the file does not know the text
    /// it was measured with. A file that is damaged or about another model is renamed to `….aside`.
    pub fn front(mut self, path: impl Into<PathBuf>) -> Self {
        self.front = Some(path.into());
        self
    }

    /// Called after each measurement; bytes are those of the weights measured. [`ControlFlow::Break`] ends the run. Defaults
    /// to nothing.
    pub fn on_progress(mut self, on_progress: impl FnMut(Progress<'_>) -> ControlFlow<()> + 'a) -> Self {
        self.on_progress = Box::new(on_progress);
        self
    }

    pub(crate) fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Measures and chooses. Uses all cores, except for what `damage` does.
    ///
    /// The plan never takes more than the budget, and is expected to do no more damage than the best single type of the
    /// candidates that fits. With the same measurements it is the same.
    ///
    /// # Errors
    /// [`Error::Budget`] if nothing fits, [`Error::UnsupportedDType`] for a candidate without an encoder, [`Error::Empty`]
    /// without candidates, [`Error::UnmatchedRule`], [`Error::Tensor`] for weights that are no numbers, importance of another
    /// shape or a damage that is none, [`Error::Stopped`] if progress said so, [`Error::Io`] from source and front, and
    /// what `damage` fails with.
    pub fn run(mut self) -> Result<Mixed> {
        let candidates = self.checked_candidates()?;
        self.rules.check(self.source.tensors())?;
        self.rules.dtypes().try_for_each(check_encodable)?;
        let groups = Group::all(self.source.tensors(), &self.rules, &candidates, self.tie);
        let mut measured = self.known()?;
        self.measure_errors(&groups, &mut measured)?;
        self.measure_damages(&groups, &mut measured)?;
        let choices = Choices::new(&self, &groups, &measured)?;
        let picks = choices.solve(&candidates)?;
        measured.front = choices.front();
        self.save(&measured)?;
        let damage = knapsack::total(&choices.items(), &picks).damage;
        let plan = Plan::new(self.source, choices.planned(&picks))?;
        tracing::info!(bytes = plan.bytes(), bits_per_weight = plan.bits_per_weight(), damage, "mixed types");
        Ok(Mixed { plan, damage, front: measured.front })
    }

    fn checked_candidates(&self) -> Result<Vec<DType>> {
        let Some(candidates) = self.candidates.clone() else {
            return Ok(CANDIDATES.into_iter().filter(|dtype| check_encodable(*dtype).is_ok()).collect());
        };
        if candidates.is_empty() {
            return Err(Error::Empty { what: "list of candidates" });
        }
        candidates.iter().copied().try_for_each(check_encodable)?;
        Ok(candidates)
    }

    fn known(&self) -> Result<Measurements> {
        let key = measurements::key(self.source, self.importance)?;
        self.front
            .as_deref()
            .map_or_else(|| Ok(Measurements::new(key.clone())), |path| Measurements::open(path, key.clone()))
    }

    fn save(&self, measured: &Measurements) -> Result<()> {
        self.front.as_deref().map_or(Ok(()), |path| measured.save(path))
    }

    /// Tries what is not known yet, a weight on each core at a time.
    fn measure_errors(&mut self, groups: &[Group], measured: &mut Measurements) -> Result<()> {
        let jobs = jobs(self.source, groups).into_iter();
        let jobs: Vec<Job<'a>> =
            jobs.filter(|(tensor, types)| !measured.knows(&tensor.name, types)).collect();
        let total_bytes = jobs.iter().map(|(tensor, _)| tensor.bytes).sum();
        let mut done_bytes = 0;
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for batch in jobs.chunks(workers) {
            let found = in_parallel(batch, |(tensor, types)| {
                sample::errors(self.source, tensor, types, self.importance)
            });
            for ((tensor, types), errors) in batch.iter().zip(found) {
                measured.add_errors(&tensor.name, types.iter().copied().zip(errors?));
            }
            self.save(measured)?;
            for (tensor, _) in batch {
                done_bytes += tensor.bytes;
                self.report(Progress { done_bytes, total_bytes, tensor: &tensor.name })?;
            }
        }
        Ok(())
    }

    /// Runs the model with each of the most telling groups changed, those not known yet.
    fn measure_damages(&mut self, groups: &[Group], measured: &mut Measurements) -> Result<()> {
        let Some((count, mut damage)) = self.damage.take() else { return Ok(()) };
        let tensors = self.source.tensors();
        let probes = sensitivity::order(groups).into_iter().take(count).filter_map(|at| {
            let types = groups[at].probe(tensors, measured)?.to_vec();
            measured.damage(&groups[at].name, types[0]).is_none().then_some((&groups[at], types))
        });
        let probes: Vec<(&Group, Vec<DType>)> = probes.collect();
        let bytes = |group: &Group| group.members.iter().map(|&member| tensors[member].bytes).sum::<u64>();
        let total_bytes = probes.iter().map(|(group, _)| bytes(group)).sum();
        let mut done_bytes = 0;
        for (group, types) in &probes {
            let found = damage(&self.changed(group, types)?)?;
            if !(0.0..f64::INFINITY).contains(&found) {
                return Err(Error::tensor(
                    &group.name,
                    format!("does a damage of {found}, expected 0 or more"),
                ));
            }
            measured.add_damage(&group.name, types[0], found);
            self.save(measured)?;
            done_bytes += bytes(group);
            self.report(Progress { done_bytes, total_bytes, tensor: &group.name })?;
        }
        Ok(())
    }

    /// The model with one group in `types` and all else as it is.
    fn changed(&self, group: &Group, types: &[DType]) -> Result<Overlay<'a>> {
        let mut planned: Vec<Planned> =
            self.source.tensors().iter().map(|tensor| Planned::exactly(tensor, tensor.dtype)).collect();
        group.members.iter().zip(types).for_each(|(&member, dtype)| {
            planned[member] = Planned::exactly(&self.source.tensors()[member], *dtype);
        });
        Overlay::new(self.source, &Plan::new(self.source, planned)?, self.importance)
    }

    fn report(&mut self, progress: Progress<'_>) -> Result<()> {
        match (self.on_progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped { what: "measuring types" }),
        }
    }
}

impl fmt::Debug for Mix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mix")
            .field("budget", &self.budget)
            .field("candidates", &self.candidates)
            .field("tie", &self.tie)
            .field("front", &self.front)
            .finish_non_exhaustive()
    }
}

/// A weight, and the types to try it in.
type Job<'a> = (&'a TensorInfo, Vec<DType>);

/// The results of `work` on each job, a thread for each.
fn in_parallel<'a, T: Send>(jobs: &[Job<'a>], work: impl Fn(&Job<'a>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = jobs.iter().map(|job| scope.spawn(move || work(job))).collect();
        running.into_iter().map(|worker| worker.join().expect("measuring does not panic")).collect()
    })
}

/// Every weight that is in a group.
fn jobs<'a>(source: &'a dyn TensorSource, groups: &[Group]) -> Vec<Job<'a>> {
    let members = groups.iter().flat_map(|group| {
        group.members.iter().enumerate().map(|(at, &member)| {
            let mut types: Vec<DType> = group.options.iter().map(|types| types[at]).collect();
            types.sort_unstable();
            types.dedup();
            (&source.tensors()[member], types)
        })
    });
    members.collect()
}

/// What each group can become and what that costs, and what is settled.
struct Choices<'a> {
    tensors: &'a [TensorInfo],
    groups: &'a [Group],
    /// For each group, the options that are possible and their costs.
    options: Vec<Vec<(usize, Item)>>,
    /// All tensors, those outside groups as they will be.
    settled: Vec<Planned>,
    settled_bytes: u64,
    budget_bytes: u64,
}

impl<'a> Choices<'a> {
    fn new(mix: &Mix<'a>, groups: &'a [Group], measured: &Measurements) -> Result<Self> {
        let tensors = mix.source.tensors();
        let alignment = alignment(mix.source)?;
        let factors = sensitivity::sensitivities(groups, tensors, measured, &favoured(mix.source));
        let items = |(group, factor): (&Group, f64)| group.items(tensors, measured, factor, alignment);
        let settled: Vec<Planned> = tensors
            .iter()
            .map(|tensor| Planned::new(tensor, mix.rules.find(tensor).unwrap_or(tensor.dtype)))
            .collect();
        let grouped: Vec<usize> = groups.iter().flat_map(|group| group.members.iter().copied()).collect();
        let others = settled.iter().enumerate().filter(|(at, _)| !grouped.contains(at));
        let settled_bytes = others.map(|(_, planned)| padded(planned.bytes(), alignment)).sum();
        Ok(Self {
            tensors,
            groups,
            options: groups.iter().zip(factors).map(items).collect(),
            settled,
            settled_bytes,
            budget_bytes: mix.budget.bytes(mix.source),
        })
    }

    fn items(&self) -> Vec<Vec<Item>> {
        self.options.iter().map(|options| options.iter().map(|(_, item)| *item).collect()).collect()
    }

    /// The best picks that fit, no worse than any single candidate that does.
    fn solve(&self, candidates: &[DType]) -> Result<Picks> {
        let items = self.items();
        let left = self.budget_bytes.checked_sub(self.settled_bytes);
        let mixed = left.and_then(|left| Some((left, knapsack::solve(&items, left)?)));
        let Some((left, mixed)) = mixed else {
            let least = knapsack::front(&items)[0].0.bytes;
            let needed_bytes = self.settled_bytes.saturating_add(least);
            return Err(Error::Budget { budget_bytes: self.budget_bytes, needed_bytes });
        };
        let uniform = candidates.iter().filter_map(|candidate| self.uniform(*candidate));
        let fitting = uniform.filter(|picks| knapsack::total(&items, picks).bytes <= left);
        let damage = |picks: &Picks| knapsack::total(&items, picks).damage;
        let best = fitting.chain([mixed]).min_by(|a, b| damage(a).total_cmp(&damage(b)));
        Ok(best.expect("the mix is one of them"))
    }

    /// The picks that make every group `candidate`, if all can become it.
    fn uniform(&self, candidate: DType) -> Option<Picks> {
        let pick = |(group, options): (&Group, &Vec<(usize, Item)>)| {
            let types = group.types(self.tensors, candidate);
            options.iter().position(|(at, _)| group.options[*at] == types)
        };
        self.groups.iter().zip(&self.options).map(pick).collect()
    }

    fn planned(&self, picks: &[usize]) -> Vec<Planned> {
        let mut planned = self.settled.clone();
        for ((group, options), pick) in self.groups.iter().zip(&self.options).zip(picks) {
            let types = &group.options[options[*pick].0];
            group.members.iter().zip(types).for_each(|(&member, dtype)| {
                planned[member] = Planned::exactly(&self.tensors[member], *dtype);
            });
        }
        planned
    }

    fn front(&self) -> Front {
        let all = knapsack::front(&self.items());
        let last = all.len() - 1;
        let count = all.len().min(POINTS);
        let point = |at: usize| {
            let (item, picks) = &all[at * last / (count - 1).max(1)];
            FrontPoint {
                bytes: self.settled_bytes.saturating_add(item.bytes),
                damage: item.damage,
                types: self.planned(picks).iter().map(|planned| planned.dtype).collect(),
            }
        };
        Front {
            tensors: self.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            points: (0..count).map(point).collect(),
        }
    }
}
