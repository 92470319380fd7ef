//! What a recommendation and a resolved profile cost. Neither stands on a request's way; both should stay far below a
//! millisecond, since they run at every start and in every test.
//!
//! `cargo bench --bench profiles`
use std::{hint::black_box, time::Duration};

use aic_profiles::{Catalog, Goal, Gpu, Hardware, KvShape, ModelNeeds, recommend};
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = recommendation, resolution
}
criterion_main!(benches);

const GIB: u64 = 1 << 30;

fn workstation() -> Hardware {
    let machine = Hardware::new(16, 64 * GIB).memory_available(40 * GIB).isa(["avx2", "avx512_vnni"]);
    machine.gpu(Gpu::new("small", 12 * GIB, 11 * GIB)).gpu(Gpu::new("large", 24 * GIB, 20 * GIB))
}

/// Seven levels on three devices; the one-candidate case is the least that can be asked.
fn recommendation(c: &mut Criterion) {
    let machine = workstation();
    let model = ModelNeeds::new(8_030_261_248, KvShape { layers: 32, kv_heads: 8, head_dim: 128 });
    let single = model.clone().levels([aic_profiles::Level::Q4_K]);
    let alone = machine.clone().without_gpus();
    c.bench_function("profiles/recommend/7_levels_3_devices", |b| {
        b.iter(|| recommend(black_box(&machine), black_box(&model), Goal::Balanced));
    });
    c.bench_function("profiles/recommend/1_level_1_device", |b| {
        b.iter(|| recommend(black_box(&alone), black_box(&single), Goal::Balanced));
    });
}

/// A chain of three profiles, and reading them.
fn resolution(c: &mut Criterion) {
    let text = "[a]\ninherits = \"chat\"\nthreads = 2\n[b]\ninherits = \"a\"\nlevel = \"Q4_K\"\n[c]\ninherits = \"b\"";
    let (machine, catalog) = (workstation(), Catalog::builtin().with_toml(text).expect("the text is right"));
    c.bench_function("profiles/resolve/chain_of_4", |b| b.iter(|| catalog.resolve(black_box("c"), &machine)));
    c.bench_function("profiles/read_toml/3_profiles", |b| {
        b.iter(|| Catalog::builtin().with_toml(black_box(text)));
    });
}
