//! Who asks for how much: what limits, budgets and accounts need to know of a request.

use crate::{ChatRequest, EmbedRequest, ModelInfo, NanoUsd, Part, Price, Task, Usage};

/// The most tokens a picture is known to be charged as.
const IMAGE_TOKENS_MAX: u64 = 6_000;
/// What a provider may add of its own to each message and tool.
const WRAPPING_TOKENS: u64 = 32;

#[derive(Debug)]
pub(super) struct Demand {
    pub(super) task: Task,
    pub(super) tenant: Option<String>,
    /// What it is likely to use.
    pub(super) likely: Usage,
    /// The most tokens the question can have.
    input_max: u64,
    /// The most tokens the request lets the answer have.
    output_max: Option<u64>,
}

impl Demand {
    pub(super) fn of_chat(request: &ChatRequest, task: Task) -> Self {
        let output_max = request.max_tokens.map(u64::from);
        let output = request.expected_output();
        Self {
            task,
            tenant: request.tenant.clone(),
            likely: Usage { input: request.estimated_tokens(), output, ..Usage::default() },
            input_max: input_max(request),
            output_max,
        }
    }

    pub(super) fn of_embedding(request: &EmbedRequest) -> Self {
        let bytes: u64 = request.inputs.iter().map(|text| text.len() as u64).sum();
        Self {
            task: Task::Embedding,
            tenant: None,
            likely: Usage { input: bytes.div_ceil(4), ..Usage::default() },
            input_max: bytes,
            output_max: Some(0),
        }
    }

    /// The tokens to be counted against a limit per minute.
    pub(super) fn tokens(&self) -> u64 {
        self.likely.input.saturating_add(self.likely.output)
    }

    /// The most the request can cost at `model`; `None` where the price or the answer's length is not bounded.
    pub(super) fn cost_max(&self, model: &ModelInfo, price: Option<Price>) -> Option<NanoUsd> {
        let price = price?;
        if price == Price::FREE {
            return Some(NanoUsd(0));
        }
        let output =
            [self.output_max, model.output_tokens_max, model.context_tokens].into_iter().flatten().min()?;
        self.cost_of(&price, output)
    }

    /// The most the question and `output` tokens can cost: with the whole question written to the cache where
    /// that is dearer.
    pub(super) fn cost_of(&self, price: &Price, output: u64) -> Option<NanoUsd> {
        let usage = Usage { input: self.input_max, output, ..Usage::default() };
        let cached = Usage { cache_write_input: Some(self.input_max), ..usage };
        price.cost(usage).max(price.cost(cached))
    }
}

/// A token is at least a byte of text.
fn input_max(request: &ChatRequest) -> u64 {
    let messages = request
        .messages
        .iter()
        .map(|message| WRAPPING_TOKENS + message.parts.iter().map(part_max).sum::<u64>());
    let tools = request.tools.iter().map(|tool| {
        WRAPPING_TOKENS
            + (tool.name.len() + tool.description.len() + tool.parameters.to_string().len()) as u64
    });
    let format = request.response_format.as_ref().map_or(0, |format| format!("{format:?}").len() as u64);
    messages.sum::<u64>() + tools.sum::<u64>() + format
}

fn part_max(part: &Part) -> u64 {
    (match part {
        Part::Text(text) => text.len(),
        Part::Thinking(thinking) => thinking.text.len() + echo_len(thinking.echo.as_ref()),
        Part::ToolCall(call) => call.name.len() + call.arguments.len() + echo_len(call.echo.as_ref()),
        Part::ToolResult(result) => result.name.len() + result.content.len(),
        Part::Image(_) => return IMAGE_TOKENS_MAX,
        Part::Audio(media) => media.len().unwrap_or(usize::MAX / 2),
    }) as u64
}

fn echo_len(echo: Option<&crate::Echo>) -> usize {
    echo.map_or(0, |echo| echo.data.to_string().len())
}
