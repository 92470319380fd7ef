use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use proptest::prelude::*;

use super::*;
use crate::semantic::nearest;

const DIMENSIONS: usize = 8;

fn fingerprint(number: u32) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

/// A direction that looks like chance and is the same for the same number.
fn direction(number: u32) -> Vec<f32> {
    let bytes = blake3::hash(&number.to_be_bytes());
    bytes.as_bytes()[..DIMENSIONS].iter().map(|&byte| f32::from(byte) - 127.5).collect()
}

fn ids(found: &[Neighbour]) -> Vec<Fingerprint> {
    found.iter().map(|near| near.id).collect()
}

/// How many of the ten nearest the index finds, of those that looking at each vector finds; 1 is all.
fn recall(index: &Index, scope: &Fingerprint, kept: impl Iterator<Item = u32> + Clone) -> f32 {
    let kept: Vec<_> = kept.map(|number| (fingerprint(number), unit(&direction(number)).unwrap())).collect();
    let (mut found, queries) = (0, 100);
    for query in (0..queries).map(|query| direction(1_000_000 + query)) {
        let exact = nearest(&query, kept.iter().map(|(id, vector)| (*id, vector.as_slice())), 10).unwrap();
        let walked = ids(&index.nearest(scope, &query, 10).unwrap());
        found += exact.iter().filter(|near| walked.contains(&near.id)).count();
    }
    found as f32 / (10 * queries) as f32
}

/// What a caller may do to an index.
#[derive(Clone, Debug)]
enum Act {
    Insert { scope: u32, id: u32, vector: u32 },
    Remove { scope: u32, id: u32 },
    Search { scope: u32, query: u32, count: usize },
}

