//! Vectors of texts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::{EmbedRequest, Embeddings};

/// The body of a request for vectors.
fn embed_body(model: &str, request: &EmbedRequest) -> Value {
    let mut body = json!({"model": model, "input": request.inputs});
    if let Some(dimensions) = request.dimensions {
        body["dimensions"] = dimensions.into();
    }
    body
}

/// The same, asking for the vectors' bytes in Base64: a quarter of the size of the numbers written out.
pub(crate) fn base64_body(model: &str, request: &EmbedRequest) -> Value {
    let mut body = embed_body(model, request);
    body["encoding_format"] = "base64".into();
    body
}

/// Reads the vectors of an answer, in the request's order. Servers without Base64 send lists.
pub(crate) fn embeddings(answer: &Value) -> Option<Embeddings> {
    let mut rows: Vec<(u64, Vec<f32>)> = answer["data"].as_array()?.iter().map(row).collect::<Option<_>>()?;
    rows.sort_by_key(|(index, _)| *index);
    let vectors = rows.into_iter().map(|(_, vector)| vector).collect();
    Some(Embeddings::new(vectors, answer["usage"]["prompt_tokens"].as_u64()))
}

/// A JSON list of numbers as a vector.
pub(crate) fn vector(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
}

fn row(value: &Value) -> Option<(u64, Vec<f32>)> {
    let embedding = &value["embedding"];
    Some((value["index"].as_u64()?, embedding.as_str().map_or_else(|| vector(embedding), floats)?))
}

/// Base64 of little-endian 32-bit floats.
fn floats(text: &str) -> Option<Vec<f32>> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (floats, rest) = bytes.as_chunks();
    rest.is_empty().then(|| floats.iter().copied().map(f32::from_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_put_in_the_requests_order() {
        let answer = json!({"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]});

        assert_eq!(embeddings(&answer).unwrap().vectors, [[1.0], [2.0]]);
    }

    #[test]
    fn base64_is_read_as_little_endian_floats() {
        // 1.5 is 00 00 c0 3f and -2 is 00 00 00 c0.
        let answer = json!({"data": [{"index": 0, "embedding": "AADAPwAAAMA="}]});

        assert_eq!(embeddings(&answer).unwrap().vectors, [[1.5, -2.0]]);
    }

    #[test]
    fn what_is_no_vector_is_none() {
        for wrong in [json!(["x"]), json!("AADAPwA="), json!("***"), json!(null)] {
            assert_eq!(embeddings(&json!({"data": [{"index": 0, "embedding": wrong}]})), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_vector_survives_its_base64(vector in proptest::collection::vec(-1e30f32..1e30, 0..20)) {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();

            proptest::prop_assert_eq!(floats(&BASE64_STANDARD.encode(bytes)), Some(vector));
        }
    }
}
