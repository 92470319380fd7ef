//! Files that are not GGUF, or not quite: the list of llama.cpp's `test-gguf.cpp` and of its published vulnerabilities.
use aic_quant::Error;
use aic_quant::gguf::File;

/// A header put together byte by byte.
#[derive(Clone, Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn header(version: u32, tensors: u64, entries: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(tensors).u64(entries)
    }

    fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    /// An entry with a `u32`.
    fn entry(self, key: &str, value: u32) -> Self {
        self.text(key).u32(4).u32(value)
    }

    /// A tensor; dimensions in file order.
    fn tensor(self, name: &str, dims: &[u64], dtype: u32, offset: u64) -> Self {
        let named = self.text(name).u32(dims.len() as u32);
        dims.iter().fold(named, |raw, dim| raw.u64(*dim)).u32(dtype).u64(offset)
    }

    /// Padding to 32, then `length` bytes of data.
    fn data(mut self, length: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(32) + length, 7);
        self.0
    }
}

const F32: u32 = 0;
const Q4_0: u32 = 2;
const Q8_0: u32 = 8;

fn one_tensor(dims: &[u64], dtype: u32, offset: u64) -> Vec<u8> {
    Raw::header(3, 1, 0).tensor("t", dims, dtype, offset).data(64)
}

fn two_tensors(second: &str, first_offset: u64, second_offset: u64) -> Vec<u8> {
    Raw::header(3, 2, 0)
        .tensor("a", &[8], F32, first_offset)
        .tensor(second, &[8], F32, second_offset)
        .data(64)
}

fn bad_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let long_key = "k".repeat(65_536);
    let long_name = "n".repeat(64);
    let header = |entries| Raw::header(3, 0, entries);
    vec![
        ("empty file", Vec::new(), "magic"),
        ("other magic", Raw(b"GGML".to_vec()).u32(3).u64(0).u64(0).0, "expected `GGUF`"),
        ("reversed magic", Raw(b"FUGG".to_vec()).u32(3).u64(0).u64(0).0, "expected `GGUF`"),
        ("version 0", Raw::header(0, 0, 0).0, "version 0"),
        ("version 1", Raw::header(1, 0, 0).0, "obsolete"),
        ("version 4", Raw::header(4, 0, 0).0, "version 4"),
        ("big-endian", Raw::header(3_u32.swap_bytes(), 0, 0).0, "big-endian"),
        ("tensor count 2^63", Raw::header(3, 1 << 63, 0).0, "tensor count"),
        ("tensor count that wraps", Raw::header(3, u64::MAX / 8, 0).0, "tensor count"),
        ("metadata count 2^64 - 1", header(u64::MAX).0, "metadata count"),
        ("empty key", header(1).entry("", 1).data(0), "empty"),
        ("key too long", header(1).entry(&long_key, 1).data(0), "65536 bytes"),
        ("key longer than the file", header(1).u64(u64::MAX).bytes(&[b'k'; 32]).0, "key"),
        ("key length that wraps", header(1).u64(u64::MAX - 1).bytes(&[b'k'; 32]).0, "key"),
        ("key twice", header(2).entry("k", 1).entry("k", 2).data(0), "appears twice"),
        ("key not UTF-8", header(1).u64(2).bytes(&[0xff, 0xfe]).u32(4).u32(1).data(0), "UTF-8"),
        ("value type 13", header(1).text("k").u32(13).u64(0).data(0), "type 13"),
        ("bool 2", header(1).text("k").u32(7).bytes(&[2]).data(0), "bool 2"),
        ("string of 512 MB", header(1).text("k").u32(8).u64(512 << 20).data(0), "536870912 bytes"),
        ("string not UTF-8", header(1).text("k").u32(8).u64(1).bytes(&[0x80]).data(0), "UTF-8"),
        (
            "array of arrays",
            header(1).text("k").u32(9).u32(9).u64(1).u32(4).u64(0).data(0),
            "array of arrays",
        ),
        ("array of type 77", header(1).text("k").u32(9).u32(77).u64(1).data(0), "type 77"),
        (
            "array whose size wraps",
            header(1).text("k").u32(9).u32(10).u64(u64::MAX / 8 + 1).data(0),
            "length",
        ),
        ("array longer than the file", header(1).text("k").u32(9).u32(0).u64(1 << 40).data(0), "length"),
        ("alignment 0", header(1).entry("general.alignment", 0).data(0), "power of two"),
        ("alignment 3", header(1).entry("general.alignment", 3).data(0), "power of two"),
        ("alignment u64", header(1).text("general.alignment").u32(10).u64(32).data(0), "expected u32"),
        ("empty name", Raw::header(3, 1, 0).tensor("", &[8], F32, 0).data(64), "empty"),
        ("name of 64 bytes", Raw::header(3, 1, 0).tensor(&long_name, &[8], F32, 0).data(64), "64 bytes"),
        ("name twice", two_tensors("a", 0, 32), "appears twice"),
        ("no dimensions", one_tensor(&[], F32, 0), "0 dimensions"),
        ("five dimensions", one_tensor(&[1; 5], F32, 0), "5 dimensions"),
        ("2^31 dimensions", Raw::header(3, 1, 0).text("t").u32(1 << 31).data(64), "dimensions"),
        ("elements that wrap", one_tensor(&[1 << 32, 1 << 32], F32, 0), "cannot hold"),
        ("bytes that wrap", one_tensor(&[32, 1 << 59], Q4_0, 0), "cannot hold"),
        ("negative dimension", one_tensor(&[u64::MAX], F32, 0), "dimension"),
        ("row of half a block", one_tensor(&[48], Q8_0, 0), "cannot hold"),
        ("type withdrawn", one_tensor(&[8], 4, 0), "type 4"),
        ("type of the future", one_tensor(&[8], 1000, 0), "type 1000"),
        ("offset unaligned", one_tensor(&[1], F32, 4), "multiple of the alignment"),
        ("offset beyond the end", one_tensor(&[8], F32, 4096), "cut short"),
        ("offset + size wraps", one_tensor(&[8], F32, u64::MAX - 31), "cut short"),
        ("data beyond the end", one_tensor(&[17], F32, 0), "cut short"),
        ("same data twice", two_tensors("b", 0, 0), "overlap"),
        (
            "data of both overlaps",
            Raw::header(3, 2, 0).tensor("a", &[8], F32, 32).tensor("b", &[16], F32, 0).data(64),
            "overlap",
        ),
    ]
}

