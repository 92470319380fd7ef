use crate::Labels;
use crate::unit::pretty;

/// A summary with places for values: `{value}`, `{threshold}`, `{metric}`, `{rule}`, and any other name for the
/// label of that name. `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Place(String),
}

/// What the places of a template are filled with.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    pub(crate) rule: &'a str,
    pub(crate) metric: &'a str,
    pub(crate) threshold: f64,
    pub(crate) value: Option<f64>,
    pub(crate) labels: &'a Labels,
}

impl Template {
    /// Reads a template; the error is the position of a brace without its partner.
    pub(crate) fn parse(source: &str) -> Result<Self, usize> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            let position = source.len() - rest.len() + at;
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            rest = if let Some(after) = after.strip_prefix(brace) {
                text.push_str(brace);
                after
            } else {
                let (place, after) = place(brace, after).ok_or(position)?;
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Place(place.to_owned()));
                after
            };
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Ok(Self { parts })
    }

    pub(crate) fn render(&self, values: &Values<'_>) -> String {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(name) => values.get(name),
        };
        self.parts.iter().map(fill).collect()
    }
}

/// The name between an opening `brace` and the next closing one, and what follows that.
fn place<'a>(brace: &str, after: &'a str) -> Option<(&'a str, &'a str)> {
    let (name, rest) = after.split_once('}')?;
    (brace == "{" && !name.contains('{')).then_some((name.trim(), rest))
}

impl Values<'_> {
    fn get(&self, name: &str) -> String {
        match name {
            "rule" => self.rule.to_owned(),
            "metric" => self.metric.to_owned(),
            "threshold" => pretty(self.metric, self.threshold),
            "value" => self.value.map_or_else(|| "unknown".to_owned(), |value| pretty(self.metric, value)),
            label => self.labels.get(label).map_or("unknown", String::as_str).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(template: &str) -> String {
        let labels = Labels::from([("mount".to_owned(), "/{value}".to_owned())]);
        let values =
            Values { rule: "full", metric: "x_ratio", threshold: 0.9, value: Some(0.95), labels: &labels };
        Template::parse(template).unwrap().render(&values)
    }

    #[test]
    fn places_are_filled_once_and_doubled_braces_stay() {
        assert_eq!(render("{mount} is {value} full, over { threshold }"), "/{value} is 95 % full, over 90 %");
        assert_eq!(render("{{{rule}}} {nothing}"), "{full} unknown");
        assert_eq!(render(""), "");
    }

    #[test]
    fn lone_brace_is_found() {
        assert_eq!(Template::parse("a {b"), Err(2));
        assert_eq!(Template::parse("a } b"), Err(2));
        assert_eq!(Template::parse("é {a {b}"), Err(3));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[{}a-cé ]{0,24}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn text_with_doubled_braces_comes_back(text in "\\PC{0,40}") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(render(&escaped), text);
        }
    }
}