fn act() -> impl Strategy<Value = Act> {
    let (scope, id) = (0..3_u32, 0..120_u32);
    prop_oneof![
        4 => (scope.clone(), id.clone(), 0..500_u32).prop_map(|(scope, id, vector)| Act::Insert { scope, id, vector }),
        1 => (scope.clone(), id).prop_map(|(scope, id)| Act::Remove { scope, id }),
        1 => (scope, 0..500_u32, 0..12_usize).prop_map(|(scope, query, count)| Act::Search { scope, query, count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn small_scope_gives_what_looking_at_each_vector_gives(
        vectors in prop::collection::vec(0..1000_u32, 0..60),
        query in 0..1000_u32,
        count in 0..20_usize,
    ) {
        let (index, scope) = (Index::new(DIMENSIONS, 100), fingerprint(0));
        let query = unit(&direction(query)).unwrap();
        let kept: HashMap<_, _> = vectors.iter().map(|&v| (fingerprint(v), unit(&direction(v)).unwrap())).collect();
        for (id, vector) in &kept {
            index.insert(scope, *id, vector).unwrap();
        }

        let found = index.nearest(&scope, &query, count).unwrap();

        let exact = nearest(&query, kept.iter().map(|(id, vector)| (id, vector.as_slice())), count).unwrap();
        let similarities = |of: &mut dyn Iterator<Item = f32>| of.map(|s| (s * 1e5).round()).collect::<Vec<_>>();
        prop_assert_eq!(
            similarities(&mut found.iter().map(|near| near.similarity)),
            similarities(&mut exact.iter().map(|near| near.similarity))
        );
    }

    #[test]
    fn whatever_is_done_only_what_is_kept_in_the_scope_is_found_and_the_bound_holds(
        acts in prop::collection::vec(act(), 0..600),
        capacity in 1..150_usize,
    ) {
        let index = Index::with_linear(DIMENSIONS, capacity, 8);
        let mut inserted = HashMap::new();
        for act in acts {
            match act {
                Act::Insert { scope, id, vector } => {
                    index.insert(fingerprint(scope), fingerprint(id), &direction(vector)).unwrap();
                    inserted.insert((scope, fingerprint(id)), vector);
                }
                Act::Remove { scope, id } => {
                    let removed = index.remove(&fingerprint(scope), &fingerprint(id));
                    let known = inserted.remove(&(scope, fingerprint(id))).is_some();
                    prop_assert!(known || !removed);
                }
                Act::Search { scope, query, count } => {
                    let query = unit(&direction(query)).unwrap();
                    let found = index.nearest(&fingerprint(scope), &query, count).unwrap();
                    prop_assert!(found.len() <= count && found.is_sorted_by(|a, b| a.similarity >= b.similarity));
                    prop_assert!(found.iter().enumerate().all(|(i, near)| !ids(&found[..i]).contains(&near.id)));
                    for near in found {
                        let vector = unit(&direction(inserted[&(scope, near.id)])).unwrap();
                        let exact: f32 = query.iter().zip(vector).map(|(a, b)| a * b).sum();
                        prop_assert!((near.similarity - exact).abs() < 1e-5);
                    }
                    index.scopes.read().values().for_each(|scope| scope.assert_sound());
                }
            }
            prop_assert!(index.len() <= capacity.min(inserted.len()));
        }
    }
}

#[test]
fn large_scope_finds_nearly_all_and_goes_on_to_while_vectors_come_and_go() {
    let (index, scope) = (Index::with_linear(DIMENSIONS, 2_000, 64), fingerprint(0));
    for number in 0..2_000 {
        index.insert(scope, fingerprint(number), &direction(number)).unwrap();
    }
    assert!(recall(&index, &scope, 0..2_000) > 0.98);

    for number in 2_000..7_000 {
        index.insert(scope, fingerprint(number), &direction(number)).unwrap();
    }
    let spared = (0..5_000).filter(|number| index.remove(&scope, &fingerprint(*number))).count() as u32;

    assert!(
        spared <= 100,
        "{spared} old vectors stayed, though the searches before found at most 100 nearest"
    );
    assert_eq!(index.len() as u32, 2_000 - spared);
    assert!(recall(&index, &scope, 5_000 + spared..7_000) > 0.95);
}

#[test]
fn scope_that_has_shrunk_gives_its_room_back() {
    let (index, scope) = (Index::with_linear(DIMENSIONS, 2_000, 64), fingerprint(0));
    (0..2_000).for_each(|number| index.insert(scope, fingerprint(number), &direction(number)).unwrap());

    (0..1_900).for_each(|number| assert!(index.remove(&scope, &fingerprint(number))));

    assert!(index.scope(&scope).unwrap().slots() <= 2 * 100 + 64);
    assert_eq!(recall(&index, &scope, 1_900..2_000), 1.0);
}

#[test]
fn full_index_lets_the_oldest_go_but_spares_what_was_of_use() {
    let index = Index::new(DIMENSIONS, 3);
    let (scope, other) = (fingerprint(0), fingerprint(1));
    for number in 0..3 {
        index.insert(scope, fingerprint(number), &direction(number)).unwrap();
    }
    assert_eq!(index.nearest(&scope, &direction(0), 1).unwrap()[0].id, fingerprint(0));

    index.insert(other, fingerprint(3), &direction(3)).unwrap();

    assert_eq!(index.len(), 3);
    assert!(!index.remove(&scope, &fingerprint(1)));
    assert!(index.remove(&scope, &fingerprint(0)) && index.remove(&scope, &fingerprint(2)));
    assert!(index.nearest(&scope, &direction(0), 3).unwrap().is_empty());
    assert_eq!(index.scopes.read().len(), 1);
}

#[test]
fn same_identity_again_replaces() {
    let (index, scope, id) = (Index::new(2, 10), fingerprint(0), fingerprint(7));
    index.insert(scope, id, &[1.0, 0.0]).unwrap();

    index.insert(scope, id, &[0.0, 9.0]).unwrap();

    assert_eq!(index.nearest(&scope, &[0.0, 0.5], 5).unwrap(), [Neighbour { id, similarity: 1.0 }]);
    assert_eq!(index.len(), 1);
}

#[test]
fn vector_without_a_direction_is_near_nothing_and_takes_the_place_of_an_older_one() {
    let (index, scope, id) = (Index::new(2, 10), fingerprint(0), fingerprint(7));
    for vector in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
        index.insert(scope, id, &[1.0, 0.0]).unwrap();
        assert!(index.nearest(&scope, &vector, 1).unwrap().is_empty());

        index.insert(scope, id, &vector).unwrap();

        assert!(index.is_empty());
    }
}

#[test]
fn vector_of_another_length_is_refused_with_both_lengths() {
    let index = Index::new(2, 10);

    let error = index.nearest(&fingerprint(0), &[1.0], 1).unwrap_err();

    assert_eq!(error.to_string(), "a query of 1 dimensions cannot be compared with a vector of 2");
    assert!(matches!(
        index.insert(fingerprint(0), fingerprint(0), &[1.0; 3]),
        Err(Error::Dimensions { query: 2, vector: 3 })
    ));
}

#[test]
fn threads_that_insert_search_and_remove_meet_no_foreign_vector() {
    const PER_SCOPE: u32 = 1_000;
    let (index, done) = (Index::with_linear(DIMENSIONS, 900, 32), AtomicBool::new(false));
    let owns = |scope: u32, id: Fingerprint| {
        let number = u32::from_be_bytes(*id.as_bytes().first_chunk().unwrap());
        number / PER_SCOPE == scope
    };
    thread::scope(|threads| {
        let writers = [0, 1].map(|scope| {
            let index = &index;
            threads.spawn(move || {
                for number in scope * PER_SCOPE..(scope + 1) * PER_SCOPE {
                    index.insert(fingerprint(scope), fingerprint(number), &direction(number)).unwrap();
                    if number % 3 == 0 {
                        index.remove(&fingerprint(scope), &fingerprint(number));
                    }
                }
            })
        });
        for scope in [0, 1] {
            let (index, done) = (&index, &done);
            threads.spawn(move || {
                for query in (0..).take_while(|_| !done.load(Relaxed)) {
                    let found = index.nearest(&fingerprint(scope), &direction(query), 5).unwrap();
                    assert!(found.iter().all(|near| owns(scope, near.id)));
                }
            });
        }
        let ended = writers.map(thread::ScopedJoinHandle::join);
        done.store(true, Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });

    let gone = (0..2 * PER_SCOPE).filter(|number| number % 3 == 0).map(fingerprint).collect::<Vec<_>>();
    for query in 0..200 {
        let found = index.nearest(&fingerprint(query % 2), &direction(query), 20).unwrap();
        assert!(ids(&found).iter().all(|id| !gone.contains(id)));
    }
}
