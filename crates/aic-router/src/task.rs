use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ChatRequest;

/// What kind of work a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// Anything that is none of the others.
    #[default]
    General,
    /// A question with one right answer.
    Factual,
    /// Numbers to be worked out.
    Arithmetic,
    /// A text to be put into one of a few classes.
    Classification,
    /// A story, a poem, an idea.
    Creative,
    /// A long text to be made short.
    Summary,
    /// A program to be written, mended or explained.
    Code,
    /// Something to be done with tools.
    Tools,
    /// Something heard or to be said.
    Audio,
    /// Texts to be turned into vectors: the task of every [`EmbedRequest`](crate::EmbedRequest), and of no chat.
    Embedding,
}

/// How much is read at either end of a long text.
const END_BYTES: usize = 2000;

/// Words that tell a task, strongest task first: a story about a sum is creative, code that sums is code.
const WORDS: &[(Task, &[&str])] = &[
    (
        Task::Code,
        &[
            "```",
            "code",
            "compile",
            "debug",
            "refactor",
            "regex",
            "sql",
            "unit test",
            "stack trace",
            "python",
            "rust",
            "javascript",
            "function",
            "script",
            "json schema",
        ],
    ),
    (Task::Audio, &["transcribe", "transcript of", "audio", "speech", "spoken", "voice message"]),
    (Task::Summary, &["summarize", "summarise", "summary", "tl;dr", "in short", "key points", "shorten"]),
    (
        Task::Classification,
        &["classify", "categorize", "categorise", "which category", "sentiment", "label the", "spam or"],
    ),
    (
        Task::Creative,
        &["story", "poem", "haiku", "lyrics", "brainstorm", "slogan", "imagine", "write a tale", "song"],
    ),
    (
        Task::Tools,
        &["call the tool", "use the tool", "call the function", "search the web", "turn on", "turn off"],
    ),
    (
        Task::Arithmetic,
        &["calculate", "compute", "how much is", "sum of", "percent of", "multiply", "divided by"],
    ),
    (
        Task::Factual,
        &[
            "who",
            "when",
            "where",
            "what is",
            "what are",
            "why",
            "how many",
            "how far",
            "define",
            "capital of",
        ],
    ),
];

impl Task {
    /// Guesses the task from the last thing the user said, by English key words; takes microseconds.
    ///
    /// Of a long text only the first and the last 2000 bytes are read: what is to be done is said before or
    /// after what it is to be done with.
    ///
    /// A sum written in digits (`17 * 23`) is [`Task::Arithmetic`] in every language; other texts without a
    /// key word are [`Task::General`]. A wrong guess costs a less fitting model, so say the task if you know it.
    pub fn guess(request: &ChatRequest) -> Self {
        let text = ends(&request.last_user_text()).to_lowercase();
        let told = WORDS.iter().find(|(_, words)| words.iter().any(|word| has_word(&text, word)));
        match told {
            Some((task, _)) if *task != Self::Factual => *task,
            _ if has_sum(&text) => Self::Arithmetic,
            Some((task, _)) => *task,
            None => Self::General,
        }
    }

    /// The task's name, as in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Factual => "factual",
            Self::Arithmetic => "arithmetic",
            Self::Classification => "classification",
            Self::Creative => "creative",
            Self::Summary => "summary",
            Self::Code => "code",
            Self::Tools => "tools",
            Self::Audio => "audio",
            Self::Embedding => "embedding",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The beginning and the end of a text, or all of a short one.
fn ends(text: &str) -> Cow<'_, str> {
    if text.len() <= 2 * END_BYTES {
        return Cow::Borrowed(text);
    }
    let head = &text[..text.floor_char_boundary(END_BYTES)];
    let tail = &text[text.ceil_char_boundary(text.len() - END_BYTES)..];
    Cow::Owned([head, tail].join("\n"))
}

/// Whether `text` has `word` with no letter directly before or after it.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(char::is_alphabetic) && !after.is_some_and(char::is_alphabetic)
    })
}

/// Whether `text` has an operator between two digits, spaces aside.
fn has_sum(text: &str) -> bool {
    let dense: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    dense.windows(3).any(|w| w[0].is_ascii_digit() && "+*/×÷^".contains(w[1]) && w[2].is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_by_key_words_and_digits() {
        let cases = [
            ("Write a Python script that sums a column", Task::Code),
            ("Please summarize this report: …", Task::Summary),
            ("Classify the sentiment of: I loved it", Task::Classification),
            ("Tell me a story about a dragon", Task::Creative),
            ("What is 17 * 23?", Task::Arithmetic),
            ("Сколько будет 2+2?", Task::Arithmetic),
            ("Who wrote Faust?", Task::Factual),
            ("Transcribe this recording", Task::Audio),
            ("Turn on the kitchen light", Task::Tools),
            ("Hello there", Task::General),
            ("I trust the encoder", Task::General),
        ];
        for (text, task) in cases {
            assert_eq!(Task::guess(&ChatRequest::user(text)), task, "{text}");
        }
    }

    #[test]
    fn long_text_is_judged_by_its_ends() {
        let report = "Ä song of the poet. ".repeat(1_000);
        let ask = |text: String| Task::guess(&ChatRequest::user(text));

        assert_eq!(ask(format!("Summarize this: {}{report}", "x ".repeat(2_000))), Task::Summary);
        assert_eq!(
            ask(format!("{}{report}{}Summarize this.", "x ".repeat(2_000), "x ".repeat(900))),
            Task::Summary
        );
        assert_eq!(ask(format!("{0}{report}{0}", "x ".repeat(2_000))), Task::General);
    }
}
