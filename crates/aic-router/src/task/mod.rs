//! What kind of work a request is, and how that is guessed: words in [`cues`], everything else in [`signs`].

mod cues;
mod signs;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ChatRequest, Part, Role, ToolChoice};

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
    /// A text to be put into one of a few classes, as a song into its genre.
    #[serde(alias = "genre")]
    Classification,
    /// A story, a poem, an idea.
    Creative,
    /// A long text to be made short.
    Summary,
    /// A text to be put into another language.
    Translation,
    /// A program to be written, mended or explained.
    Code,
    /// Something to be done with tools.
    Tools,
    /// Something heard or to be said.
    Audio,
    /// Texts to be turned into vectors: the task of every [`EmbedRequest`](crate::EmbedRequest), and of no chat.
    Embedding,
}

/// How much of a text is searched for words: so many bytes at its beginning, and as many at its end, for an
/// instruction stands before or after the text it is about.
const SEARCHED_BYTES: usize = 400;
/// Words of the first and the last line so near to the beginning or the end count twice. Others of a long text do
/// not count at all: they are what it is about, not what is to be done with it.
const NEAR_BYTES: usize = 100;
/// How much of the beginning is searched for signs of a program.
const SYNTAX_BYTES: usize = 4096;

/// What offering tools, a sound to listen to, and a call that must be made weigh.
const TOOLS_OFFERED: u32 = 6;
const SOUND: u32 = 12;
const TOOLS_IN_USE: u32 = 20;

/// The least score a guess needs: one plain word near the beginning.
const ENOUGH: u32 = 4;

impl Task {
    /// All tasks of chats; of those with equal scores the first is guessed.
    pub(crate) const ALL: [Self; 10] = [
        Self::Code,
        Self::Audio,
        Self::Translation,
        Self::Summary,
        Self::Classification,
        Self::Arithmetic,
        Self::Tools,
        Self::Creative,
        Self::Factual,
        Self::General,
    ];

    /// Guesses the task from the last thing the user said, and from what comes with it: sounds, tools, digits to
    /// be worked out, the syntax of a program.
    ///
    /// Knows words of English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Ukrainian,
    /// Chinese, Japanese and Korean. Only the first and the last 400 bytes are searched for them, so the length
    /// of a text costs nothing; a guess takes microseconds. What nothing speaks for is [`Task::General`].
    ///
    /// A guess is a guess. Of the 582 prompts its words were chosen with, it gets all but two right. Of 134 that
    /// were chosen for unusual wording and held out it got 66 right when they were first counted: for half of them
    /// it named a task, rightly four times of five, and the rest it left general. So say the task where it is
    /// known; a wrong one costs a less fitting model. The prompts are in `tests/data`.
    pub fn guess(request: &ChatRequest) -> Self {
        let mut scores = Scores::default();
        scores.add_text(&request.last_user_text());
        scores.add_company(request);
        scores.best()
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
            Self::Translation => "translation",
            Self::Code => "code",
            Self::Tools => "tools",
            Self::Audio => "audio",
            Self::Embedding => "embedding",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.as_str() == name)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much speaks for each task.
#[derive(Debug, Default)]
struct Scores([u32; Task::ALL.len()]);

impl Scores {
    fn add(&mut self, task: Task, weight: u32) {
        self.0[task as usize] += weight;
    }

    fn add_text(&mut self, text: &str) {
        let ends = ends(text, SEARCHED_BYTES).to_lowercase();
        let is_long = text.len() > 2 * SEARCHED_BYTES;
        let (first, last) = instructions(&ends, is_long);
        cues::find(&ends, |task, weight, at| {
            let near = at < first || at >= last;
            self.add(task, weight * if near { 2 } else { u32::from(!is_long) });
        });
        self.add(Task::Arithmetic, 2 * (signs::sum(&ends) + signs::numbers(&ends)));
        self.add(Task::Factual, 2 * u32::from(signs::asks(&ends)));
        self.add(Task::Code, 2 * signs::syntax(head(text, SYNTAX_BYTES)));
    }

    /// What comes with the text.
    fn add_company(&mut self, request: &ChatRequest) {
        let last = request.messages.last();
        let hears = last.is_some_and(|last| last.parts.iter().any(|part| matches!(part, Part::Audio(_))));
        let must_call = matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
        if hears {
            self.add(Task::Audio, SOUND);
        }
        if !request.tools.is_empty() && request.tool_choice != ToolChoice::None {
            self.add(Task::Tools, TOOLS_OFFERED);
        }
        if must_call || last.is_some_and(|last| last.role == Role::Tool) {
            self.add(Task::Tools, TOOLS_IN_USE);
        }
    }

