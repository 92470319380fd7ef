use unicode_normalization::UnicodeNormalization;

/// Whether two answers say the same, letter for letter: equal but for case, spacing, punctuation and the ways
/// Unicode has to write one character (NFKC).
///
/// The default for comparing texts; it calls a reworded answer wrong, which costs hits and never correctness.
/// Symbols count ("+" is not "−"), and so does the point of a number ("1.5" is not "15").
pub fn same_text(a: &str, b: &str) -> bool {
    normal(a) == normal(b)
}

fn normal(text: &str) -> String {
    let text: Vec<char> = text.nfkc().flat_map(char::to_lowercase).collect();
    let mut normal = String::with_capacity(text.len());
    for (i, &character) in text.iter().enumerate() {
        let in_number = i > 0 && text[i - 1].is_numeric() && text.get(i + 1).is_some_and(|c| c.is_numeric());
        if in_number || !is_separator(character) {
            normal.push(character);
        } else if !normal.ends_with(' ') {
            normal.push(' ');
        }
    }
    normal.trim().to_owned()
}

fn is_separator(character: char) -> bool {
    character.is_whitespace() || ".,;:!?…\"'`´’‘“”„«»()[]*_。、「」¿¡".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_spacing_punctuation_and_normal_form_make_no_difference() {
        assert!(same_text("It is Paris.", " it is **Paris** "));
        assert!(same_text("caf\u{e9}", "Cafe\u{301}!"));
        assert!(same_text("", " ... "));
    }

    #[test]
    fn another_word_symbol_or_decimal_point_does() {
        assert!(!same_text("It is Paris.", "It is Rome."));
        assert!(!same_text("2 + 2", "2 - 2"));
        assert!(!same_text("1.5 g", "15 g"));
        assert!(!same_text("1.5 g", "1 5 g"));
    }
}
