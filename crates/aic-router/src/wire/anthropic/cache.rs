use serde_json::{Value, json};

/// Asks for what is the same in every turn to be kept in the prompt cache.
///
/// Three of the four breakpoints Anthropic allows are set, each at the end of what is read in the order tools,
/// system, messages: the tools, the system text, and the message before the newest user turn, up to which the
/// next request of the conversation will be the same.
pub(super) fn mark(body: &mut Value) {
    if let Some(tool) = body["tools"].as_array_mut().and_then(|tools| tools.last_mut()) {
        set(tool);
    }
    if let Some(text) = body["system"].as_str() {
        body["system"] = json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]);
    }
    if let Some(block) = body["messages"].as_array_mut().and_then(|messages| last_stable(messages)) {
        set(block);
    }
}

fn set(block: &mut Value) {
    block["cache_control"] = json!({"type": "ephemeral"});
}

/// The last block before the newest user turn that may bear a mark; thoughts may not.
fn last_stable(messages: &mut [Value]) -> Option<&mut Value> {
    let newest = messages.iter().rposition(|message| message["role"] == "user")?;
    let blocks = messages[..newest].last_mut()?["content"].as_array_mut()?;
    blocks.iter_mut().rfind(|block| block["type"] != "thinking" && block["type"] != "redacted_thinking")
}
