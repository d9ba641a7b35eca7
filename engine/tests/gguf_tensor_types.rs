//! Tensor types: ids and sizes, against the structs of ggml written out field by field.

use bitnet_engine::gguf::{ShapeFault, TensorType};

const HALF: usize = 2;

/// Id, name, elements of a block, and the bytes of its parts as `ggml-common.h` lays them out.
const BLOCKS: &[(u32, &str, usize, &[usize])] = &[
    (0, "F32", 1, &[4]),
    (1, "F16", 1, &[2]),
    (2, "Q4_0", 32, &[HALF, 32 / 2]),
    (3, "Q4_1", 32, &[HALF, HALF, 32 / 2]),
    (6, "Q5_0", 32, &[HALF, 4, 32 / 2]),
    (7, "Q5_1", 32, &[HALF, HALF, 4, 32 / 2]),
    (8, "Q8_0", 32, &[HALF, 32]),
    (9, "Q8_1", 32, &[HALF, HALF, 32]),
    (10, "Q2_K", 256, &[256 / 16, 256 / 4, HALF, HALF]),
    (11, "Q3_K", 256, &[256 / 8, 256 / 4, 12, HALF]),
    (12, "Q4_K", 256, &[HALF, HALF, 12, 256 / 2]),
    (13, "Q5_K", 256, &[HALF, HALF, 12, 256 / 8, 256 / 2]),
    (14, "Q6_K", 256, &[256 / 2, 256 / 4, 256 / 16, HALF]),
    (15, "Q8_K", 256, &[4, 256, 2 * 256 / 16]),
    (16, "IQ2_XXS", 256, &[HALF, 2 * 256 / 8]),
    (17, "IQ2_XS", 256, &[HALF, 2 * 256 / 8, 256 / 32]),
    (18, "IQ3_XXS", 256, &[HALF, 3 * 256 / 8]),
    (19, "IQ1_S", 256, &[HALF, 256 / 8, 2 * 256 / 32]),
    (20, "IQ4_NL", 32, &[HALF, 32 / 2]),
    (21, "IQ3_S", 256, &[HALF, 256 / 4, 256 / 32, 256 / 8, 256 / 64]),
    (22, "IQ2_S", 256, &[HALF, 256 / 4, 256 / 32, 256 / 32]),
    (23, "IQ4_XS", 256, &[HALF, 2, 256 / 64, 256 / 2]),
    (24, "I8", 1, &[1]),
    (25, "I16", 1, &[2]),
    (26, "I32", 1, &[4]),
    (27, "I64", 1, &[8]),
    (28, "F64", 1, &[8]),
    (29, "IQ1_M", 256, &[256 / 8, 256 / 16, 256 / 32]),
    (30, "BF16", 1, &[2]),
    (34, "TQ1_0", 256, &[48, 4, HALF]),
    (35, "TQ2_0", 256, &[256 / 4, HALF]),
    (37, "I8_S", 1, &[1]),
];

#[test]
fn ids_names_and_block_sizes() {
    for &(id, name, block, parts) in BLOCKS {
        let tensor_type = TensorType::from_id(id).unwrap_or_else(|| panic!("{name} is not known"));
        let bytes = parts.iter().sum::<usize>();
        assert_eq!((tensor_type.id(), tensor_type.name()), (id, name));
        assert_eq!(tensor_type.block_size(), Some(block), "{name}");
        assert_eq!(tensor_type.block_bytes(), Some(bytes), "{name}");
        assert_eq!(tensor_type.row_bytes(block * 6), Ok(bytes * 6), "{name}");
        assert_eq!(tensor_type.tensor_bytes(&[block * 2, 3, 5, 7]), Ok(bytes * 210), "{name}");
    }
    let mut known: Vec<u32> = BLOCKS.iter().map(|row| row.0).collect();
    known.extend([36, 38, 39]);
    known.sort_unstable();
    assert_eq!(TensorType::all().map(TensorType::id).collect::<Vec<_>>(), known);
    for id in (0..300).filter(|id| !known.contains(id)) {
        assert_eq!(TensorType::from_id(id), None, "{id}");
    }
}

