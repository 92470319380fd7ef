use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::hardware::Hardware;
use crate::level::Level;
use crate::needs::ModelNeeds;
use crate::origin::Origin;
use crate::profile::{GpuLayers, Profile, Settings};
use crate::size::Bytes;

/// Left free on a GPU for the runtime, activations and fragmentation; as llama.cpp's `--fit-target`.
const GPU_RESERVE_BYTES: u64 = 1 << 30;
/// This part of main memory is left free for everything else: a tenth.
const MEMORY_RESERVE_DIVISOR: u64 = 10;

/// What matters most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Goal {
    /// Good answers at good speed: Q8_0 where it fits, then fewer bits; a GPU before the processor.
    #[default]
    Balanced,
    /// The largest level that fits anywhere, even if it is slower there.
    Quality,
    /// The fewest bytes to read for each token, down to Q4_K; a GPU before the processor.
    Speed,
    /// The least memory, down to Q4_K; fewer bits only if nothing else fits.
    Memory,
}

/// Where a model is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Device {
    /// Main memory and the processor.
    Cpu,
    /// All of it on one GPU.
    Gpu {
        /// Its place in [`Hardware::gpus`].
        index: usize,
        /// Its name.
        name: String,
    },
}

/// One level on one device.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// The level.
    pub level: Level,
    /// The device.
    pub device: Device,
    /// What the model takes there.
    pub estimate: Estimate,
    /// What the device has free after the reserve; `None` if unknown.
    pub usable_bytes: Option<u64>,
}

/// A candidate that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rejection {
    /// The level and the device, in words.
    pub what: String,
    /// Why not, in words.
    pub why: String,
}

/// What to run, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recommendation {
    /// The machine's profile with the recommended settings; put the user's own on top.
    pub profile: Profile,
    /// The level and device chosen.
    pub choice: Candidate,
    /// Every level on every device, best first for the goal.
    pub candidates: Vec<Candidate>,
    /// Why this one, in plain words.
    pub reasons: Vec<String>,
    /// The others that came before it or were left out, each with its reason.
    pub rejected: Vec<Rejection>,
}

/// Picks the best level and device for a goal among those that fit into free memory.
///
/// A choice fits if weights and key-value cache are at most what is free after a reserve: 1 GiB on a GPU, a tenth of
/// main memory on the processor. The reserve covers activations, the runtime and fragmentation, which are not
/// estimated. A model is put wholly on one device; nothing is recommended on a device whose free memory is unknown.
///
/// # Errors
/// [`Error::NothingFits`] if no offered level fits any device; [`Error::Unknown`] if no level or no device can be
/// judged, because the cache's shape, a level's size or all free memory is unknown.
pub fn recommend(hardware: &Hardware, needs: &ModelNeeds, goal: Goal) -> Result<Recommendation> {
    let (levels, mut rejected) = offered(needs);
    let candidates = ranked(hardware, needs, &levels, goal);
    let Some(position) = candidates.iter().position(Candidate::fits) else {
        return Err(refusal(needs, &candidates));
    };
    let choice = candidates[position].clone();
    rejected.extend(candidates[..position].iter().map(Candidate::rejection));
    let profile = Profile::for_machine(hardware, needs.use_case)
        .overlay(&settings(needs, &choice), &Origin::Recommended);
    let mut reasons = reasons(needs, goal, &choice);
    reasons.extend(pinning(hardware, &profile));
    Ok(Recommendation { profile, choice, candidates, reasons, rejected })
}

impl Candidate {
    /// Whether it is known to fit.
    pub fn fits(&self) -> bool {
        matches!((self.estimate.total_bytes(), self.usable_bytes), (Some(needed), Some(usable)) if needed <= usable)
    }

    fn rejection(&self) -> Rejection {
        let why = match (self.estimate.total_bytes(), self.usable_bytes) {
            (Some(needed), Some(usable)) => {
                format!("needs {}, and {} are free after the reserve", Bytes(needed), Bytes(usable))
            }
            (None, _) => "its memory is not known".to_owned(),
            (_, None) => "the device's free memory is not known".to_owned(),
        };
        Rejection { what: self.to_string(), why }
    }
}

