//! Configurations of each family, and rotation against the numbers of `transformers` 4.57 (`ROPE_INIT_FUNCTIONS`).
use super::*;
use crate::DType;
use crate::engine::tiny::{LLAMA, Shape, Tiny};
use crate::gguf::{File, Value};

/// A model of `architecture` with a few more keys, and more tensors of one number each.
fn read(architecture: &'static str, keys: &[(&str, Value)], tensors: &[&str]) -> Result<Config> {
    let mut tiny = Tiny::new(Shape { architecture, layers: 7, ..LLAMA });
    for (name, value) in keys {
        tiny.metadata.insert(format!("{architecture}.{name}"), value.clone());
    }
    for name in tensors {
        tiny.tensors.insert((*name).to_owned(), (vec![1], vec![1.0]));
    }
    Config::new(&File::from_bytes(tiny.gguf(DType::F32)).unwrap())
}

fn windows(config: &Config) -> Vec<Option<usize>> {
    (0..config.layers).map(|layer| config.layer(layer).window).collect()
}

#[track_caller]
fn assert_frequencies(config: &Config, factors: Option<&[f32]>, expected: [f64; 8], magnitude: f32) {
    let (frequencies, actual) = config.inverse_frequencies(0, factors);
    assert_eq!(frequencies.len(), 8);
    for (frequency, expected) in frequencies.iter().zip(expected) {
        assert!((frequency / expected - 1.0).abs() < 1e-6, "{frequencies:?}");
    }
    assert!((actual / magnitude - 1.0).abs() < 1e-6, "{actual}");
}

#[test]
fn plain_families_have_nothing_peculiar() {
    for architecture in ["llama", "qwen2", "qwen3"] {
        let config = read(architecture, &[], &[]).unwrap();

        assert_eq!(config.check_plain(config.context).map_err(|error| error.to_string()), Ok(()));
        assert_eq!(config.query_scale, 0.25);
        assert_eq!(windows(&config), [None; 7]);
        assert_eq!(config.inverse_frequencies(6, None).1, 1.0);
    }
}

#[test]
fn gemma_scales_embeddings_and_caps_and_windows_as_its_generation_does() {
    let first = read("gemma", &[], &[]).unwrap();
    assert_eq!(
        (first.embedding_scale, first.activation, first.post_norms),
        (8.0, Activation::GeluTanh, false)
    );
    assert_eq!((first.attention_softcap, windows(&first)), (None, vec![None; 7]));

    let second = read("gemma2", &[("attention.sliding_window", 32_u32.into())], &[]).unwrap();
    assert_eq!((second.attention_softcap, second.logit_softcap), (Some(50.0), Some(30.0)));
    assert!(second.post_norms);
    let (local, global) = (Some(32), None);
    assert_eq!(windows(&second), [local, global, local, global, local, global, local]);
    assert_eq!(second.layer(0).rope, second.layer(1).rope);

    let keys = [
        ("attention.sliding_window", 32_u32.into()),
        ("rope.freq_base", 1e6_f32.into()),
        ("rope.scaling.type", "linear".into()),
        ("rope.scaling.factor", 8.0_f32.into()),
    ];
    let third = read("gemma3", &keys, &[]).unwrap();
    assert_eq!((third.attention_softcap, third.logit_softcap), (None, None));
    assert_eq!(windows(&third), [local, local, local, local, local, global, local]);
    assert_eq!(third.inverse_frequencies(0, None).0[..2], [1.0, 1.0 / 10_000_f64.powf(0.125)]);
    assert_eq!(third.inverse_frequencies(5, None).0[0], 0.125);
    assert_eq!(read("gemma3", &keys[1..], &[]).unwrap().layer(0).window, None);
}

#[test]
fn largest_gemmas_scale_scores_by_the_share_of_a_head() {
    for (architecture, layers, size) in
        [("gemma2", 46_u32, 16.0_f32), ("gemma3", 62, 16.0), ("gemma2", 45, 32.0)]
    {
        let layer_keys = [("block_count", layers.into()), ("attention.key_length", 32_u32.into())];
        let value_key = [("attention.value_length", 32_u32.into())];
        let config = read(architecture, &[layer_keys.as_slice(), &value_key].concat(), &[]).unwrap();

        assert_eq!(config.query_scale, 1.0 / size.sqrt(), "{architecture} of {layers} layers");
    }
    let told = read("gemma2", &[("attention.scale", 0.3_f32.into())], &[]).unwrap();
    assert_eq!(told.query_scale, 0.3);
}

#[test]
fn windows_follow_the_pattern_in_the_file() {
    let window = ("attention.sliding_window", Value::from(8_u32));
    let pattern = |value: Value| ("attention.sliding_window_pattern", value);
    let listed = vec![false, true, true, false, false, false, true];
    let read = |keys: &[(&str, Value)]| read("llama", keys, &[]);

    let local = Some(8);
    assert_eq!(windows(&read(std::slice::from_ref(&window)).unwrap()), [local; 7]);
    assert_eq!(windows(&read(&[window.clone(), pattern(1_u32.into())]).unwrap()), [None; 7]);
    let every_third = [local, local, None, local, local, None, local];
    assert_eq!(windows(&read(&[window.clone(), pattern(3_u32.into())]).unwrap()), every_third);
    let config = read(&[window.clone(), pattern(listed.clone().into())]).unwrap();
    assert_eq!(windows(&config), [None, local, local, None, None, None, local]);
    assert_eq!(windows(&read(&[("attention.sliding_window", 0_u32.into())]).unwrap()), [None; 7]);
    assert!(read(&[window, pattern(listed[..6].to_vec().into())]).is_err());
}

