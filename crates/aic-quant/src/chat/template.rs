use std::borrow::Cow;
use std::time::SystemTime;

use minijinja::{Environment, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use regex::Regex;
use serde::Serialize;

use super::functions::{self, Refusal};
use super::{Message, Role, known};
use crate::gguf::Metadata;
use crate::{Error, Result};

const TEMPLATE_KEY: &str = "tokenizer.chat_template";
/// Steps a template may take; real ones take a few thousand for a long conversation.
const FUEL: u64 = 10_000_000;
/// Where the text of the last turn ends; of private use, so that no template has it, nor trims it.
const CONTINUED: &str = "\u{10FFFD}\u{F8FF}\u{10FFFD}";

/// Turns a conversation into the one text a model continues.
pub(crate) struct ChatTemplate(Option<Environment<'static>>);

#[derive(Serialize)]
struct Turn<'a> {
    role: Role,
    content: Cow<'a, str>,
}

impl ChatTemplate {
    /// Parses the model's own template, `tokenizer.chat_template`, or takes a known one that its tokens tell of.
    pub(crate) fn new(metadata: &Metadata) -> Result<Self> {
        Self::with_clock(metadata, SystemTime::now)
    }

    /// The same with the time that templates ask for, in UTC.
    fn with_clock(metadata: &Metadata, clock: fn() -> SystemTime) -> Result<Self> {
        let own = metadata.string(TEMPLATE_KEY)?;
        let Some(source) = own.or_else(|| known::template(metadata)) else { return Ok(Self(None)) };
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        functions::add(&mut environment, clock);
        environment.add_template_owned(TEMPLATE_KEY, without_generation(source)).map_err(failed)?;
        Ok(Self(Some(environment)))
    }

    /// The text of `messages`, ending where the model's answer begins: after the last message if that is the
    /// assistant's, otherwise at the start of a turn.
    ///
    /// If the template refuses and the first message is the system's, its text moves to the start of the first user's
    /// message. A model without a template gets one line for each message, `user: …`, and a final `assistant:`.
    pub(crate) fn render(&self, messages: &[Message], bos: &str, eos: &str) -> Result<String> {
        let Some(environment) = &self.0 else { return Ok(plain(messages)) };
        let refused = match render(environment, messages, bos, eos) {
            Err(refused @ Error::TemplateRefused { .. }) => refused,
            rendered => return rendered,
        };
        let Some(merged) = without_system(messages) else { return Err(refused) };
        render(environment, &merged, bos, eos).map_err(|_| refused)
    }
}

fn render(environment: &Environment<'_>, messages: &[Message], bos: &str, eos: &str) -> Result<String> {
    let continues = continues(messages);
    let mut turns: Vec<Turn<'_>> = messages
        .iter()
        .map(|message| Turn { role: message.role, content: message.text.as_str().into() })
        .collect();
    if let Some(last) = turns.last_mut().filter(|_| continues) {
        last.content.to_mut().push_str(CONTINUED);
    }
    let values = context! {
        messages => turns,
        add_generation_prompt => !continues,
        bos_token => bos,
        eos_token => eos,
        tools => (),
        documents => (),
    };
    let template = environment.get_template(TEMPLATE_KEY).map_err(failed)?;
    let mut text = template.render(values).map_err(failed)?;
    if continues {
        let lost = || refused("it leaves out the end of the assistant's message that is to be continued");
        text.truncate(text.rfind(CONTINUED).ok_or_else(lost)?);
    }
    Ok(text)
}

fn continues(messages: &[Message]) -> bool {
    messages.last().is_some_and(|last| last.role == Role::Assistant)
}

/// The conversation with the system's text at the start of the first user's.
fn without_system(messages: &[Message]) -> Option<Vec<Message>> {
    let (system, rest) = messages.split_first().filter(|(first, _)| first.role == Role::System)?;
    let mut rest = rest.to_vec();
    let user = rest.iter_mut().find(|message| message.role == Role::User)?;
    if !system.text.is_empty() {
        user.text = format!("{}\n\n{}", system.text, user.text);
    }
    Some(rest)
}

fn plain(messages: &[Message]) -> String {
    let lines = messages.iter().map(|message| format!("{}: {}\n", message.role, message.text));
    let mut text: String = lines.collect();
    if continues(messages) {
        text.pop();
    } else {
        text.push_str("assistant:");
    }
    text
}

/// Takes out `{% generation %}` and `{% endgeneration %}`, with which the `transformers` library marks what to learn.
fn without_generation(source: &str) -> String {
    let tag = Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").expect("the pattern is valid");
    let replaced = tag.replace_all(source, |found: &regex::Captures<'_>| {
        let statement = if found.get(2).is_some() { "endif" } else { "if true" };
        format!("{{%{} {statement} {}%}}", &found[1], &found[3])
    });
    replaced.into_owned()
}

fn failed(error: minijinja::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(Refusal(reason)) = error.downcast_ref() {
            return refused(reason);
        }
        cause = error.source();
    }
    Error::Template { source: error.into() }
}

