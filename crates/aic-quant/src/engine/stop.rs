/// Watches an answer for texts that end it.
///
/// Text that may be the start of a stop text is held back until it is clear that it is not.
#[derive(Debug, Default)]
pub(super) struct StopFilter {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopFilter {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self { stops, ..Self::default() }
    }

    /// Takes new text; returns what can be handed out.
    pub(super) fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = self.held.split_off(self.held.len() - self.open_end());
        std::mem::replace(&mut self.held, keep)
    }

    /// Whether a stop text has come.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// What was held back, at the end of the answer.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of the held text with which a stop text begins.
    fn open_end(&self) -> usize {
        let begins = |end: &str| self.stops.iter().any(|stop| stop.starts_with(end));
        self.held.char_indices().map(|(at, _)| &self.held[at..]).find(|end| begins(end)).map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], texts: &[&str]) -> (Vec<String>, bool) {
        let mut filter = StopFilter::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut out = Vec::new();
        for text in texts {
            out.push(filter.push(text));
            if filter.stopped() {
                return (out, true);
            }
        }
        out.push(filter.finish());
        (out, false)
    }

    #[test]
    fn stop_text_across_pieces_ends_the_answer_before_it() {
        assert_eq!(
            run(&["END"], &["one E", "N", "D two"]),
            (vec!["one ".into(), "".into(), "".into()], true)
        );
    }

    #[test]
    fn false_start_is_handed_out_later() {
        assert_eq!(run(&["END"], &["an E", "X"]), (vec!["an ".into(), "EX".into(), "".into()], false));
        assert_eq!(run(&["END"], &["an EN"]), (vec!["an ".into(), "EN".into()], false));
    }

    #[test]
    fn earliest_of_several_stop_texts_counts() {
        assert_eq!(run(&["b", "ab"], &["xaby"]), (vec!["x".into()], true));
        assert_eq!(run(&["漢字"], &["é漢", "字"]), (vec!["é".into(), "".into()], true));
    }
}
