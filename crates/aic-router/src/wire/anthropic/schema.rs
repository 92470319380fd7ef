use serde_json::{Map, Value, json};

/// The schema with all objects closed: Anthropic compiles it into a grammar, which has no place for properties
/// that are not named, and refuses schemas that leave them open by saying nothing.
pub(super) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if is_object(schema) {
        schema.entry("additionalProperties").or_insert(json!(false));
    }
    for (keyword, value) in schema {
        match (keyword.as_str(), value) {
            ("items", value) => close(value),
            ("anyOf" | "allOf" | "oneOf", Value::Array(schemas)) => schemas.iter_mut().for_each(close),
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => {
                schemas.values_mut().for_each(close);
            }
            _ => {}
        }
    }
}

fn is_object(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object" || has(kind, "object"))
}

fn has(kinds: &Value, name: &str) -> bool {
    kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_and_properties_that_are_named_like_keywords_left_alone() {
        let open = json!({"type": "object", "properties": {
            "items": {"type": "array", "items": {"type": ["object", "null"]}},
            "type": {"anyOf": [{"type": "object", "additionalProperties": {"type": "string"}}, {"$ref": "#/$defs/a"}]}},
            "$defs": {"a": {"type": "object", "enum": [{"type": "object"}]}}});

        let expected = json!({"type": "object", "additionalProperties": false, "properties": {
            "items": {"type": "array", "items": {"type": ["object", "null"], "additionalProperties": false}},
            "type": {"anyOf": [{"type": "object", "additionalProperties": {"type": "string"}}, {"$ref": "#/$defs/a"}]}},
            "$defs": {"a": {"type": "object", "additionalProperties": false, "enum": [{"type": "object"}]}}});
        assert_eq!(closed(&open), expected);
    }
}