fn refused(reason: &str) -> Error {
    Error::TemplateRefused { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, UNIX_EPOCH};

    use serde::Deserialize;

    use super::*;

    const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m.content.strip() + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    const STRICT: &str = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.content }}]{% endfor %}";

    fn template(source: &str) -> Result<ChatTemplate> {
        let mut metadata = Metadata::new();
        metadata.insert(TEMPLATE_KEY, source);
        // A Saturday.
        ChatTemplate::with_clock(&metadata, || UNIX_EPOCH + Duration::from_secs(1_709_424_000 - 1))
    }

    fn render(source: &str, messages: &[Message]) -> Result<String> {
        template(source)?.render(messages, "<s>", "</s>")
    }

    #[derive(Deserialize)]
    struct Case {
        messages: Vec<(String, String)>,
        text: Option<String>,
    }

    fn role(name: &str) -> Role {
        [Role::System, Role::User, Role::Assistant, Role::Tool]
            .into_iter()
            .find(|role| role.to_string() == name)
            .unwrap()
    }

    #[test]
    fn real_templates_render_as_the_transformers_library_does() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/chat");
        let cases = std::fs::read_to_string(format!("{folder}/cases.json")).unwrap();
        let cases: BTreeMap<String, Vec<Case>> = serde_json::from_str(&cases).unwrap();
        for (name, cases) in cases {
            let source = std::fs::read_to_string(format!("{folder}/{name}.jinja")).unwrap();
            let environment = template(&source).unwrap().0.unwrap();
            for Case { messages, text } in cases {
                let turns: Vec<_> =
                    messages.iter().map(|(name, text)| Message::new(role(name), text)).collect();
                match super::render(&environment, &turns, "<s>", "</s>") {
                    Ok(rendered) => assert_eq!(Some(rendered), text, "{name} {messages:?}"),
                    Err(Error::TemplateRefused { .. }) => assert_eq!(text, None, "{name} {messages:?}"),
                    Err(error) => panic!("{name} {messages:?}: {error:?}"),
                }
            }
        }
    }

    #[test]
    fn templates_in_the_chatml_style_render_every_turn() {
        let text = render(CHATML, &[Message::system("Be kind."), Message::user(" Hi ")]).unwrap();
        assert_eq!(
            text,
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn last_turn_of_the_assistant_is_continued() {
        let messages = [Message::user("Hi"), Message::assistant("Hello, ")];
        let text = render(CHATML, &messages).unwrap();
        assert_eq!(text, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello, ");

        let lost = render("{% for m in messages %}{{ m.content[:3] }}{% endfor %}", &messages).unwrap_err();
        assert!(matches!(lost, Error::TemplateRefused { .. }), "{lost}");
    }

    #[test]
    fn system_text_moves_to_the_user_only_if_the_template_refuses_it() {
        let messages = [Message::system("Be kind."), Message::user("Hi")];
        assert_eq!(render(STRICT, &messages).unwrap(), "[Be kind.\n\nHi]");
        assert_eq!(render(STRICT, &[Message::system(""), Message::user("Hi")]).unwrap(), "[Hi]");

        let error = render(STRICT, &[Message::system("Be kind."), Message::assistant("Hi")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the chat template refuses the conversation: System role not supported"
        );
        let error = render(STRICT, &[Message::user("a"), Message::user("b")]).unwrap_err();
        assert!(error.to_string().ends_with("roles must alternate"), "{error}");
    }

    #[test]
    fn template_of_a_model_without_one_is_told_by_its_tokens() {
        let render = |tokens: &[&str], messages: &[Message]| {
            let tokens: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
            let mut metadata = Metadata::new();
            metadata.insert("tokenizer.ggml.tokens", tokens);
            ChatTemplate::new(&metadata).unwrap().render(messages, "<s>", "</s>").unwrap()
        };
        let hi = [Message::user("Hi")];
        let chatml = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(render(&["<|im_end|>", "<|im_start|>"], &hi), chatml);
        let llama3 = "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
        assert_eq!(render(&["<|start_header_id|>", "<|eot_id|>"], &hi), llama3);
        let gemma = "<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\n";
        let messages = [Message::system("Be kind."), Message::user("Hi")];
        assert_eq!(render(&["<start_of_turn>", "<end_of_turn>"], &messages), gemma);
        let phi3 = "<|user|>\nHi<|end|>\n<|assistant|>\n";
        assert_eq!(render(&["<|user|>", "<|assistant|>", "<|end|>"], &hi), phi3);
        assert_eq!(render(&["<|im_start|>"], &hi), "user: Hi\nassistant:");
        assert_eq!(render(&[], &[hi[0].clone(), Message::assistant("He")]), "user: Hi\nassistant: He");
    }

    #[test]
    fn what_python_templates_use_is_there() {
        let hi = [Message::user("Hi <b>")];
        assert_eq!(render("{{ strftime_now('%d %b %Y') }}", &hi).unwrap(), "02 Mar 2024");
        assert_eq!(render("{{ {'a': [1, 'é']} | tojson }}", &hi).unwrap(), r#"{"a": [1, "é"]}"#);
        assert_eq!(render("{{ messages[0].content | tojson }}", &hi).unwrap(), r#""Hi <b>""#);
        assert_eq!(render("{{ [1] | tojson(indent=2) }}", &hi).unwrap(), "[\n  1\n]");
        assert_eq!(render("{% generation %}{{ 1 }}{%- endgeneration %}", &hi).unwrap(), "1");
        assert_eq!(
            render("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", &hi)
                .unwrap(),
            "01"
        );
        assert_eq!(render("{{ nothing | length }}{{ 'né' | length }}", &hi).unwrap(), "02");
        assert_eq!(render("{{ tools is none and tools is not iterable }}", &hi).unwrap(), "True");
    }

    #[test]
    fn template_that_is_broken_or_never_ends_is_an_error() {
        let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        for source in [
            endless,
            "{% for",
            "{{ messages[0].nothing.at.all }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        ] {
            assert!(
                matches!(render(source, &[Message::user("Hi")]), Err(Error::Template { .. })),
                "{source}"
            );
        }
    }
}