    fn best(&self) -> Task {
        let score = |task: &Task| self.0[*task as usize];
        let best = Task::ALL.into_iter().rev().max_by_key(score);
        best.filter(|best| score(best) >= ENOUGH).unwrap_or_default()
    }
}

/// Until where the instruction before a text goes, and from where the one after it.
///
/// Of a long text only one of its ends is an instruction if only one of them is a short line of its own.
fn instructions(text: &str, is_long: bool) -> (usize, usize) {
    let near_end = text.len().saturating_sub(NEAR_BYTES);
    let first = text.find('\n').filter(|end| *end <= NEAR_BYTES);
    let last = text.rfind('\n').filter(|start| *start >= near_end);
    match (first, last) {
        (None, Some(last)) if is_long => (0, last),
        (Some(first), None) if is_long => (first, text.len()),
        _ => (first.unwrap_or(NEAR_BYTES), last.unwrap_or(near_end)),
    }
}

/// The first and the last `bytes` of a text, or all of one that is not longer than both.
fn ends(text: &str, bytes: usize) -> String {
    if text.len() <= 2 * bytes {
        return text.to_owned();
    }
    let tail = text.ceil_char_boundary(text.len() - bytes);
    format!("{}\n{}", head(text, bytes), &text[tail..])
}

fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Media, Message, Tool, ToolCall, ToolResult};

    const KNOWN: &str = include_str!("../../tests/data/tasks_known.tsv");
    const HELD_OUT: &str = include_str!("../../tests/data/tasks_held_out.tsv");

    fn guess(text: &str) -> Task {
        Task::guess(&ChatRequest::user(text))
    }

    /// Language, task and text of each labelled prompt.
    fn prompts(table: &'static str) -> impl Iterator<Item = (&'static str, Task, String)> {
        table.lines().filter(|line| !line.starts_with('#')).map(|row| {
            let mut fields = row.split('\t');
            let mut field = || fields.next().expect("three fields");
            let (language, task, text) = (field(), field(), field());
            (language, Task::named(task).expect("a task's name"), text.replace("\\n", "\n"))
        })
    }

    #[derive(Debug, Default)]
    struct Tally {
        all: usize,
        right: usize,
        /// Guesses that named a task and not [`Task::General`], and how many of them were right.
        named: usize,
        named_right: usize,
    }

    /// Guesses every prompt of a table; wrong ones are printed.
    fn tally(table: &'static str) -> Tally {
        let mut tally = Tally::default();
        for (language, task, text) in prompts(table) {
            let guessed = guess(&text);
            let (right, named) = (guessed == task, guessed != Task::General);
            tally.all += 1;
            tally.right += usize::from(right);
            tally.named += usize::from(named);
            tally.named_right += usize::from(right && named);
            if !right {
                println!("{language} {task} guessed {guessed}: {text}");
            }
        }
        println!("{tally:?}");
        tally
    }

    #[test]
    fn known_prompts_are_guessed() {
        let tally = tally(KNOWN);

        assert!(tally.all >= 500 && tally.right * 100 >= tally.all * 97, "{tally:?}");
    }

    #[test]
    fn unusual_prompts_not_seen_before_are_guessed_or_left_general() {
        let tally = tally(HELD_OUT);

        assert!(tally.all >= 130 && tally.right * 100 >= tally.all * 45, "{tally:?}");
        assert!(tally.named_right * 100 >= tally.named * 75, "{tally:?}");
    }

    #[test]
    fn words_that_only_look_like_a_task_are_left_general() {
        for text in ["I trust the encoder", "Hello there", "", "🙂", "The rusty gate was open 24/7"] {
            assert_eq!(guess(text), Task::General, "{text}");
        }
        assert_eq!(guess("What is the story of the Trojan horse?"), Task::Factual);
    }

    #[test]
    fn sound_is_audio_and_tools_are_tools_unless_words_say_more() {
        let tool = Tool::new("light", "turns the light on", serde_json::json!({"type": "object"}));
        let sound = Message::user("").audio(Media::bytes("audio/wav", vec![0u8; 4]));

        assert_eq!(Task::guess(&ChatRequest::new(vec![sound])), Task::Audio);
        let with_tool = |text: &str| ChatRequest::user(text).tool(tool.clone());
        assert_eq!(Task::guess(&with_tool("It is dark here")), Task::Tools);
        assert_eq!(Task::guess(&with_tool("It is dark").tool_choice(ToolChoice::None)), Task::General);
        assert_eq!(Task::guess(&with_tool("Write a Python function that sorts")), Task::Code);
        assert_eq!(
            Task::guess(&with_tool("Write a Python function").tool_choice(ToolChoice::Required)),
            Task::Tools
        );
        let result = Message::tool([ToolResult::new(&ToolCall::new("1", "light", "{}"), "done")]);
        assert_eq!(Task::guess(&with_tool("Who wrote Faust?").message(result)), Task::Tools);
    }

    #[test]
    fn instruction_before_or_after_a_long_text_is_found_and_the_text_is_not_taken_for_it() {
        let text = "Python code translates a poem into German sums. ".repeat(1400);

        assert_eq!(guess(&format!("Summarize this:\n{text}")), Task::Summary);
        assert_eq!(guess(&format!("{text}\n\nPlease summarize the text above.")), Task::Summary);
    }

    #[test]
    fn tasks_are_read_by_their_names() {
        assert!(Task::ALL.iter().all(|task| Task::named(task.as_str()) == Some(*task)));
        assert_eq!(serde_json::from_str::<Task>("\"genre\"").unwrap(), Task::Classification);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_guess(text in ".{0,1200}") {
            guess(&text);
        }
    }
}
