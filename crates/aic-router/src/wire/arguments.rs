use serde_json::{Map, Value};

use crate::{ErrorKind, ProviderError, ToolCall};

/// The arguments of a call as an object, for the protocols that have them so; no text stands for none.
pub(crate) fn arguments(call: &ToolCall) -> Result<Map<String, Value>, ProviderError> {
    let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    serde_json::from_str(text).map_err(|error| {
        let message = format!("the arguments of the call of `{}` are not a JSON object", call.name);
        ProviderError::new(ErrorKind::BadRequest, message).caused_by(error)
    })
}
