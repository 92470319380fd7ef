use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Advice, Method, PackOptions, Packed, pack, unpack};
use crate::{DType, Error, encode, gguf};

const METHODS: [Method; 2] = [Method::Zstd, Method::Gzip];

struct Folder(TempDir);

impl Folder {
    fn with(original: &[u8]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("original"), original).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn pack(&self, options: &PackOptions) -> Packed {
        pack(self.path("original"), self.path("packed"), options, |_| ()).unwrap()
    }

    fn unpack(&self) -> crate::Result<Vec<u8>> {
        unpack(self.path("packed"), self.path("back"), |_| ())?;
        Ok(fs::read(self.path("back")).unwrap())
    }
}

fn options(method: Method) -> PackOptions {
    PackOptions { method, ..PackOptions::default() }
}

/// A model of noise, with 3 MB of `dtype` and a small F32 tensor.
fn model(dtype: DType) -> Vec<u8> {
    let mut state = 1_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    let weights: Vec<f32> = (0..3 << 19).map(|_| (uniform() + uniform() + uniform()) * 0.02).collect();
    let mut writer = gguf::Writer::new(gguf::Metadata::new());
    writer.tensor("norm", &[1024], DType::F32).unwrap();
    writer.tensor("weight", &[1536, 1024], dtype).unwrap();
    writer
        .to_vec(|tensor| {
            encode(if tensor.name == "norm" { &weights[..1024] } else { &weights }, tensor.dtype)
        })
        .unwrap()
}

#[test]
fn float_model_is_smaller_with_its_bytes_separated_and_comes_back() {
    let original = model(DType::F16);
    for method in METHODS {
        let folder = Folder::with(&original);
        let together = folder.pack(&PackOptions { separate: false, ..options(method) });
        let separated = folder.pack(&options(method));

        assert_eq!(separated.before_bytes, original.len() as u64);
        assert_eq!(separated.after_bytes, fs::metadata(folder.path("packed")).unwrap().len());
        assert!(separated.after_bytes < together.after_bytes / 100 * 95, "{separated:?} {together:?}");
        assert_eq!(separated.advice, None);
        assert!(folder.unpack().unwrap() == original);
    }
}

#[test]
fn quantized_model_comes_back_with_the_advice_not_to_pack_it() {
    let original = model(DType::Q4_0);
    for method in METHODS {
        let folder = Folder::with(&original);
        assert_eq!(folder.pack(&options(method)).advice, Some(Advice::SavesLittle));
        assert!(folder.unpack().unwrap() == original);
    }
}

#[test]
fn ordinary_tools_read_what_has_no_separated_bytes() {
    let original = b"not a model".repeat(1000);
    let folder = Folder::with(&original);
    folder.pack(&options(Method::Zstd));
    assert!(zstd::decode_all(fs::File::open(folder.path("packed")).unwrap()).unwrap() == original);

    folder.pack(&options(Method::Gzip));
    let mut back = Vec::new();
    let packed = fs::File::open(folder.path("packed")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut back).unwrap();
    assert!(back == original);
}

#[test]
fn progress_rises_to_one() {
    let folder = Folder::with(&model(DType::F16));
    let mut seen = Vec::new();
    pack(folder.path("original"), folder.path("packed"), &PackOptions::default(), |share| seen.push(share))
        .unwrap();
    assert!(seen.is_sorted() && seen.len() > 3 && seen.last() == Some(&1.0), "{seen:?}");

    seen.clear();
    unpack(folder.path("packed"), folder.path("back"), |share| seen.push(share)).unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&1.0), "{seen:?}");
}

#[test]
fn levels_out_of_range_are_refused() {
    let folder = Folder::with(b"x");
    for (method, level) in [(Method::Zstd, 0), (Method::Zstd, 20), (Method::Gzip, 10)] {
        let options = PackOptions { level: Some(level), ..options(method) };
        let result = pack(folder.path("original"), folder.path("packed"), &options, |_| ());
        assert!(matches!(result, Err(Error::Option { option: "level", .. })));
    }
}

