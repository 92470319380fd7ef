//! Mixing by measurement on the project's own model: at the bytes of the usual mixture it must do less damage.
use aic_quant::{Budget, Mix, Model, Overlay, Plan, Recipe, gguf, mean_kl};

/// Questions and answers of the kind the model was trained on; docs/demo-model.md.
const CALIBRATION: &str = "<|user|>There are 13 pens in one box and 10 in another. How many pens are there?<|end|>\
<|assistant|>13 + 10 = 23<|end|><|user|>Classify the topic: Add salt and pepper to the sauce.<|end|><|assistant|>food<|end|>\
<|user|>Invent a story with a rabbit called Leo.<|end|><|assistant|>Once upon a time there was a kind rabbit named Leo. Leo \
loved the quiet library. One night Leo heard a fox cry for help. Leo went home and told the snail about it. The end.<|end|>\
<|user|>Now tell me: which word is the opposite of fast?<|end|><|assistant|>The opposite of fast is slow.<|end|>";
/// Others, which the mix is not made for.
const HELD_OUT: &str = "<|user|>What is a cache? Thank you.<|end|><|assistant|>A cache keeps results that were costly to get, so \
that the next request is quick.<|end|><|user|>2 minus 2<|end|><|assistant|>2 - 2 = 0<|end|><|user|>Write a short story about a \
squirrel named Anna.<|end|><|assistant|>Long ago there lived a clever squirrel named Anna. Anna loved the quiet village. One \
night Anna heard a squirrel cry for help. Anna shared everything with a squirrel, and they became friends. The end.<|end|>\
<|user|>Tool call, please: Add a meeting with Dora to Tuesday.<|end|><|assistant|>{\"name\": \"add_event\", \"arguments\": \
{\"with\": \"Dora\", \"day\": \"Tuesday\"}}<|end|>";

#[test]
fn measured_mix_does_less_damage_than_the_usual_mixture_of_its_size() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../aic/models/aic-demo-student-f16.gguf");
    let source = gguf::File::open(path).unwrap();
    let model = Model::options().load(&source).unwrap();
    let usual = "q4_k_m".parse::<Recipe>().unwrap().plan(&source, None).unwrap();
    let mut held_out = mean_kl(&model, &model.tokenize(HELD_OUT).unwrap()).unwrap();
    let mut damage = |plan: &Plan| held_out(&Overlay::new(&source, plan, None).unwrap()).unwrap();
    let calibration = model.tokenize(CALIBRATION).unwrap();

    let mix = Mix::new(&source, Budget::Bytes(usual.bytes()));
    let mixed = mix.measure(usize::MAX, mean_kl(&model, &calibration).unwrap()).run().unwrap();

    assert!(mixed.plan.bytes() <= usual.bytes());
    let (fixed, measured) = (damage(&usual), damage(&mixed.plan));
    assert!(measured < 0.8 * fixed, "{measured} against {fixed}");
    let untouched = Recipe::uniform(aic_quant::DType::F16).plan(&source, None).unwrap();
    assert_eq!(damage(&untouched), 0.0);
}
