use serde_json::{Value, json};

use crate::wire::openai::vector;
use crate::{EmbedRequest, Embeddings};

/// The most texts Gemini takes at once.
pub(crate) const BATCH_MAX: usize = 100;

/// The body of a request for the vectors of `inputs`, which are all of `request`'s or some.
pub(crate) fn embed_body(model: &str, request: &EmbedRequest, inputs: &[String]) -> Value {
    let one = |text: &String| {
        let mut one = json!({"model": format!("models/{model}"), "content": {"parts": [{"text": text}]}});
        if let Some(dimensions) = request.dimensions {
            one["outputDimensionality"] = dimensions.into();
        }
        one
    };
    json!({"requests": inputs.iter().map(one).collect::<Vec<_>>()})
}

/// Reads the vectors of an answer. Gemini does not say how many tokens it read.
pub(crate) fn embeddings(answer: &Value) -> Option<Embeddings> {
    let rows = answer["embeddings"].as_array()?.iter();
    Some(Embeddings::new(rows.map(|row| vector(&row["values"])).collect::<Option<_>>()?, None))
}