/// The levels to consider, and those that the model file rules out.
fn offered(needs: &ModelNeeds) -> (Vec<Level>, Vec<Rejection>) {
    let Some((_, of)) = &needs.file else {
        return (needs.levels.clone(), Vec::new());
    };
    let finer =
        |level: &&Level| level.bits_per_weight() > of.bits_per_weight() && of.bits_per_weight().is_some();
    let (lost, kept): (Vec<_>, Vec<_>) = needs.levels.iter().partition(finer);
    let rejection = |level: &&Level| Rejection {
        what: level.to_string(),
        why: format!("the file is {of}, and more bits cannot bring back what it has lost"),
    };
    (kept.into_iter().cloned().collect(), lost.iter().map(rejection).collect())
}

/// Every level on every device, best first.
fn ranked(hardware: &Hardware, needs: &ModelNeeds, levels: &[Level], goal: Goal) -> Vec<Candidate> {
    let devices = devices(hardware);
    let mut candidates: Vec<_> = devices
        .iter()
        .enumerate()
        .flat_map(|(rank, device)| {
            levels.iter().map(move |level| (rank, candidate(hardware, needs, level, device)))
        })
        .collect();
    candidates.sort_by_key(|(device_rank, candidate)| rank(goal, *device_rank, candidate));
    candidates.into_iter().map(|(_, candidate)| candidate).collect()
}

/// The GPUs, the one with the most free memory first, then the processor.
fn devices(hardware: &Hardware) -> Vec<Device> {
    let mut gpus: Vec<_> = hardware.gpus.iter().enumerate().collect();
    gpus.sort_by_key(|(_, gpu)| std::cmp::Reverse(gpu.free_bytes));
    let gpus = gpus.into_iter().map(|(index, gpu)| Device::Gpu { index, name: gpu.name.clone() });
    gpus.chain([Device::Cpu]).collect()
}

fn candidate(hardware: &Hardware, needs: &ModelNeeds, level: &Level, device: &Device) -> Candidate {
    let (estimate, free, reserve) = match device {
        Device::Gpu { index, .. } => {
            (needs.estimate(level), hardware.gpus[*index].free_bytes, Some(GPU_RESERVE_BYTES))
        }
        Device::Cpu => {
            let memory = hardware.memory;
            let reserve = memory.total_bytes.map(|total| total / MEMORY_RESERVE_DIVISOR);
            (needs.estimate_on_cpu(level, hardware), memory.available_bytes, reserve)
        }
    };
    let usable_bytes = free.zip(reserve).map(|(free, reserve)| free.saturating_sub(reserve));
    Candidate { level: level.clone(), device: device.clone(), estimate, usable_bytes }
}

/// The order of preference as numbers, smaller first: damaged levels last, then what the goal asks for.
fn rank(goal: Goal, device_rank: usize, candidate: &Candidate) -> (bool, u64, u64, u64) {
    let level = &candidate.level;
    let bits = level.bits_per_weight().map_or(u64::MAX, |bits| (bits * 1000.0) as u64);
    let device = device_rank as u64;
    let damaged = is_damaged(level);
    // Among levels that lose too much, the one that loses least comes first, whatever the goal.
    let more_bits_first = u64::MAX - bits;
    match goal {
        _ if damaged => (true, more_bits_first, device, 0),
        Goal::Quality => (false, more_bits_first, device, 0),
        // Floating point reads twice the bytes of Q8_0 and gains next to nothing, so it comes last.
        Goal::Balanced => (false, device, u64::from(bits >= 16_000), more_bits_first),
        Goal::Speed => (false, device, bits, 0),
        Goal::Memory => (false, candidate.estimate.total_bytes().unwrap_or(u64::MAX), device, 0),
    }
}

/// Whether a level is known to lose too much to be chosen before the others: fewer than 4 bits.
fn is_damaged(level: &Level) -> bool {
    level.bits_per_weight().is_some_and(|bits| bits < 4.2)
}

