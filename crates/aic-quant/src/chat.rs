use std::fmt;

use minijinja::{Environment, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;

use crate::gguf::Metadata;
use crate::{Error, Result};

const TEMPLATE_KEY: &str = "tokenizer.chat_template";
/// Steps a template may take; real ones take a few thousand for a long conversation.
const FUEL: u64 = 10_000_000;

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Instructions that stand above the conversation.
    System,
    /// The person asking.
    User,
    /// The model.
    Assistant,
    /// The result of a tool the model called.
    Tool,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        })
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub text: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into() }
    }

    /// Instructions.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// Something the person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// Something the model said before.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }
}

/// Turns a conversation into the one text a model continues.
pub(crate) struct ChatTemplate(Option<Environment<'static>>);

#[derive(Serialize)]
struct Turn<'a> {
    role: Role,
    content: &'a str,
}

impl ChatTemplate {
    /// Parses the model's own template, `tokenizer.chat_template`.
    pub(crate) fn new(metadata: &Metadata) -> Result<Self> {
        let Some(source) = metadata.string(TEMPLATE_KEY)? else { return Ok(Self(None)) };
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(TEMPLATE_KEY, source.to_owned()).map_err(failed)?;
        Ok(Self(Some(environment)))
    }

    /// The text of `messages`, ending where the model's answer begins.
    ///
    /// A model without a template gets one line for each message, `user: …`, and a final `assistant:`.
    pub(crate) fn render(&self, messages: &[Message], bos: &str, eos: &str) -> Result<String> {
        let Some(environment) = &self.0 else { return Ok(plain(messages)) };
        let turns: Vec<_> =
            messages.iter().map(|message| Turn { role: message.role, content: &message.text }).collect();
        let template = environment.get_template(TEMPLATE_KEY).map_err(failed)?;
        let values = context! {
            messages => turns,
            add_generation_prompt => true,
            bos_token => bos,
            eos_token => eos,
        };
        template.render(values).map_err(failed)
    }
}

fn plain(messages: &[Message]) -> String {
    let lines = messages.iter().map(|message| format!("{}: {}\n", message.role, message.text));
    lines.chain(["assistant:".to_owned()]).collect()
}

fn raise_exception(message: String) -> std::result::Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

fn failed(error: minijinja::Error) -> Error {
    Error::Template { source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, messages: &[Message]) -> Result<String> {
        let mut metadata = Metadata::new();
        metadata.insert(TEMPLATE_KEY, template);
        ChatTemplate::new(&metadata)?.render(messages, "<s>", "</s>")
    }

    #[test]
    fn templates_in_the_chatml_style_render_every_turn() {
        let template = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m.content.strip() + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let text = render(template, &[Message::system("Be kind."), Message::user(" Hi ")]).unwrap();
        assert_eq!(
            text,
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn model_without_a_template_gets_plain_lines() {
        let template = ChatTemplate::new(&Metadata::new()).unwrap();
        let text = template.render(&[Message::user("Hi")], "", "").unwrap();
        assert_eq!(text, "user: Hi\nassistant:");
    }

    #[test]
    fn template_that_objects_or_never_ends_is_an_error() {
        let objects = render("{{ raise_exception('no system role') }}", &[]).unwrap_err();
        let cause = std::error::Error::source(&objects).unwrap().to_string();
        assert!(cause.contains("no system role"), "{cause}");

        let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(matches!(render(endless, &[]), Err(Error::Template { .. })));
        assert!(matches!(render("{% for", &[]), Err(Error::Template { .. })));
    }
}
