//! Whole runs on small made-up models, whose damage is a formula.
use proptest::prelude::*;

use super::*;
use crate::gguf::{File, Metadata, Writer};
use crate::{Recipe, encode};

const SHAPES: [(&str, [usize; 2]); 7] = [
    ("token_embd.weight", [40, 256]),
    ("blk.0.attn_q.weight", [16, 256]),
    ("blk.0.attn_v.weight", [4, 256]),
    ("blk.0.ffn_down.weight", [16, 96]),
    ("blk.1.attn_q.weight", [16, 256]),
    ("blk.1.attn_v.weight", [4, 256]),
    ("blk.1.ffn_down.weight", [16, 96]),
];

fn source() -> File {
    let mut writer = Writer::new(Metadata::new());
    for (name, shape) in SHAPES {
        writer.tensor(name, &shape, DType::F16).unwrap();
    }
    writer.tensor("output_norm.weight", &[256], DType::F32).unwrap();
    let value = |tensor: &TensorInfo, i: u64| ((i + tensor.elements()) as f32 * 0.731).sin().powi(3);
    let data = |tensor: &TensorInfo| {
        encode(&(0..tensor.elements()).map(|i| value(tensor, i)).collect::<Vec<_>>(), tensor.dtype)
    };
    File::from_bytes(writer.to_vec(data).unwrap()).unwrap()
}

fn kind(plan: &Plan, name: &str) -> DType {
    plan.tensors().iter().find(|planned| planned.tensor.name == name).unwrap().dtype
}

/// A damage that one weight does a hundred times as much of as the others.
fn mostly(sensitive: &'static str) -> impl FnMut(&dyn TensorSource) -> Result<f64> {
    move |source| {
        let changed = source.tensors().iter().filter(|tensor| tensor.dtype.is_quantized());
        Ok(changed.map(|tensor| if tensor.name == sensitive { 1.0 } else { 0.01 }).sum())
    }
}

fn mixed(mix: Mix<'_>) -> Mixed {
    mix.run().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn mix_keeps_to_the_budget_and_is_no_worse_than_any_single_type(bits in 3.6_f64..17.0, tie in any::<bool>()) {
        let source = source();
        let budget = Budget::BitsPerWeight(bits);
        let mixed = mixed(Mix::new(&source, budget).tie(tie));
        prop_assert!(mixed.plan.bytes() <= budget.bytes(&source));
        for candidate in CANDIDATES.into_iter().filter(|dtype| check_encodable(*dtype).is_ok()) {
            let uniform = Recipe::uniform(candidate).plan(&source, None).unwrap();
            if uniform.bytes() <= budget.bytes(&source) {
                let alone = Mix::new(&source, Budget::Bytes(u64::MAX)).candidates([candidate]).tie(tie);
                prop_assert!(mixed.damage <= alone.run().unwrap().damage, "{candidate}");
            }
        }
    }
}

#[test]
fn weight_that_hurts_the_model_most_gets_the_most_bits() {
    let source = source();
    let budget = Budget::BitsPerWeight(5.5);
    let plain = mixed(Mix::new(&source, budget)).plan;
    for (sensitive, other) in [(1, 4), (4, 1)].map(|(a, b)| (SHAPES[a].0, SHAPES[b].0)) {
        let measured = mixed(Mix::new(&source, budget).measure(7, mostly(sensitive))).plan;
        let [more, less, before] = [(&measured, sensitive), (&measured, other), (&plain, sensitive)]
            .map(|(plan, name)| kind(plan, name).bits_per_weight());
        assert!(more > less && more > before, "{sensitive}: {more} {less} {before}");
    }
}

#[test]
fn budget_that_fits_nothing_says_what_would() {
    let source = source();
    let Err(Error::Budget { needed_bytes, budget_bytes: 100 }) = Mix::new(&source, Budget::Bytes(100)).run()
    else {
        panic!("a budget of 100 bytes is too small");
    };

    assert_eq!(mixed(Mix::new(&source, Budget::Bytes(needed_bytes))).plan.bytes(), needed_bytes);
    assert!(Mix::new(&source, Budget::Bytes(needed_bytes - 1)).run().is_err());
}