fn refusal(needs: &ModelNeeds, candidates: &[Candidate]) -> Error {
    let judged = candidates.iter().filter_map(|candidate| {
        let (needed, usable) = (candidate.estimate.total_bytes()?, candidate.usable_bytes?);
        Some((needed.saturating_sub(usable), needed, usable, candidate))
    });
    match judged.min_by_key(|(missing, ..)| *missing) {
        Some((_, needed_bytes, usable_bytes, candidate)) => Error::NothingFits {
            level: candidate.level.clone(),
            device: candidate.device.to_string(),
            needed_bytes,
            usable_bytes,
        },
        None => Error::Unknown { what: missing_knowledge(needs, candidates) },
    }
}

fn missing_knowledge(needs: &ModelNeeds, candidates: &[Candidate]) -> String {
    let unknown =
        |part: fn(&Estimate) -> Option<u64>| candidates.iter().all(|found| part(&found.estimate).is_none());
    if candidates.is_empty() {
        "the engine offers no level that the model file allows".to_owned()
    } else if needs.kv.is_none() {
        "the shape of the key-value cache is not known; use KvShape::NONE for a model without one".to_owned()
    } else if unknown(|estimate| estimate.kv_bytes) {
        format!("a key-value cache of this shape cannot be kept, or not be estimated, as {}", needs.kv_level)
    } else if unknown(|estimate| estimate.weights_bytes) {
        "the size of the offered levels is not known".to_owned()
    } else {
        "the free memory of this machine is not known".to_owned()
    }
}

fn settings(needs: &ModelNeeds, choice: &Candidate) -> Settings {
    let gpu_layers = match choice.device {
        Device::Cpu => GpuLayers::Count(0),
        Device::Gpu { .. } => GpuLayers::All,
    };
    Settings {
        level: Some(choice.level.clone()),
        context_length: Some(needs.context_length),
        kv_level: Some(needs.kv_level.clone()),
        gpu_layers: Some(gpu_layers),
        max_concurrency: Some(needs.concurrency),
        ..Settings::default()
    }
}

