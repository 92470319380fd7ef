//! What holds for every reader of model files, whatever the bytes.
//!
//!     cargo fuzz run gguf corpus/gguf seeds/gguf -- -max_total_time=60

use aic_quant::gguf::{File, Metadata, Writer};
use aic_quant::{Importance, TensorInfo, TensorSource, safetensors};

/// Reads `data` as a GGUF file, strictly and leniently, and checks that
/// - nothing panics,
/// - what is read strictly is read leniently without a warning, and what is refused strictly has one,
/// - the data of every tensor can be read, or it was told that they are not there,
/// - what is read strictly is the same after it was written and read again.
pub fn gguf(data: &[u8]) {
    let strict = File::from_bytes(data.to_vec());
    let Ok(lenient) = File::from_bytes_lenient(data.to_vec()) else {
        assert!(strict.is_err());
        return;
    };
    assert_eq!(strict.is_ok(), lenient.warnings().is_empty());
    let readable = lenient.tensors().iter().filter(|tensor| read(&lenient, tensor)).count();
    if let Ok(strict) = strict {
        assert_eq!(readable, strict.tensors().len());
        assert_eq!(strict.tensors(), lenient.tensors());
        written_and_read_again(&strict);
    }
}

/// Whether the data of `tensor` is there; it has the length it should have, read at once or row by row.
fn read(file: &File, tensor: &TensorInfo) -> bool {
    let Ok(whole) = file.read(tensor) else { return false };
    assert_eq!(whole.len() as u64, tensor.bytes);
    let half = whole.len() / 2;
    let mut rest = vec![0; whole.len() - half];
    file.read_into(tensor, half as u64, &mut rest).expect("the whole could be read");
    assert_eq!(rest, whole[half..]);
    true
}

fn written_and_read_again(file: &File) {
    let mut writer = Writer::new(file.metadata().clone());
    for tensor in file.tensors() {
        writer.tensor(&tensor.name, &tensor.shape, tensor.dtype).expect("it was read");
    }
    // A file may have a larger alignment than it has data; only its padding is in the way.
    if writer.layout().expect("it was read").file_bytes > 1 << 20 {
        return;
    }
    let mut tensors = file.tensors().iter();
    let bytes = writer.to_vec(|_| file.read(tensors.next().expect("one of each"))).expect("it was read");
    let again = File::from_bytes(bytes).expect("it was written");
    // As text, because a float that is no number is not equal to itself.
    let entries = |metadata: &Metadata| metadata.iter().map(|entry| format!("{entry:?}")).collect::<Vec<_>>();
    assert_eq!(entries(again.metadata()), entries(file.metadata()));
    assert_eq!(again.tensors(), file.tensors());
}

/// Reads `data` as an importance matrix, in either form, and checks that nothing panics and every mean is one.
pub fn imatrix(data: &[u8]) {
    let Ok(importance) = Importance::from_bytes(data.to_vec()) else { return };
    for tensor in importance.tensors() {
        let means = importance.get(tensor);
        assert_eq!(means.is_some(), importance.count(tensor) > 0);
        assert!(means.into_iter().flatten().all(|mean| mean >= 0.0 && mean.is_finite()));
    }
}

/// Reads `data` as a safetensors file and checks that nothing panics, and that the tensors cover the data.
pub fn safetensors(data: &[u8]) {
    let Ok(file) = safetensors::File::from_bytes(data.to_vec()) else { return };
    let lengths = file.tensors().iter().map(|tensor| file.read(tensor).expect("it is covered").len());
    let header = u64::from_le_bytes(data[..8].try_into().expect("eight bytes"));
    assert_eq!(lengths.sum::<usize>() as u64, data.len() as u64 - 8 - header);
}
