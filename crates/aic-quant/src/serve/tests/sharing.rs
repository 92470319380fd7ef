//! Prompts that begin alike.
use super::*;

#[test]
fn second_request_with_a_prefix_of_a_thousand_tokens_starts_twenty_times_sooner() {
    let mut served = Served::new(Layout(32, 100, true), OPTIONS);
    let prefix: Vec<u32> = (0..1000).collect();
    let first = served.ask([&prefix[..], &[3, 4, 5]].concat(), 4);
    served.finish();
    let before = served.statistics();

    let second = served.ask([&prefix[..], &[9, 8, 7]].concat(), 4);
    served.finish();

    [first, second].iter().for_each(|asked| asked.check_finished(served.capacity));
    let after = served.statistics();
    assert_eq!(before.prefill_tokens, 1003);
    assert_eq!(after.prefill_tokens - before.prefill_tokens, 1003 - 31 * 32);
    assert!((after.prefill_tokens - before.prefill_tokens) * 20 < before.prefill_tokens);
    assert_eq!(after.prefix_hit_tokens, 31 * 32);
}

#[test]
fn the_next_turn_of_a_conversation_finds_the_answer_before_it() {
    let mut served = Served::new(Layout(4, 50, true), OPTIONS);
    let first = served.ask(talkative(10, 16, 1), 16);
    served.finish();

    let second = served.ask([&first.prompt[..], &first.tokens(), &[5, 6]].concat(), 4);
    served.finish();

    second.check_finished(served.capacity);
    assert_eq!(served.statistics().prefix_hit_tokens, 24, "six pages of the 25 tokens that were run");
}

#[test]
fn same_prompt_asked_several_times_at_once_is_run_once() {
    let mut served = Served::new(Layout(8, 100, true), OPTIONS);
    let prompt: Vec<u32> = (0..203).collect();
    let asked: Vec<Asked> = (0..8).map(|_| served.ask(prompt.clone(), 6)).collect();

    served.finish();

    asked.iter().for_each(|asked| asked.check_finished(served.capacity));
    assert_eq!(served.statistics().prefill_tokens, 200 + 8 * 3);
}

#[test]
fn same_prompt_of_a_single_page_waits_for_nobody() {
    let mut served = Served::new(Layout(4, 100, true), OPTIONS);
    let asked: Vec<Asked> = (0..8).map(|_| served.ask(talkative(4, 2, 1), 2)).collect();

    served.step();

    assert!(asked.iter().all(|asked| asked.tokens().len() == 1));
}

#[test]
fn prompt_in_the_middle_of_a_page_goes_on_behind_it_once_another_has_filled_it() {
    let options = ServeOptions { running: 2, step_tokens: 4, ..OPTIONS };
    let mut served = Served::new(Layout(8, 100, true), options);
    let writing = served.ask(talkative(8, 20, 1), 20);
    (0..8).for_each(|_| served.step());
    let known = Toy::alone(&writing.prompt, 20);
    let reading = served.ask([&writing.prompt[..], &known, &[1, 2, 3]].concat(), 5);

    served.finish();

    [writing, reading].iter().for_each(|asked| asked.check_finished(served.capacity));
    let hits = served.statistics().prefix_hit_tokens;
    assert!(hits > 8 && !hits.is_multiple_of(8), "{hits}");
}

#[test]
fn without_sharing_every_prompt_is_run() {
    let mut served = Served::new(Layout(8, 100, false), OPTIONS);
    let asked: Vec<Asked> = (0..3).map(|_| served.ask((0..50).collect(), 6)).collect();

    served.finish();

    asked.iter().for_each(|asked| asked.check_finished(served.capacity));
    let statistics = served.statistics();
    assert_eq!(
        (statistics.prefill_tokens, statistics.prefix_hit_tokens, statistics.pages_cached),
        (150, 0, 0)
    );
}
