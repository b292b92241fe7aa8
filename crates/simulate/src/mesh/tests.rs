use super::*;

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed, None, None), run(seed, None, None));
    }
}

#[test]
fn nothing_breaks() {
    for seed in 0..20 {
        let outcome = run(seed, None, None);
        assert_eq!(outcome.broken, None, "seed {seed}");
    }
}
