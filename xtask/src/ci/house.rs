//! The rule of the house: the library crates do not import each other.

use crate::workspace::Package;

/// The crate that sees all the others.
const FACADE: &str = "aic";

/// The only other arrow, and it must be optional: `aic-profiles/detect` describes this machine.
const ALLOWED: (&str, &str) = ("aic-profiles", "aic-monitor");

/// One sentence for each dependency that breaks the rule, whatever its kind.
pub(crate) fn broken<'a>(libraries: impl Iterator<Item = &'a Package>) -> Vec<String> {
    let packages: Vec<&Package> = libraries.collect();
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let rooms = packages.into_iter().filter(|package| package.name != FACADE);
    rooms.flat_map(|room| arrows(room, &names)).collect()
}

fn arrows(room: &Package, names: &[&str]) -> Vec<String> {
    let ours = room.dependencies.iter().filter(|dependency| names.contains(&dependency.name.as_str()));
    let forbidden = ours.filter(|dependency| {
        dependency.name != room.name
            && !(dependency.optional && (room.name.as_str(), dependency.name.as_str()) == ALLOWED)
    });
    forbidden
        .map(|dependency| {
            format!("{} depends on {}; only {FACADE} may see two crates", room.name, dependency.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|&(name, optional)| Dependency { name: name.to_owned(), optional })
            .collect();
        Package { name: name.to_owned(), dependencies, ..Package::default() }
    }

    #[test]
    fn facade_and_the_optional_exception_keep_the_rule() {
        let house = [
            package("aic", &[("aic-monitor", true), ("aic-profiles", false)]),
            package("aic-monitor", &[("serde", false)]),
            package("aic-profiles", &[("aic-monitor", true)]),
        ];

        assert_eq!(broken(house.iter()), Vec::<String>::new());
    }

    #[test]
    fn arrow_between_two_rooms_breaks_the_rule() {
        let house = [
            package("aic", &[]),
            package("aic-cache", &[("aic-router", true), ("aic", false)]),
            package("aic-monitor", &[]),
            package("aic-profiles", &[("aic-monitor", false)]),
            package("aic-router", &[]),
        ];

        let broken = broken(house.iter());

        assert_eq!(broken.len(), 3, "{broken:?}");
        assert!(broken[0].starts_with("aic-cache depends on aic-router"));
        assert!(broken[2].starts_with("aic-profiles depends on aic-monitor"));
    }
}
