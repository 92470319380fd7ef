//! A folder as Hugging Face stores models runs, and runs the same once it is a GGUF file.
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use aic_quant::{DType, Error, GenerateOptions, HuggingFace, Model, Quantizer, Recipe, TensorSource};

const CONFIG: &str = r#"{
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0, "vocab_size": 8, "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": [1]
}"#;
const TOKENIZER: &str = r#"{
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "WordLevel", "unk_token": "?",
        "vocab": {"<s>": 0, "</s>": 1, "?": 2, "the": 3, "cat": 4, "sat": 5, "on": 6, "mat": 7}},
    "pre_tokenizer": {"type": "Whitespace"}
}"#;

/// Writes a small model; each tensor's numbers depend on its name.
fn write_model(folder: &Path) {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    let layer = "model.layers.0";
    for (name, shape) in [
        ("model.embed_tokens.weight".to_owned(), vec![8, 32]),
        ("model.norm.weight".to_owned(), vec![32]),
        (format!("{layer}.input_layernorm.weight"), vec![32]),
        (format!("{layer}.self_attn.q_proj.weight"), vec![32, 32]),
        (format!("{layer}.self_attn.k_proj.weight"), vec![16, 32]),
        (format!("{layer}.self_attn.v_proj.weight"), vec![16, 32]),
        (format!("{layer}.self_attn.o_proj.weight"), vec![32, 32]),
        (format!("{layer}.post_attention_layernorm.weight"), vec![32]),
        (format!("{layer}.mlp.gate_proj.weight"), vec![64, 32]),
        (format!("{layer}.mlp.up_proj.weight"), vec![64, 32]),
        (format!("{layer}.mlp.down_proj.weight"), vec![32, 64]),
        (format!("{layer}.self_attn.rotary_emb.inv_freq"), vec![4]),
    ] {
        let count: usize = shape.iter().product();
        let start = data.len();
        let seed = name.len() as f32;
        let values = (0..count).map(|i| ((i as f32 + 1.0) * seed * 0.7).sin() * 0.5);
        data.extend(values.flat_map(f32::to_le_bytes));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name, entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    fs::write(folder.join("model.safetensors"), file).unwrap();
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    fs::write(folder.join("tokenizer.json"), TOKENIZER).unwrap();
}

#[test]
fn folder_and_the_gguf_file_made_of_it_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let target = folder.path().join("model.gguf");
    let source = HuggingFace::open(folder.path()).unwrap();

    let plan = Recipe::uniform(DType::F32).plan(&source, None).unwrap();
    let report = Quantizer::new(&plan).run(&source, &target, |_| ControlFlow::Continue(())).unwrap();

    assert_eq!(report.substitutions().count(), 0);
    assert_eq!(source.tensors().len(), 11);
    let options = GenerateOptions { max_tokens: 10, temperature: 0.0, ..GenerateOptions::default() };
    let answers = [folder.path(), &target].map(|path| {
        let model = Model::open(path).unwrap();
        let tokens: Vec<u32> =
            model.complete("the cat sat", &options).unwrap().map(|piece| piece.unwrap().token).collect();
        (tokens, model.perplexity("the cat sat on the mat").unwrap())
    });
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[0].0.is_empty());
}

#[test]
fn folder_with_weights_in_shards_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let whole = HuggingFace::open(folder.path()).unwrap();
    let data = |source: &HuggingFace| -> Vec<_> {
        source.tensors().iter().map(|tensor| (tensor.clone(), source.read(tensor).unwrap())).collect()
    };
    let expected = data(&whole);

    let shard = "model-00001-of-00001.safetensors";
    fs::rename(folder.path().join("model.safetensors"), folder.path().join(shard)).unwrap();
    let weights = aic_quant::safetensors::File::open(folder.path().join(shard)).unwrap();
    let homes: serde_json::Map<_, _> =
        weights.tensors().iter().map(|tensor| (tensor.name.clone(), shard.into())).collect();
    let index = serde_json::json!({"weight_map": homes});
    fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();

    assert_eq!(data(&HuggingFace::open(folder.path()).unwrap()), expected);
    assert_eq!(aic_quant::open(folder.path()).unwrap().tensors().len(), expected.len());
}

#[test]
fn incomplete_folder_is_an_error_that_names_the_file_or_key() {
    let folder = tempfile::tempdir().unwrap();
    let open = || HuggingFace::open(folder.path());
    assert!(matches!(open(), Err(Error::Io { path, .. }) if path.ends_with("config.json")));

    write_model(folder.path());
    fs::write(folder.path().join("config.json"), CONFIG.replace("hidden_size", "hidden")).unwrap();
    assert!(matches!(open(), Err(Error::Metadata { key, .. }) if key == "hidden_size"));

    fs::write(folder.path().join("config.json"), CONFIG.replace("llama", "mamba")).unwrap();
    assert!(matches!(open(), Err(Error::Unsupported { what: "model_type", .. })));
}