#[test]
fn phi3_has_fused_matrices_and_factors_by_context() {
    let keys = [
        ("rope.scaling.original_context_length", 64_u32.into()),
        ("rope.scaling.attn_factor", 1.2_f32.into()),
    ];
    let factors = ["rope_factors_long.weight", "rope_factors_short.weight"];
    let mut tiny = Tiny::new(Shape { architecture: "phi3", ..LLAMA });
    tiny.tensors.retain(|name, _| !name.contains("ffn_gate"));
    tiny.tensors.insert("blk.0.attn_qkv.weight".to_owned(), (vec![1], vec![1.0]));
    let fused = Config::new(&File::from_bytes(tiny.gguf(DType::F32)).unwrap()).unwrap();
    let config = read("phi3", &keys, &factors).unwrap();

    assert!(fused.fused_qkv && fused.fused_gate_up);
    assert!(!config.fused_qkv && !config.fused_gate_up);
    assert_eq!((config.rope_factors(64), config.rope_factors(65)), (factors[1], factors[0]));
    assert_eq!(config.inverse_frequencies(0, None).1, 1.2);
    assert_eq!(read("phi3", &keys, &[]).unwrap().rope_factors(65), "rope_freqs.weight");
}

#[test]
fn what_is_beyond_a_plain_llama_is_refused_by_name() {
    let window = [("attention.sliding_window", 32_u32.into())];
    let mistral = read("llama", &window, &[]).unwrap();
    assert!(mistral.check_plain(32).is_ok());
    for (config, feature) in [
        (mistral, "windows"),
        (read("gemma2", &[], &[]).unwrap(), "soft caps"),
        (read("gemma", &[], &[]).unwrap(), "GELU"),
        (read("phi3", &[], &["blk.0.attn_qkv.weight"]).unwrap(), "fused"),
        (read("llama", &[("attention.scale", 0.3_f32.into())], &[]).unwrap(), "scale"),
        (read("llama", &[], &["rope_factors_long.weight"]).unwrap(), "context"),
    ] {
        let error = config.check_plain(33).unwrap_err();

        assert!(matches!(&error, Error::Unsupported { name, .. } if name.contains(feature)), "{error}");
    }
}

#[test]
fn linear_scaling_divides_every_frequency() {
    let expected = [0.25, 0.079056941, 0.025, 0.0079056947, 0.0025, 0.00079056947, 0.00025, 0.000079056947];
    for keys in [
        vec![("rope.scaling.type", "linear".into()), ("rope.scaling.factor", 4.0_f32.into())],
        vec![("rope.scaling.factor", 4.0_f32.into())],
        vec![("rope.scale_linear", 4.0_f32.into())],
    ] {
        assert_frequencies(&read("llama", &keys, &[]).unwrap(), None, expected, 1.0);
    }
}

#[test]
fn yarn_keeps_what_turns_fast_and_stretches_what_turns_slowly() {
    let keys = [
        ("rope.scaling.type", "yarn".into()),
        ("rope.scaling.factor", 4.0_f32.into()),
        ("rope.scaling.original_context_length", 1024_u32.into()),
    ];
    let expected = [1.0, 0.31622776, 0.08125, 0.019764237, 0.004375, 0.00079056947, 0.00025, 0.000079056947];
    assert_frequencies(&read("llama", &keys, &[]).unwrap(), None, expected, 1.138_629_4);

    let keys = [
        ("rope.freq_base", 1e6_f32.into()),
        ("rope.scaling.type", "yarn".into()),
        ("rope.scaling.factor", 8.0_f32.into()),
        ("rope.scaling.original_context_length", 64_u32.into()),
        ("rope.scaling.yarn_beta_fast", 16.0_f32.into()),
        ("rope.scaling.yarn_beta_slow", 2.0_f32.into()),
        ("rope.scaling.yarn_attn_factor", 1.3_f32.into()),
    ];
    let expected = [
        1.0,
        0.022228492,
        0.0039528473,
        0.00070292666,
        0.000125,
        0.000022228493,
        0.0000039528468,
        0.00000070292668,
    ];
    assert_frequencies(&read("llama", &keys, &[]).unwrap(), None, expected, 1.3);
}

#[test]
fn factors_stretch_pair_by_pair() {
    let keys =
        [("rope.scaling.type", "longrope".into()), ("rope.scaling.attn_factor", 1.154_700_5_f32.into())];
    let factors = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let expected =
        [1.0, 0.15811388, 0.033333333, 0.0079056947, 0.002, 0.00052704633, 0.00014285714, 0.000039528473];
    assert_frequencies(&read("phi3", &keys, &[]).unwrap(), Some(&factors), expected, 1.154_700_5);
}

#[test]
fn impossible_configurations_are_errors_that_name_the_key() {
    for (architecture, name, value) in [
        ("llama", "block_count", Value::from(1_u32 << 20)),
        ("llama", "attention.sliding_window", Value::from(1_u64 << 40)),
        ("llama", "attention.sliding_window_pattern", "every other".into()),
        ("gemma2", "attn_logit_softcapping", f32::NAN.into()),
        ("gemma2", "final_logit_softcapping", (-1.0_f32).into()),
        ("llama", "rope.scaling.type", "ntk".into()),
        ("llama", "rope.scaling.factor", (-2.0_f32).into()),
        ("llama", "expert_count", 8_u32.into()),
        ("phi3", "attention.value_length", 8_u32.into()),
    ] {
        let error = read(architecture, &[(name, value)], &[]).unwrap_err();

        assert!(matches!(&error, Error::Metadata { key, .. } if key.ends_with(name)), "{name}: {error}");
    }
    assert!(matches!(read("mamba", &[], &[]), Err(Error::Unsupported { what: "architecture", .. })));
}
