use serde_json::{Value, json};

use super::WIRE;
use super::version::{ThinkingMode, Version};
use crate::{Ability, ChatRequest, Message, ModelInfo, Part, ReasoningEffort, Role, ToolChoice};

/// The smallest budget Anthropic takes.
const BUDGET_MIN: u32 = 1024;

/// How a model is told to think.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    /// The `thinking` field; `None` leaves it to the model.
    pub(super) field: Option<Value>,
    /// The `effort` within `output_config`.
    pub(super) effort: Option<&'static str>,
    /// Whether it was told to, which forbids most of the sampling options.
    pub(super) on: bool,
}

impl Thinking {
    /// What `request` asks for, as far as `model` can be told and `max_tokens` leave room.
    pub(super) fn of(model: &ModelInfo, request: &ChatRequest, max_tokens: u32) -> Self {
        let version = Version::of(&model.name);
        let able = model.ability(Ability::Reasoning) != Some(false);
        let Some(effort) = request.reasoning.filter(|_| able) else {
            return Self::default();
        };
        match version.thinking() {
            ThinkingMode::None => Self::default(),
            ThinkingMode::Budget => Self::budget(effort, request, max_tokens),
            ThinkingMode::Adaptive => Self::adaptive(effort, version),
        }
    }

    /// Half of the answer at most is thought, so that something is left to say.
    fn budget(effort: ReasoningEffort, request: &ChatRequest, max_tokens: u32) -> Self {
        let wanted = match effort {
            ReasoningEffort::Off => 0,
            ReasoningEffort::Low => 2048,
            ReasoningEffort::Medium => 8192,
            ReasoningEffort::High => 24_576,
        };
        let budget = wanted.min(max_tokens / 2);
        if budget < BUDGET_MIN || is_forced(&request.tool_choice) || goes_on_unsigned(request) {
            return Self::default();
        }
        let field = json!({"type": "enabled", "budget_tokens": budget});
        Self { field: Some(field), effort: None, on: true }
    }

    fn adaptive(effort: ReasoningEffort, version: Version) -> Self {
        // Newer models hide their thoughts unless asked for a summary.
        let field = json!({"type": "adaptive", "display": "summarized"});
        let on = |effort| Self { field: Some(field), effort: Some(effort), on: true };
        match effort {
            ReasoningEffort::Off if version.always_thinks() => on("low"),
            ReasoningEffort::Off => Self { field: Some(json!({"type": "disabled"})), ..Self::default() },
            ReasoningEffort::Low => on("low"),
            ReasoningEffort::Medium => on("medium"),
            ReasoningEffort::High => on("high"),
        }
    }
}

/// With a budget, a tool that must be called and thinking exclude each other; the tool is what was asked for.
fn is_forced(choice: &ToolChoice) -> bool {
    matches!(choice, ToolChoice::Required | ToolChoice::Named(_))
}

/// Whether the model would go on from its tools without a thought of its own, as after another provider's
/// turn. With a budget, such a turn has to begin with one.
fn goes_on_unsigned(request: &ChatRequest) -> bool {
    let goes_on = request.messages.last().is_some_and(|message| message.role == Role::Tool);
    let turn = request.messages.iter().rfind(|message| message.role == Role::Assistant);
    goes_on && !turn.is_some_and(is_signed)
}

fn is_signed(turn: &Message) -> bool {
    turn.parts.iter().any(|part| match part {
        Part::Thinking(thinking) => thinking.echo.as_ref().is_some_and(|echo| echo.of(WIRE).is_some()),
        _ => false,
    })
}
