use crate::gguf::Metadata;

/// Templates of families that write conversations with tokens of their own, by those tokens.
const KNOWN: [(&[&str], &str); 4] = [
    (
        &["<|im_start|>", "<|im_end|>"],
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
    (
        &["<|start_header_id|>", "<|eot_id|>"],
        "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    ),
    (
        &["<start_of_turn>", "<end_of_turn>"],
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('system role not supported') }}{% endif %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    ),
    (
        &["<|user|>", "<|assistant|>", "<|end|>"],
        "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    ),
];

/// The template of the family whose tokens the vocabulary has: ChatML, Llama 3, Gemma or Phi 3.
pub(super) fn template(metadata: &Metadata) -> Option<&'static str> {
    let tokens = metadata.array("tokenizer.ggml.tokens").ok()??.as_strings()?;
    let has = |wanted: &&str| tokens.iter().any(|token| token == wanted);
    KNOWN.iter().find(|(wanted, _)| wanted.iter().all(has)).map(|(_, template)| *template)
}