#[test]
fn cut_or_longer_file_is_an_error_and_leaves_nothing_behind() {
    for method in METHODS {
        let folder = Folder::with(&b"some text that repeats, ".repeat(500));
        folder.pack(&options(method));
        let packed = fs::read(folder.path("packed")).unwrap();
        for length in 0..packed.len() {
            fs::write(folder.path("packed"), &packed[..length]).unwrap();
            assert!(matches!(folder.unpack(), Err(Error::Malformed { .. })), "{method:?}, {length}");
        }
        assert!(!folder.path("back").exists());
        assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2);
    }
}

#[test]
fn any_changed_byte_is_an_error_or_of_no_consequence() {
    let original = b"some text that repeats, ".repeat(50);
    for method in METHODS {
        let folder = Folder::with(&original);
        folder.pack(&options(method));
        let packed = fs::read(folder.path("packed")).unwrap();
        for at in 0..packed.len() {
            let mut changed = packed.clone();
            changed[at] ^= 0x11;
            fs::write(folder.path("packed"), &changed).unwrap();
            match folder.unpack() {
                Ok(back) => assert!(back == original, "{method:?}, byte {at}"),
                Err(error) => assert!(matches!(error, Error::Malformed { .. }), "{error:?}"),
            }
        }
    }
}

#[test]
fn more_than_the_stated_size_is_never_written() {
    let folder = Folder::with(&vec![0; 1 << 24]);
    folder.pack(&PackOptions::default());
    let mut packed = fs::read(folder.path("packed")).unwrap();
    // The size stands after the frame's own 8 bytes and the magic.
    packed[16..24].copy_from_slice(&100_u64.to_le_bytes());
    fs::write(folder.path("packed"), packed).unwrap();

    let error = folder.unpack().unwrap_err();
    assert!(error.to_string().contains("more than the 100 bytes stated"), "{error}");
}

#[test]
fn stretches_outside_the_file_are_refused() {
    let folder = Folder::with(&model(DType::F16));
    folder.pack(&PackOptions::default());
    let packed = fs::read(folder.path("packed")).unwrap();
    for (at, value) in [(56, u64::MAX), (64, u64::MAX), (64, 3), (56, 1 << 40)] {
        let mut changed = packed.clone();
        changed[at..at + 8].copy_from_slice(&value.to_le_bytes());
        fs::write(folder.path("packed"), changed).unwrap();
        let error = folder.unpack().unwrap_err();
        assert!(error.to_string().contains("cannot be numbers"), "{error}");
    }
}

#[test]
fn archives_of_others_are_refused() {
    let folder = Folder::with(b"");
    for bytes in [zstd::encode_all(&b"hello"[..], 3).unwrap(), b"GGUF and more bytes".to_vec()] {
        fs::write(folder.path("packed"), bytes).unwrap();
        assert!(matches!(folder.unpack(), Err(Error::Malformed { format: "packed", .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_bytes_come_back(original in prop::collection::vec(any::<u8>(), 0..4096), gzip: bool) {
        let folder = Folder::with(&original);
        folder.pack(&options(METHODS[usize::from(gzip)]));
        prop_assert_eq!(folder.unpack().unwrap(), original);
    }

    #[test]
    fn any_packed_bytes_are_an_error(mut packed in prop::collection::vec(any::<u8>(), 0..512), gzip: bool) {
        let start: &[u8] = if gzip { &[0x1f, 0x8b, 8, 4] } else { &[0x5a, 0x2a, 0x4d, 0x18] };
        packed.splice(0..0, start.iter().copied());
        let folder = Folder::with(&[]);
        fs::write(folder.path("packed"), packed).unwrap();
        prop_assert!(folder.unpack().is_err());
    }
}
