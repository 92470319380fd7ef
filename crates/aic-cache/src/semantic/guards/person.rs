//! Whether the one who asks and the one who is asked have changed places.

use super::reading::Reading;

/// Whether one question is about "me" and the other about "you", or one about "I" and the other about "me".
///
/// One that speaks of neither agrees with both: "reset a password" is "reset my password".
pub(super) fn differs(a: &Reading, b: &Reading) -> bool {
    let (a, b) = (a.persons.as_slice(), b.persons.as_slice());
    let one_sided = |x: &[_], y: &[_]| is_asking(x) && !is_asked(x) && is_asked(y) && !is_asking(y);
    let turned =
        |x: &[_], y: &[_]| x.contains(&"i") && !x.contains(&"me") && y.contains(&"me") && !y.contains(&"i");
    let both = [a, b].iter().all(|persons| is_asking(persons) && is_asked(persons));
    (both && a != b) || one_sided(a, b) || one_sided(b, a) || turned(a, b) || turned(b, a)
}

fn is_asking(persons: &[&str]) -> bool {
    persons.iter().any(|person| matches!(*person, "i" | "me" | "my"))
}

fn is_asked(persons: &[&str]) -> bool {
    persons.iter().any(|person| matches!(*person, "you" | "your"))
}