#[test]
fn front_leads_from_the_smallest_plan_to_the_best() {
    let source = source();
    let found = mixed(Mix::new(&source, "5bpw".parse().unwrap()));
    let points = &found.front.points;
    assert!(points.len() > 10);
    assert!(points.windows(2).all(|pair| pair[0].bytes < pair[1].bytes && pair[0].damage >= pair[1].damage));
    assert_eq!(points.last().unwrap().damage, 0.0);
    for point in points {
        let again = mixed(Mix::new(&source, Budget::Bytes(point.bytes)));
        assert!(again.damage <= point.damage * (1.0 + 1e-12));
    }
}

#[test]
fn rules_are_kept_and_paid_for() {
    let source = source();
    let budget = Budget::BitsPerWeight(6.0);
    let mix = Mix::new(&source, budget).rule("attn_q", DType::Q8_0).unwrap();
    let plan = mixed(mix).plan;
    assert_eq!(kind(&plan, "blk.1.attn_q.weight"), DType::Q8_0);
    assert!(plan.bytes() <= budget.bytes(&source));
    assert!(matches!(
        Mix::new(&source, budget).rule("attn_x", DType::Q8_0).unwrap().run(),
        Err(Error::UnmatchedRule { .. })
    ));
}

#[test]
fn tied_weights_get_one_type() {
    let source = source();
    for bits in [4.0, 5.0, 6.0, 7.0] {
        let mix = Mix::new(&source, Budget::BitsPerWeight(bits)).tie(true);
        let plan = mixed(mix.measure(7, mostly("blk.0.attn_v.weight"))).plan;
        assert_eq!(kind(&plan, "blk.0.attn_q.weight"), kind(&plan, "blk.0.attn_v.weight"));
    }
}

#[test]
fn later_run_repeats_no_measurement() {
    let source = source();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("front.json");
    let mix = || Mix::new(&source, Budget::BitsPerWeight(5.0)).front(&path);
    let first = mixed(mix().measure(7, mostly("blk.1.ffn_down.weight")));

    let mut steps = 0;
    let again = mix().measure(7, |_| panic!("everything is known")).on_progress(|_| {
        steps += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(mixed(again).plan, first.plan);
    assert_eq!(steps, 0);
}

#[test]
fn interrupted_run_goes_on_where_it_was() {
    let source = source();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("front.json");
    let mut calls = 0;
    let mut run = |limit: Option<usize>| {
        let mut steps = 0;
        let mut damage = mostly("blk.1.ffn_down.weight");
        let mix = Mix::new(&source, Budget::BitsPerWeight(5.0)).front(&path);
        mix.measure(7, |source| {
            calls += 1;
            damage(source)
        })
        .on_progress(|_| {
            steps += 1;
            if Some(steps) == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .run()
    };

    // Seven weights are tried first, then three of them in the model.
    assert!(matches!(run(Some(10)), Err(Error::Stopped { .. })));
    assert!(run(None).is_ok());
    assert_eq!(calls, 7);
}

#[test]
fn damage_that_is_no_number_is_refused() {
    let source = source();
    for nonsense in [f64::NAN, -1.0, f64::INFINITY] {
        let run = Mix::new(&source, Budget::BitsPerWeight(5.0)).measure(1, |_| Ok(nonsense)).run();
        assert!(matches!(run, Err(Error::Tensor { .. })), "{nonsense}");
    }
}

#[test]
fn dynamic_recipe_takes_no_more_than_the_usual_mixture() {
    let source = source();
    let bytes = |recipe: &str| recipe.parse::<Recipe>().unwrap().plan(&source, None).unwrap().bytes();
    assert!(bytes("dynamic") <= bytes("q4_k_m"));
    assert!(bytes("dynamic:4bpw") < bytes("dynamic:6bpw"));
    assert!(bytes("dynamic,attn_v=f16") <= bytes("q4_k_m"));
}

#[test]
fn quantized_weights_are_never_planned_larger() {
    let plan = Recipe::uniform(DType::Q4_K).plan(&source(), None).unwrap();
    let source = source();
    let small = Overlay::new(&source, &plan, None).unwrap();
    let roomy = mixed(Mix::new(&small, Budget::BitsPerWeight(16.0))).plan;
    assert_eq!(roomy.bytes(), plan.bytes());
}

#[test]
fn types_that_cannot_be_made_are_refused_as_candidates() {
    let source = source();
    let mix =
        |types: &[DType]| Mix::new(&source, Budget::BitsPerWeight(8.0)).candidates(types.to_vec()).run();
    assert!(matches!(mix(&[DType::Q8_0, DType::IQ1_S]), Err(Error::UnsupportedDType { .. })));
    assert!(matches!(mix(&[]), Err(Error::Empty { .. })));
}