#[test]
fn i2_s_counts_the_whole_tensor() {
    let i2_s = TensorType::from_id(36).unwrap();
    assert_eq!(i2_s.name(), "I2_S");
    assert_eq!(i2_s.tensor_bytes(&[2560, 6912]), Ok(2560 * 6912 / 4 + 32));
    assert_eq!(i2_s.tensor_bytes(&[2, 2]), Ok(33), "rows need not be whole blocks");
    assert_eq!(i2_s.row_bytes(128), Err(ShapeFault::NoRows { tensor_type: i2_s }));
    // bitnet-b1.58-2B-4T: 30 layers of q, k, v, o, gate, up and down; the sum is bitnet.cpp's
    // "CPU buffer size" less embedding and norms.
    let layer = [(2560, 2560, 2), (2560, 640, 2), (2560, 6912, 3)];
    let layer = layer.map(|(rows, columns, n)| n * i2_s.tensor_bytes(&[rows, columns]).unwrap());
    assert_eq!(30 * layer.iter().sum::<usize>(), 521_011_200 + 210 * 32);
}

#[test]
fn shapes_without_a_size() {
    let f32s = |dims: &[usize]| TensorType::F32.tensor_bytes(dims);
    assert_eq!(f32s(&[]), Err(ShapeFault::DimensionCount { found: 0 }));
    assert_eq!(f32s(&[1; 5]), Err(ShapeFault::DimensionCount { found: 5 }));
    assert_eq!(f32s(&[0]), Err(ShapeFault::ZeroDimension { dimension: 0 }));
    assert_eq!(f32s(&[7, 1, 0]), Err(ShapeFault::ZeroDimension { dimension: 2 }));
    assert_eq!(f32s(&[usize::MAX]), Err(ShapeFault::Overflow));
    assert_eq!(f32s(&[usize::MAX, usize::MAX, 2]), Err(ShapeFault::Overflow));
    assert_eq!(f32s(&[usize::MAX / 8 + 1, 2]), Err(ShapeFault::Overflow));
    assert_eq!(TensorType::I8.tensor_bytes(&[i64::MAX as usize]), Ok(i64::MAX as usize));
    assert_eq!(TensorType::I8.tensor_bytes(&[i64::MAX as usize + 1]), Err(ShapeFault::Overflow));
}

#[test]
fn lookup_types_count_the_whole_matrix() {
    let (tl1, tl2) = (TensorType::Tl1, TensorType::Tl2);
    assert_eq!((tl1.id(), tl1.name(), tl2.id(), tl2.name()), (38, "TL1", 39, "TL2"));
    assert_eq!(tl1.tensor_bytes(&[4096, 1536]), Ok(4096 * 1536 / 4 + 32));
    // (K - 256) * M / 3 * 5 / 8 + 256 * M / 2 * 4 / 8, then a multiple of 32, then the scale.
    assert_eq!(tl2.tensor_bytes(&[4096, 1536]), Ok(3840 * 1536 / 3 * 5 / 8 + 64 * 1536 + 32));
    assert_eq!(tl2.tensor_bytes(&[768, 128]), Ok(21_845usize.next_multiple_of(32) + 32));
    assert_eq!(tl2.tensor_bytes(&[256, 1]), Ok(64 + 32));
    for tensor_type in [tl1, tl2] {
        assert_eq!(tensor_type.row_bytes(256), Err(ShapeFault::NoRows { tensor_type }));
    }
    for dims in [&[256][..], &[255, 4], &[256, 4, 1]] {
        assert_eq!(tl2.tensor_bytes(dims), Err(ShapeFault::NoTl2), "{dims:?}");
    }
    assert_eq!(tl2.tensor_bytes(&[1 << 31, 1 << 31]), Ok(960_767_943_412_198_112));
    assert_eq!(tl2.tensor_bytes(&[usize::MAX, 2]), Err(ShapeFault::Overflow));
}