fn reasons(needs: &ModelNeeds, goal: Goal, choice: &Candidate) -> Vec<String> {
    [
        Some(fit(choice)),
        quality(&choice.level),
        speed(&choice.level),
        copies(needs, choice),
        Some(aim(goal, choice)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn fit(choice: &Candidate) -> String {
    let Estimate { weights_bytes, kv_bytes } = choice.estimate;
    let known = |bytes: Option<u64>| Bytes(bytes.unwrap_or_default());
    format!(
        "it fits: {} of weights and {} of key-value cache, with {} free for both after the reserve",
        known(weights_bytes),
        known(kv_bytes),
        known(choice.usable_bytes),
    )
}

fn quality(level: &Level) -> Option<String> {
    let divergence = level.divergence()?;
    Some(match divergence {
        0.0 => format!("{level} loses nothing against the 16-bit original"),
        d if d < 0.002 => format!("{level} is nearly lossless (mean divergence {d} from F16 on Llama 3 8B)"),
        d if d < 0.05 => format!("{level} loses little (mean divergence {d} from F16 on Llama 3 8B)"),
        d => {
            format!("{level} loses noticeably (mean divergence {d} from F16 on Llama 3 8B): test the answers")
        }
    })
}

fn speed(level: &Level) -> Option<String> {
    let share = level.bits_per_weight()? / 16.0;
    (share < 1.0).then(|| {
        let percent = share * 100.0;
        format!("{level} reads {percent:.0}% of the bytes of F16 for each token, and reading them is what takes the time")
    })
}

fn copies(needs: &ModelNeeds, choice: &Candidate) -> Option<String> {
    let stored = needs.estimate(&choice.level).weights_bytes?;
    let resident = choice.estimate.weights_bytes?;
    (resident > stored).then(|| {
        format!(
            "the engine keeps packed copies: {} of weights take {} in memory",
            Bytes(stored),
            Bytes(resident)
        )
    })
}

fn pinning(hardware: &Hardware, profile: &Profile) -> Option<String> {
    let difference = hardware.unlike_cores().filter(|_| profile.pin_threads.value)?;
    Some(format!("each thread stays on a core of its own: {difference}"))
}

fn aim(goal: Goal, choice: &Candidate) -> String {
    let level = &choice.level;
    match goal {
        _ if is_damaged(level) => format!("the levels above {level} do not fit"),
        Goal::Balanced => {
            format!("{level} is the best balance of quality and speed among the levels that fit")
        }
        Goal::Quality => format!("{level} is the most exact of the levels that fit"),
        Goal::Speed => {
            format!("{level} has the fewest bytes to read of the levels that fit and keep their quality")
        }
        Goal::Memory => {
            format!("{level} takes the least memory of the levels that fit and keep their quality")
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("processor"),
            Self::Gpu { name, .. } => f.write_str(name),
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on the {}", self.level, self.device)
    }
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.profile.context_length.value;
        writeln!(f, "{} with {tokens} tokens of context", self.choice)?;
        self.reasons.iter().try_for_each(|reason| writeln!(f, "  because {reason}"))?;
        self.rejected.iter().try_for_each(|other| writeln!(f, "  not {}: {}", other.what, other.why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{Engine, KvShape};
    use crate::hardware::Gpu;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;
    const LLAMA_3_8B: KvShape = KvShape { layers: 32, kv_heads: 8, head_dim: 128 };

    fn laptop(free: u64) -> Hardware {
        Hardware::new(8, 16 * GIB).memory_available(free)
    }

    fn eight_billion() -> ModelNeeds {
        ModelNeeds::new(8_030_000_000, LLAMA_3_8B)
    }

    fn chosen(hardware: &Hardware, needs: &ModelNeeds, goal: Goal) -> (Level, Device) {
        let choice = recommend(hardware, needs, goal).unwrap().choice;
        (choice.level, choice.device)
    }

    #[test]
    fn a_small_model_on_a_roomy_laptop_is_run_as_q8_0_and_told_why() {
        let demo = ModelNeeds::new(2_000_000, KvShape { layers: 4, kv_heads: 4, head_dim: 32 });

        let advice = recommend(&laptop(12 * GIB), &demo, Goal::Balanced).unwrap();

        assert_eq!(advice.profile.level.value, Level::Q8_0);
        assert_eq!(advice.profile.level.origin, Origin::Recommended);
        let said = advice.to_string();
        assert!(said.contains("nearly lossless") && said.contains("53% of the bytes of F16"), "{said}");
    }

    #[test]
    fn threads_that_stay_on_their_cores_are_told_why() {
        let advice = |hardware| recommend(&hardware, &eight_billion(), Goal::Balanced).unwrap().to_string();

        assert!(advice(laptop(40 * GIB).hybrid(true)).contains("core of its own: some cores are faster"));
        assert!(!advice(laptop(40 * GIB)).contains("core of its own"));
    }

    #[test]
    fn each_goal_picks_its_own_level() {
        let roomy = laptop(40 * GIB);
        let level = |goal| chosen(&roomy, &eight_billion(), goal).0;

        assert_eq!(level(Goal::Quality), Level::F16);
        assert_eq!(level(Goal::Balanced), Level::Q8_0);
        assert_eq!(level(Goal::Speed), Level::Q4_K);
        assert_eq!(level(Goal::Memory), Level::Q4_K);
    }

    #[test]
    fn less_free_memory_means_fewer_bits_and_a_line_for_each_level_passed_over() {
        let advice = recommend(&laptop(8 * GIB), &eight_billion(), Goal::Balanced).unwrap();

        assert_eq!(advice.choice.level, Level::Q5_K);
        let passed: Vec<_> = advice.rejected.iter().map(|rejection| rejection.what.as_str()).collect();
        assert_eq!(passed, ["Q8_0 on the processor", "Q6_K on the processor"]);
        assert!(advice.rejected[0].why.starts_with("needs 8.4 GiB"), "{}", advice.rejected[0].why);
    }

    #[test]
    fn a_gpu_comes_first_unless_quality_asks_for_the_larger_memory() {
        let machine = laptop(40 * GIB).gpu(Gpu::new("RTX 3060", 12 * GIB, 11 * GIB));
        let gpu = Device::Gpu { index: 0, name: "RTX 3060".into() };

        assert_eq!(chosen(&machine, &eight_billion(), Goal::Balanced), (Level::Q8_0, gpu));
        assert_eq!(chosen(&machine, &eight_billion(), Goal::Quality), (Level::F16, Device::Cpu));
    }

    #[test]
    fn a_gpu_of_unknown_size_is_passed_over_with_that_reason() {
        let machine = laptop(12 * GIB).gpu(Gpu::unmeasured("Radeon"));

        let advice = recommend(&machine, &eight_billion(), Goal::Balanced).unwrap();

        assert_eq!(advice.choice.device, Device::Cpu);
        assert!(advice.rejected.iter().any(|r| r.why == "the device's free memory is not known"));
    }

    #[test]
    fn a_file_of_few_bits_is_not_blown_up() {
        let needs = eight_billion().file(4_700_000_000, Level::Q4_K);

        let advice = recommend(&laptop(40 * GIB), &needs, Goal::Quality).unwrap();

        assert_eq!(advice.choice.level, Level::Q4_K);
        assert_eq!(advice.choice.estimate.weights_bytes, Some(4_700_000_000));
        assert!(advice.rejected.iter().any(|r| r.what == "Q8_0" && r.why.contains("lost")));
    }

    #[test]
    fn packed_copies_can_make_a_smaller_level_the_larger_one() {
        let machine = laptop(40 * GIB).isa(["amx_int8"]);
        let needs = eight_billion().engine(Engine::Candle).levels([Level::F16, Level::Q8_0, Level::Q4_K]);

        assert_eq!(chosen(&machine, &needs, Goal::Memory).0, Level::F16);
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_the_numbers() {
        let error = recommend(&laptop(3 * GIB), &eight_billion(), Goal::Balanced).unwrap_err();

        let said = error.to_string();
        assert!(
            said.starts_with("the model does not fit: its smallest choice, Q2_K, needs 3.0 GiB and 1.4 GiB"),
            "{said}"
        );
    }

    #[test]
    fn what_is_unknown_is_said_instead_of_counted_as_zero() {
        let said =
            |hardware, needs: &ModelNeeds| recommend(&hardware, needs, Goal::Speed).unwrap_err().to_string();
        let mut shapeless = eight_billion();
        shapeless.kv = None;

        assert!(said(laptop(GIB), &shapeless).contains("shape of the key-value cache"));
        assert!(said(Hardware::new(8, GIB), &eight_billion()).contains("free memory"));
        assert!(
            said(laptop(GIB), &eight_billion().levels(["NVFP4".parse().unwrap()])).contains("offered levels")
        );
        assert!(said(laptop(GIB), &eight_billion().levels([])).contains("offers no level"));
    }

    fn any_goal() -> impl Strategy<Value = Goal> {
        prop::sample::select(vec![Goal::Balanced, Goal::Quality, Goal::Speed, Goal::Memory])
    }

    proptest! {
        #[test]
        fn what_is_recommended_always_fits(
            free in 0..200 * GIB,
            gpu in proptest::option::of(0..100 * GIB),
            parameters in 1..200_000_000_000_u64,
            tokens in 1..200_000_u32,
            concurrency in 1..16_u32,
            candle: bool,
            goal in any_goal(),
        ) {
            let mut machine = Hardware::new(8, 200 * GIB).memory_available(free);
            machine.gpus = gpu.map(|free| Gpu::new("gpu", 100 * GIB, free)).into_iter().collect();
            let engine = if candle { Engine::Candle } else { Engine::InPlace };
            let needs =
                ModelNeeds::new(parameters, LLAMA_3_8B).context_length(tokens).concurrency(concurrency).engine(engine);

            match recommend(&machine, &needs, goal) {
                Ok(advice) => {
                    let needed = advice.choice.estimate.total_bytes().unwrap();
                    let room = match advice.choice.device {
                        Device::Cpu => free.saturating_sub(20 * GIB),
                        Device::Gpu { .. } => gpu.unwrap().saturating_sub(GIB),
                    };
                    prop_assert!(needed <= room, "{} > {}", needed, room);
                }
                Err(Error::NothingFits { needed_bytes, usable_bytes, .. }) => {
                    prop_assert!(needed_bytes > usable_bytes);
                    for level in &needs.levels {
                        let needed = needs.estimate_on_cpu(level, &machine).total_bytes().unwrap();
                        prop_assert!(needed > free.saturating_sub(20 * GIB));
                    }
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