#[test]
fn every_bad_file_is_a_typed_error_that_names_what_is_wrong() {
    for (case, bytes, expected) in bad_files() {
        match File::from_bytes(bytes) {
            Err(error @ Error::Malformed { .. }) => {
                let text = error.to_string();
                assert!(text.contains(expected) && text.contains("<memory>"), "{case}: {text}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
}

fn good_file() -> Vec<u8> {
    Raw::header(3, 2, 3)
        .entry("general.alignment", 32)
        .text("words")
        .u32(9)
        .u32(8)
        .u64(2)
        .text("one")
        .text("")
        .text("flag")
        .u32(7)
        .bytes(&[1])
        .tensor("a", &[8], F32, 32)
        .tensor("b", &[4, 2], F32, 0)
        .data(64)
}

#[test]
fn tensors_out_of_order_are_fine() {
    let file = File::from_bytes(good_file()).unwrap();
    assert_eq!(file.tensor("b").unwrap().shape, [2, 4]);
    assert_eq!(file.read(file.tensor("a").unwrap()).unwrap(), [7; 32]);
}

#[test]
fn version_2_is_read_as_version_3() {
    let mut bytes = good_file();
    bytes[4] = 2;
    assert_eq!(File::from_bytes(bytes).unwrap().version(), 2);
}

#[test]
fn file_cut_at_any_byte_is_an_error() {
    let whole = good_file();
    for length in 0..whole.len() {
        assert!(File::from_bytes(whole[..length].to_vec()).is_err(), "cut at {length}");
    }
}

#[test]
fn any_byte_changed_is_an_error_or_a_sound_file() {
    let whole = good_file();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(file) = File::from_bytes(bytes) {
                for tensor in file.tensors() {
                    assert_eq!(file.read(tensor).unwrap().len() as u64, tensor.bytes);
                }
            }
        }
    }
}

#[test]
fn file_cut_after_it_was_opened_is_an_error_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, good_file()).unwrap();
    let file = File::open(&path).unwrap();

    std::fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();

    assert!(matches!(file.read(&file.tensors()[0]), Err(Error::Io { .. })));
}

#[test]
fn missing_file_is_named() {
    let error = File::open("/nowhere/model.gguf").unwrap_err();
    assert_eq!(error.to_string(), "cannot open `/nowhere/model.gguf`");
}
