//! Which instruction sets, of those that matter to inference, this processor has.

/// Names as the kernel writes them: `avx2`, `avx512_vnni`, `amx_int8`, `neon`, …
pub(crate) fn features() -> Vec<&'static str> {
    let mut found = detected();
    found.extend(amx());
    found
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn detected() -> Vec<&'static str> {
    let known = [
        ("sse4_2", is_x86_feature_detected!("sse4.2")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx_vnni", is_x86_feature_detected!("avxvnni")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    known.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

#[cfg(target_arch = "aarch64")]
fn detected() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected;
    let known = [
        ("neon", is_aarch64_feature_detected!("neon")),
        ("dotprod", is_aarch64_feature_detected!("dotprod")),
        ("fp16", is_aarch64_feature_detected!("fp16")),
        ("bf16", is_aarch64_feature_detected!("bf16")),
        ("i8mm", is_aarch64_feature_detected!("i8mm")),
        ("sve", is_aarch64_feature_detected!("sve")),
        ("sve2", is_aarch64_feature_detected!("sve2")),
    ];
    known.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn detected() -> Vec<&'static str> {
    Vec::new()
}

/// AMX, from the kernel's list: the standard library's detection of it is not stable yet.
fn amx() -> Vec<&'static str> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    parse_amx(&cpuinfo)
}

fn parse_amx(cpuinfo: &str) -> Vec<&'static str> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |name: &&str| flags.split_whitespace().any(|flag| flag == *name);
    ["amx_tile", "amx_int8", "amx_bf16", "amx_fp16"].into_iter().filter(has).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amx_is_found_in_the_first_flags_line_only_as_whole_words() {
        let cpuinfo = "processor\t: 0\nflags\t\t: fpu amx_tile amx_int8x\nflags : amx_bf16\n";

        assert_eq!(parse_amx(cpuinfo), ["amx_tile"]);
        assert!(parse_amx("").is_empty());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_processor_with_avx2_has_avx() {
        let found = features();

        assert!(!found.contains(&"avx2") || found.contains(&"avx"));
    }
}
