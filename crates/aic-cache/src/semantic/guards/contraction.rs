//! "don't" and "l'Italie": two words written as one.

/// Contractions written without their apostrophe, and the word that is denied.
const CARELESS: &str = "cannot can cant can dont do doesnt does didnt did isnt is arent are wasnt was werent were \
    shouldnt should couldnt could wouldnt would hasnt has havent have";
const ENDINGS: [&str; 6] = ["s", "re", "m", "ve", "d", "ll"];
/// What loses its vowel before another, beside single letters.
const ELIDED: [&str; 12] =
    ["qu", "jusqu", "lorsqu", "puisqu", "dell", "nell", "all", "dall", "sull", "quell", "un", "gl"];

/// The two words of a contraction: "do" and "n't", "France" and "'s", "l'" and "Italie".
pub(super) fn split(word: &str) -> Option<(String, String)> {
    let (before, after) = word.split_once('\'').unwrap_or((word, ""));
    careless(word)
        .or_else(|| negated(before, after))
        .or_else(|| ended(before, after))
        .or_else(|| elided(before, after))
}

fn careless(word: &str) -> Option<(String, String)> {
    let mut words = CARELESS.split_whitespace();
    let denied = std::iter::from_fn(|| words.next().zip(words.next()));
    let mut found = denied.filter(|(careless, _)| careless.eq_ignore_ascii_case(word));
    found.next().map(|(_, denied)| (denied.to_owned(), "n't".to_owned()))
}

fn negated(before: &str, after: &str) -> Option<(String, String)> {
    let base = before.strip_suffix(['n', 'N']).filter(|base| !base.is_empty())?;
    let whole = match base.to_ascii_lowercase().as_str() {
        "wo" => "will",
        "ca" => "can",
        "sha" => "shall",
        _ => base,
    };
    after.eq_ignore_ascii_case("t").then(|| (whole.to_owned(), "n't".to_owned()))
}

fn ended(before: &str, after: &str) -> Option<(String, String)> {
    let ends = !before.is_empty() && ENDINGS.iter().any(|ending| ending.eq_ignore_ascii_case(after));
    ends.then(|| (before.to_owned(), format!("'{after}")))
}

fn elided(before: &str, after: &str) -> Option<(String, String)> {
    let letter = before.chars().count() == 1 && !before.eq_ignore_ascii_case("o") && after != "t";
    let elided = letter || ELIDED.iter().any(|elided| elided.eq_ignore_ascii_case(before));
    (elided && !after.is_empty()).then(|| (format!("{before}'"), after.to_owned()))
}
